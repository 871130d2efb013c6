//! The scheduler: admission, one queue with a pluggable order, quotas.

use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

use crate::name::Namespace;

/// The right to run one invocation; dropping it lets the next one in.
pub struct Permit(());

impl Permit {
    /// A permit of no scheduler.
    #[must_use]
    pub const fn unlimited() -> Self {
        Self(())
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Permit")
    }
}

/// A job that waits for a permit, as a queue order sees it.
#[derive(Clone, Debug)]
pub struct QueuedJob {
    /// Its place in the order of arrival; also what identifies it.
    pub ticket: u64,
    /// Whose job it is.
    pub namespace: Namespace,
    /// What it takes of the capacity: 1 slot, or its memory in MiB.
    pub weight: u32,
    /// When it arrived.
    pub arrived: Instant,
    /// When it gives up.
    pub deadline: Instant,
    /// How long the action has been running on average; zero while unknown.
    pub expected_run: Duration,
}

/// The order of the queue. It is called under the queue's lock: it takes no lock, reads no clock and logs
/// nothing.
///
/// # Behavior
/// - `pop` gives each pushed job exactly once, in the policy's order, and none when it holds none.
/// - A job that is pushed back takes its old place: order depends on the job, never on when it was pushed.
/// - `len` is the number of jobs held.
pub trait Policy: Send + 'static {
    /// Adds a job.
    fn push(&mut self, job: QueuedJob);

    /// Takes the job that is next at `now`.
    fn pop(&mut self, now: Instant) -> Option<QueuedJob>;

    /// The number of jobs held.
    fn len(&self) -> usize;

    /// Whether no job is held.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
