//! What behaviours put into a store.

use std::sync::Arc;
use std::time::Duration;

use faas_core::activation::{ActionRevision, Attempt, Times, Usage};
use faas_core::log::{LogLine, Stream};
use faas_core::store::{
    ActivationQuery, DeadLetter, Entity, EntityKind, Expect, FollowUp, Job, JobState, JobStatus, Revision,
    Store, Work,
};
use faas_core::{
    Activation, ActivationId, ActivationKind, Error, ErrorKind, MemoryMib, Namespace, Outcome, Payload,
    Record, StartKind, Status, Timestamp, Version,
};
use serde_json::{Value, json};

/// When everything that a suite makes begins: 2024-01-01T00:00:00Z.
const BEGINNING: u64 = 1_704_067_200;

/// A number of seconds after the beginning.
pub(super) fn at(seconds: u64) -> Timestamp {
    Timestamp::from_millis((BEGINNING + seconds) * 1_000)
}

/// The id number `number`; greater numbers give greater ids.
pub(super) fn id(number: u64) -> ActivationId {
    ActivationId::new(at(0), u128::from(number))
}

/// The record of activation `number`, an action `greet` that started so many seconds after the beginning.
pub(super) fn record(number: u64) -> Record {
    let revision = ActionRevision {
        name: "/guest/greet".parse().unwrap(),
        version: Version::FIRST,
        kind: ActivationKind::Action,
        memory: MemoryMib::DEFAULT,
        backend: "local".into(),
    };
    Record {
        id: id(number),
        invoker: None,
        revision: Arc::new(revision),
        start_kind: Some(StartKind::Warm),
        start: at(number),
        end: at(number).after(Duration::from_millis(5)),
        times: Times { run: Duration::from_millis(5), ..Times::default() },
        billed_ms: 5,
        usage: Usage::default(),
        usage_known: true,
        attempts: 1,
        cause: None,
        outcome: Outcome::success(payload(json!({ "number": number }))),
        logs: Vec::new(),
        earlier: Vec::new(),
        input: None,
    }
}

/// An attempt that failed, in which every field says something.
pub(super) fn attempt(number: u64) -> Attempt {
    Attempt {
        start: Timestamp::from_nanos(at(number).nanos() + 1),
        times: Times {
            wait: Duration::from_nanos(1),
            run: Duration::from_millis(number),
            ..Times::default()
        },
        billed_ms: number,
        usage_known: number.is_multiple_of(2),
        status: Status::DeveloperError,
        error: format!("nö {number}"),
    }
}

/// A record in which every field says something.
pub(super) fn full_record(number: u64) -> Record {
    let usage = Usage {
        cpu: Some(Duration::from_micros(1_234)),
        peak_memory: Some(u64::MAX),
        fuel: Some(1),
        billed: Some(Duration::from_millis(13)),
        billed_init: Some(Duration::from_nanos(7)),
    };
    let line = |stream, text: &str| LogLine { at: at(number), stream, text: text.into() };
    Record {
        invoker: Some(Namespace::new("acme").unwrap()),
        start_kind: Some(StartKind::Prewarmed),
        start: Timestamp::from_nanos(at(number).nanos() + 1),
        times: Times {
            wait: Duration::from_nanos(1),
            create: Duration::from_millis(2),
            init: Duration::from_secs(3),
            run: Duration::from_secs(4 * 3_600),
        },
        billed_ms: u64::from(u32::MAX) + 1,
        usage,
        usage_known: false,
        attempts: 3,
        cause: Some(id(number + 1)),
        outcome: Outcome::application_error(json!({ "code": 7, "text": "nö \u{1F680}" })),
        logs: vec![line(Stream::Stdout, "one \\ \"two\""), line(Stream::Stderr, "")],
        earlier: vec![attempt(1), attempt(2)],
        input: Some(payload(json!({ "in": [1, 2.5, "\u{0}"] }))),
        ..record(number)
    }
}

/// A record of another action.
pub(super) fn record_of(number: u64, action: &str) -> Record {
    let record = record(number);
    let revision = ActionRevision { name: action.parse().unwrap(), ..(*record.revision).clone() };
    Record { revision: Arc::new(revision), ..record }
}

/// The job that becomes activation `number`: accepted so many seconds after the beginning, and due at once.
pub(super) fn job(number: u64) -> Job {
    Job {
        id: id(number),
        work: Work::Invoke("/guest/greet".parse().unwrap()),
        payload: payload(json!({ "number": number })),
        invoker: None,
        cause: None,
        rule: None,
        depth: 0,
        accepted: at(number),
        not_before: at(number),
        key: None,
    }
}

/// Where a job stands that has no earlier attempts.
pub(super) fn status(job: Job, state: JobState, attempt: u32) -> Option<JobStatus> {
    Some(JobStatus { job, state, attempt, earlier: Vec::new() })
}

/// All dead letters, oldest first.
pub(super) async fn dead_letters(store: &dyn Store) -> Vec<DeadLetter> {
    store.dead_letters(&ActivationQuery::default()).await.unwrap()
}

/// An entity `guest/<name>`.
pub(super) fn entity(kind: EntityKind, name: &str) -> Entity {
    Entity {
        kind,
        name: format!("/guest/{name}").parse().unwrap(),
        version: Version::FIRST,
        revision: Revision(0),
        updated: at(0),
        body: encoded(&json!({ "name": name })),
    }
}

pub(super) fn payload(value: Value) -> Payload {
    Payload::from_value(&value).unwrap()
}

/// Keeps records that no jobs follow from.
pub(super) async fn keep(store: &dyn Store, records: impl IntoIterator<Item = Record>) {
    for record in records {
        store.append(Activation::from(record), FollowUp::default()).await.unwrap();
    }
}

/// Creates an entity.
pub(super) async fn create(store: &dyn Store, entity: Entity) -> Revision {
    store.put_entity(entity, Expect::Absent).await.unwrap()
}

/// The numbers of the records that a query finds, in the order of the list.
pub(super) async fn found(store: &dyn Store, query: &ActivationQuery) -> Vec<u64> {
    let list = store.activations(query).await.unwrap();
    list.iter().map(|record| number(record.id)).collect()
}

/// The number that an id was made of.
pub(super) fn number(id: ActivationId) -> u64 {
    u64::try_from(id.as_u128() & u128::from(u64::MAX)).unwrap()
}

/// The kind of error that a call failed with.
pub(super) fn refused<T>(result: Result<T, Error>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

/// A body, encoded.
pub(super) fn encoded(body: &serde_json::Value) -> Payload {
    Payload::from_value(body).expect("a JSON object")
}
