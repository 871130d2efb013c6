//! Removing what nobody uses any more, however long the engine is away.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::engine::Engine;
use crate::home::Shared;

/// How long to wait after an attempt that failed: as long as they have been failing, but at least and at most so long.
/// Arbitrary.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// How many containers are removed at once. Who fails keeps its place while it waits, so that an engine that is away is
/// not asked more often the more is left. Arbitrary.
const AT_ONCE: usize = 4;

/// How long a container that was asked for may still come to be, once the engine says that there is none. Arbitrary.
const LATEST: Duration = Duration::from_secs(3);

/// A container that is to be removed, with the folder that it shares.
pub(crate) struct Leftover {
    pub(crate) name: String,
    pub(crate) shared: Option<Shared>,
    /// Whether the engine never answered to the call that makes it, and may yet do so.
    pub(crate) may_come: bool,
}

/// Takes leftovers. Sending one neither waits nor fails.
#[derive(Clone)]
pub(crate) struct Reaper {
    leftovers: mpsc::UnboundedSender<Leftover>,
    /// Held by each leftover that is not removed yet.
    left: Arc<Left>,
}

#[derive(Default)]
struct Left {
    count: AtomicUsize,
    changed: Notify,
    /// Tells those who wait for another attempt that it is to be now.
    now: Notify,
}

impl Reaper {
    /// Starts the task that removes leftovers. It ends once nobody can send any and none is left.
    pub(crate) fn start(engine: Arc<Engine>) -> Self {
        let (leftovers, received) = mpsc::unbounded_channel();
        let left = Arc::new(Left::default());
        tokio::spawn(attend(engine, received, Arc::clone(&left)));
        Self { leftovers, left }
    }

    pub(crate) fn take(&self, leftover: Leftover) {
        self.left.count.fetch_add(1, Ordering::Relaxed);
        if self.leftovers.send(leftover).is_err() {
            // Its runtime has ended; the next start sweeps.
            self.left.done();
        }
    }

    /// Completes when nothing is left to remove, or when nothing could be removed for so long; how many are left.
    pub(crate) async fn finish(&self, patience: Duration) -> usize {
        self.left.now.notify_waiters();
        loop {
            let changed = self.left.changed.notified();
            let left = self.left.count.load(Ordering::Acquire);
            if left == 0 || timeout(patience, changed).await.is_err() {
                return left;
            }
        }
    }
}

impl Left {
    fn done(&self) {
        self.count.fetch_sub(1, Ordering::Release);
        self.changed.notify_waiters();
    }
}

async fn attend(engine: Arc<Engine>, mut received: mpsc::UnboundedReceiver<Leftover>, left: Arc<Left>) {
    let attempts = Arc::new(Attempts::default());
    let mut removing = JoinSet::new();
    loop {
        tokio::select! {
            leftover = received.recv() => match leftover {
                Some(leftover) => {
                    let (engine, attempts, left) = (Arc::clone(&engine), Arc::clone(&attempts), Arc::clone(&left));
                    removing.spawn(async move {
                        attempts.remove(&engine, &left, leftover).await;
                        left.done();
                    });
                }
                None => break,
            },
            Some(_) = removing.join_next() => {}
        }
    }
    while removing.join_next().await.is_some() {}
}

/// What all attempts share.
struct Attempts {
    places: Semaphore,
    /// Since when none has succeeded.
    failing: Mutex<Option<Instant>>,
}

impl Default for Attempts {
    fn default() -> Self {
        Self { places: Semaphore::new(AT_ONCE), failing: Mutex::default() }
    }
}

impl Attempts {
    /// Removes a container, again and again until the engine has done it.
    async fn remove(&self, engine: &Engine, left: &Left, leftover: Leftover) {
        let (mut failing, mut missing) = (None, None);
        loop {
            // Whoever has waited longest is next; the places are never closed.
            let place = self.places.acquire().await;
            match engine.remove(&leftover.name).await {
                Ok(found) => {
                    self.note(None);
                    let missing = *missing.get_or_insert_with(Instant::now);
                    if found || !leftover.may_come || missing.elapsed() >= LATEST {
                        break;
                    }
                    drop(place);
                    sleep(LATEST / 8).await;
                }
                Err(error) => {
                    tracing::debug!(container = leftover.name, %error, "a container could not be removed");
                    let now = Instant::now();
                    let since = self.note(Some(now)).min(*failing.get_or_insert(now));
                    let wait = since.elapsed().clamp(FIRST_WAIT, LONGEST_WAIT);
                    // A wait that is over early is no error.
                    let _ = timeout(wait, left.now.notified()).await;
                    drop(place);
                }
            }
        }
        drop(leftover.shared);
    }

    /// Notes an attempt that succeeded, or failed `now`; since when all have failed.
    fn note(&self, now: Option<Instant>) -> Instant {
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        *failing = now.map(|now| failing.unwrap_or(now));
        failing.unwrap_or_else(Instant::now)
    }
}
