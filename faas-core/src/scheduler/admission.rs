//! Admission: from a request to a permit or a place in the queue.

use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use tokio::time::Instant;

use super::capacity::Stripes;
use super::permit::Permit;
use super::policy::QueuedJob;
use super::queue::{Decided, Queue};
use super::sync::{Mutex, MutexGuard};
use super::ticket::Ticket;
use super::{AdmitRequest, SchedulerConfig};
use crate::backend::Capacity;
use crate::error::{Error, ErrorKind};
use crate::name::Namespace;

/// The longest wait; tokio's timers reach a little further.
const FAR: Duration = Duration::from_secs(86_400 * 365);

/// The deadline of whoever waits for so long from `now` on, which may be for ever.
pub(crate) fn deadline_after(now: Instant, wait: Duration) -> Instant {
    now + wait.min(FAR)
}

/// What a scheduler and its tickets share.
pub(super) struct Core {
    pub(super) capacity: Capacity,
    units: u32,
    queue_limit: usize,
    queue_deadline: Duration,
    stripes: Stripes,
    queue: Mutex<Queue>,
}

impl Core {
    pub(super) fn new(capacity: Capacity, config: &SchedulerConfig) -> Arc<Self> {
        let units = match capacity {
            Capacity::Slots(slots) => slots,
            Capacity::Memory(memory) => memory.mib(),
        };
        Arc::new_cyclic(|core: &Weak<Self>| Self {
            capacity,
            units,
            queue_limit: config.queue_limit,
            queue_deadline: config.queue_deadline,
            stripes: Stripes::new(units, core),
            queue: Mutex::new(Queue::new(config.policy.policy())),
        })
    }

    pub(super) fn try_admit(&self, weight: u32) -> Option<Permit> {
        let weight = weight.max(1);
        let stripe = self.stripes.take(u64::from(weight))?;
        Some(Permit::held(stripe, weight))
    }

    pub(super) fn check_weight(&self, weight: u32) -> Result<(), Error> {
        if weight > self.units { Err(self.too_heavy(weight)) } else { Ok(()) }
    }

    pub(super) fn enqueue(self: &Arc<Self>, request: &AdmitRequest<'_>) -> Result<Ticket, Error> {
        let weight = request.weight.max(1);
        self.check_weight(weight)?;
        if let Some(permit) = self.try_admit(weight) {
            return Ok(Ticket::granted(permit));
        }
        self.update(|queue, now, decided| {
            if queue.closed {
                return Err(closed());
            }
            if queue.len() == 0 && queue.take(u64::from(weight)) {
                return Ok(Ticket::granted(Permit::held(self.stripes.stripe(Stripes::home()), weight)));
            }
            if !request.accepted && queue.len() >= self.queue_limit {
                // One whose deadline has passed still has its place when it has not been polled since.
                queue.expire(now, decided);
                if queue.len() >= self.queue_limit {
                    return Err(self.overloaded(queue.len(), request.namespace));
                }
            }
            let deadline = request.deadline.unwrap_or_else(|| deadline_after(now, self.queue_deadline));
            let job = QueuedJob {
                ticket: 0,
                namespace: Namespace::new(request.namespace)?,
                weight,
                arrived: now,
                deadline,
                expected_run: request.expected_run,
            };
            let (receiver, job) = queue.join(job);
            Ok(Ticket::waiting(Arc::clone(self), job, receiver))
        })
    }

    /// Takes units back while somebody waits for them.
    pub(super) fn settle(&self, units: u64) {
        self.update(|queue, _, _| queue.pot += units);
    }

    /// Takes a job out of the queue, which may let the next one in.
    pub(super) fn leave(&self, ticket: u64) {
        self.update(|queue, _, decided| decided.gone.extend(queue.leave(ticket)));
    }

    pub(super) fn close(&self) {
        self.update(|queue, _, decided| queue.close(decided));
    }

    pub(super) async fn idle(&self) {
        let idle = self.update(|queue, _, _| queue.await_idle());
        // The sender is kept until it is answered, and this is borrowed until then.
        let _ = idle.await;
    }

    pub(super) fn queued(&self) -> usize {
        self.lock().len()
    }

    pub(super) fn in_use(&self) -> u32 {
        let queue = self.lock();
        let free = if queue.shut { queue.pot } else { self.stripes.free() };
        u32::try_from(u64::from(self.units).saturating_sub(free)).unwrap_or(u32::MAX)
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the queue with all free units in its pot, admits whoever fits then, and tells them when the
    /// lock is released.
    fn update<T>(&self, change: impl FnOnce(&mut Queue, Instant, &mut Decided) -> T) -> T {
        let (result, mut refused) = self.change(change);
        // Those who left after they were chosen make room for others.
        while refused > 0 {
            ((), refused) = self.change(|queue, _, _| queue.pot += refused);
        }
        result
    }

    fn change<T>(&self, change: impl FnOnce(&mut Queue, Instant, &mut Decided) -> T) -> (T, u64) {
        let now = Instant::now();
        let mut decided = Decided::default();
        let mut queue = self.lock();
        queue.shut(&self.stripes);
        let result = change(&mut queue, now, &mut decided);
        queue.dispatch(now, &self.stripes, self.units, &mut decided);
        drop(queue);
        (result, decided.announce())
    }

    fn unit(&self) -> &'static str {
        match self.capacity {
            Capacity::Slots(_) => "slots",
            Capacity::Memory(_) => "MiB",
        }
    }

    fn too_heavy(&self, weight: u32) -> Error {
        let (units, unit) = (self.units, self.unit());
        let text = format!("{weight} {unit} are asked for, more than the whole capacity of {units} {unit}");
        Error::new(ErrorKind::InvalidArgument, text)
    }

    fn overloaded(&self, queued: usize, namespace: &str) -> Error {
        let text = format!("the queue holds {queued} jobs, and its limit is {}", self.queue_limit);
        Error::new(ErrorKind::Overloaded, text).with_context("namespace", namespace)
    }

    /// The error of a job that waited until its deadline. User code has not started.
    pub(super) fn waited_too_long(&self, job: &QueuedJob, now: Instant) -> Error {
        let (waited, units, unit) = (now.duration_since(job.arrived), self.units, self.unit());
        let text = format!("waited {waited:?} for {} of {units} {unit}", job.weight);
        Error::new(ErrorKind::DeadlineExceeded, text)
            .temporary(true)
            .with_context("namespace", &job.namespace)
            .with_context("queued", self.queued())
    }
}

/// The error of a job that comes too late, or was in the queue when it was closed.
pub(super) fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the scheduler is closed and admits nothing more")
}
