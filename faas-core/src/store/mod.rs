//! Stores: activation records, entities with revisions, and the queue of accepted work.

mod job;
mod memory;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::activation::{Activation, ActivationId, Attempt, Record, Version};
use crate::error::Error;
use crate::name::EntityName;
use crate::payload::Payload;
use crate::units::Timestamp;

pub use self::job::{
    Claim, Claimed, Damage, DeadLetter, FollowUp, IdempotencyKey, Job, JobState, JobStatus, Work,
};
pub use self::memory::MemoryStore;

/// How many of the lowest bits of an [`ActivationId`] name the shard in which a memory store keeps the record.
///
/// A platform puts a number of the calling thread there, so that threads do not share a shard. Arbitrary: 64 shards
/// are more than most machines have threads.
pub const SHARD_BITS: u32 = 6;

/// Which activations to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ActivationQuery {
    /// Only of this namespace.
    pub namespace: Option<String>,
    /// Only of this action, as `name` or `package/name`, whatever its namespace.
    pub name: Option<String>,
    /// Only started at or after this.
    pub since: Option<Timestamp>,
    /// Only started at or before this.
    pub upto: Option<Timestamp>,
    /// Skip this many of the newest.
    pub skip: usize,
    /// At most this many; `None` for all.
    pub limit: Option<usize>,
}

impl ActivationQuery {
    /// Whether a record is among those that are meant, whatever `skip` and `limit` say.
    #[must_use]
    pub fn matches(&self, record: &Record) -> bool {
        self.is_within(record.start) && self.is_about(record)
    }

    /// Whether it is about activations that started then.
    pub(crate) fn is_within(&self, start: Timestamp) -> bool {
        self.since.is_none_or(|since| start >= since) && self.upto.is_none_or(|upto| start <= upto)
    }

    /// Whether it is about the action and namespace of a record.
    pub(crate) fn is_about(&self, record: &Record) -> bool {
        self.namespace.as_deref().is_none_or(|namespace| record.namespace() == namespace)
            && self.name.as_deref().is_none_or(|name| record.action().path() == name)
    }
}

/// The kind of an entity. All kinds share one key space: a name belongs to one entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EntityKind {
    /// An action.
    Action,
    /// A sequence of actions.
    Sequence,
    /// A trigger.
    Trigger,
    /// A rule.
    Rule,
    /// A package.
    Package,
}

impl EntityKind {
    /// The kind as a word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Action => "action",
            Self::Sequence => "sequence",
            Self::Trigger => "trigger",
            Self::Rule => "rule",
            Self::Package => "package",
        }
    }
}

/// The number of an entity's state: it strictly increases with each write of a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Revision(pub u64);

/// What a write expects to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Nothing: the entity is created.
    Absent,
    /// This revision: the entity is updated.
    Revision(Revision),
    /// Anything, or nothing.
    Any,
}

/// An entity as it is stored. Code is not: it re-attaches by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entity {
    /// What it is.
    pub kind: EntityKind,
    /// Its name.
    pub name: EntityName,
    /// Its version, for people and records.
    pub version: Version,
    /// The revision that the store gave it.
    pub revision: Revision,
    /// When it was written.
    pub updated: Timestamp,
    /// What else it consists of, encoded: many entities are kept, and few are looked into.
    pub body: Payload,
}

