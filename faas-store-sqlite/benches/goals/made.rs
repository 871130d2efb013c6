//! What the store is given, and where it is.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use faas_core::activation::{ActionRevision, Times, Usage};
use faas_core::store::{FollowUp, Store};
use faas_core::{
    Action, ActionSpec, Activation, ActivationId, ActivationKind, BoxError, Context, LocalBackend, MemoryMib,
    Outcome, Payload, Platform, Record, StartKind, Timestamp, Version,
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

/// A platform with an action that does nothing, of which so many run at once.
pub(crate) async fn app(folder: &Path, slots: usize) -> Platform {
    let backend = LocalBackend::new().with_slots(u32::try_from(slots).expect("slots"));
    let store = builder(folder).max_jobs(u64::MAX).open().expect("a store");
    Platform::builder().backend(backend).store(store).action(Nothing).build().await.expect("a platform")
}

struct Nothing;

impl Action for Nothing {
    type Input = ();
    type Output = ();

    fn spec(&self) -> ActionSpec {
        ActionSpec::new("nothing").expect("a name")
    }

    async fn call(&self, _: Context, (): ()) -> Result<(), BoxError> {
        Ok(())
    }
}

/// One activation, from its acceptance to its record.
pub(crate) async fn activate(app: &Platform) {
    assert!(app.invoke("nothing", ()).await.expect("a record").outcome.is_success());
}
