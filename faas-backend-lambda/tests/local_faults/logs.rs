//! Floods of output, and output that pretends to be something else: memory stays bounded, and each activation has its
//! own lines and no other's.

use faas_core::log::{LogLine, MAX_LINES, Stream, label};
use faas_core::{Activation, ActivationId, Outcome, Timestamp};
use serde_json::json;

use crate::alone::{alone, peak_mib};
use crate::artifact::PUPPET;
use crate::site::{Site, millis, played, puppet, puppets, texts};

fn notice(limit: u64) -> String {
    format!("Logs were truncated because the total bytes size exceeds the limit of {limit} bytes.")
}

/// The log is full, and says so once.
fn check_full(record: &Activation, limit: u64, case: &str) {
    let said = texts(record);
    assert_eq!(*said.last().unwrap(), notice(limit), "{case}");
    assert_eq!(said.iter().filter(|text| **text == notice(limit)).count(), 1, "{case}");
    let bytes: usize = said.iter().map(|text| text.len() + 1).sum();
    let limit = usize::try_from(limit).unwrap();
    let is_full = (limit..limit + 200).contains(&bytes) || said.len() == MAX_LINES + 1;
    assert!(is_full, "{case}: {bytes} bytes, {} lines", said.len());
}

/// A site of a puppet with so much room for its log.
async fn flooded(test: &str, limit: u64) -> Site {
    let mut spec = puppet(20_000);
    spec.limits.logs = limit;
    Site::new(test, puppets(), [spec]).await
}

#[test]
fn floods_are_cut_and_take_no_memory() {
    alone("logs::floods_are_cut_and_take_no_memory", async {
        const LIMIT: u64 = 1 << 20;
        let site = flooded("floods", LIMIT).await;
        site.fine().await;
        let before = peak_mib();
        for (case, kib, line) in [
            ("1 GB in one line", 512 << 10, 0),
            ("200 MB in long lines", 100 << 10, 65_536),
            ("10 million empty lines", 5 << 10, 1),
        ] {
            let record = site.play(json!([{ "flood": { "kib": kib, "line": line } }, { "exit": 1 }])).await;
            assert_eq!(record.outcome, Outcome::exited(), "{case}");
            check_full(&record, LIMIT, case);
            // One that answers has its log in the answer, and what it printed besides is nobody's.
            let record = site.play(json!([{ "flood": { "kib": kib, "line": line } }, "answer"])).await;
            assert_eq!((record.outcome.is_success(), record.logs.len()), (true, 0), "{case}");
        }
        let grown = peak_mib() - before;
        assert!(grown < 100, "{grown} MiB");
        site.end(3).await;
    });
}

#[tokio::test]
async fn a_program_that_prints_without_end_is_killed_at_its_limit_as_any_other() {
    let mut spec = puppet(1_000);
    spec.limits.logs = 10_000;
    let site = Site::new("babble", puppets(), [spec]).await;
    let record = site.play(json!([{ "babble": "abc" }, "hang"])).await;
    assert_eq!(record.outcome, Outcome::timed_out(millis(1_000)));
    check_full(&record, 10_000, "babble");
    // One that goes on to answer while it prints does so.
    let told = site.told(json!([{ "babble": "abc" }, "answer"])).await;
    for _ in 0..20 {
        assert_eq!(site.told(json!([])).await["pid"], told["pid"]);
    }
    site.end(21).await;
}

#[tokio::test]
async fn what_was_printed_before_belongs_to_nobody() {
    let site = played("before", 20_000).await;
    for _ in 0..20 {
        let steps = json!([{ "print": "one before" }, { "open": "and " }, "answer"]);
        assert_eq!(site.app.invoke(PUPPET, json!({ "steps": steps })).await.unwrap().logs, []);
    }
    let steps = json!([{ "print": "its own" }, { "exit": 1 }]);
    assert_eq!(texts(&site.app.invoke(PUPPET, json!({ "steps": steps })).await.unwrap()), ["its own"]);
    site.end(20).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_printed_after_an_answer_belongs_to_nobody() {
    let site = played("afterwards", 20_000).await;
    for _ in 0..100 {
        site.told(json!(["answer", { "flood": { "kib": 32, "line": 64 } }, { "open": "late" }])).await;
        let steps = json!([{ "print": "its own" }, { "exit": 1 }]);
        assert_eq!(texts(&site.app.invoke(PUPPET, json!({ "steps": steps })).await.unwrap()), ["its own"]);
    }
    site.end(100).await;
}

#[tokio::test]
async fn lines_that_say_they_are_of_another_activation_are_none_of_this_one() {
    let site = played("forged", 20_000).await;
    let line =
        |text: &str| LogLine { at: Timestamp::from_millis(5), stream: Stream::Stdout, text: text.to_owned() };
    let other = label(ActivationId::from_u128(7), &line("of another"));
    let steps = json!([
        { "print": "first" }, { "print": other }, { "complain": other },
        { "print": "red \u{1b}[31m \u{0}" }, { "print": format!("x {other}") }, { "exit": 1 },
    ]);
    let record = site.play(steps).await;
    assert_eq!(texts(&record), ["first", "red \\u{1b}[31m \\u{0}", &format!("x {other}")]);
    site.told(json!([])).await;
    site.end(1).await;
}

#[tokio::test]
async fn with_no_room_for_a_log_there_is_none() {
    let site = flooded("none", 0).await;
    let record = site.play(json!([{ "flood": { "kib": 1, "line": 10 } }, { "exit": 1 }])).await;
    assert_eq!((&record.outcome, record.logs.len()), (&Outcome::exited(), 0));
    site.end(0).await;
}
