//! Where the end of work is told that nobody waits for.

use faas_core::{Destination, ErrorKind, Platform, RuleSpec, Status, action, actions};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::life::{World, empty, millis, panic_quietly, spec};

fn destination(text: &str) -> Destination {
    text.parse().unwrap()
}

async fn start(world: &World) -> Platform {
    let works = spec("works").with_on_success(destination("action:listen")).with_retries(1);
    let fails = spec("fails").with_on_failure(destination("trigger:alerts")).with_retries(2);
    let refuses = spec("refuses").with_on_failure(destination("action:listen"));
    world
        .builder()
        .action(world.action(works, |_, _| async {
            tracing::info!("done");
            Ok(json!({ "ok": true }))
        }))
        .action(world.action(fails, |_, _| async { panic_quietly("out of order") }))
        .action(world.action(refuses, |_, _| async { Err("no".into()) }))
        .action(world.action(spec("listen"), |_, input| async move { Ok(input) }))
        .trigger("alerts")
        .rule(RuleSpec::new("alerted", "alerts", "listen").unwrap())
        .sequence("steps", ["works", "fails"])
        .build()
        .await
        .unwrap()
}

/// What the listener heard.
async fn heard(world: &World) -> Vec<Value> {
    world.records_of("listen").await.iter().map(|record| record.outcome.result().to_value()).collect()
}

#[tokio::test(start_paused = true)]
async fn an_action_or_a_trigger_is_told_the_input_and_the_record() {
    let world = World::new();
    let app = start(&world).await;
    let mut ids = Vec::new();
    for name in ["works", "fails", "refuses"] {
        let id = app.submit(name, json!({ "from": name })).await.unwrap();
        let _ended = app.activation(id).await.unwrap();
        ids.push(id.to_string());
        sleep(millis(50)).await;
    }
    app.drain().await;
    let heard = heard(&world).await;
    assert_eq!(heard.len(), 3);
    for (told, (id, name)) in heard.iter().zip(ids.iter().zip(["works", "fails", "refuses"])) {
        assert_eq!((&told["input"]["from"], &told["activation"]["id"]), (&json!(name), &json!(id)));
    }
    assert_eq!(heard[0]["activation"]["logs"].as_array().unwrap().len(), 1);
    assert_eq!(heard[1]["activation"]["attempts"], 3);
    assert_eq!(world.records_of("alerts").await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_invocation_and_a_step_tell_nobody() {
    let world = World::new();
    let app = start(&world).await;
    assert!(app.invoke("works", ()).await.unwrap().outcome.is_success());
    assert_eq!(app.invoke("fails", ()).await.unwrap().status(), Status::DeveloperError);
    let id = app.submit("steps", ()).await.unwrap();
    assert_eq!(app.activation(id).await.unwrap().status(), Status::DeveloperError);
    app.drain().await;
    assert!(heard(&world).await.is_empty());
}

#[test]
fn a_destination_is_told_once_whatever_becomes_of_the_process() {
    let world = World::new();
    let (lost, ended) = world.live(async |world| {
        let app = start(&world).await;
        let ended = app.submit("works", json!({ "n": 1 })).await.unwrap();
        app.activation(ended).await.unwrap().into_result().unwrap();
        (app.submit("works", json!({ "n": 2 })).await.unwrap(), ended)
    });
    world.live(async |world| {
        let app = start(&world).await;
        app.drain().await;
        let told: Vec<_> = heard(&world).await.iter().map(|told| told["activation"]["id"].clone()).collect();
        assert!(told.len() == 2 && told.contains(&json!(lost)) && told.contains(&json!(ended)), "{told:?}");
    });
}

#[tokio::test(start_paused = true)]
async fn a_cycle_of_destinations_ends_at_the_causal_depth() {
    let world = World::new();
    let again = spec("again").with_on_success(destination("action:again"));
    let app = world
        .builder()
        .action(world.action(again, |_, _| async { Ok(empty()) }))
        .max_causal_depth(4)
        .build()
        .await
        .unwrap();
    app.submit("again", ()).await.unwrap();
    app.drain().await;
    assert_eq!(world.all_starts().len(), 5);
    let records = world.records().await;
    let error = records.iter().find_map(|record| record.outcome.error()).unwrap();
    assert!(app.dead_letters(&Default::default()).await.unwrap().is_empty(), "it would only end there again");
    assert!(records.len() == 6 && error.contains("5 events away from its origin, more than 4"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn what_is_too_large_for_a_payload_is_told_without_its_logs_or_result() {
    let world = World::new();
    let loud = spec("loud").with_on_success(destination("action:listen"));
    let loud = world.action(loud, |_, input| async move {
        for _ in 0..input["lines"].as_u64().unwrap() {
            tracing::info!("{}", "x".repeat(10_000));
        }
        Ok(json!({ "text": "y".repeat(usize::try_from(input["bytes"].as_u64().unwrap()).unwrap()) }))
    });
    let app = world
        .builder()
        .action(loud)
        .action(world.action(spec("listen"), |_, input| async move { Ok(input) }))
        .max_payload(100_000)
        .build()
        .await
        .unwrap();
    app.submit("loud", json!({ "lines": 50, "bytes": 10 })).await.unwrap();
    app.submit("loud", json!({ "lines": 0, "bytes": 200_000 })).await.unwrap();
    app.drain().await;
    let mut heard = heard(&world).await;
    heard.sort_by_key(|told| told["input"].is_null());
    assert_eq!(heard[0]["activation"]["logs"], json!([]));
    assert_eq!(heard[0]["activation"]["outcome"]["result"]["text"].as_str().map(str::len), Some(10));
    assert_eq!((heard.len(), &heard[1]["input"]), (2, &Value::Null));
}

#[tokio::test(start_paused = true)]
async fn a_destination_that_does_not_exist_is_refused_at_the_start() {
    for (text, missing) in
        [("action:nobody", "no action is named"), ("trigger:nothing", "no trigger is named")]
    {
        let world = World::new();
        let lonely = spec("lonely").with_on_failure(destination(text));
        let built = world.builder().action(world.action(lonely, |_, _| async { Ok(empty()) })).build().await;
        let error = built.unwrap_err();
        assert!(error.kind() == ErrorKind::NotFound && error.to_string().contains(missing), "{error}");
    }
    for text in ["alerts", "rule:a", "", "trigger:"] {
        assert_eq!(text.parse::<Destination>().unwrap_err().kind(), ErrorKind::InvalidArgument, "{text}");
    }
}

/// Declared as people declare it.
#[action(retries = 2, max_age = "1h", on_failure = "trigger:alerts", on_success = "action:declared")]
async fn declared() {}

actions![declared];

#[test]
fn the_macro_declares_age_and_destinations() {
    let spec = actions().into_specs().remove(0);
    assert_eq!(spec.retry.max_age, Some(std::time::Duration::from_secs(3_600)));
    let destinations = spec.destinations.as_deref().unwrap();
    assert_eq!(destinations.on_failure, Some(destination("trigger:alerts")));
    assert_eq!(destinations.on_success, Some(destination("action:declared")));
    let encoded = serde_json::to_value(&spec).unwrap();
    let decoded = serde_json::from_value::<faas_core::ActionSpec>(encoded).unwrap();
    assert_eq!(decoded.destinations.as_deref(), Some(destinations));
}
