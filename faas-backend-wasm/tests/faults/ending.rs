//! Shutdown, removal and a lack of instances, while guests run.

use std::sync::Arc;
use std::time::Duration;

use faas_core::{Backend, Expect, StartKind, Status};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::guests::{self, OK};
use crate::site::{Site, backend, millis, small, spec};

const NAP: &str = "(call $wait (i64.const 20000000))";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_lets_runs_end() {
    let module = guests::run(&format!("(call $wait (i64.const 300000000)) {OK}"));
    let site = Site::of([(spec("a"), module)]).await;
    let mut runs = JoinSet::new();
    for _ in 0..5 {
        let app = site.app.clone();
        runs.spawn(async move { app.invoke("a", ()).await.unwrap() });
    }
    while site.pool().await.leased < 5 {
        tokio::time::sleep(millis(1)).await;
    }
    let shutdown = site.app.shutdown(Duration::from_secs(10)).await.unwrap();
    assert_eq!(shutdown.left, 0);
    let records = runs.join_all().await;
    assert!(records.iter().all(|record| record.outcome.is_success()));
    let pool = site.pool().await;
    assert_eq!((pool.leased, pool.memory), (0, 0), "{pool:?}");
    assert!(site.app.invoke("a", ()).await.is_err(), "it is shut down");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_callers_than_instances_all_have_their_turn() {
    let builder = backend().instances(4).module_bytes("a", guests::run(&format!("{NAP} {OK}")));
    let site = Site::on(builder, [small("a", 1)]).await;
    let mut calls = JoinSet::new();
    for _ in 0..64 {
        let app = site.app.clone();
        calls.spawn(async move { app.invoke("a", ()).await.unwrap() });
    }
    let records = calls.join_all().await;
    assert_eq!(records.len(), 64);
    assert!(records.iter().all(|record| record.outcome.is_success()), "{records:?}");
    site.end(64).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_action_that_is_removed_while_it_runs_ends_its_run() {
    let site =
        Site::of([(spec("a"), guests::run(&format!("(call $wait (i64.const 200000000)) {OK}")))]).await;
    let app = site.app.clone();
    let run = tokio::spawn(async move { app.invoke("a", ()).await.unwrap() });
    while site.pool().await.leased < 1 {
        tokio::time::sleep(millis(1)).await;
    }
    site.app.delete("a", Expect::Any).await.unwrap();
    site.fine().await;
    assert!(site.app.invoke("a", ()).await.is_err(), "it is removed");
    assert!(run.await.unwrap().outcome.is_success());
    site.app.put_action(spec("a"), Expect::Absent).await.unwrap();
    let record = site.run("a", json!({})).await;
    assert_eq!((record.status(), record.start_kind), (Status::Success, Some(StartKind::Prewarmed)));
    site.end(3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removal_waits_for_what_runs() {
    let builder =
        backend().module_bytes("a", guests::run(&format!("(call $wait (i64.const 200000000)) {OK}")));
    let backend = Arc::new(builder.build().unwrap());
    let deployment = Arc::new(backend.deploy(Arc::new(spec("a"))).await.unwrap());
    let (running, of) = (Arc::clone(&backend), Arc::clone(&deployment));
    let run = tokio::spawn(async move {
        let id = faas_core::ActivationId::from_u128(1);
        running.invoke(&of, faas_core::Invocation::detached(id, faas_core::Payload::empty())).await.unwrap()
    });
    while backend.health().await.pool.unwrap().leased < 1 {
        tokio::time::sleep(millis(1)).await;
    }
    backend.remove(&deployment).await.unwrap();
    assert!(
        run.is_finished() || timeout(millis(100), run).await.is_ok(),
        "the run ended before the removal did"
    );
    assert_eq!(backend.health().await.pool.unwrap().leased, 0);
}