/// Keeps activation records, entities and accepted work.
///
/// # Behavior
/// Activations:
/// - `append` keeps a record once: a second one of the same id is `AlreadyExists` and changes nothing, and its
///   follow-up jobs are not accepted.
/// - Lists are newest first by start, then by id; `since` and `upto` include their ends; `skip` comes before
///   `limit`; `count_activations` ignores both.
///
/// Entities:
/// - A name belongs to one entity of any kind; another kind under it is `AlreadyExists`.
/// - A write that does not find what it expects changes nothing: `AlreadyExists` where nothing was expected,
///   `NotFound` where something was, `Conflict` where another revision was.
/// - Revisions strictly increase, across deletion too.
///
/// Work:
/// - `accept` takes all jobs or none. A job whose id is already queued, or has a record, is not taken twice:
///   that is `AlreadyExists`. So it is where a job of the same [`IdempotencyKey`] was taken before, until the
///   key's time is over: `keyed` tells which. Jobs of one call with the same key are refused as well.
/// - `begin` is `accept`, `claim` and, where asked for, `start` of one job in one step. A job that has a cause, such as
///   a step of a sequence, is begun even when the queue is full, as it follows from what was accepted.
/// - `claim` gives the next attempt number. A job that is claimed or started can be claimed again (its owner
///   is lost); the earlier claim is then fenced off: its `start`, `retry` and `finish` are `Conflict`. A job that was
///   started or lost counts as started under its new claim, so that an owner who is lost in turn hides no attempt.
/// - `claim_next` gives jobs that nobody has claimed: those that were accepted to run at once, whatever `now` is, since
///   the clock may have been set back, and those whose time has come. Namespaces take turns, one job each; within a
///   namespace they come by `not_before`, then `accepted`, then id.
/// - `next_due` is when the first job that nobody has claimed may run, whether that is over or to come; the earliest
///   of all times where one may at once.
/// - `take_over` ends every claim, so that the jobs may be claimed at once. One that was started waits as
///   [`Lost`](JobState::Lost), and whoever claims it next is told.
/// - `start` may be repeated by whoever holds the claim; what it tells of earlier attempts is kept for the next
///   claim, as is what `retry` tells.
/// - `finish` writes the record, and what follows from it, and removes the job, in one step. The first finish
///   wins; a later one is `Conflict` and changes nothing. A finish whose follow-up jobs or records are not all new is
///   `AlreadyExists`, one with the record of another id `InvalidArgument`; they change nothing either.
/// - Follow-up jobs are taken even when the queue is full: what was accepted can always finish. Those of an event from
///   outside are new work, and are refused with its record.
/// - Who sees a follow-up job sees the record too.
/// - `retry` puts the job back with a time before which it is not claimed, and ends the claim. Put back to when it was
///   accepted, it may be claimed at once.
/// - `dead_letter` is `finish` that keeps the job and its record to be looked at. `redrive` accepts a new job in
///   place of a dead letter, in one step.
///
/// Schedules:
/// - A schedule has one position, which the last write says.
///
/// One platform at a time works on a store: `take_over` is how it begins.
///
/// # Cancel safety
/// Dropping the future of a method that writes leaves all of it done or none; reading it back tells which.
/// Dropping one that reads changes nothing. A job whose claim nobody heard of can be claimed again by its id.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Whether what it holds survives this process. A platform on a store that is not durable may keep the work of
    /// an `invoke` in memory until its record is appended.
    fn is_durable(&self) -> bool;

    /// Keeps a record of an activation that was no job, and what follows from it, in one step.
    ///
    /// # Errors
    /// `AlreadyExists` when the id has a record; `Overloaded` when it is of an [event](crate::activation::Record::is_event)
    /// and its jobs do not fit into the queue; `Unavailable` when the store cannot write.
    async fn append(&self, record: Activation, follow_up: FollowUp) -> Result<(), Error>;

    /// The record of an activation.
    ///
    /// # Errors
    /// `Unavailable` when the store cannot read; so for all that reads below.
    async fn activation(&self, id: ActivationId) -> Result<Option<Activation>, Error>;

    /// Records, newest first.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn activations(&self, query: &ActivationQuery) -> Result<Vec<Activation>, Error>;

    /// The number of records that match, whatever `skip` and `limit` say.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn count_activations(&self, query: &ActivationQuery) -> Result<u64, Error>;

    /// Writes an entity and tells its new revision; the revision in `entity` is ignored.
    ///
    /// # Errors
    /// `AlreadyExists`, `NotFound` or `Conflict` when it does not find what it expects; `Unavailable`.
    async fn put_entity(&self, entity: Entity, expect: Expect) -> Result<Revision, Error>;

    /// An entity.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn entity(&self, name: &EntityName) -> Result<Option<Entity>, Error>;

    /// The entities of a kind in a namespace, by name.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn entities(&self, kind: EntityKind, namespace: &str) -> Result<Vec<Entity>, Error>;

    /// Deletes an entity.
    ///
    /// # Errors
    /// `NotFound` when there is none; `Conflict` when it has another revision; `Unavailable`.
    async fn delete_entity(&self, name: &EntityName, expect: Expect) -> Result<(), Error>;

    /// Accepts jobs, all or none.
    ///
    /// # Errors
    /// `AlreadyExists`, naming the id or the key; `Overloaded` when the queue is full; `Unavailable`.
    async fn accept(&self, jobs: Vec<Job>) -> Result<(), Error>;

    /// Accepts a job that its caller runs: claimed, or, with `started`, about to run user code.
    ///
    /// # Errors
    /// As [`accept`](Self::accept).
    async fn begin(&self, job: Job, started: bool) -> Result<Claim, Error>;

    /// The activation whose job was accepted with that key, unless the key's time is over at `now`.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn keyed(&self, key: &str, now: Timestamp) -> Result<Option<ActivationId>, Error>;

    /// Claims a job.
    ///
    /// # Errors
    /// `NotFound` when it is finished or was never accepted.
    async fn claim(&self, id: ActivationId) -> Result<Claim, Error>;

    /// Claims up to `limit` jobs that may run at `now`. What of them is not what was kept is told in
    /// [`Claimed::damage`].
    ///
    /// # Errors
    /// `Unavailable`.
    async fn claim_next(&self, now: Timestamp, limit: usize) -> Result<Vec<Claimed>, Error>;

    /// When the first job that nobody has claimed may run, the earliest of all times if at once; `None` when there is
    /// none.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn next_due(&self) -> Result<Option<Timestamp>, Error>;

    /// Ends all claims, because who held them is gone, and tells how many there were.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn take_over(&self) -> Result<u64, Error>;

    /// Tells that user code is about to start, and what became of the attempts before.
    ///
    /// # Errors
    /// `Conflict` when the claim is fenced off or the job finished.
    async fn start(&self, claim: Claim, earlier: Vec<Attempt>) -> Result<(), Error>;

    /// Puts a job back until `not_before`, with what became of its attempts.
    ///
    /// # Errors
    /// `Conflict` when the claim is fenced off or the job finished.
    async fn retry(&self, claim: Claim, not_before: Timestamp, earlier: Vec<Attempt>) -> Result<(), Error>;

    /// Ends a job with its record and what follows from it.
    ///
    /// # Errors
    /// `Conflict` when the claim is fenced off or the job finished.
    async fn finish(&self, claim: Claim, record: Activation, follow_up: FollowUp) -> Result<(), Error>;

    /// Ends a job with its record, and keeps it as a dead letter.
    ///
    /// # Errors
    /// `Conflict` when the claim is fenced off or the job finished.
    async fn dead_letter(&self, claim: Claim, record: Activation, follow_up: FollowUp) -> Result<(), Error>;

    /// The dead letters whose records match, oldest first.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn dead_letters(&self, query: &ActivationQuery) -> Result<Vec<DeadLetter>, Error>;

    /// The dead letter of an activation.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn find_dead_letter(&self, id: ActivationId) -> Result<Option<DeadLetter>, Error>;

    /// Accepts a job in place of the dead letter `id`, which is one no more.
    ///
    /// # Errors
    /// `NotFound` when there is no such dead letter; otherwise as [`accept`](Self::accept).
    async fn redrive(&self, id: ActivationId, job: Job) -> Result<(), Error>;

    /// Drops a dead letter; its record stays.
    ///
    /// # Errors
    /// `NotFound` when there is no such dead letter; `Unavailable`.
    async fn drop_dead_letter(&self, id: ActivationId) -> Result<(), Error>;

    /// A job that is not finished, and where it stands.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn job(&self, id: ActivationId) -> Result<Option<JobStatus>, Error>;

    /// The number of jobs that are not finished.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn pending(&self) -> Result<u64, Error>;

    /// The schedules with their positions, by name.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn schedules(&self) -> Result<Vec<(EntityName, Timestamp)>, Error>;

    /// Writes how far a schedule has come: its ticks up to `position` never fire again.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn put_schedule(&self, name: &EntityName, position: Timestamp) -> Result<(), Error>;

    /// Forgets a schedule; forgetting one that is not there is no error.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn delete_schedule(&self, name: &EntityName) -> Result<(), Error>;
}
