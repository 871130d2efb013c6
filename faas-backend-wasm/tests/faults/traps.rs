//! Runs that end badly: each is a developer error of its own activation, and nobody else notices.

use std::time::Duration;

use serde_json::json;

use crate::guests::{self, OK, forever};
use crate::site::{Site, backend, built, fixtures, millis, spec, timed};

pub(crate) const EXITED: &str = "The action did not produce a valid response and exited unexpectedly.";

/// A guest that replies and then does this: it ends badly, and the log says how, where there is more to say.
async fn ends_badly(more: &str, body: &str, said: Option<&str>) {
    let site = Site::of([(spec("a"), guests::with(more, &format!("{OK} {body}")))]).await;
    for _ in 0..3 {
        let record = site.run("a", json!({})).await;
        assert_eq!(record.outcome.error().as_deref(), Some(EXITED), "{body}: {:?}", record.outcome);
        assert_eq!(record.status(), faas_core::Status::DeveloperError);
        let logs: Vec<&str> = record.logs.iter().map(|line| line.text.as_str()).collect();
        assert_eq!(logs, said.into_iter().collect::<Vec<_>>(), "{body}");
    }
    site.end(3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trap_is_told_in_the_log_and_what_was_replied_before_is_not_relied_on() {
    ends_badly("", "unreachable", None).await;
    let trap = |text: &str| format!("the module trapped: wasm trap: {text}");
    let cases = [
        ("", "(drop (i32.div_s (i32.const 1) (local.get $i)))", "integer divide by zero"),
        ("", "(drop (i32.div_s (i32.const 0x80000000) (i32.const -1)))", "integer overflow"),
        ("", "(drop (i32.trunc_f32_s (f32.const nan)))", "invalid conversion to integer"),
        ("", "(drop (i32.load (i32.const 65536)))", "out of bounds memory access"),
        ("", "(i64.store offset=4294967295 (i32.const -1) (i64.const 1))", "out of bounds memory access"),
        ("", "(memory.fill (i32.const 1) (i32.const 0) (i32.const 65536))", "out of bounds memory access"),
        ("(table 2 funcref)", "(call_indirect (i32.const 0))", "uninitialized element"),
        (
            "(table 2 funcref)",
            "(call_indirect (i32.const 2))",
            "undefined element: out of bounds table access",
        ),
        (
            "(table 2 funcref) (func $f (param i32)) (elem (i32.const 0) $f)",
            "(call_indirect (i32.const 0))",
            "indirect call type mismatch",
        ),
    ];
    for (more, body, text) in cases {
        ends_badly(more, body, Some(&trap(text))).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recursion_without_end_ends_at_the_stack() {
    let said = "the module trapped: wasm trap: call stack exhausted";
    ends_badly("(func $down (call $down) (call $down))", "(call $down)", Some(said)).await;
    let wide = format!(
        "(func $down (param i64) (result i64) (local {}) (i64.add (call $down (local.get 0)) (local.get 200)))",
        "i64 ".repeat(400)
    );
    ends_badly(&wide, "(drop (call $down (i64.const 1)))", Some(said)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exit_is_a_developer_error_whatever_its_code() {
    for code in [0, 1, 101, -1] {
        let site =
            Site::of([(spec("a"), guests::run(&format!("{OK} (call $exit (i32.const {code}))")))]).await;
        let record = site.run("a", json!({})).await;
        assert_eq!(record.status(), faas_core::Status::DeveloperError, "{code}: {:?}", record.outcome);
        site.end(1).await;
    }
}

/// Ends at its limit of 200 ms, at most a second later.
async fn ends_in_time(site: Site, name: &str, input: serde_json::Value, limit: u64) {
    let record = site.run(name, input).await;
    let text = format!("The action exceeded its time limits of {limit} milliseconds.");
    assert_eq!(record.outcome.error(), Some(text));
    // Without the time that its module takes to compile.
    let latest = millis(limit) + Duration::from_secs(1);
    assert!((millis(limit)..latest).contains(&record.times.run), "{:?}", record.times);
    site.end(3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_takes_too_long_ends_at_its_limit() {
    let bulk = "(memory.fill (i32.const 0) (i32.const 7) (i32.const 65536))";
    let log = "(call $log (i32.const 1) (i32.const 0) (i32.const 10))";
    let bodies = [
        forever(""),
        forever(bulk),
        forever(log),
        forever("(drop (call $random_get (i32.const 0) (i32.const 60000)))"),
        forever("(call $wait (i64.const 0))"),
        forever("(call $wait (i64.const 1))"),
        "(call $wait (i64.const -1))".to_owned(),
        "(call $down)".to_owned(),
    ];
    // So deep that it never ends, and so shallow that it never traps.
    let more = "(func $down (call $twice (i32.const 60)))
        (func $twice (param i32) (if (local.get 0) (then
          (call $twice (i32.sub (local.get 0) (i32.const 1))) (call $twice (i32.sub (local.get 0) (i32.const 1))))))";
    for body in bodies {
        let site = Site::of([(timed("a", 200), guests::with(more, &format!("{OK} {body}")))]).await;
        ends_in_time(site, "a", json!({}), 200).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guests_of_a_compiler_that_loop_fill_and_sleep_end_at_their_limits() {
    let Some(guests) = built("guests_of_a_compiler_that_loop_fill_and_sleep_end_at_their_limits") else {
        return;
    };
    for (name, input) in [("spin", json!({})), ("fill", json!({})), ("nap", json!({ "ms": 100_000 }))] {
        let mut spec = guest_spec(name);
        spec.limits.timeout = millis(300);
        let site = Site::on(backend().artifact(&guests), [spec]).await;
        ends_in_time(site, name, input, 300).await;
    }
    let Some(fixtures) = fixtures("guests_of_a_compiler_that_loop_fill_and_sleep_end_at_their_limits") else {
        return;
    };
    for input in [json!({ "block": 100_000 }), json!({ "await": 100_000 }), json!({ "spin": 100_000 })] {
        let spec = faas_testkit::fixtures::spec("sleep").with_timeout(millis(300));
        let site = Site::on(backend().artifact(&fixtures), [spec]).await;
        ends_in_time(site, "sleep", input, 300).await;
    }
}

/// The specification of a guest.
pub(crate) fn guest_spec(name: &str) -> faas_core::ActionSpec {
    let mut specs = faas_wasm_guests::actions().into_specs().into_iter();
    specs.find(|spec| spec.name.name() == name).expect("a guest of that name")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guests_of_a_compiler_that_panic_recurse_and_exit_are_developer_errors() {
    let test = "guests_of_a_compiler_that_panic_recurse_and_exit_are_developer_errors";
    let (Some(guests), Some(fixtures)) = (built(test), fixtures(test)) else { return };
    let site = Site::on(backend().artifact(&guests), [guest_spec("recurse"), guest_spec("echo")]).await;
    assert_eq!(site.fails("recurse", json!({})).await, EXITED);
    assert!(site.run("echo", json!({ "a": 1 })).await.outcome.is_success());
    site.end(3).await;
    let specs = ["panic", "exit", "echo"].map(faas_testkit::fixtures::spec);
    let site = Site::on(backend().artifact(&fixtures), specs).await;
    let text = site.fails("panic", json!({ "message": "out of tune" })).await;
    assert_eq!(text, "The action panicked: out of tune");
    for input in
        [json!({ "code": 0 }), json!({ "code": 7 }), json!({ "abort": {} }), json!({ "overflow": {} })]
    {
        site.fails("exit", input).await;
    }
    assert!(site.run("echo", json!({ "a": 1 })).await.outcome.is_success());
    site.end(6).await;
}
