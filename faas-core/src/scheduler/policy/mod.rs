//! The order of the queue.

mod fair;
mod ordered;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

pub use self::fair::FairShare;
use self::ordered::Ordered;
use crate::name::Namespace;

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
    /// How long the action has been running on average, recent runs counting most; zero before the first run
    /// since it was last updated.
    pub expected_run: Duration,
}

/// The order of the queue. It is called under the queue's lock: it takes no lock, reads no clock and logs
/// nothing.
///
/// The scheduler admits the next job or none: when the next one does not fit into what is free, the queue
/// waits for it, so that many light jobs cannot keep a heavy one waiting for ever.
///
/// # Behavior
/// - `peek` shows the job that is next at `now`, and none only when the policy holds none.
/// - `pop` takes the job that `peek` shows at the same `now`: that job is admitted.
/// - `remove` takes a job that has left without being admitted, as if it had never come; to a job that the
///   policy does not hold it does nothing.
/// - Each pushed job is taken exactly once, by `pop` or by `remove`.
/// - `len` is the number of jobs held.
/// - The order depends on the calls and their arguments alone, so that a run can be repeated.
pub trait Policy: Send + 'static {
    /// Adds a job.
    fn push(&mut self, job: QueuedJob);

    /// Shows the job that is next at `now`.
    fn peek(&self, now: Instant) -> Option<&QueuedJob>;

    /// Takes the job that is next at `now`.
    fn pop(&mut self, now: Instant) -> Option<QueuedJob>;

    /// Takes a job that has left the queue.
    fn remove(&mut self, job: &QueuedJob);

    /// The number of jobs held.
    fn len(&self) -> usize;

    /// Whether no job is held.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Which job of the queue is admitted next.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum Order {
    /// The one that came first.
    #[default]
    Arrival,
    /// The one whose action has been running shortest on average, then by arrival. An action that has not
    /// run yet counts as zero and comes first. A long job may wait until its deadline while shorter ones keep
    /// coming.
    ShortestFirst,
    /// The one whose deadline is nearest, then by arrival.
    EarliestDeadline,
    /// The one of the namespace that has had the least: see [`FairShare`].
    FairShare,
    /// An order of the application's own; each scheduler makes one.
    Custom(Arc<dyn Fn() -> Box<dyn Policy> + Send + Sync>),
}

impl Order {
    /// An empty queue of this order.
    #[must_use]
    pub fn policy(&self) -> Box<dyn Policy> {
        match self {
            Self::Arrival => Box::new(Ordered::by(|_| ())),
            Self::ShortestFirst => Box::new(Ordered::by(|job| job.expected_run)),
            Self::EarliestDeadline => Box::new(Ordered::by(|job| job.deadline)),
            Self::FairShare => Box::new(FairShare::default()),
            Self::Custom(make) => make(),
        }
    }

    /// Whether it goes by [`QueuedJob::expected_run`]; an application's own may.
    #[must_use]
    pub fn uses_expected_run(&self) -> bool {
        match self {
            Self::Arrival | Self::EarliestDeadline => false,
            Self::ShortestFirst | Self::FairShare | Self::Custom(_) => true,
        }
    }
}

impl fmt::Debug for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Arrival => "Arrival",
            Self::ShortestFirst => "ShortestFirst",
            Self::EarliestDeadline => "EarliestDeadline",
            Self::FairShare => "FairShare",
            Self::Custom(_) => "Custom",
        })
    }
}
