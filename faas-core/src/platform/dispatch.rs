//! The dispatcher: it claims accepted work whose time has come, as much as its window holds, and has it run.
//!
//! The queue is the store's. Nothing of a job that waits there is held here, however many there are.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::Inner;
use crate::action::RetryPolicy;
use crate::error::{Error, ErrorKind};
use crate::units::Timestamp;

/// How many jobs are claimed at once unless told. Arbitrary: enough to keep most backends busy, and little memory.
pub(super) const WINDOW: usize = 256;

/// The longest sleep before the wall clock is read again, which bounds how late a job is after the clock was set
/// forward or the machine woke up. Arbitrary.
const SLICE: Duration = Duration::from_secs(10);

/// How far, in nanoseconds, the last job may be ahead of the clock before that was set back. Arbitrary: a second.
const SAME: u64 = 1_000_000_000;

/// What the dispatcher and those who give it work share.
pub(super) struct Dispatch {
    wake: Notify,
    window: Arc<Semaphore>,
    /// How many jobs nobody has claimed. It may be negative for a moment: a job can be claimed before whoever
    /// accepted it counts it.
    waiting: AtomicI64,
    /// The times of those that were not due when they came, first things first; what is over goes when it is asked for.
    later: Mutex<BinaryHeap<Reverse<Timestamp>>>,
    /// Whether jobs may wait in the store whose time has come.
    behind: AtomicBool,
    /// How often jobs were accepted or put back.
    arrivals: AtomicU64,
    /// When the last job was accepted, in nanoseconds since the epoch.
    last_accepted: AtomicU64,
    stopped: watch::Sender<bool>,
    /// Keeps a platform, whose store is not durable, until the dispatcher looks.
    keeper: mpsc::Sender<Arc<Inner>>,
}

/// A job's place in the window; dropping it makes room for another.
pub(super) struct Place {
    permit: Option<OwnedSemaphorePermit>,
    dispatch: Arc<Dispatch>,
}

impl Drop for Place {
    fn drop(&mut self) {
        // Before the dispatcher is woken, so that it finds the room.
        self.permit = None;
        self.dispatch.wake.notify_one();
    }
}

impl Dispatch {
    /// What is shared, and the receiver that the dispatcher needs.
    pub(super) fn new(window: usize) -> (Arc<Self>, mpsc::Receiver<Arc<Inner>>) {
        let (keeper, kept) = mpsc::channel(1);
        let dispatch = Self {
            wake: Notify::new(),
            window: Arc::new(Semaphore::new(window.clamp(1, Semaphore::MAX_PERMITS))),
            waiting: AtomicI64::new(0),
            later: Mutex::default(),
            behind: AtomicBool::new(false),
            arrivals: AtomicU64::new(0),
            last_accepted: AtomicU64::new(0),
            stopped: watch::Sender::new(false),
            keeper,
        };
        (Arc::new(dispatch), kept)
    }

    /// How many jobs nobody has claimed.
    pub(super) fn waiting(&self) -> u64 {
        u64::try_from(self.waiting.load(Ordering::SeqCst)).unwrap_or(0)
    }

    /// Notes a job that nobody may claim before `not_before`.
    pub(super) fn delay(&self, not_before: Timestamp) {
        self.later.lock().unwrap_or_else(PoisonError::into_inner).push(Reverse(not_before));
    }

    /// How many jobs are not due at `now`, of those that were noted.
    pub(super) fn later(&self, now: Timestamp) -> u64 {
        let mut later = self.later.lock().unwrap_or_else(PoisonError::into_inner);
        while later.peek().is_some_and(|Reverse(at)| *at <= now) {
            later.pop();
        }
        later.len() as u64
    }

    /// Counts jobs that an earlier platform left: new work does not overtake them.
    pub(super) fn take_over(&self, jobs: u64) {
        self.count(i64::try_from(jobs).unwrap_or(i64::MAX));
        self.behind.store(jobs > 0, Ordering::SeqCst);
    }

