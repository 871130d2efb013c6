//! A place in the queue.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep, sleep_until};

use super::admission::{Core, closed};
use super::permit::Permit;
use super::policy::QueuedJob;
use crate::error::Error;

/// A place in the queue; awaiting it gives the permit.
///
/// # Errors
/// `DeadlineExceeded` (temporary) when the deadline passed first, naming the time waited; `Closed` when the
/// scheduler was closed meanwhile.
///
/// # Cancel safety
/// Dropping it leaves the queue. A permit that was granted but not taken goes to the next.
///
/// # Panics
/// Outside of a tokio runtime with its timer, if it has to wait.
#[must_use = "a ticket that is dropped leaves the queue"]
pub struct Ticket(State);

enum State {
    /// `None` once taken.
    Granted(Option<Permit>),
    Waiting(Box<Waiting>),
}

struct Waiting {
    core: Arc<Core>,
    job: QueuedJob,
    receiver: oneshot::Receiver<Permit>,
    /// Begins with the first poll.
    sleep: Option<Pin<Box<Sleep>>>,
    /// Whether the job is known to be in the queue no more.
    left: bool,
}

impl Ticket {
    pub(super) fn granted(permit: Permit) -> Self {
        Self(State::Granted(Some(permit)))
    }

    pub(super) fn waiting(core: Arc<Core>, job: QueuedJob, receiver: oneshot::Receiver<Permit>) -> Self {
        Self(State::Waiting(Box::new(Waiting { core, job, receiver, sleep: None, left: false })))
    }

    /// Whether it was granted without waiting.
    #[must_use]
    pub fn is_granted(&self) -> bool {
        matches!(self.0, State::Granted(_))
    }
}

impl Waiting {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Permit, Error>> {
        // The permit first: one that came in time is used even when nobody looked until the deadline.
        if let Poll::Ready(answer) = Pin::new(&mut self.receiver).poll(cx) {
            self.left = true;
            let now = Instant::now();
            return Poll::Ready(answer.map_err(|_| match self.job.deadline <= now {
                true => self.core.waited_too_long(&self.job, now),
                false => closed(),
            }));
        }
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(self.job.deadline)));
        ready!(sleep.as_mut().poll(cx));
        self.leave();
        Poll::Ready(Err(self.core.waited_too_long(&self.job, Instant::now())))
    }

    fn leave(&mut self) {
        if !self.left {
            self.left = true;
            self.core.leave(self.job.ticket);
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Future for Ticket {
    type Output = Result<Permit, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            State::Granted(permit) => Poll::Ready(permit.take().ok_or_else(closed)),
            State::Waiting(waiting) => waiting.poll(cx),
        }
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = match &self.0 {
            State::Granted(_) => None,
            State::Waiting(waiting) => Some(waiting.job.ticket),
        };
        f.debug_struct("Ticket").field("waiting", &place).finish_non_exhaustive()
    }
}
