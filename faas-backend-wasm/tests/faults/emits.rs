//! Events that guests emit through the interface itself, past what the library for guests checks.

use std::time::Duration;

use faas_core::store::ActivationQuery;
use faas_core::{Activation, ActivationKind, MemoryMib, Platform};
use serde_json::json;

use crate::guests::{self, OK, times};
use crate::site::{backend, millis, small};

/// Runs a guest that emits, on a platform where its trigger has a rule; the records of the rule.
async fn run(module: Vec<u8>) -> (Activation, usize) {
    let backend = backend().module_bytes("a", module).module_bytes("heard", guests::run(OK)).build().unwrap();
    let app = Platform::builder()
        .backend(backend)
        .spec(small("a", 1).with_timeout(Duration::from_secs(20)))
        .spec(small("heard", 1))
        .trigger("event")
        .rule(faas_core::RuleSpec::new("rule", "event", "heard").unwrap())
        .build()
        .await
        .unwrap();
    let record = app.invoke("a", json!({})).await.unwrap();
    app.drain().await;
    let query = ActivationQuery { limit: Some(5_000), ..ActivationQuery::default() };
    let records = app.activations(&query).await.unwrap();
    let fired = records.iter().filter(|record| record.revision.kind == ActivationKind::Trigger).count();
    app.shutdown(millis(5_000)).await.unwrap();
    (record, fired)
}

/// Emits and ends badly unless the host answers so.
fn emits(name: &[u8], payload: &[u8], answer: u32) -> String {
    format!(
        "(if (i32.ne (call $emit (i32.const 2000) (i32.const {}) (i32.const 3000) (i32.const {}))
           (i32.const {answer})) (then unreachable))",
        name.len(),
        payload.len()
    )
}

async fn emitted(name: &[u8], payload: &[u8], answer: u32) -> usize {
    let more = format!("{}{}", guests::data(2000, name), guests::data(3000, payload));
    let (record, fired) = run(guests::with(&more, &format!("{} {OK}", emits(name, payload, answer)))).await;
    assert!(record.outcome.is_success(), "{:?} {:?}", String::from_utf8_lossy(name), record.outcome);
    fired
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_is_taken_or_refused_by_its_answer() {
    assert_eq!(emitted(b"event", b"{\"a\":1}", 0).await, 1);
    for name in [&b""[..], b"no name!", b"\xff", b"/", b"a/b/c/d", &[b'x'; 600]] {
        assert_eq!(emitted(name, b"{}", 1).await, 0);
    }
    for payload in [&b""[..], b"[]", b"1", b"null", b"{", b"{\"a\":\"\xff\"}"] {
        assert_eq!(emitted(b"event", payload, 1).await, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_outbox_has_an_end() {
    let more = format!("{}{}", guests::data(2000, b"event"), guests::data(3000, b"{}"));
    let taken = times(1_000, &emits(b"event", b"{}", 0));
    let refused = emits(b"event", b"{}", 1);
    let (record, fired) = run(guests::with(&more, &format!("{taken} {refused} {OK}"))).await;
    assert!(record.outcome.is_success(), "{:?}", record.outcome);
    assert_eq!(fired, 1_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_outbox_holds_no_more_than_the_memory_limit() {
    let payload = format!("{{\"a\":\"{}\"}}", "x".repeat(50_000 - 8));
    let more = format!("{}{}", guests::data(2000, b"event"), guests::data(3000, payload.as_bytes()));
    let fits = u32::try_from(MemoryMib::new(1).bytes() / 50_000).unwrap();
    let taken = times(fits, &emits(b"event", payload.as_bytes(), 0));
    let refused = times(100, &emits(b"event", payload.as_bytes(), 1)).replace("$again", "$more");
    let reset = "(local.set $i (i32.const 0))";
    let (record, fired) = run(guests::with(&more, &format!("{taken} {reset} {refused} {OK}"))).await;
    assert!(record.outcome.is_success(), "{:?}", record.outcome);
    assert_eq!(fired, fits as usize);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_ends_badly_has_emitted_nothing() {
    let more = format!("{}{}", guests::data(2000, b"event"), guests::data(3000, b"{}"));
    let emit = emits(b"event", b"{}", 0);
    for end in [
        "unreachable",
        "(call $exit (i32.const 0))",
        "",
        "(call $reply (i32.const 1) (i32.const 1024) (i32.const 2))",
    ] {
        let (record, fired) = run(guests::with(&more, &format!("{emit} {end}"))).await;
        assert!(!record.outcome.is_success());
        assert_eq!(fired, 0, "{end}");
    }
}
