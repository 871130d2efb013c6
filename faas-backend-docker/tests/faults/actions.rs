//! What actions do that they should not: each ends as it must, and its neighbours notice nothing.

use std::time::Duration;

use faas_backend_docker::Hardening;
use faas_core::{ActionSpec, MemoryMib, Outcome, StartKind, Status, Timestamp};
use serde_json::json;

use crate::puppets::coded;
use crate::site::{ground, millis, spec};
use crate::watch::texts;

const EXITED: &str = "The action did not produce a valid response and exited unexpectedly.";
const EXHAUSTED: &str = "The action exhausted its memory and was aborted.";

/// How late a timeout may be told, and as much again for a machine that has other things to do.
const LATEST: Duration = Duration::from_millis(2_000);

#[tokio::test]
async fn an_endless_loop_is_killed_at_its_limit_and_its_logs_are_kept() {
    let Some(ground) = ground("loop").await else { return };
    let site = ground.site([spec("spin").with_memory(MemoryMib::new(40))]).await;
    for _ in 0..2 {
        let record = site.run("spin", json!({})).await;
        assert_eq!(record.status(), Status::DeveloperError);
        let text = "The action exceeded its time limits of 500 milliseconds.";
        assert_eq!(record.outcome.error().as_deref(), Some(text));
        assert_eq!(texts(&record), ["INFO spinning"]);
        assert!(record.times.run >= millis(500) && record.times.run <= LATEST, "{:?}", record.times);
        assert_eq!(record.start_kind, Some(StartKind::Cold), "the one before was destroyed");
        site.gone(40).await;
    }
    site.end(2).await;
}

#[tokio::test]
async fn a_result_after_the_timeout_is_no_result() {
    let Some(ground) = ground("late").await else { return };
    let late = spec("late").with_timeout(millis(300)).with_memory(MemoryMib::new(40));
    let site = ground.site([late]).await;
    let record = site.run("late", json!({ "ms": 600 })).await;
    let text = "The action exceeded its time limits of 300 milliseconds.";
    assert_eq!(record.outcome.error().as_deref(), Some(text));
    assert_eq!(texts(&record), ["INFO blocking"]);
    site.gone(40).await;
    tokio::time::sleep(millis(500)).await;
    assert_eq!(*site.app.activation(record.id).await.unwrap(), *record, "there is one record, and it stays");
    assert_eq!(site.app.stats().finished(Status::DeveloperError), 1);
    assert_eq!(site.result("late", json!({ "ms": 10 })).await, json!({ "late": true }));
    site.end(2).await;
}

#[tokio::test]
async fn memory_over_the_limit_ends_the_action_however_it_is_taken() {
    let Some(ground) = ground("memory").await else { return };
    let mut hardening = Hardening::default();
    hardening.tmp = MemoryMib::new(256);
    let builder = ground.builder().hardening(hardening);
    let specs = [spec("grow"), spec("fill").with_memory(MemoryMib::new(32))];
    let site = ground.site_on(builder, specs).await;
    for (action, input) in [
        ("grow", json!({})),
        ("grow", json!({ "kib": 4 })),
        ("grow", json!({ "pause_ms": 20 })),
        ("grow", json!({ "kib": 65_536 })),
        // What lies in `/tmp` is memory of the container.
        ("fill", json!({ "path": "/tmp/large", "mib": 64 })),
    ] {
        let record = site.run(action, input.clone()).await;
        assert_eq!(record.status(), Status::DeveloperError, "{input}: {:?}", record.outcome);
        assert_eq!(record.outcome.error().as_deref(), Some(EXHAUSTED), "{input}");
        let said: &[&str] = if action == "grow" { &["INFO growing"] } else { &[] };
        assert_eq!(texts(&record), said, "{input}");
    }
    let filled = site.result("fill", json!({ "path": "/tmp/small", "mib": 8 })).await;
    assert_eq!(filled, json!({ "mib": 8, "stopped": null }));
    site.end(6).await;
}

#[tokio::test]
async fn a_runtime_that_ends_is_a_developer_error_with_what_was_printed() {
    let Some(ground) = ground("ends").await else { return };
    let site = ground.site([spec("end")]).await;
    for (by, printed) in [
        (json!({ "exit": 0 }), Some("printed before the exit")),
        (json!({ "exit": 3 }), Some("printed before the exit")),
        (json!({ "exit": 137 }), Some("printed before the exit")),
        (json!("abort"), Some("printed before the abort")),
        (json!("overflow"), None),
        (json!("segfault"), Some("printed before the fault")),
        (json!({ "signal": 9 }), None),
        (json!({ "signal": 4 }), None),
        // The first process passes it on.
        (json!({ "signal_first": 15 }), None),
    ] {
        let record = site.run("end", json!({ "by": by })).await;
        assert_eq!(record.status(), Status::DeveloperError, "{by}: {:?}", record.outcome);
        assert_eq!(record.outcome.error().as_deref(), Some(EXITED), "{by}");
        let said = texts(&record);
        assert_eq!(said[0], "INFO ending", "{by}: {said:?}");
        assert!(printed.is_none_or(|text| said[1..] == [text]), "{by}: {said:?}");
    }
    site.end(9).await;
}

