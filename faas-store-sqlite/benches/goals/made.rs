//! What the store is given, and where it is.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use faas_core::activation::{ActionRevision, Times, Usage};
use faas_core::store::{FollowUp, Job, Store, Work};
use faas_core::{
    Activation, ActivationId, ActivationKind, MemoryMib, Outcome, Payload, Record, StartKind, Timestamp,
    Version,
};
use faas_store_sqlite::{SqliteBuilder, SqliteStore};

/// A folder below the target folder, empty.
pub(crate) fn scratch(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    // What an earlier run has left.
    let _ = std::fs::remove_dir_all(&path);
    path
}

pub(crate) fn builder(folder: &Path) -> SqliteBuilder {
    SqliteStore::builder(folder).max_age(Duration::MAX)
}

/// A moment so many milliseconds after the first.
pub(crate) fn at(number: u64) -> Timestamp {
    Timestamp::from_millis(1_704_067_200_000 + number)
}

pub(crate) fn id(number: u64) -> ActivationId {
    ActivationId::new(at(number), u128::from(fastrand::Rng::with_seed(number).u64(..)))
}

pub(crate) fn job(number: u64) -> Job {
    Job {
        id: id(number),
        work: Work::Invoke("/guest/noop".parse().expect("a name")),
        payload: Payload::empty(),
        invoker: None,
        cause: None,
        rule: None,
        depth: 0,
        accepted: at(number),
        not_before: at(number),
        key: None,
    }
}

/// The record of an action out of ten, in a namespace out of ten.
pub(crate) fn record(number: u64) -> Activation {
    let name = format!("/guest{}/action{}", number % 10, number / 10 % 10);
    let revision = ActionRevision {
        name: name.parse().expect("a name"),
        version: Version::FIRST,
        kind: ActivationKind::Action,
        memory: MemoryMib::DEFAULT,
        backend: "local".into(),
    };
    let times = Times { run: Duration::from_micros(3), ..Times::default() };
    Activation::from(Record {
        id: id(number),
        invoker: None,
        revision: Arc::new(revision),
        start_kind: Some(StartKind::Warm),
        start: at(number),
        end: at(number),
        times,
        billed_ms: 1,
        usage: Usage::default(),
        usage_known: true,
        attempts: 1,
        cause: None,
        outcome: Outcome::success(Payload::empty()),
        logs: Vec::new(),
        earlier: Vec::new(),
        input: None,
    })
}

/// Keeps the records numbered `from..to`.
pub(crate) async fn fill(store: &SqliteStore, from: u64, to: u64) {
    for first in (from..to).step_by(500) {
        let records = (first + 1..(first + 500).min(to)).map(record).collect();
        store.append(record(first), FollowUp { records, ..FollowUp::default() }).await.expect("kept");
    }
}

/// What an activation of a no-op costs the store: its job accepted, claimed and started at once, and its record.
pub(crate) async fn activate(store: &SqliteStore, number: u64) {
    let claim = store.begin(job(number), true).await.expect("begun");
    store.finish(claim, record(number), FollowUp::default()).await.expect("finished");
}
