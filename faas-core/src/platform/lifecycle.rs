//! Health, statistics, and the end: draining and shutting down.

use std::pin::pin;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::lane::Lane;
use super::{Inner, Platform};
use crate::action::RetryPolicy;
use crate::backend::{Capability, Health};
use crate::error::{Error, ErrorKind};
use crate::metrics;
use crate::outcome::Status;
use crate::scheduler::deadline_after;

/// Whether a platform and its backends can take work.
#[derive(Clone, Debug)]
pub struct PlatformHealth {
    /// Whether it takes work: false once it shuts down.
    pub open: bool,
    /// Each backend, the default first.
    pub backends: Vec<BackendHealth>,
}

impl PlatformHealth {
    /// Whether it takes work and every backend can.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.open && self.backends.iter().all(|backend| backend.health.is_healthy())
    }
}

/// Whether a backend can take work.
#[derive(Clone, Debug)]
pub struct BackendHealth {
    /// Its name.
    pub name: String,
    /// What it can do.
    pub capability: Capability,
    /// Whether it can take work now.
    pub health: Health,
}

/// What a platform is doing and has done.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PlatformStats {
    /// Accepted activations that have no record yet, those that wait in the store included.
    pub in_flight: u64,
    /// Finished activations: successes, application, developer and internal errors.
    pub finished: [u64; 4],
    /// Each backend, the default first.
    pub backends: Vec<BackendStats>,
}

impl PlatformStats {
    /// How many activations finished with a status.
    #[must_use]
    pub fn finished(&self, status: Status) -> u64 {
        self.finished[usize::from(status.code())]
    }
}

/// What a backend's scheduler holds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackendStats {
    /// Its name.
    pub name: String,
    /// Activations that wait for a permit.
    pub queued: usize,
    /// What is admitted of its capacity: slots, or MiB.
    pub in_use: u32,
}

/// What shutting down came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shutdown {
    /// How many accepted activations had no record when time was up. A durable store keeps them for the next
    /// start.
    pub left: u64,
}

impl Platform {
    /// Whether it and its backends can take work now.
    ///
    /// # Cancel safety
    /// Dropping it changes nothing.
    pub async fn health(&self) -> PlatformHealth {
        let mut backends = Vec::with_capacity(self.0.lanes.len());
        for lane in &self.0.lanes {
            let health = lane.backend.health().await;
            backends.push(BackendHealth {
                name: lane.name().to_string(),
                capability: lane.capability,
                health,
            });
        }
        PlatformHealth { open: !self.0.in_flight.is_closing(), backends }
    }

    /// What it is doing and has done.
    #[must_use]
    pub fn stats(&self) -> PlatformStats {
        let backends = self.0.lanes.iter().map(|lane| BackendStats {
            name: lane.name().to_string(),
            queued: lane.scheduler.queued(),
            in_use: lane.scheduler.in_use(),
        });
        PlatformStats {
            in_flight: self.0.in_flight.under_way() + self.0.dispatch.waiting(),
            finished: self.0.in_flight.finished(),
            backends: backends.collect(),
        }
    }

    /// Publishes the gauges of the platform and its backends through the `metrics` facade: call it before they
    /// are read, such as from the endpoint that a collector scrapes.
    ///
    /// # Cancel safety
    /// Dropping it leaves some gauges as they were.
    pub async fn publish_metrics(&self) {
        let stats = self.stats();
        metrics::publish_in_flight(usize::try_from(stats.in_flight).unwrap_or(usize::MAX));
        for (lane, backend) in self.0.lanes.iter().zip(&stats.backends) {
            metrics::publish_queue(&backend.name, backend.queued);
            if let Some(pool) = lane.backend.health().await.pool {
                metrics::publish_pool(&backend.name, &pool);
            }
        }
    }

    /// Takes no more work, and waits until all that was accepted has its record, also what is to run later. After a
    /// [`shutdown`](Self::shutdown) it waits for what is still running.
    ///
    /// # Cancel safety
    /// Dropping it leaves the platform closed; it can be called again.
    pub async fn drain(&self) {
        self.0.close();
        self.0.drained().await;
    }

