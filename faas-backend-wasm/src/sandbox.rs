//! Sandboxes: an instance that runs one action, once or, where the action asks for it, again.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use faas_core::sandbox::{RunOutput, Sandbox};
use faas_core::{Error, ErrorKind, Invocation};

use crate::instance::{Live, is_clean};
use crate::shared::Shared;

/// One instance of a module, bound to an action.
pub(crate) struct WasmSandbox {
    shared: Arc<Shared>,
    /// `None` while it runs, and once it ended badly.
    live: Mutex<Option<Live>>,
    runs: AtomicU64,
    /// How often it may run.
    most: u64,
}

impl WasmSandbox {
    pub(crate) fn new(shared: Arc<Shared>, live: Live, most: u64) -> Self {
        Self { shared, live: Mutex::new(Some(live)), runs: AtomicU64::new(0), most }
    }

    /// Whether it has run as often as it may.
    pub(crate) fn is_worn(&self) -> bool {
        self.runs.load(Ordering::Relaxed) >= self.most
    }

    fn live(&self) -> std::sync::MutexGuard<'_, Option<Live>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sandbox for WasmSandbox {
    async fn run(&self, invocation: &Invocation) -> Result<RunOutput, Error> {
        let live = self.live().take();
        let lost = || Error::new(ErrorKind::SandboxLost, "the instance is gone");
        let mut live = live.ok_or_else(lost)?;
        let runs = self.runs.fetch_add(1, Ordering::Relaxed);
        if runs > 0 {
            live.refuel();
        }
        // Whoever leaves drops the instance with this future.
        let output = live.run(&self.shared.ticker, invocation).await;
        if is_clean(&output.outcome) {
            *self.live() = Some(live);
        }
        Ok(output)
    }

    async fn pause(&mut self) -> Result<(), Error> {
        Ok(())
    }

    async fn resume(&mut self) -> Result<(), Error> {
        Ok(())
    }

    async fn destroy(self) {}
}
