//! Cold and warm starts, and where the time of an activation went.

use std::time::{Duration, SystemTime};

use faas_core::backend::Capacity;
use faas_core::{MemoryMib, StartKind, Status, Timestamp, meter};
use serde_json::json;

use super::stage::{Bare, Stage};
use super::subject::BackendSubject;
use crate::fixtures::{self, INIT, Sleep};
use crate::transcript::Entry;

/// The first start is not warm, and later ones are.
pub async fn the_first_start_is_cold_and_later_ones_are_warm(subject: &BackendSubject) -> Vec<Entry> {
    let stage = Stage::new(subject).await;
    let first = stage.invoke("echo", json!({})).await;
    assert!(
        matches!(first.start_kind, Some(StartKind::Cold | StartKind::Prewarmed)),
        "{:?}",
        first.start_kind
    );
    for _ in 0..3 {
        let later = stage.invoke("echo", json!({})).await;
        assert_eq!(later.start_kind, Some(StartKind::Warm));
        assert!(later.times.init.is_zero() && later.times.create.is_zero(), "{:?}", later.times);
    }
    stage.close().await
}

/// What `init` takes is the init time of the activation that waited for it, and part of its bill.
pub async fn the_init_time_is_that_of_init_and_is_billed(subject: &BackendSubject) -> Vec<Entry> {
    let stage = Stage::with(subject, fixtures::spec("echo").with_env(INIT, "sleep:80")).await;
    let done = stage.invoke("echo", json!({})).await;
    assert!(done.times.init >= Duration::from_millis(80), "{:?}", done.times);
    assert!(done.billed_ms >= 80, "billed {} ms", done.billed_ms);
    stage.close().await
}

/// The run time is that of the action, and what it waited for before is not part of it.
pub async fn the_run_time_is_that_of_the_action(subject: &BackendSubject) -> Vec<Entry> {
    let stage = Stage::new(subject).await;
    let done = stage.invoke("sleep", Sleep::Await(100)).await;
    let range = Duration::from_millis(100)..Duration::from_secs(3);
    assert!(range.contains(&done.times.run), "{:?}", done.times);
    stage.close().await
}

/// The bill is the time of init and run, rounded up to whole milliseconds.
pub async fn the_bill_is_init_and_run_rounded_up(subject: &BackendSubject) -> Vec<Entry> {
    let stage = Stage::new(subject).await;
    for input in [Sleep::Await(0), Sleep::Await(3), Sleep::Await(40)] {
        let done = stage.invoke("sleep", input).await;
        assert_eq!(done.billed_ms, meter::billed_ms(done.times.billable()), "{:?}", done.times);
        assert!(done.billed_ms >= 1);
    }
    stage.close().await
}

/// An action that failed or panicked is billed too.
pub async fn failed_activations_are_billed(subject: &BackendSubject) -> Vec<Entry> {
    let stage = Stage::new(subject).await;
    let failed = stage.invoke("fail", fixtures::Fail::Text("no".into())).await;
    let input = fixtures::Panic { message: Some("boom".into()), after_ms: 30, until_attempt: None };
    let panicked = stage.invoke("panic", input).await;
    assert!(failed.billed_ms >= 1 && panicked.billed_ms >= 30);
    assert!(failed.usage_known && panicked.usage_known);
    stage.close().await
}

/// The cost is the memory limit times the billed time.
pub async fn the_cost_is_memory_times_billed_time(subject: &BackendSubject) -> Vec<Entry> {
    let stage = Stage::with(subject, fixtures::spec("sleep").with_memory(MemoryMib::new(192))).await;
    let done = stage.invoke("sleep", Sleep::Await(20)).await;
    assert_eq!(done.revision.memory, MemoryMib::new(192));
    assert_eq!(done.gb_seconds(), meter::gb_seconds(MemoryMib::new(192), done.billed_ms));
    stage.close().await
}