    /// When a job is accepted that is at `now`: later than the one before, so that they keep their order, unless the
    /// clock was set back.
    pub(super) fn accepted_at(&self, now: Timestamp) -> Timestamp {
        let next = |last: u64| match last.checked_sub(now.nanos()) {
            Some(ahead) if ahead < SAME => last + 1,
            _ => now.nanos(),
        };
        let last =
            self.last_accepted.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |last| Some(next(last)));
        Timestamp::from_nanos(next(last.unwrap_or_else(|last| last)))
    }

    /// Counts jobs that were put into the store (or taken out of it) and are claimed by nobody.
    pub(super) fn count(&self, jobs: i64) {
        self.waiting.fetch_add(jobs, Ordering::SeqCst);
    }

    /// Whether jobs may wait in the store whose time has come: then new work does not overtake them.
    pub(super) fn is_behind(&self) -> bool {
        self.behind.load(Ordering::SeqCst)
    }

    /// A place in the window, if there is one and nobody waits for it.
    pub(super) fn try_place(self: &Arc<Self>) -> Option<Place> {
        if self.is_behind() {
            return None;
        }
        let permit = Arc::clone(&self.window).try_acquire_owned().ok()?;
        Some(Place { permit: Some(permit), dispatch: Arc::clone(self) })
    }

    /// All places that are free, and how many that are; `None` when there is none.
    fn take_room(&self) -> Option<(usize, OwnedSemaphorePermit)> {
        loop {
            let room = self.window.available_permits();
            let few = u32::try_from(room).unwrap_or(u32::MAX);
            if few == 0 {
                return None;
            }
            // Somebody may have taken a place in between.
            if let Ok(places) = Arc::clone(&self.window).try_acquire_many_owned(few) {
                return Some((few as usize, places));
            }
        }
    }

    /// Ends claiming, for good.
    pub(super) fn stop(&self) {
        self.stopped.send_replace(true);
    }

    pub(super) fn is_stopped(&self) -> bool {
        *self.stopped.borrow()
    }

    /// Completes when claiming has ended.
    pub(super) async fn stopped(&self) {
        // The sender lives as long as this does.
        let _ = self.stopped.subscribe().wait_for(|stopped| *stopped).await;
    }
}

/// When the next job may run, on both clocks.
#[derive(Clone, Copy)]
struct Due {
    at: Timestamp,
    instant: Instant,
}

/// Claims jobs and has them run, for as long as there is a platform that somebody holds. Work of a store that is not
/// durable would be lost with its platform, and keeps it.
pub(super) async fn run(
    dispatch: Arc<Dispatch>,
    platform: Weak<Inner>,
    handles: Weak<()>,
    mut kept: mpsc::Receiver<Arc<Inner>>,
) {
    let (mut due, mut failures) = (None, 0);
    let pauses = RetryPolicy::default();
    loop {
        let told = kept.try_recv().ok();
        let Some(inner) = platform.upgrade() else { return };
        drop(told);
        if dispatch.is_stopped() || (inner.durable && handles.strong_count() == 0) {
            return;
        }
        let claimed = inner.claim_due(&mut due).await;
        let has_work = !inner.durable && inner.store.pending().await.unwrap_or(0) > 0;
        let keep = has_work.then_some(inner);
        match claimed {
            Ok(until) => {
                failures = 0;
                tokio::select! {
                    biased;
                    () = dispatch.stopped() => return,
                    () = dispatch.wake.notified() => {}
                    () = sleep_until_some(until) => {}
                }
            }
            Err(error) => {
                failures += 1;
                let pause = pauses.ceiling(failures);
                tracing::warn!(%error, ?pause, "no work was claimed");
                tokio::select! {
                    biased;
                    () = dispatch.stopped() => return,
                    () = sleep(pause) => {}
                }
            }
        }
        drop(keep);
    }
}