    /// Takes no more work, drains for as long as `grace`, then gives up what still waits for a permit, ends the
    /// backends and stops all background work. Calling it again is allowed. What runs by then goes on for as long as the
    /// process does, unless its sandbox has to end with the backend: then it is stopped.
    ///
    /// With a store that is durable, what waits is not drained but left for the next start: jobs that did not start
    /// are put back without having cost an attempt, and submitted work that is stopped is lost as if the process had
    /// been killed: the next start runs it again where its retries allow it. Otherwise what is given up or stopped has a
    /// record that says so.
    ///
    /// # Errors
    /// What a backend fails to shut down with, which is `DeadlineExceeded` for one that takes much longer than `grace`;
    /// the others are shut down all the same.
    ///
    /// # Cancel safety
    /// Dropping it leaves the platform closed, with backends and background work that may still be there; it
    /// can be called again.
    pub async fn shutdown(&self, grace: Duration) -> Result<Shutdown, Error> {
        let deadline = deadline_after(Instant::now(), grace);
        self.0.close();
        if self.0.durable {
            self.0.dispatch.stop();
        }
        let drained = timeout_at(deadline, self.0.drained()).await.is_ok();
        self.0.dispatch.stop();
        if !drained {
            for lane in &self.0.lanes {
                lane.scheduler.close();
            }
            if !self.0.durable {
                let _ = timeout_at(deadline + GIVING_UP, self.0.give_up_rest()).await;
            }
            // What waited has its error now, and only has to write its record or put itself back.
            let _ = timeout_at(deadline + GIVING_UP, self.0.in_flight.idle()).await;
        }
        let ended = self.0.end_lanes(deadline.max(Instant::now() + ENDING)).await;
        if self.0.lanes.iter().any(|lane| lane.is_halted()) {
            // What was stopped has its record to write as well.
            let _ = timeout(GIVING_UP, self.0.in_flight.idle()).await;
        }
        let left = self.0.left().await;
        self.0.background().abort_all();
        self.0.shut.send_replace(true);
        ended.map(|()| Shutdown { left })
    }
}

/// How long activations that were given up, or stopped, may take to write their records; and how long a backend may
/// take to end before what runs there is stopped. Arbitrary.
const GIVING_UP: Duration = Duration::from_millis(100);

/// How long a backend may take to end once nothing runs there. Arbitrary: longer than that of containers waits for an
/// engine that is away, since it knows best what it leaves.
const ENDING: Duration = Duration::from_secs(15);

/// Ends the backend of a lane. What still runs in its sandboxes holds that up, and is stopped.
async fn end(lane: &Lane, deadline: Instant) -> Result<(), Error> {
    let mut ending = pin!(lane.backend.shutdown());
    let ended = match timeout(GIVING_UP, ending.as_mut()).await {
        Ok(ended) => ended,
        Err(_) => {
            lane.halt();
            timeout_at(deadline, ending).await.unwrap_or_else(|_| {
                let text = "the backend did not end in time; what it left is swept at the next start";
                Err(Error::new(ErrorKind::DeadlineExceeded, text))
            })
        }
    };
    ended.map_err(|error| error.with_operation("shutdown").with_context("backend", lane.name()))
}

impl Inner {
    fn close(&self) {
        self.in_flight.close();
        self.closing.send_replace(true);
    }

    /// Completes when nothing is under way, and nothing waits that would be claimed.
    async fn drained(&self) {
        let pauses = RetryPolicy::default();
        let mut failures = 0;
        loop {
            let mut left = pin!(self.in_flight.leaving());
            left.as_mut().enable();
            let stopped = self.dispatch.is_stopped();
            if self.in_flight.under_way() == 0 {
                let waiting = if stopped { Ok(0) } else { self.store.pending().await };
                match waiting {
                    Ok(0) => return,
                    Ok(_) => failures = 0,
                    Err(error) => {
                        failures += 1;
                        tracing::warn!(%error, "it is not known what waits");
                    }
                }
            }
            tokio::select! {
                biased;
                () = left => {}
                () = self.dispatch.stopped(), if !stopped => {}
                () = sleep(pauses.ceiling(failures)), if failures > 0 => {}
            }
        }
    }

    /// Completes when shutting down is over and no record is on its way that somebody could wait for: what a durable
    /// store was left with is the next start's.
    pub(super) async fn ended(&self) {
        // The sender lives as long as this does.
        let _ = self.shut.subscribe().wait_for(|shut| *shut).await;
        if !self.durable {
            self.in_flight.idle().await;
        }
    }

    /// Ends all backends at once; of several errors it tells one.
    async fn end_lanes(&self, deadline: Instant) -> Result<(), Error> {
        let mut ending = JoinSet::new();
        for lane in &self.lanes {
            let lane = Arc::clone(lane);
            ending.spawn(async move { end(&lane, deadline).await });
        }
        let mut result = Ok(());
        while let Some(ended) = ending.join_next().await {
            let panicked =
                |_| Err(Error::new(ErrorKind::Internal, "a backend panicked while it was shut down"));
            result = result.and(ended.unwrap_or_else(panicked));
        }
        result
    }

    /// How many accepted activations have no record.
    async fn left(&self) -> u64 {
        let counted = self.in_flight.under_way() + self.dispatch.waiting();
        if self.durable { self.store.pending().await.unwrap_or(counted) } else { counted }
    }

    fn background(&self) -> std::sync::MutexGuard<'_, JoinSet<()>> {
        self.background.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a task for as long as the platform exists.
    pub(super) fn spawn_background(self: &Arc<Self>, task: impl Future<Output = ()> + Send + 'static) {
        self.background().spawn(task);
    }
}
