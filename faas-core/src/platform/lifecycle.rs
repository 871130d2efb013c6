//! Health, statistics, and the end: draining and shutting down.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::{Inner, Platform};
use crate::backend::{Capability, Health};
use crate::error::Error;
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
    /// backends and stops all background work. Calling it again is allowed.
    ///
    /// With a store that is durable, what waits is not drained but left for the next start: jobs that did not start
    /// are put back without having cost an attempt. Otherwise what is given up has a record that says so.
    ///
    /// # Errors
    /// What a backend fails to shut down with; the others are shut down all the same.
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
        let mut result = Ok(Shutdown { left: self.0.left().await });
        for lane in &self.0.lanes {
            if let Err(error) = lane.backend.shutdown().await {
                result = Err(error.with_operation("shutdown").with_context("backend", lane.name()));
            }
        }
        self.0.background().abort_all();
        result
    }
}

/// How long activations that were given up may take to write their records. Arbitrary.
const GIVING_UP: Duration = Duration::from_millis(100);

impl Inner {
    fn close(&self) {
        self.in_flight.close();
        self.closing.send_replace(true);
    }

    /// Completes when nothing is under way, and nothing waits that would be claimed.
    async fn drained(&self) {
        loop {
            let left = self.in_flight.leaving();
            let mut left = std::pin::pin!(left);
            left.as_mut().enable();
            if self.in_flight.under_way() == 0 && self.has_none_waiting().await {
                return;
            }
            left.await;
        }
    }

    async fn has_none_waiting(&self) -> bool {
        self.dispatch.is_stopped() || matches!(self.store.pending().await, Ok(0))
    }

    /// How many accepted activations have no record.
    async fn left(&self) -> u64 {
        let counted = self.in_flight.under_way() + self.dispatch.waiting();
        if self.durable { self.store.pending().await.unwrap_or(counted) } else { counted }
    }

    fn background(&self) -> std::sync::MutexGuard<'_, tokio::task::JoinSet<()>> {
        self.background.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a task for as long as the platform exists.
    pub(super) fn spawn_background(self: &Arc<Self>, task: impl Future<Output = ()> + Send + 'static) {
        self.background().spawn(task);
    }
}
