//! Runs the examples as their users do: as programs, built by cargo.

#![cfg(feature = "host")]
#![allow(
    clippy::unwrap_used,
    reason = "a test that fails should panic, in the functions that tests share too"
)]

mod app_template;
mod built;
mod docker;
mod durable;
#[cfg(target_os = "linux")]
mod lambda;
mod quickstart;
mod wasm;

use built::example;

#[test]
fn hello_greets_three_ways_and_shows_a_failure() {
    let shown = example("hello").succeeds(&[]);
    for line in [
        "function: Hello, Ada!",
        "typed:    Hello, Grace!",
        r#"by name:  {"greeting":"Hello, Alan!"}"#,
        r#"its log:  INFO greeting name="Alan""#,
        "failed:   application error, billed 1 ms",
        "error:    guest/greet failed with application error: whoever has no name cannot be greeted",
    ] {
        assert!(shown.lines().any(|it| it == line), "no line `{line}` in:\n{shown}");
    }
}

#[test]
fn cron_goes_through_three_days_the_same_way_each_time() {
    let cron = example("cron");
    let shown = cron.succeeds(&[]);
    let nights = shown.lines().filter(|line| line.starts_with("close_books: INFO books of 2024-01-0"));
    assert_eq!(nights.count(), 3, "{shown}");
    assert!(shown.contains("T02:30:00+01:00 closed, 0 nights missed"), "{shown}");
    assert!(shown.contains("beat: INFO alive at 2024-01-03T12:00:00+00:00"), "{shown}");
    assert_eq!(shown, cron.succeeds(&[]));
}

#[test]
fn sequence_stops_at_the_first_failure() {
    let shown = example("sequence").succeeds(&[]);
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(
        lines,
        [
            r#"buying 3: success, {"paid":750,"shipped":"3 × tea"}"#,
            r#"  guest/quote: {"item":"tea","count":3,"price":750}"#,
            r#"  guest/orders/charge: {"item":"tea","count":3,"price":750}"#,
            r#"  guest/ship: {"paid":750,"shipped":"3 × tea"}"#,
            r#"buying 30: application error, {"error":{"code":402,"price":7500,"reason":"card declined"}}"#,
            r#"  guest/quote: {"item":"tea","count":30,"price":7500}"#,
            r#"  guest/orders/charge: {"error":{"code":402,"price":7500,"reason":"card declined"}}"#,
        ]
    );
}

#[test]
fn custom_backend_runs_actions() {
    assert_eq!(example("custom_backend").succeeds(&[]), "Cell { cell: \"40N 130W\", band: \"under 1\" }\n");
}

#[test]
fn testing_keeps_its_promise_on_each_backend() {
    let shown = example("testing").succeeds(&[]);
    assert_eq!(shown, "local: 50 orders shipped\nfaulty: 50 orders shipped\npooled: 50 orders shipped\n");
}
