//! Removing what nobody uses any more, however long the engine is away.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::engine::Engine;
use crate::home::Shared;

/// How long to wait after an attempt that failed: at first, and at most. Arbitrary.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// A container that is to be removed, with the folder that it shares.
pub(crate) struct Leftover {
    pub(crate) name: String,
    pub(crate) shared: Option<Shared>,
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
    count: std::sync::atomic::AtomicUsize,
    changed: Notify,
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
        self.left.count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        if self.leftovers.send(leftover).is_err() {
            // Its runtime has ended; the next start sweeps.
            self.left.done();
        }
    }

    /// Completes when nothing is left to remove.
    pub(crate) async fn finish(&self) {
        loop {
            let changed = self.left.changed.notified();
            if self.left.count.load(std::sync::atomic::Ordering::Acquire) == 0 {
                return;
            }
            changed.await;
        }
    }
}

impl Left {
    fn done(&self) {
        self.count.fetch_sub(1, std::sync::atomic::Ordering::Release);
        self.changed.notify_waiters();
    }
}

async fn attend(engine: Arc<Engine>, mut received: mpsc::UnboundedReceiver<Leftover>, left: Arc<Left>) {
    let mut removing = JoinSet::new();
    loop {
        tokio::select! {
            leftover = received.recv() => match leftover {
                Some(leftover) => {
                    let (engine, left) = (Arc::clone(&engine), Arc::clone(&left));
                    removing.spawn(async move {
                        remove(&engine, leftover).await;
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

/// Removes a container, again and again until the engine has done it.
async fn remove(engine: &Engine, leftover: Leftover) {
    let mut wait = FIRST_WAIT;
    while let Err(error) = engine.remove(&leftover.name).await {
        tracing::debug!(container = leftover.name, %error, "a container could not be removed");
        sleep(wait).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
    drop(leftover.shared);
}
