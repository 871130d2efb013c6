//! Draining, shutting down, and what comes too late.

use std::time::Duration;

use faas_core::backend::Pooled;
use faas_core::pool::PoolConfig;
use faas_core::store::ActivationQuery;
use faas_core::{ErrorKind, LocalBackend, MemoryMib, Status};
use faas_testkit::mock::{MockFactory, Operation, Script};
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::check::Check;
use crate::probe::{Probe, local, millis, on};

#[tokio::test(start_paused = true)]
async fn draining_finishes_all_that_was_accepted_and_takes_nothing_more() {
    let probe = Probe::new();
    let app = on(LocalBackend::new().with_slots(4)).action(probe.sleeper("sleep")).build().await.unwrap();
    let mut ids = Vec::new();
    for n in 0..40 {
        ids.push(app.submit("sleep", json!({ "ms": n })).await.unwrap());
    }
    let drains =
        [app.clone(), app.clone(), app.clone()].map(|app| tokio::spawn(async move { app.drain().await }));
    sleep(millis(1)).await;
    for late in [app.invoke("sleep", ()).await.err(), app.submit("sleep", ()).await.err()] {
        let error = late.expect("closed");
        assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Closed, false), "{error}");
        assert!(error.to_string().contains("shutting down"), "{error}");
    }
    for drain in drains {
        drain.await.unwrap();
    }
    Check::successes(40).accepted(ids).probe(&probe).run(&app).await;
}

