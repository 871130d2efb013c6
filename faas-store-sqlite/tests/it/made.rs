//! What stores are given, and folders for them.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use faas_core::activation::{ActionRevision, Attempt, Times, Usage};
use faas_core::store::{
    ActivationQuery, DeadLetter, Entity, EntityKind, Expect, FollowUp, IdempotencyKey, Job, JobStatus,
    Revision, Store, Work,
};
use faas_core::{
    Activation, ActivationId, ActivationKind, EntityName, Error, MemoryMib, Outcome, Payload, Record, Status,
    Timestamp, Version,
};
use faas_store_sqlite::SqliteStore;
use serde_json::json;

/// A folder that goes with the test.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{number}", std::process::id()));
        // One that an earlier process of this number has left.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// Where the store is.
    pub(crate) fn path(&self) -> PathBuf {
        self.0.join("store")
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn open(&self) -> SqliteStore {
        self.try_open().unwrap()
    }

    pub(crate) fn try_open(&self) -> Result<SqliteStore, Error> {
        open(&self.path())
    }

    /// What is left of the store if its process is killed this moment.
    pub(crate) fn killed(&self) -> Self {
        let copy = Self::new();
        copy_folder(&self.path(), &copy.path());
        copy
    }
}

/// Opens a store whose larger payloads are files.
pub(crate) fn open(path: &Path) -> Result<SqliteStore, Error> {
    SqliteStore::builder(path).inline_bytes(INLINE).open()
}

pub(crate) const INLINE: usize = 1_024;

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Copies the files of a store, but for those that do not outlive its process.
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &to.join(name));
        } else if name != "store.db-shm" {
            let target = to.join(name);
            match fs::copy(entry.path(), &target) {
                // The store removes files that no row refers to when it comes to it.
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                copied => drop(copied.unwrap()),
            }
            let Ok(metadata) = entry.metadata() else { continue };
            let target = fs::File::options().write(true).open(target).unwrap();
            target.set_modified(metadata.modified().unwrap()).unwrap();
        }
    }
}

pub(crate) fn at(seconds: u64) -> Timestamp {
    Timestamp::from_millis((1_704_067_200 + seconds) * 1_000)
}

pub(crate) fn id(number: u64) -> ActivationId {
    ActivationId::new(at(0), u128::from(number))
}

pub(crate) fn name(name: &str) -> EntityName {
    format!("/guest/{name}").parse().unwrap()
}

