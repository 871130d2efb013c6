//! Which behaviours a subject skips, and that nothing is skipped in silence.

use std::collections::BTreeSet;

use faas_core::LocalBackend;
use faas_testkit::backend_suite::{BEHAVIOURS, BackendSubject, Facts, check_counts, play};
use faas_testkit::transcript::RunStatus;

#[test]
fn an_absent_backend_skips_everything_and_says_why() {
    let absent = || {
        BackendSubject::where_present("absent", || async {
            Err::<LocalBackend, _>("no daemon answers".into())
        })
    };
    for behaviour in BEHAVIOURS {
        let transcript = play(&absent(), behaviour.name);
        assert_eq!(transcript.status, RunStatus::Skipped);
        assert_eq!(transcript.reason.as_deref(), Some("no daemon answers"));
    }
    check_counts(&absent(), 1, 1);
}

#[test]
#[should_panic(expected = "behaviours (run, skipped) on local")]
fn a_wrong_number_of_behaviours_is_noticed() {
    let local = BackendSubject::new("local", || async { LocalBackend::new() });
    check_counts(&local, BEHAVIOURS.len(), 0);
}

#[test]
fn a_capability_selects_what_needs_it() {
    let facts = |change: fn(&mut Facts)| {
        let mut facts = Facts { capability: LocalBackend::CAPABILITY, pooled: false };
        change(&mut facts);
        let skips = BEHAVIOURS.iter().filter(|behaviour| behaviour.reason_to_skip(&facts).is_some());
        skips.map(|behaviour| behaviour.name).collect::<BTreeSet<_>>()
    };
    let local = facts(|_| {});
    let surviving = facts(|facts| facts.capability.survives_exit = true);
    let only: Vec<&&str> = local.difference(&surviving).collect();
    assert_eq!(
        only,
        [
            &"a_stack_overflow_is_a_developer_error",
            &"an_abort_is_a_developer_error",
            &"an_exit_with_a_failure_is_a_developer_error",
            &"an_exit_with_success_is_a_developer_error",
        ]
    );
    assert!(surviving.is_subset(&local));
}

#[test]
fn names_are_told_apart_and_claim_something() {
    let names: BTreeSet<&str> = BEHAVIOURS.iter().map(|behaviour| behaviour.name).collect();
    assert_eq!(names.len(), BEHAVIOURS.len());
    assert!(names.iter().all(|name| name.split('_').count() >= 3), "a name is a claim");
}