async fn sleep_until_some(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

impl Inner {
    /// Tells the dispatcher of jobs that were accepted, or put back.
    pub(super) fn queued(self: &Arc<Self>, jobs: usize) {
        if jobs == 0 {
            return;
        }
        let dispatch = &self.dispatch;
        dispatch.count(i64::try_from(jobs).unwrap_or(i64::MAX));
        dispatch.arrivals.fetch_add(1, Ordering::SeqCst);
        dispatch.behind.store(true, Ordering::SeqCst);
        if !self.durable {
            // Where one is there already, that one keeps the platform.
            let _ = dispatch.keeper.try_send(Arc::clone(self));
        }
        dispatch.wake.notify_one();
        if !self.durable && dispatch.is_stopped() {
            let platform = Arc::clone(self);
            tokio::spawn(async move { platform.give_up_rest().await });
        }
    }

    /// [`queued`](Self::queued) of one job that may run from `not_before` on. A durable store bounds its queue itself.
    pub(super) fn queued_for(self: &Arc<Self>, not_before: Timestamp) {
        if !self.durable && not_before > self.entropy.wall_clock() {
            self.dispatch.delay(not_before);
        }
        self.queued(1);
    }

    /// Claims what is due and has it run, and tells when to look again if nobody calls before.
    async fn claim_due(self: &Arc<Self>, due: &mut Option<Due>) -> Result<Option<Instant>, Error> {
        let dispatch = &self.dispatch;
        let Some((room, mut places)) = dispatch.take_room() else { return Ok(None) };
        let now = self.job_time(*due);
        let arrivals = dispatch.arrivals.load(Ordering::SeqCst);
        let claimed = self.store.claim_next(now, room).await?;
        if self.durable && dispatch.is_stopped() {
            // The next start takes them over as they are.
            return Ok(None);
        }
        let full = claimed.len() == room;
        if !full && dispatch.arrivals.load(Ordering::SeqCst) == arrivals {
            // Whoever comes from here on says so again.
            dispatch.behind.store(false, Ordering::SeqCst);
        }
        if full {
            dispatch.behind.store(true, Ordering::SeqCst);
        }
        for claimed in claimed {
            let entered = self.in_flight.enter_accepted();
            dispatch.count(-1);
            let place =
                places.split(1).map(|permit| Place { permit: Some(permit), dispatch: Arc::clone(dispatch) });
            let platform = Arc::clone(self);
            tokio::spawn(async move { platform.run_claimed(claimed, place, entered).await });
        }
        if full { Ok(None) } else { self.look_again(due, now).await }
    }

    /// The time by which jobs are due. A job that was waited for is, also where the wall clock was set back meanwhile.
    fn job_time(&self, due: Option<Due>) -> Timestamp {
        let wall = self.entropy.wall_clock();
        match due {
            Some(due) if due.instant <= Instant::now() => due.at.max(wall),
            _ => wall,
        }
    }

    async fn look_again(
        &self,
        due: &mut Option<Due>,
        claimed_at: Timestamp,
    ) -> Result<Option<Instant>, Error> {
        let Some(at) = self.store.next_due().await? else {
            *due = None;
            return Ok(None);
        };
        let now = Instant::now();
        if at <= claimed_at {
            // It came while the others were claimed.
            *due = None;
            return Ok(Some(now + Duration::from_millis(1)));
        }
        let known = due.filter(|due| due.at == at);
        let next = known.unwrap_or_else(|| Due { at, instant: now + since(self.entropy.wall_clock(), at) });
        *due = Some(next);
        Ok(Some(next.instant.min(now + SLICE)))
    }

    /// Repeats what a store refuses for the moment, with pauses that grow, until the platform stops.
    ///
    /// # Errors
    /// Those that are not temporary; `Closed` when the platform stopped meanwhile.
    pub(super) async fn patiently<'a, T, F>(&self, call: impl Fn() -> F + Send) -> Result<T, Error>
    where
        T: 'a,
        F: Future<Output = Result<T, Error>> + Send + 'a,
    {
        let pauses = RetryPolicy::default();
        for attempt in 1_u32.. {
            let error = match call().await {
                Err(error) if error.is_temporary() => error,
                done => return done,
            };
            tracing::warn!(%error, attempt, "the store is not available");
            tokio::select! {
                biased;
                () = self.dispatch.stopped() => {
                    return Err(Error::new(ErrorKind::Closed, "the platform is shut down").with_source(error));
                }
                () = sleep(pauses.ceiling(attempt)) => {}
            }
        }
        Err(Error::new(ErrorKind::Internal, "the store was asked too often"))
    }
}

/// The time from one instant to a later one; zero if it is earlier.
pub(super) fn since(from: Timestamp, to: Timestamp) -> Duration {
    Duration::from_nanos(to.nanos().saturating_sub(from.nanos()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_are_accepted_one_after_the_other_unless_the_clock_was_set_back() {
        let (dispatch, _kept) = Dispatch::new(1);
        let at = |nanos| dispatch.accepted_at(Timestamp::from_nanos(nanos)).nanos();
        let noon = 10 * SAME;
        assert_eq!([at(noon), at(noon), at(noon - 5), at(noon + 9)], [noon, noon + 1, noon + 2, noon + 9]);
        assert_eq!([at(3), at(3)], [3, 4], "an hour back is no place in the future");
    }
}