#[tokio::test(start_paused = true)]
async fn shutting_down_gives_up_what_waits_and_lets_what_runs_end() {
    let probe = Probe::new();
    let app = on(LocalBackend::new().with_slots(2)).action(probe.sleeper("sleep")).build().await.unwrap();
    let mut ids = Vec::new();
    for _ in 0..10 {
        ids.push(app.submit("sleep", json!({ "ms": 5_000 })).await.unwrap());
    }
    let stay = tokio::spawn({
        let app = app.clone();
        async move { app.invoke("sleep", json!({ "ms": 5_000 })).await }
    });
    sleep(millis(10)).await;
    let (first, second) = tokio::join!(app.shutdown(millis(100)), app.shutdown(millis(50)));
    assert!(first.unwrap().left <= 2 && second.unwrap().left <= 2);
    let error = stay.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    assert!(app.find(error.context("activation").unwrap().parse().unwrap()).await.unwrap().is_some());
    assert_eq!(app.shutdown(Duration::ZERO).await.unwrap().left, 2, "two still run");
    let health = app.health().await;
    assert!(!health.is_healthy() && !health.open);
    let records = Check::successes(2).accepted(ids).probe(&probe).run(&app).await;
    assert_eq!(records.len(), 11);
    assert_eq!(probe.count(), 2, "what waited never started");
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_leaves_after_shutdown_leaves_a_record() {
    let probe = Probe::new();
    let app = local().action(probe.sleeper("sleep")).build().await.unwrap();
    let running = tokio::spawn({
        let app = app.clone();
        async move { app.invoke("sleep", json!({ "ms": 60_000 })).await.map(drop) }
    });
    sleep(millis(10)).await;
    assert_eq!(app.shutdown(Duration::ZERO).await.unwrap().left, 1);
    running.abort();
    let records = Check::successes(0).probe(&probe).run(&app).await;
    assert!(records[0].outcome.error().unwrap().contains("caller left"));
}

#[tokio::test(start_paused = true)]
async fn retries_under_way_end_when_the_platform_shuts_down() {
    let probe = Probe::new();
    let fails = probe.spec(crate::probe::spec("fails").with_retries(100), |_, _| async {
        crate::probe::panic_quietly("always")
    });
    let app = local().action(fails).build().await.unwrap();
    let id = app.submit("fails", ()).await.unwrap();
    sleep(millis(500)).await;
    let shut = app.shutdown(Duration::from_secs(1)).await.unwrap();
    assert!(shut.left <= 1);
    let record = timeout(Duration::from_secs(60), app.activation(id)).await.unwrap().unwrap();
    assert!(!record.outcome.is_success() && record.attempts < 100, "{record:?}");
    Check::successes(0).probe(&probe).retries(100).run(&app).await;
}

#[tokio::test(start_paused = true)]
async fn the_longest_grace_is_no_overflow() {
    let probe = Probe::new();
    let app = local().action(probe.sleeper("sleep")).build().await.unwrap();
    app.submit("sleep", json!({ "ms": 100 })).await.unwrap();
    assert_eq!(app.shutdown(Duration::MAX).await.unwrap().left, 0);
    Check::successes(1).probe(&probe).run(&app).await;
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_is_shut_down_under_load_leaves_no_sandbox() {
    let probe = Probe::new();
    let script = Script::new()
        .with_latency(Operation::Create, millis(30))
        .with_latency(Operation::Destroy, millis(10));
    let factory = MockFactory::new(script);
    let config = PoolConfig { memory: MemoryMib::new(1024), ..PoolConfig::default() };
    let backend = Pooled::warm("mock", LocalBackend::CAPABILITY, factory.clone(), config);
    let app = on(backend).action(probe.sleeper("sleep")).build().await.unwrap();
    let mut ids = Vec::new();
    for n in 0..20 {
        ids.push(app.submit("sleep", json!({ "ms": 10 + n })).await.unwrap());
    }
    sleep(millis(45)).await;
    app.shutdown(millis(20)).await.unwrap();
    Check::successes(1).accepted(ids).probe(&probe).run(&app).await;
    sleep(Duration::from_secs(1)).await;
    assert_eq!((factory.live(), factory.memory()), (0, 0));
    assert_eq!(factory.violations(), Vec::<String>::new());
    assert!(factory.peak_memory() <= 1024);
}

#[tokio::test(start_paused = true)]
async fn what_a_pool_still_runs_is_stopped_with_a_record_that_says_so() {
    let probe = Probe::new();
    let factory = MockFactory::new(Script::new());
    let backend = Pooled::warm("mock", LocalBackend::CAPABILITY, factory.clone(), PoolConfig::default());
    let app = on(backend).action(probe.sleeper("sleep")).sequence("two", ["sleep", "sleep"]).build();
    let app = app.await.unwrap();
    app.invoke("sleep", ()).await.unwrap().into_result().unwrap();
    let mut ids = Vec::new();
    for name in ["sleep", "two"] {
        ids.push(app.submit(name, json!({ "ms": 60_000 })).await.unwrap());
    }
    sleep(millis(10)).await;
    let begun = tokio::time::Instant::now();
    assert_eq!(app.shutdown(Duration::ZERO).await.unwrap().left, 0);
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    let records = Check::successes(1).accepted(ids).probe(&probe).run(&app).await;
    let stopped = records.iter().filter(|record| {
        record.status() == Status::InternalError && record.outcome.error().unwrap().contains("was stopped")
    });
    assert_eq!((stopped.count(), records.len(), probe.count()), (3, 4, 3));
    assert_eq!((factory.live(), factory.memory()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn submitting_and_dropping_everything_still_runs_it() {
    let probe = Probe::new();
    let store = std::sync::Arc::new(faas_core::store::MemoryStore::new());
    let builder = faas_core::Platform::builder().backend(LocalBackend::new().with_slots(2));
    let app = builder
        .shared_store(std::sync::Arc::<faas_core::store::MemoryStore>::clone(&store))
        .action(probe.sleeper("sleep"))
        .build()
        .await
        .unwrap();
    for _ in 0..50 {
        app.submit("sleep", json!({ "ms": 3 })).await.unwrap();
    }
    drop(app);
    sleep(Duration::from_secs(1)).await;
    let records = faas_core::Store::activations(&*store, &ActivationQuery::default()).await.unwrap();
    assert_eq!(records.iter().filter(|record| record.status() == Status::Success).count(), 50);
    assert_eq!(faas_core::Store::pending(&*store).await.unwrap(), 0);
}
