//! Counts what is accepted and finished, without a counter that all activations share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::error::{Error, ErrorKind};
use crate::outcome::Status;
use crate::stripe::{Padded, STRIPES, thread_number};

/// What one stripe has counted. An activation leaves by the stripe that it entered by.
#[derive(Debug, Default)]
struct Counts {
    entered: AtomicU64,
    left: AtomicU64,
    finished: [AtomicU64; 4],
}

#[derive(Debug, Default)]
struct Shared {
    closing: AtomicBool,
    left: Notify,
}

#[derive(Debug)]
struct Stripe {
    counts: Padded<Counts>,
    shared: Arc<Shared>,
}

/// The work that is under way, and the door that shutting down closes.
#[derive(Debug)]
pub(super) struct InFlight {
    stripes: Vec<Arc<Stripe>>,
    shared: Arc<Shared>,
}

/// One piece of work under way.
#[derive(Debug)]
pub(super) struct Entered(Arc<Stripe>);

impl InFlight {
    pub(super) fn new() -> Self {
        let shared = Arc::<Shared>::default();
        let stripe = |_| Arc::new(Stripe { counts: Padded::default(), shared: Arc::clone(&shared) });
        Self { stripes: (0..STRIPES).map(stripe).collect(), shared }
    }

    /// Begins a piece of work.
    ///
    /// Entering counts first and looks at the door afterwards, closing shuts it first and counts afterwards,
    /// both in one order for all (`SeqCst`): so whoever got in is seen by whoever waits.
    pub(super) fn enter(&self) -> Result<Entered, Error> {
        let stripe = Arc::clone(&self.stripes[thread_number() % STRIPES]);
        stripe.counts.0.entered.fetch_add(1, Ordering::SeqCst);
        let entered = Entered(stripe);
        if self.shared.closing.load(Ordering::SeqCst) {
            return Err(Error::new(
                ErrorKind::Closed,
                "the platform is shutting down and takes no more work",
            ));
        }
        Ok(entered)
    }

    /// Begins a piece of work that was accepted before: it is let in though the door may be shut by now.
    pub(super) fn enter_accepted(&self) -> Entered {
        let stripe = Arc::clone(&self.stripes[thread_number() % STRIPES]);
        stripe.counts.0.entered.fetch_add(1, Ordering::SeqCst);
        Entered(stripe)
    }

    pub(super) fn is_closing(&self) -> bool {
        self.shared.closing.load(Ordering::SeqCst)
    }

    /// Lets nobody in any more.
    pub(super) fn close(&self) {
        self.shared.closing.store(true, Ordering::SeqCst);
    }

    /// Completes when nothing is under way. Call [`close`](Self::close) first.
    pub(super) async fn idle(&self) {
        loop {
            let left = self.leaving();
            let mut left = std::pin::pin!(left);
            left.as_mut().enable();
            if self.under_way() == 0 {
                return;
            }
            left.await;
        }
    }

    /// Completes when something leaves. Call [`close`](Self::close) first.
    pub(super) fn leaving(&self) -> Notified<'_> {
        self.shared.left.notified()
    }

    /// What is under way. Counts of leaving are read first, so that the difference is never negative.
    pub(super) fn under_way(&self) -> u64 {
        let left: u64 = self.stripes.iter().map(|s| s.counts.0.left.load(Ordering::SeqCst)).sum();
        let entered: u64 = self.stripes.iter().map(|s| s.counts.0.entered.load(Ordering::SeqCst)).sum();
        entered.saturating_sub(left)
    }

    /// How many activations finished with each status.
    pub(super) fn finished(&self) -> [u64; 4] {
        let of = |i: usize| self.stripes.iter().map(|s| s.counts.0.finished[i].load(Ordering::Relaxed)).sum();
        [of(0), of(1), of(2), of(3)]
    }
}

impl Entered {
    /// Begins what follows from this piece of work: it is let in though the door may be shut by now.
    pub(super) fn another(&self) -> Self {
        self.0.counts.0.entered.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(&self.0))
    }

    /// Counts a finished activation.
    pub(super) fn finished(&self, status: Status) {
        self.0.counts.0.finished[usize::from(status.code())].fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.counts.0.left.fetch_add(1, Ordering::SeqCst);
        if self.0.shared.closing.load(Ordering::SeqCst) {
            self.0.shared.left.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn closing_waits_for_whoever_got_in() {
        let in_flight = Arc::new(InFlight::new());
        let first = in_flight.enter().unwrap();
        in_flight.close();
        assert_eq!(in_flight.enter().unwrap_err().kind(), ErrorKind::Closed);
        let waiting = tokio::spawn({
            let in_flight = Arc::clone(&in_flight);
            async move { in_flight.idle().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        first.finished(Status::Success);
        drop(first);
        waiting.await.unwrap();
        assert_eq!((in_flight.under_way(), in_flight.finished()), (0, [1, 0, 0, 0]));
    }
}
