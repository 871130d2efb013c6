//! A request that is a job of the store.

use crate::action::RetryPolicy;
use crate::activation::{ActivationId, Attempt};
use crate::store::{Claim, Job};
use crate::units::{self, Timestamp};

use super::MAX_SEQUENCE;
use super::dispatch::Place;

/// The claim on a job, and what the platform knows of the job beyond the request.
pub(super) struct Held {
    pub(super) claim: Claim,
    /// Whether the store knows that the current attempt may have begun.
    pub(super) started: bool,
    /// Whether it is a step of a sequence, which then has its outcome.
    pub(super) is_step: bool,
    /// Whether that sequence waits for it in this process.
    pub(super) is_awaited: bool,
    /// When it was first to run: from then on its age counts.
    pub(super) due: Timestamp,
    /// The policy of the rule that asked for it, where that has one.
    pub(super) retry: Option<RetryPolicy>,
    /// Its place in the dispatcher's window, if it has one.
    pub(super) place: Option<Place>,
}

impl Held {
    /// A job that was just begun, or claimed.
    pub(super) fn new(claim: Claim, started: bool, due: Timestamp) -> Self {
        Self { claim, started, is_step: false, is_awaited: false, due, retry: None, place: None }
    }
}

/// When a job was first to run. Putting it back for another attempt changes when it may run, but the first attempt tells
/// since when that waited.
pub(super) fn first_due(job: &Job, earlier: &[Attempt]) -> Timestamp {
    match earlier.first() {
        None => job.accepted.max(job.not_before),
        Some(first) => {
            let waited = units::nanos(first.times.wait.saturating_add(first.times.create));
            Timestamp::from_nanos(first.start.nanos().saturating_sub(waited))
        }
    }
}

/// The id of a sequence's step, from 0: always the same, so that a sequence that is resumed finds it.
pub(super) fn step_id(sequence: ActivationId, step: usize) -> ActivationId {
    sequence.derive(&format!("step/{step}"))
}

/// Whether a job is a step of the sequence that caused it.
pub(super) fn is_step(job: &Job) -> bool {
    let of = |cause: ActivationId| (0..MAX_SEQUENCE).any(|step| step_id(cause, step) == job.id);
    job.rule.is_none() && job.cause.is_some_and(of)
}
