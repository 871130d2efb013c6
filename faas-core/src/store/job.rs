//! Accepted work, and where it stands.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::activation::{Activation, ActivationId, Attempt};
use crate::name::{EntityName, Namespace};
use crate::payload::Payload;
use crate::units::Timestamp;

/// What a job asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Work {
    /// Run this action or sequence.
    Invoke(EntityName),
    /// Fire this trigger.
    Fire(EntityName),
}

impl Work {
    /// The action, sequence or trigger.
    #[must_use]
    pub fn name(&self) -> &EntityName {
        match self {
            Self::Invoke(name) | Self::Fire(name) => name,
        }
    }
}

/// What a caller calls a piece of work, so that repeating the call does nothing more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdempotencyKey {
    /// The key, which has to say as well whose and what kind of work it is about.
    pub key: Arc<str>,
    /// Until when it stands for the job that was accepted with it.
    pub until: Timestamp,
}

/// Accepted work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// The activation that it will be.
    pub id: ActivationId,
    /// What it asks for.
    pub work: Work,
    /// The input.
    pub payload: Payload,
    /// Whose job it is, where that is not the entity's own namespace.
    pub invoker: Option<Namespace>,
    /// The activation that caused it.
    pub cause: Option<ActivationId>,
    /// The rule that asked for it, where one did.
    pub rule: Option<EntityName>,
    /// How many events lie between it and what came from outside.
    pub depth: u32,
    /// When it was accepted.
    pub accepted: Timestamp,
    /// When it may run.
    pub not_before: Timestamp,
    /// The key that it was accepted with, if any.
    pub key: Option<IdempotencyKey>,
}

impl Job {
    /// Whose job it is: which namespace's turn it takes.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.invoker.as_ref().map_or_else(|| self.work.name().namespace(), Namespace::as_str)
    }
}

/// The right to run an attempt of a job. Its attempt number is a fencing token: a later claim ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The job.
    pub id: ActivationId,
    /// The attempt, from 1. It counts claims, of which not every one runs user code.
    pub attempt: u32,
}

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// Accepted: it may be claimed once its time has come.
    Accepted,
    /// Claimed by an owner, whose user code has not started.
    Claimed,
    /// Its user code may have started.
    Started,
    /// Its user code may have started, and its owner is gone: it may be claimed.
    Lost,
}

/// A job that was claimed, and how far it had come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// The job.
    pub job: Job,
    /// The right to run it.
    pub claim: Claim,
    /// Where it stood before: [`Lost`](JobState::Lost) when one more attempt has begun than `earlier` tells.
    pub state: JobState,
    /// What became of its attempts so far.
    pub earlier: Vec<Attempt>,
    /// What of it is not what was kept; it is then not to be run, but ended with a record that says so.
    pub damage: Option<Damage>,
}

/// What of a job is not what was kept, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Damage {
    /// Its input, which is empty now.
    Input(String),
    /// How far it had come, so that nobody knows whether it may run.
    Progress(String),
}

impl Damage {
    /// Why it is damaged.
    #[must_use]
    pub fn reason(&self) -> &str {
        let (Self::Input(reason) | Self::Progress(reason)) = self;
        reason
    }
}

/// A job that is not finished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobStatus {
    /// The job.
    pub job: Job,
    /// Where it stands.
    pub state: JobState,
    /// The number of its last claim; 0 before the first.
    pub attempt: u32,
    /// What became of its attempts so far.
    pub earlier: Vec<Attempt>,
}

/// A job that ended badly and is kept to be looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The job, with its input.
    pub job: Job,
    /// How it ended.
    pub record: Activation,
}

/// What is written in one step with a record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FollowUp {
    /// Jobs that are accepted.
    pub jobs: Vec<Job>,
    /// Records of activations that ended without having been jobs.
    pub records: Vec<Activation>,
    /// How far a schedule has come with it, as [`Store::put_schedule`](super::Store::put_schedule) writes it.
    pub schedule: Option<(EntityName, Timestamp)>,
}

impl FollowUp {
    /// Whether nothing follows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.jobs.is_empty() && self.records.is_empty() && self.schedule.is_none()
    }
}

impl From<Vec<Job>> for FollowUp {
    fn from(jobs: Vec<Job>) -> Self {
        Self { jobs, ..Self::default() }
    }
}