/// A record starts after its invocation, ends at its start plus what was billed, and never before it started.
pub async fn start_and_end_enclose_the_run(subject: &BackendSubject) -> Vec<Entry> {
    let stage = Stage::new(subject).await;
    let before = Timestamp::from(SystemTime::now());
    let done = stage.invoke("sleep", Sleep::Await(20)).await;
    let after = Timestamp::from(SystemTime::now());
    assert!(
        before.millis() <= done.start.millis() && done.start <= done.end,
        "{before} {} {}",
        done.start,
        done.end
    );
    assert!(done.end.millis() <= after.millis() + 100, "it ended at {}, and now is {after}", done.end);
    assert_eq!(done.end, done.start.after(done.times.billable()));
    assert!(done.times.wait < Duration::from_secs(30), "{:?}", done.times);
    stage.close().await
}

/// The record tells the backend, the revision and the first version.
pub async fn the_record_tells_what_ran_where(subject: &BackendSubject) -> Vec<Entry> {
    let stage = Stage::new(subject).await;
    let done = stage.invoke("echo", json!({})).await;
    assert_eq!(*done.revision.backend, *stage.backend.info().name);
    assert_eq!((done.action().as_str(), done.namespace()), ("guest/echo", "guest"));
    assert_eq!(done.revision.version, faas_core::Version::FIRST);
    stage.close().await
}

/// A backend has a name, and room for something.
pub async fn a_backend_tells_its_name_and_its_room(subject: &BackendSubject) -> Vec<Entry> {
    let bare = Bare::new(subject).await;
    let info = bare.backend.info();
    assert!(!info.name.is_empty());
    match info.capacity {
        Capacity::Slots(slots) => assert!(slots > 0),
        Capacity::Memory(memory) => assert!(memory >= MemoryMib::DEFAULT, "no room for one action: {memory}"),
    }
    assert!(info.capability.rows().iter().all(|(name, value)| !name.is_empty() && !value.is_empty()));
    bare.note(Entry::answer("info", "it has a name and room"));
    bare.close().await
}

/// After warming, the first invocation starts warm.
pub async fn a_warmed_action_starts_warm(subject: &BackendSubject) -> Vec<Entry> {
    let bare = Bare::new(subject).await;
    let echo = bare.deploy(fixtures::spec("echo").with_env(INIT, "sleep:30")).await;
    assert!(bare.backend.warm(&echo, 1).await.expect("a count") >= 1);
    let done = bare.invoke(&echo, json!({})).await;
    assert_eq!((done.start_kind, done.outcome.status()), (StartKind::Warm, Status::Success));
    assert!(done.init.is_zero() && done.create.is_zero());
    bare.close().await
}

/// Warming counts what is ready already.
pub async fn warming_again_makes_nothing_new(subject: &BackendSubject) -> Vec<Entry> {
    let bare = Bare::new(subject).await;
    let echo = bare.deploy(fixtures::spec("echo")).await;
    let first = bare.backend.warm(&echo, 2).await.expect("a count");
    assert!((1..=2).contains(&first), "asked for 2, {first} are ready");
    assert_eq!(bare.backend.warm(&echo, 2).await.expect("a count"), first);
    assert_eq!(bare.backend.warm(&echo, 0).await.expect("a count"), 0);
    bare.note(Entry::answer("warm", "counted"));
    bare.close().await
}

/// Warming an action whose initialisation fails says so.
pub async fn warming_tells_that_init_fails(subject: &BackendSubject) -> Vec<Entry> {
    let bare = Bare::new(subject).await;
    let echo = bare.deploy(fixtures::spec("echo").with_env(INIT, "fail:no database")).await;
    let error = bare.backend.warm(&echo, 1).await.expect_err("a failure");
    assert_eq!(error.kind(), faas_core::ErrorKind::InitFailed);
    assert!(error.message().contains("no database"), "{error}");
    bare.note(Entry::refusal("warm", error.kind()));
    bare.close().await
}
