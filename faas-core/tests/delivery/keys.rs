//! Idempotency keys: the same key gives the same activation.

use faas_core::{ActivationKind, ErrorKind, FireOptions, Namespace, Platform, RuleSpec, SubmitOptions};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::life::{World, millis, seconds};

fn keyed(key: &str) -> SubmitOptions {
    SubmitOptions::new().with_key(key)
}

async fn start(world: &World) -> Platform {
    world
        .builder()
        .action(world.sleeper("sleep"))
        .action(world.sleeper("other"))
        .trigger("event")
        .rule(RuleSpec::new("rule", "event", "sleep").unwrap())
        .idempotency_retention(seconds(60))
        .build()
        .await
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_key_gives_one_activation_also_after_it_ended_until_its_time_is_over() {
    let world = World::new();
    let app = start(&world).await;
    let first = app.submit_with("sleep", json!({ "ms": 10 }), keyed("a")).await.unwrap();
    assert_eq!(app.submit_with("sleep", json!({ "ms": 20 }), keyed("a")).await.unwrap(), first);
    app.activation(first).await.unwrap().into_result().unwrap();
    assert_eq!(app.submit_with("sleep", (), keyed("a")).await.unwrap(), first);
    assert_ne!(app.submit_with("sleep", (), keyed("b")).await.unwrap(), first);
    sleep(seconds(60)).await;
    assert_ne!(app.submit_with("sleep", (), keyed("a")).await.unwrap(), first);
    app.drain().await;
    assert_eq!(world.records().await.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_key_is_of_one_action_and_one_namespace() {
    let world = World::new();
    let app = start(&world).await;
    let acme = keyed("a").with_namespace(Namespace::new("acme").unwrap());
    let ids = [
        app.submit_with("sleep", (), keyed("a")).await.unwrap(),
        app.submit_with("other", (), keyed("a")).await.unwrap(),
        app.submit_with("sleep", (), acme.clone()).await.unwrap(),
        app.fire_with("event", (), FireOptions::new().with_key("a")).await.unwrap(),
    ];
    assert!(ids.iter().enumerate().all(|(n, id)| !ids[..n].contains(id)), "{ids:?}");
    assert_eq!(app.submit_with("sleep", (), acme).await.unwrap(), ids[2]);
}

#[test]
fn a_key_lasts_over_a_restart() {
    let world = World::new();
    let once = || FireOptions::new().with_key("event");
    let (run, fired) = world.live(async |world| {
        let app = start(&world).await;
        let run = app.submit_with("sleep", json!({ "ms": 60_000 }), keyed("a")).await.unwrap();
        (run, app.fire_with("event", (), once()).await.unwrap())
    });
    world.live(async |world| {
        let app = start(&world).await;
        assert_eq!(app.submit_with("sleep", (), keyed("a")).await.unwrap(), run);
        assert_eq!(app.fire_with("event", (), once()).await.unwrap(), fired);
        assert_eq!(app.activation(fired).await.unwrap().revision.kind, ActivationKind::Trigger);
        app.drain().await;
        assert_eq!(app.fire_with("event", (), once()).await.unwrap_err().kind(), ErrorKind::Closed);
        assert_eq!(world.records_of("event").await.len(), 1);
    });
}

#[test]
fn concurrent_calls_of_one_key_run_once() {
    let world = World::new();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    runtime.block_on(async {
        let app = start(&world).await;
        for round in 0..20 {
            let mut calls = JoinSet::new();
            for _ in 0..8 {
                let app = app.clone();
                calls.spawn(async move {
                    let key = format!("key-{round}");
                    let fired = app.fire_with("event", (), FireOptions::new().with_key(&key)).await.unwrap();
                    (app.submit_with("other", (), keyed(&key)).await.unwrap(), fired)
                });
            }
            let ids = calls.join_all().await;
            assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
        }
        app.drain().await;
        assert_eq!(world.records_of("other").await.len(), 20);
        assert_eq!(world.records_of("event").await.len(), 20);
        assert_eq!(world.records_of("sleep").await.len(), 20);
    });
}

#[tokio::test(start_paused = true)]
async fn a_known_key_is_answered_where_new_work_is_refused() {
    let world = World::new();
    let quota = faas_core::Quota { invocations_per_minute: Some(1), ..faas_core::Quota::UNLIMITED };
    let app = world.builder().action(world.sleeper("sleep")).quota(quota).build().await.unwrap();
    let first = app.submit_with("sleep", (), keyed("a")).await.unwrap();
    assert_eq!(app.submit_with("sleep", (), keyed("b")).await.unwrap_err().kind(), ErrorKind::Throttled);
    assert_eq!(app.submit_with("sleep", (), keyed("a")).await.unwrap(), first);
}

#[tokio::test(start_paused = true)]
async fn a_key_has_a_length() {
    let world = World::new();
    let app = start(&world).await;
    for bad in [String::new(), "x".repeat(257)] {
        let error = app.submit_with("sleep", (), keyed(&bad)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.to_string().contains("1 to 256 bytes"), "{error}");
        let fired = app.fire_with("event", (), FireOptions::new().with_key(bad)).await;
        assert_eq!(fired.unwrap_err().kind(), ErrorKind::InvalidArgument);
    }
    app.submit_with("sleep", (), keyed(&"x".repeat(256))).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_caller_of_a_key_who_leaves_can_call_again() {
    let world = World::on(crate::store::Disk::forgetful());
    let app = world.builder().action(world.sleeper("sleep")).build().await.unwrap();
    let _ = timeout(millis(0), app.submit_with("sleep", json!({ "ms": 5 }), keyed("a"))).await;
    let id = app.submit_with("sleep", json!({ "ms": 5 }), keyed("a")).await.unwrap();
    app.activation(id).await.unwrap().into_result().unwrap();
    app.drain().await;
    assert_eq!(world.records().await.len(), 1);
}
