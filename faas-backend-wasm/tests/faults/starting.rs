//! Modules that go wrong before their first run.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::guests::{self, OK, forever};
use crate::site::{Site, small, spec, timed};

const LATE: &str = "The action exceeded its time limits of 200 milliseconds during initialization.";
const ENDED: &str = "The action did not initialize and exited unexpectedly.";
const EXHAUSTED: &str = "The action exhausted its memory and was aborted.";

/// A guest that does this as its start function.
fn started(body: &str) -> Vec<u8> {
    guests::with(&format!("(func $begin {body}) (start $begin)"), OK)
}

/// A guest with an export that is called first.
fn first(export: &str, body: &str) -> Vec<u8> {
    guests::with(&format!("(func (export \"{export}\") {body})"), OK)
}

/// Every way to do something first.
fn everywhere(body: &str) -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("start", started(body)),
        ("initialize", first("_initialize", body)),
        ("init", first("faas_v1_init", body)),
    ]
}

/// Guests that fail with such a text before they run.
async fn all_fail(body: &str, text: &str) {
    let modules = everywhere(body);
    let actions = modules.into_iter().map(|(name, module)| {
        let spec = timed(name, 200);
        (spec.with_memory(faas_core::MemoryMib::new(2)), module)
    });
    let site = Site::of(actions).await;
    for name in ["start", "initialize", "init"] {
        let began = Instant::now();
        assert_eq!(site.fails(name, json!({})).await, text, "{name}");
        assert!(began.elapsed() < Duration::from_secs(3), "{name}: {:?}", began.elapsed());
    }
    site.end(3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_loops_ends_at_the_timeout() {
    all_fail(&forever(""), LATE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_sleeps_ends_at_the_timeout() {
    all_fail("(call $wait (i64.const 100000000000))", LATE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_traps_is_a_developer_error() {
    let texts = [
        ("unreachable", ENDED),
        (
            "(drop (i32.div_s (i32.const 1) (i32.const 0)))",
            "The action failed during initialization: the module trapped: wasm trap: integer divide by zero",
        ),
        (
            "(drop (i32.load (i32.const 0x7fffffff)))",
            "The action failed during initialization: the module trapped: wasm trap: out of bounds memory access",
        ),
    ];
    for (body, text) in texts {
        all_fail(body, text).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_exits_is_a_developer_error() {
    all_fail("(call $exit (i32.const 0))", ENDED).await;
    all_fail("(call $exit (i32.const 3))", ENDED).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_takes_too_much_memory_is_a_developer_error() {
    all_fail("(drop (memory.grow (i32.const 64)))", EXHAUSTED).await;
    all_fail(&forever("(drop (memory.grow (i32.const 1)))"), EXHAUSTED).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_misuses_its_host_is_a_developer_error() {
    let text = "The action failed during initialization: the module gave an address outside of its memory";
    all_fail("(call $log (i32.const 1) (i32.const -8) (i32.const 8))", text).await;
    let text = "The action failed during initialization: the module replies with kind 77, which is none of the \
                interface";
    all_fail("(call $reply (i32.const 77) (i32.const 0) (i32.const 1))", text).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn segments_beyond_memory_and_table_are_developer_errors() {
    let site = Site::of([
        (spec("data"), guests::with("(data (i32.const 65535) \"two\")", OK)),
        (spec("elements"), guests::with("(table 1 funcref) (elem (i32.const 1) func 0)", OK)),
    ])
    .await;
    for name in ["data", "elements"] {
        let text = site.fails(name, json!({})).await;
        assert!(text.starts_with("The action failed during initialization: the module trapped: "), "{text}");
    }
    site.end(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_initialisation_tells_why_it_failed() {
    let tell = |kind: u32, text: &str| {
        let more = guests::data(4096, text.as_bytes());
        let body = format!("(call $reply (i32.const {kind}) (i32.const 4096) (i32.const {}))", text.len());
        guests::with(&format!("{more} (func (export \"faas_v1_init\") {body})"), OK)
    };
    let site = Site::of([
        (spec("told"), tell(1, "no database")),
        (spec("panicked"), tell(2, "at the disco")),
        (spec("error"), tell(0, r#"{"error":"no key"}"#)),
        (spec("garbage"), tell(0, "42")),
        (spec("result"), tell(0, "{}")),
    ])
    .await;
    assert_eq!(site.fails("told", json!({})).await, "no database");
    let panicked = site.fails("panicked", json!({})).await;
    assert_eq!(panicked, "The action failed during initialization: it panicked: at the disco");
    assert_eq!(site.fails("error", json!({})).await, "The action failed during initialization: no key");
    assert!(site.fails("garbage", json!({})).await.starts_with("The action failed during initialization: "));
    assert!(
        site.run("result", json!({})).await.outcome.is_success(),
        "a result of an initialisation is none"
    );
    site.end(5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_logged_before_the_first_run_is_bounded() {
    let flood = "(call $log (i32.const 1) (i32.const 0) (i32.const 60000))";
    let site =
        Site::of([(small("a", 1), first("faas_v1_init", &guests::forever_in("$i", 30_000, flood)))]).await;
    let record = site.run("a", json!({})).await;
    assert!(record.outcome.is_success(), "{:?}", record.outcome);
    let bytes: usize = record.logs.iter().map(|line| line.text.len()).sum();
    assert!(bytes <= (10 << 20) + 200, "{bytes}");
    site.end(1).await;
}
