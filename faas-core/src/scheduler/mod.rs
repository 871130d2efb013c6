//! The scheduler: admission, one queue with a pluggable order, quotas.
//!
//! A platform has one [`Scheduler`] per backend, because backends share no capacity, and one [`Quotas`] for
//! all, which it asks first. A request that is admitted gets a [`Permit`]; it moves into the invocation and
//! lets the next one in when nothing of the run is left.

mod admission;
mod average;
mod capacity;
mod permit;
mod policy;
mod queue;
mod quota;
mod sync;
mod ticket;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use self::admission::Core;
pub(crate) use self::admission::deadline_after;
pub(crate) use self::average::RunAverage;
pub use self::permit::Permit;
pub use self::policy::{FairShare, Order, Policy, QueuedJob};
pub use self::quota::{Quota, QuotaGuard, Quotas};
pub use self::ticket::Ticket;
use crate::backend::Capacity;
use crate::error::Error;
use crate::units::MemoryMib;

/// How a scheduler queues.
#[derive(Clone, Debug)]
pub struct SchedulerConfig {
    /// How many jobs may wait; as many more may wait that are to run later. Work that nobody waits for, and events, have
    /// the limit of the store instead where that is durable. Default: 10,000, as in OpenWhisk's scheduler.
    pub queue_limit: usize,
    /// How long a job waits that names no deadline. Default: 60 s, as in OpenWhisk's scheduler.
    pub queue_deadline: Duration,
    /// Which job is next. Default: by arrival.
    pub policy: Order,
}

impl Default for SchedulerConfig {
    fn default() -> Self {
        Self { queue_limit: 10_000, queue_deadline: Duration::from_secs(60), policy: Order::Arrival }
    }
}

/// A request for a permit.
#[derive(Clone, Copy, Debug)]
pub struct AdmitRequest<'a> {
    /// Whose invocation it is.
    pub namespace: &'a str,
    /// What it takes of the capacity, as [`Scheduler::weight`] tells. 0 counts as 1.
    pub weight: u32,
    /// When it gives up; the configured queue deadline when not told.
    pub deadline: Option<Instant>,
    /// How long the action has been running on average; zero while unknown.
    pub expected_run: Duration,
    /// Whether the work was accepted earlier: then it is queued however long the queue is.
    pub accepted: bool,
}

/// Admits as many invocations as a backend has room for, and queues the others.
///
/// ```
/// use faas_core::backend::Capacity;
/// use faas_core::scheduler::{Scheduler, SchedulerConfig};
///
/// let scheduler = Scheduler::new(Capacity::Slots(1), SchedulerConfig::default());
/// let permit = scheduler.try_admit(1).expect("the only slot is free");
/// assert!(scheduler.try_admit(1).is_none());
/// drop(permit);
/// assert!(scheduler.try_admit(1).is_some());
/// ```
pub struct Scheduler(Arc<Core>);

impl Scheduler {
    /// A scheduler for a backend with room for `capacity`.
    #[must_use]
    pub fn new(capacity: Capacity, config: SchedulerConfig) -> Self {
        Self(Core::new(capacity, &config))
    }

    /// Admits at once, or not: then somebody waits, too little is free, or the scheduler is closed.
    ///
    /// It takes no lock, allocates nothing and writes to no memory that other threads write to, unless the
    /// calling thread's share of the free capacity is used up.
    pub fn try_admit(&self, weight: u32) -> Option<Permit> {
        self.0.try_admit(weight)
    }

    /// Takes a place in the queue, or a permit if one is free. An error means that nothing was accepted.
    ///
    /// # Errors
    /// `InvalidArgument` when the weight is over the whole capacity or the namespace is no name; `Overloaded`
    /// (temporary) when the queue is full; `Closed` after [`close`](Self::close).
    pub fn enqueue(&self, request: AdmitRequest<'_>) -> Result<Ticket, Error> {
        self.0.enqueue(&request)
    }

    /// Waits for a permit.
    ///
    /// # Errors
    /// Those of [`enqueue`](Self::enqueue) and of [`Ticket`].
    ///
    /// # Cancel safety
    /// Dropping it leaves the queue. A permit that was granted but not taken goes to the next.
    pub async fn admit(&self, request: AdmitRequest<'_>) -> Result<Permit, Error> {
        match self.try_admit(request.weight) {
            Some(permit) => Ok(permit),
            None => self.enqueue(request)?.await,
        }
    }

    /// What an action with that memory limit takes of the capacity: 1 where slots are counted, its MiB (at
    /// least 1) where memory is.
    #[must_use]
    pub fn weight(&self, memory: MemoryMib) -> u32 {
        match self.0.capacity {
            Capacity::Slots(_) => 1,
            Capacity::Memory(_) => memory.mib().max(1),
        }
    }

    /// Refuses a weight that is over the whole capacity.
    pub(crate) fn check_weight(&self, weight: u32) -> Result<(), Error> {
        self.0.check_weight(weight)
    }

    /// The whole capacity.
    #[must_use]
    pub fn capacity(&self) -> Capacity {
        self.0.capacity
    }

    /// How many jobs wait.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.0.queued()
    }

    /// How much of the capacity is in use, in slots or MiB. It may be off by what is admitted or released
    /// while it is counted, never beyond the capacity.
    #[must_use]
    pub fn in_use(&self) -> u32 {
        self.0.in_use()
    }

    /// Admits nothing more. Waiting jobs end with `Closed`; permits stay valid. Repeating it is allowed.
    pub fn close(&self) {
        self.0.close();
    }

    /// Completes when every permit is back. After [`close`](Self::close) it stays so.
    ///
    /// # Cancel safety
    /// Dropping it changes nothing.
    pub async fn idle(&self) {
        self.0.idle().await;
    }
}

impl fmt::Debug for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scheduler")
            .field("capacity", &self.capacity())
            .field("in_use", &self.in_use())
            .field("queued", &self.queued())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
