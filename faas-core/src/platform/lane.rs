//! A lane: one backend with its scheduler.
//!
//! Backends share no capacity, so each has a queue of its own; work for one never waits for another.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use crate::backend::{Backend, Capability, Capacity, Deployment};
use crate::scheduler::{Scheduler, SchedulerConfig};

pub(crate) struct Lane {
    pub(crate) backend: Arc<dyn Backend>,
    name: Arc<str>,
    pub(crate) scheduler: Scheduler,
    pub(crate) capability: Capability,
    /// Whether an admitted invocation may still find no room, and come back.
    pub(crate) can_exhaust: bool,
    /// Whether its scheduler goes by how long actions have been running.
    pub(crate) averages_runs: bool,
    /// Becomes true when what runs shall stop.
    halted: watch::Sender<bool>,
    /// Takes deployments that nobody runs any more.
    retired: mpsc::UnboundedSender<Deployment>,
}

impl Lane {
    /// The lane, and its janitor: a future that removes retired deployments for as long as the lane exists.
    pub(crate) fn new(
        backend: Arc<dyn Backend>,
        config: SchedulerConfig,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let info = backend.info();
        let averages_runs = config.policy.uses_expected_run();
        let scheduler = Scheduler::new(info.capacity, config);
        let capability = info.capability;
        let name = info.name.as_str().into();
        let can_exhaust = matches!(info.capacity, Capacity::Memory(_));
        let (retired, mut inbox) = mpsc::unbounded_channel::<Deployment>();
        let remover = Arc::clone(&backend);
        let janitor = async move {
            while let Some(deployment) = inbox.recv().await {
                if let Err(error) = remover.remove(&deployment).await {
                    tracing::warn!(action = %deployment.spec.name, %error, "a retired deployment was not removed");
                }
            }
        };
        let halted = watch::Sender::new(false);
        (Self { backend, name, scheduler, capability, can_exhaust, averages_runs, halted, retired }, janitor)
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Stops what runs, for good.
    pub(crate) fn halt(&self) {
        self.halted.send_replace(true);
    }

    pub(crate) fn is_halted(&self) -> bool {
        *self.halted.borrow()
    }

    /// Completes when what runs shall stop.
    pub(crate) async fn halted(&self) {
        // The sender lives as long as this does.
        let _ = self.halted.subscribe().wait_for(|halted| *halted).await;
    }

    /// Has a deployment removed; at shutdown, when nobody listens, the backend removes all.
    pub(crate) fn retire(&self, deployment: Deployment) {
        let _ = self.retired.send(deployment);
    }
}
