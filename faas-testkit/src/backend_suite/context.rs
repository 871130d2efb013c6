//! What an action sees of its activation and of the world.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use faas_core::{MemoryMib, Record, Status};
use serde_json::json;

use super::stage::Stage;
use super::subject::BackendSubject;
use crate::fixtures::{self, Environment, Facts, Order, Panic, Sleep};
use crate::transcript::Entry;

fn facts_of(activation: &Record) -> Facts {
    activation.outcome.result().decode().expect("facts")
}

async fn facts(stage: &Stage) -> (Record, Facts) {
    let done = stage.glance("echo", json!({ "order": Order::Facts })).await;
    let facts = facts_of(&done);
    (done, facts)
}

/// The id that the action sees is the record's.
pub async fn the_action_sees_the_id_of_its_record(subject: &BackendSubject) -> Vec<Entry> {
    let stage = Stage::new(subject).await;
    let (first, seen) = facts(&stage).await;
    assert_eq!(seen.id, first.id.to_string());
    let (second, seen) = facts(&stage).await;
    assert_eq!(seen.id, second.id.to_string());
    assert_ne!(first.id, second.id);
    stage.close().await
}

/// The first attempt is number one, and each retry counts one more.
pub async fn a_retried_action_sees_the_number_of_its_attempt(subject: &BackendSubject) -> Vec<Entry> {
    let mut spec = fixtures::spec("panic").with_retries(3);
    spec.retry.base = Duration::from_millis(1);
    let stage = Stage::with(subject, spec).await;
    let input = Panic { message: Some("again".into()), after_ms: 0, until_attempt: Some(2) };
    let done = stage.expect("panic", input, Status::Success, json!({ "attempt": 3 })).await;
    assert_eq!(done.attempts, 3);
    stage.close().await
}

/// An action that asks for no retries has one attempt.
pub async fn an_action_without_retries_has_one_attempt(subject: &BackendSubject) -> Vec<Entry> {
    let stage = Stage::new(subject).await;
    let (done, seen) = facts(&stage).await;
    assert_eq!((done.attempts, seen.attempt), (1, 1));
    let input = Panic { message: Some("once".into()), ..Panic::default() };
    assert_eq!(stage.invoke("panic", input).await.attempts, 1);
    stage.close().await
}

/// The remaining time starts just below the timeout and shrinks.
pub async fn the_remaining_time_starts_at_the_timeout_and_shrinks(subject: &BackendSubject) -> Vec<Entry> {
    let stage = Stage::with(subject, fixtures::spec("echo").with_timeout(Duration::from_secs(30))).await;
    for _ in 0..2 {
        let (_, seen) = facts(&stage).await;
        assert!((25_000..=30_000).contains(&seen.remaining_ms), "{seen:?}");
        let passed = seen.remaining_ms.saturating_sub(seen.remaining_later_ms);
        assert!((19..5_000).contains(&passed), "a sleep of 20 ms took {passed} ms off");
    }
    stage.close().await
}

/// The clock is about the host's.
pub async fn the_clock_is_about_right(subject: &BackendSubject) -> Vec<Entry> {
    let stage = Stage::new(subject).await;
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970").as_millis();
    let before = now();
    let (_, seen) = facts(&stage).await;
    let within = before.saturating_sub(5_000)..=now() + 5_000;
    assert!(within.contains(&u128::from(seen.now_ms)), "{} is not in {within:?}", seen.now_ms);
    stage.close().await
}

/// A sleep takes at least its time.
pub async fn a_sleep_takes_at_least_its_time(subject: &BackendSubject) -> Vec<Entry> {
    let stage = Stage::new(subject).await;
    let done = stage.invoke("sleep", Sleep::Await(150)).await;
    assert!(done.times.run >= Duration::from_millis(150), "it took {:?}", done.times.run);
    stage.close().await
}

/// Random numbers differ, within an activation and between them.
pub async fn random_numbers_differ(subject: &BackendSubject) -> Vec<Entry> {
    let stage = Stage::new(subject).await;
    let mut drawn = Vec::new();
    for _ in 0..4 {
        drawn.extend(facts(&stage).await.1.random);
    }
    drawn.sort_unstable();
    drawn.dedup();
    assert_eq!(drawn.len(), 8, "some of 8 draws of 64 bits are the same");
    stage.close().await
}

/// The action sees its own name and limits.
pub async fn the_action_sees_its_name_and_limits(subject: &BackendSubject) -> Vec<Entry> {
    let spec = fixtures::spec("echo").with_timeout(Duration::from_secs(7)).with_memory(MemoryMib::new(96));
    let stage = Stage::with(subject, spec).await;
    let (_, seen) = facts(&stage).await;
    assert_eq!((seen.action.as_str(), seen.timeout_ms, seen.memory_mib), ("echo", 7_000, 96));
    stage.close().await
}

/// The environment is that of the action's specification, and nothing of the host's.
pub async fn the_environment_is_the_specifications_alone(subject: &BackendSubject) -> Vec<Entry> {
    let spec = fixtures::spec("environment").with_env("REGION", "eu-1").with_env("EMPTY", "");
    let stage = Stage::with(subject, spec.clone()).await;
    let seen: Environment =
        stage.glance("environment", ()).await.outcome.result().decode().expect("an environment");
    assert_eq!(seen.variables, spec.env);
    assert_eq!(seen.path, None, "the host's PATH is seen");
    stage.close().await
}

/// What stands in the environment may be a secret: no record, error or debug text shows it.
pub async fn the_environment_stays_out_of_records_and_errors(subject: &BackendSubject) -> Vec<Entry> {
    const SECRET: &str = "planted-8c1f2e";
    let planted = |name: &str| fixtures::spec(name).with_env("TOKEN", SECRET);
    let stage = Stage::build(subject, |builder| {
        let hanging = planted("sleep").with_timeout(Duration::from_millis(200));
        builder.spec(planted("echo")).spec(planted("panic")).spec(hanging)
    })
    .await;
    let panic = Panic { message: Some("boom".into()), ..Panic::default() };
    let records = [
        stage.invoke("echo", json!({})).await,
        stage.invoke("echo", json!({ "order": "unknown" })).await,
        stage.invoke("panic", panic).await,
        stage.invoke("sleep", Sleep::Await(30_000)).await,
    ];
    let refused = stage.try_invoke("missing", json!({})).await.map(|_| ()).expect_err("no such action");
    let mut texts =
        vec![format!("{refused:?}"), format!("{:?}", stage.app), format!("{:?}", stage.app.stats())];
    for record in records {
        texts.push(format!("{record:?}"));
        texts.push(serde_json::to_string(&record).expect("JSON"));
    }
    let shown = texts.iter().find(|text| text.contains(SECRET));
    assert_eq!(shown, None);
    stage.close().await
}

/// The host's process environment cannot be reached either.
pub async fn the_hosts_process_environment_is_out_of_reach(subject: &BackendSubject) -> Vec<Entry> {
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some(), "run it with cargo, which sets that variable");
    let stage = Stage::new(subject).await;
    let seen: Environment =
        stage.invoke("environment", ()).await.outcome.result().decode().expect("an environment");
    assert!(!seen.sees_cargo);
    stage.close().await
}
