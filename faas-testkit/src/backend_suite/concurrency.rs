//! Many activations at once.

use std::time::{Duration, Instant};

use faas_core::{MemoryMib, Status};
use serde_json::json;

use super::stage::Stage;
use super::subject::BackendSubject;
use crate::fixtures::{self, Fail, Panic, Sleep};
use crate::transcript::Entry;

/// Each of many parallel invocations has its own result.
pub async fn parallel_invocations_have_each_their_own_result(subject: &BackendSubject) -> Vec<Entry> {
    let stage = Stage::new(subject).await;
    let all = stage.invoke_all("echo", (0..24).map(|n| json!({ "n": n })).collect()).await;
    for (n, done) in all.iter().enumerate() {
        assert_eq!(done.outcome.result().to_value(), json!({ "n": n }));
    }
    let mut ids: Vec<_> = all.iter().map(|done| done.id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 24);
    stage.close().await
}

/// Activations that wait do so at the same time.
pub async fn parallel_invocations_overlap(subject: &BackendSubject) -> Vec<Entry> {
    let stage = Stage::with(subject, fixtures::spec("sleep").with_memory(MemoryMib::new(64))).await;
    let sleeps = || vec![Sleep::Await(1_000); 4];
    // The first round pays for cold starts.
    stage.invoke_all("sleep", sleeps()).await;
    let began = Instant::now();
    stage.invoke_all("sleep", sleeps()).await;
    assert!(began.elapsed() < Duration::from_millis(2_500), "4 sleeps of 1 s took {:?}", began.elapsed());
    stage.close().await
}

/// Failures of some activations do not touch the others.
pub async fn failures_do_not_touch_their_neighbours(subject: &BackendSubject) -> Vec<Entry> {
    let stage = Stage::new(subject).await;
    let panics = || vec![Panic { message: Some("boom".into()), after_ms: 5, until_attempt: None }; 4];
    let fails = || vec![Fail::Text("no".into()); 4];
    let echoes = || (0..8).map(|n| json!({ "n": n })).collect::<Vec<_>>();
    let (panicked, failed, echoed) = tokio::join!(
        all(&stage, "panic", panics()),
        all(&stage, "fail", fails()),
        all(&stage, "echo", echoes()),
    );
    assert_eq!(panicked, [Status::DeveloperError; 4]);
    assert_eq!(failed, [Status::ApplicationError; 4]);
    assert_eq!(echoed, [Status::Success; 8]);
    stage.note(Entry::answer("statuses", json!([panicked, failed, echoed])));
    stage.close().await
}

async fn all<I: serde::Serialize>(stage: &Stage, action: &str, inputs: Vec<I>) -> Vec<Status> {
    let mut statuses = Vec::new();
    for input in inputs {
        statuses.push(stage.try_invoke(action, input).await.expect("an activation").status());
    }
    statuses
}

/// Blocking actions do not hold up others.
pub async fn blocking_actions_hold_nobody_up(subject: &BackendSubject) -> Vec<Entry> {
    let mut blocking = fixtures::spec("sleep").with_memory(MemoryMib::new(64));
    blocking.blocking = true;
    let stage = Stage::build(subject, |builder| builder.spec(blocking).spec(fixtures::spec("echo"))).await;
    stage.invoke("echo", json!({})).await;
    let app = stage.app.clone();
    let slow: Vec<_> = (0..4)
        .map(|_| {
            let app = app.clone();
            tokio::spawn(async move { app.invoke("sleep", json!({ "block": 1_500 })).await })
        })
        .collect();
    let began = Instant::now();
    tokio::time::sleep(Duration::from_millis(50)).await;
    stage.invoke("echo", json!({ "quick": true })).await;
    assert!(began.elapsed() < Duration::from_millis(1_400), "the echo took {:?}", began.elapsed());
    for run in slow {
        let done = run.await.expect("no panic").expect("an activation");
        assert_eq!(done.status(), Status::Success);
        stage.note(Entry::from(&*done));
    }
    stage.close().await
}

/// An action that allows several runs in one sandbox runs them rightly.
pub async fn an_action_may_run_several_times_in_one_sandbox(subject: &BackendSubject) -> Vec<Entry> {
    let mut spec = fixtures::spec("sleep");
    spec.limits.concurrency = 8;
    let stage = Stage::with(subject, spec).await;
    for done in stage.invoke_all("sleep", vec![Sleep::Await(50); 16]).await {
        assert_eq!(done.status(), Status::Success, "{:?}", done.outcome);
    }
    stage.close().await
}
