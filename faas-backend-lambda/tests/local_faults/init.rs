//! Programs that do not initialise: each is a developer error that says why, for every caller, and harms nobody.

use faas_core::{Activation, Outcome, StartKind};
use serde_json::{Value, json};

use crate::artifact::PUPPET;
use crate::site::{Site, millis, puppet, puppets, texts};

/// What a puppet comes to that begins so, and is asked so.
async fn begun(test: &str, init: Value, probe: Value) -> Activation {
    let spec = puppet(1_000).with_env("INIT", init.to_string()).with_env("PROBE", probe.to_string());
    let site = Site::new(test, puppets(), [spec]).await;
    let record = site.run(PUPPET, json!({})).await;
    let again = site.run(PUPPET, json!({})).await;
    match record.outcome.is_success() {
        true => assert_eq!(again.start_kind, Some(StartKind::Warm), "{test}"),
        false => assert_eq!(again.outcome, record.outcome, "{test}"),
    }
    assert_eq!(record.start_kind, Some(StartKind::Cold), "{test}");
    site.until_puppets(usize::from(record.outcome.is_success())).await;
    site.end(0).await;
    record
}

#[tokio::test]
async fn a_program_that_ends_before_it_asks_says_that_it_did_not_initialise() {
    for (n, end) in [json!({ "exit": 0 }), json!({ "exit": 1 }), json!("abort")].into_iter().enumerate() {
        let record = begun(&format!("init{n}"), json!(["child", { "print": "a" }, end]), json!([])).await;
        assert_eq!((&record.outcome, texts(&record)), (&Outcome::exited_in_init(), vec!["a"]));
        let record = begun(&format!("probe{n}"), json!([]), json!([{ "print": "a" }, end])).await;
        assert_eq!((&record.outcome, texts(&record)), (&Outcome::exited_in_init(), vec!["a"]));
    }
}

#[tokio::test]
async fn a_program_that_never_asks_is_killed_at_the_limit() {
    for end in ["hang", "spin"] {
        let record = begun(end, json!(["child", end]), json!([])).await;
        assert_eq!(record.outcome, Outcome::init_timed_out(millis(1_000)), "{end}");
        let record = begun(&format!("p{end}"), json!([]), json!([{ "print": "a" }, end])).await;
        assert_eq!(record.outcome, Outcome::init_timed_out(millis(1_000)), "{end}");
    }
}

#[tokio::test]
async fn the_reason_that_a_program_gives_is_told() {
    let told = |text: &str| Outcome::init_failed(text);
    let init = |body: &str| json!([{ "init_error": body }, "hang"]);
    let body = r#"{"errorType":"Kind","errorMessage":"what"}"#;
    assert_eq!(begun("reason", init(body), json!([])).await.outcome, told("Kind: what"));
    assert_eq!(begun("bare", init("no JSON"), json!([])).await.outcome, told("no JSON"));
    let exits = json!([{ "init_error": body }, { "exit": 1 }]);
    assert_eq!(begun("exits", exits, json!([])).await.outcome, told("Kind: what"));
    assert_eq!(begun("probed", json!([]), json!([{ "error": body }])).await.outcome, told("Kind: what"));
}

#[tokio::test]
async fn a_program_that_does_not_know_this_library_is_told_from_one_that_does() {
    let reason = "the answer of its program is none of this library's";
    for (n, body) in ["{}", "{\"a\":1}", "no JSON", ""].into_iter().enumerate() {
        let record = begun(&format!("strange{n}"), json!([]), json!([{ "body": body }])).await;
        assert_eq!(record.outcome, Outcome::init_failed(reason), "{body}");
    }
    let large = begun("strange", json!([]), json!([{ "large": 7 << 20 }])).await;
    assert_eq!(large.outcome, Outcome::init_failed(reason));
    let skips = begun("skips", json!([]), json!([{ "wait": 1 }])).await;
    assert_eq!(skips.outcome, Outcome::init_failed(reason));
}

#[tokio::test]
async fn what_a_program_does_before_it_asks_may_take_its_time() {
    let slow = json!([{ "wait": 300 }, { "flood": { "kib": 4096, "line": 0 } }]);
    assert!(begun("slow", slow, json!([])).await.outcome.is_success());
}
