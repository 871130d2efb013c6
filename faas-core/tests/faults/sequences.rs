//! Sequences that contain themselves, are too long, empty, or lose a member.

use std::time::Duration;

use faas_core::store::Expect;
use faas_core::{ErrorKind, LocalBackend, Platform, Status};
use serde_json::json;

use crate::check::Check;
use crate::probe::{Probe, local, on, panic_quietly};

async fn platform(probe: &Probe) -> Platform {
    local().action(probe.echo("atom")).action(probe.echo("other")).build().await.unwrap()
}

async fn put(app: &Platform, name: &str, members: &[&str]) -> Result<(), faas_core::Error> {
    app.put_sequence(name, members, Expect::Any).await.map(drop)
}

fn refused(result: Result<(), faas_core::Error>, words: &str) {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    assert!(error.to_string().contains(words), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_sequence_may_not_contain_itself_in_any_way() {
    let probe = Probe::new();
    let app = platform(&probe).await;
    let itself = "Sequence may not refer to itself.";
    refused(put(&app, "a", &["a"]).await, itself);
    refused(put(&app, "a", &["atom", "/guest/a"]).await, itself);
    put(&app, "a", &["atom"]).await.unwrap();
    put(&app, "b", &["a"]).await.unwrap();
    put(&app, "c", &["b", "atom"]).await.unwrap();
    for members in [&["a"][..], &["b"], &["atom", "c"], &["/_/c"]] {
        refused(put(&app, "a", members).await, itself);
    }
    // Across a deletion.
    app.delete("a", Expect::Any).await.unwrap();
    refused(put(&app, "a", &["c"]).await, itself);
    put(&app, "a", &["other"]).await.unwrap();
    let activation = app.invoke("c", json!({ "n": 1 })).await.unwrap();
    assert_eq!(activation.outcome.result().as_str(), r#"{"n":1}"#);
    Check::successes(5).probe(&probe).run(&app).await;
}

#[tokio::test(start_paused = true)]
async fn a_sequence_has_at_most_fifty_actions_with_those_of_inner_sequences() {
    let probe = Probe::new();
    let app = platform(&probe).await;
    let many = "Too many actions in the sequence.";
    put(&app, "fifty", &["atom"; 50]).await.unwrap();
    refused(put(&app, "more", &["atom"; 51]).await, many);
    refused(put(&app, "more", &["atom", "fifty"]).await, many);
    refused(put(&app, "more", &["fifty", "fifty"]).await, many);
    refused(put(&app, "more", &[]).await, "No component specified for the sequence.");
    put(&app, "outer", &["fifty"]).await.unwrap();
    let activation = app.invoke("outer", json!({})).await.unwrap();
    assert!(activation.outcome.is_success());
    Check::successes(52).probe(&probe).run(&app).await;
    assert_eq!(probe.count(), 50);
}

#[tokio::test(start_paused = true)]
async fn a_sequence_that_grew_too_long_by_an_update_of_what_it_contains_does_not_run() {
    let probe = Probe::new();
    let app = platform(&probe).await;
    put(&app, "inner", &["atom"]).await.unwrap();
    put(&app, "outer", &["inner"; 50]).await.unwrap();
    put(&app, "inner", &["atom", "atom"]).await.unwrap();
    let failed = app.invoke("outer", ()).await.unwrap();
    assert_eq!(failed.status(), Status::ApplicationError);
    assert_eq!(failed.outcome.error().unwrap(), "Too many actions in the sequence.");
    assert_eq!(probe.count(), 0, "none of a hundred ran");
    put(&app, "inner", &["atom"]).await.unwrap();
    assert!(app.invoke("outer", ()).await.unwrap().outcome.is_success());
    Check::successes(101).probe(&probe).run(&app).await;
}

#[tokio::test(start_paused = true)]
async fn sequences_nest_fifty_deep_and_no_deeper() {
    let probe = Probe::new();
    let app = platform(&probe).await;
    put(&app, "s1", &["atom"]).await.unwrap();
    let mut refused_at = None;
    for depth in 2..=200 {
        let (name, inner) = (format!("s{depth}"), format!("s{}", depth - 1));
        if let Err(error) = put(&app, &name, &[&inner]).await {
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
            assert!(error.to_string().contains("Too many actions in the sequence."), "{error}");
            refused_at = Some(depth);
            break;
        }
    }
    assert_eq!(refused_at, Some(51));
    let activation = app.invoke("s50", json!({ "deep": true })).await.unwrap();
    assert_eq!(activation.outcome.result().as_str(), r#"{"deep":true}"#);
    // An inner one becomes deeper by an update.
    put(&app, "t", &["atom"]).await.unwrap();
    put(&app, "s1", &["t"]).await.unwrap();
    let failed = app.invoke("s50", ()).await.unwrap();
    assert_eq!(failed.outcome.error().unwrap(), "Too many actions in the sequence.");
    Check::successes(51).probe(&probe).run(&app).await;
}

#[tokio::test(start_paused = true)]
async fn a_member_that_is_missing_is_refused_at_build_and_recorded_at_run_time() {
    let probe = Probe::new();
    let error = local().action(probe.echo("atom")).sequence("s", ["atom", "missing"]).build().await.err();
    let error = error.expect("refused");
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.to_string().contains("Sequence component does not exist. (guest/missing)"), "{error}");
    let app = platform(&probe).await;
    put(&app, "s", &["atom", "other", "atom"]).await.unwrap();
    app.delete("other", Expect::Any).await.unwrap();
    let failed = app.invoke("s", ()).await.unwrap();
    assert_eq!(failed.status(), Status::ApplicationError);
    assert_eq!(failed.outcome.error().unwrap(), "Sequence component does not exist.");
    assert_eq!(failed.logs.len(), 1, "the member before it ran");
    Check::successes(1).probe(&probe).run(&app).await;
}

#[tokio::test(start_paused = true)]
async fn a_sequence_stops_at_the_first_failure_of_any_kind() {
    let probe = Probe::new();
    let app = on(LocalBackend::new().with_slots(1))
        .action(probe.echo("atom"))
        .action(probe.action("fails", |_, _| async { Err("no".into()) }))
        .action(probe.action("panics", |_, _| async { panic_quietly("no") }))
        .action(probe.spec(crate::probe::spec("hangs").with_timeout(Duration::from_millis(10)), |_, _| {
            std::future::pending()
        }))
        .sequence("s-fails", ["atom", "fails", "atom"])
        .sequence("s-panics", ["atom", "panics", "atom"])
        .sequence("s-hangs", ["atom", "hangs", "atom"])
        .sequence("nested", ["s-panics", "atom"])
        .build()
        .await
        .unwrap();
    for (name, status) in [
        ("s-fails", Status::ApplicationError),
        ("s-panics", Status::DeveloperError),
        ("s-hangs", Status::DeveloperError),
        ("nested", Status::DeveloperError),
    ] {
        let failed =
            app.invoke(name, json!({ "error": "the first payload's does not stop it" })).await.unwrap();
        assert_eq!(failed.status(), Status::ApplicationError, "an error in the input is echoed: {name}");
        let failed = app.invoke(name, json!({})).await.unwrap();
        assert_eq!(failed.status(), status, "{name}");
        let members = if name == "nested" { 1 } else { 2 };
        assert_eq!(failed.logs.len(), members, "{name}");
    }
    Check::successes(4).probe(&probe).run(&app).await;
}