/// A payload that is a file where the number is a multiple of three. Its fields are not in order, and its number is one
/// that decoding would round.
pub(crate) fn payload(number: u64) -> Payload {
    let long = if number.is_multiple_of(3) { 2 * INLINE } else { 0 };
    let text = format!(r#"{{"z":{number},"a":12345678901234567890123.0,"text":"{}"}}"#, "x".repeat(long));
    Payload::from_json(text.into_bytes()).unwrap()
}

pub(crate) fn job(number: u64) -> Job {
    Job {
        id: id(number),
        work: Work::Invoke(name("greet")),
        payload: payload(number),
        invoker: None,
        cause: None,
        rule: None,
        depth: 0,
        accepted: at(number),
        not_before: at(number),
        key: None,
    }
}

pub(crate) fn keyed(number: u64, key: &str) -> Job {
    Job { key: Some(IdempotencyKey { key: key.into(), until: at(1_000_000) }), ..job(number) }
}

pub(crate) fn record(number: u64) -> Activation {
    let revision = ActionRevision {
        name: name("greet"),
        version: Version::FIRST,
        kind: ActivationKind::Action,
        memory: MemoryMib::DEFAULT,
        backend: "local".into(),
    };
    Activation::from(Record {
        id: id(number),
        invoker: None,
        revision: Arc::new(revision),
        start_kind: None,
        start: at(number),
        end: at(number),
        times: Times::default(),
        billed_ms: number,
        usage: Usage::default(),
        usage_known: true,
        attempts: 1,
        cause: None,
        outcome: Outcome::success(payload(number)),
        logs: Vec::new(),
        earlier: Vec::new(),
        input: Some(payload(number + 1)),
    })
}

/// The record of a trigger that was fired from outside.
pub(crate) fn event(number: u64) -> Activation {
    let record = Record::clone(&record(number));
    let revision =
        ActionRevision { kind: ActivationKind::Trigger, ..ActionRevision::clone(&record.revision) };
    Activation::from(Record { revision: Arc::new(revision), ..record })
}

pub(crate) fn attempt(number: u64) -> Attempt {
    Attempt {
        start: at(number),
        times: Times::default(),
        billed_ms: number,
        usage_known: true,
        status: Status::DeveloperError,
        error: "no".to_owned(),
    }
}

pub(crate) async fn keep(store: &SqliteStore, numbers: impl IntoIterator<Item = u64>) {
    for number in numbers {
        store.append(record(number), FollowUp::default()).await.unwrap();
    }
}

pub(crate) async fn count(store: &SqliteStore) -> u64 {
    store.count_activations(&ActivationQuery::default()).await.unwrap()
}

/// The numbers of the records that are there, oldest first.
pub(crate) async fn numbers(store: &SqliteStore) -> Vec<u64> {
    let list = store.activations(&ActivationQuery::default()).await.unwrap();
    list.iter().rev().map(|record| record.billed_ms).collect()
}

/// The files of large payloads.
pub(crate) fn files(path: &Path) -> Vec<PathBuf> {
    fs::read_dir(path.join("blobs")).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// Something of everything: 30 records, of which 20 were jobs and two are dead letters; jobs in each state; keys,
/// entities and schedules.
pub(crate) async fn populate(store: &SqliteStore) {
    keep(store, 0..10).await;
    for number in 10..30 {
        let claim = store.begin(job(number), true).await.unwrap();
        if number < 12 {
            store.dead_letter(claim, record(number), FollowUp::default()).await.unwrap();
        } else {
            store.finish(claim, record(number), FollowUp::default()).await.unwrap();
        }
    }
    store.accept((100..110).map(job).collect()).await.unwrap();
    store.accept(vec![keyed(110, "one"), keyed(111, "two")]).await.unwrap();
    store.claim(id(100)).await.unwrap();
    let claim = store.claim(id(101)).await.unwrap();
    store.start(claim, vec![attempt(1)]).await.unwrap();
    let claim = store.claim(id(102)).await.unwrap();
    store.retry(claim, at(5_000), vec![attempt(2)]).await.unwrap();
    for number in 0..5 {
        store.put_entity(entity(number), Expect::Absent).await.unwrap();
    }
    store.delete_entity(&name("entity4"), Expect::Any).await.unwrap();
    store.put_schedule(&name("nightly"), at(77)).await.unwrap();
}

pub(crate) fn entity(number: u64) -> Entity {
    Entity {
        kind: EntityKind::Action,
        name: name(&format!("entity{number}")),
        version: Version::FIRST,
        revision: Revision(0),
        updated: at(number),
        body: Payload::from_value(&json!({ "number": number, "text": "x".repeat(1_100) })).unwrap(),
    }
}

/// All that a store holds of what [`populate`] put there.
#[derive(Debug, PartialEq)]
pub(crate) struct Content {
    records: Vec<Activation>,
    by_id: Vec<Option<Activation>>,
    count: u64,
    jobs: Vec<Option<JobStatus>>,
    pending: u64,
    next_due: Option<Timestamp>,
    keys: Vec<Option<ActivationId>>,
    dead_letters: Vec<DeadLetter>,
    entities: Vec<Entity>,
    schedules: Vec<(EntityName, Timestamp)>,
}

pub(crate) async fn content(store: &SqliteStore) -> Result<Content, Error> {
    let (mut jobs, mut keys, mut by_id) = (Vec::new(), Vec::new(), Vec::new());
    for number in 100..112 {
        jobs.push(store.job(id(number)).await?);
    }
    for number in 0..30 {
        by_id.push(store.activation(id(number)).await?);
    }
    for key in ["one", "two", "three"] {
        keys.push(store.keyed(key, at(0)).await?);
    }
    let all = ActivationQuery::default();
    Ok(Content {
        records: store.activations(&all).await?,
        by_id,
        count: store.count_activations(&all).await?,
        jobs,
        pending: store.pending().await?,
        next_due: store.next_due().await?,
        keys,
        dead_letters: store.dead_letters(&all).await?,
        entities: store.entities(EntityKind::Action, "guest").await?,
        schedules: store.schedules().await?,
    })
}

/// Waits until something holds that a thread of the store brings about.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..1_000 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it does not come to this: {what}");
}