#[tokio::test]
async fn the_first_process_of_a_container_cannot_be_killed_from_within() {
    let Some(ground) = ground("first").await else { return };
    let site = ground.site([spec("end").with_memory(MemoryMib::new(40))]).await;
    for kind in [StartKind::Cold, StartKind::Warm] {
        let record = site.run("end", json!({ "by": { "signal_first": 9 } })).await;
        assert_eq!(record.outcome.result().to_value(), json!({ "survived": true }));
        assert_eq!(record.start_kind, Some(kind));
    }
    site.end(2).await;
}

#[tokio::test]
async fn several_activations_run_at_once_in_one_container_where_the_action_allows_it() {
    let Some(ground) = ground("beside").await else { return };
    let mut nap = spec("nap").with_memory(MemoryMib::new(40));
    nap.limits.concurrency = 4;
    let site = ground.site([nap]).await;
    let first = site.begin("nap", json!({ "ms": 1500, "text": "of 0" }));
    let only = site.container_that_says(40, "of 0").await;
    let calls: Vec<_> =
        (1..4).map(|n| site.begin("nap", json!({ "ms": 1000, "text": format!("of {n}") }))).collect();
    site.fine().await;
    let (mut begun, mut ended) = (Timestamp::from_millis(0), Timestamp::from_nanos(u64::MAX));
    for (n, call) in std::iter::once(first).chain(calls).enumerate() {
        let record = call.await.unwrap().unwrap();
        if n > 0 {
            (begun, ended) = (begun.max(record.start), ended.min(record.end));
        }
        assert!(record.outcome.is_success(), "{:?}", record.outcome);
        assert_eq!(texts(&record), [format!("INFO napping of {n}"), format!("INFO napped of {n}")]);
    }
    assert_eq!(site.containers_of(40).await, [only], "one container ran them all");
    assert!(begun < ended, "they ran at once");
    site.end(5).await;
}

#[tokio::test]
async fn those_who_run_beside_one_that_ends_the_runtime_end_with_it() {
    let Some(ground) = ground("together").await else { return };
    let mut end = spec("end").with_memory(MemoryMib::new(40));
    end.limits.concurrency = 4;
    let site = ground.site([end]).await;
    let beside = site.begin("end", json!({ "by": { "signal_first": 9 } }));
    site.container_that_says(40, "ending").await;
    let record = site.run("end", json!({ "by": { "exit": 0 } })).await;
    assert_eq!(record.outcome.error().as_deref(), Some(EXITED));
    assert_eq!(texts(&record)[0], "INFO ending");
    let beside = beside.await.unwrap().unwrap();
    assert_eq!(beside.outcome.error().as_deref(), Some(EXITED));
    assert_eq!(texts(&beside), ["INFO ending"], "and not what the other one printed");
    site.gone(40).await;
    site.end(1).await;
}

#[tokio::test]
async fn an_action_that_asks_for_it_finds_nothing_of_those_before() {
    let Some(ground) = ground("fresh").await else { return };
    let mut remember = spec("remember").with_memory(MemoryMib::new(40));
    remember.annotations.insert(ActionSpec::FRESH_SANDBOX.to_owned(), json!(true));
    let site = ground.site([remember]).await;
    for round in 0..3 {
        let record = site.run("remember", json!({ "secret": format!("secret {round}") })).await;
        assert_eq!(record.outcome.result().to_value(), json!({ "memory": [], "disk": "" }));
        assert_eq!(record.start_kind, Some(StartKind::Cold));
        site.gone(40).await;
    }
    site.end(3).await;
}

#[tokio::test]
async fn without_that_it_finds_what_it_left_itself() {
    let Some(ground) = ground("kept").await else { return };
    let site = ground.site([spec("remember")]).await;
    site.result("remember", json!({ "secret": "one" })).await;
    let found = site.result("remember", json!({ "secret": "two" })).await;
    assert_eq!(found, json!({ "memory": ["one"], "disk": "one\n" }));
    site.end(2).await;
}

#[tokio::test]
async fn a_reply_that_is_no_text_is_shown_as_far_as_it_is_some() {
    const BYTES: &[u8] = b"{\"a\":\"\xff\xfe \xc3\x28\"}";
    const SHOWN: &str = "{\"a\":\"\u{fffd}\u{fffd} \u{fffd}(\"}";
    let broken = json!({ "status": 502, "bytes": BYTES });
    let Some(site) = coded("notext", [("runs", json!({}), 20_000), ("begins", broken, 20_000)]).await else {
        return;
    };
    for status in [200, 502] {
        let record = site.run("runs", json!({ "status": status, "bytes": BYTES })).await;
        let text = format!("The action did not produce a valid JSON or JSON Array response: {SHOWN}");
        assert_eq!(record.outcome, Outcome::developer_error(text), "{status}");
    }
    let record = site.run("begins", json!({})).await;
    let text = format!("The action failed during initialization: {SHOWN}");
    assert_eq!(record.outcome, Outcome::developer_error(text));
    site.end(3).await;
}
