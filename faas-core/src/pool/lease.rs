//! Leases: exclusive use of a sandbox, or of one of its places.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::state::Shared;
use super::{Lease, Origin};
use crate::sandbox::SandboxFactory;

/// A lease of a [`WarmPool`](super::WarmPool).
pub struct WarmLease<F: SandboxFactory> {
    shared: Arc<Shared<F>>,
    /// `None` only once it is returned.
    sandbox: Option<Arc<F::Sandbox>>,
    group: usize,
    slot: usize,
    /// `None` if it did not wait; boxed, so that a lease is cheap to move.
    origin: Option<Box<Origin>>,
}

impl<F: SandboxFactory> WarmLease<F> {
    pub(super) fn new(
        shared: &Arc<Shared<F>>,
        group: usize,
        slot: usize,
        sandbox: Arc<F::Sandbox>,
        origin: Option<Box<Origin>>,
    ) -> Self {
        Self { shared: Arc::clone(shared), sandbox: Some(sandbox), group, slot, origin }
    }

    /// Returns it; for further use if it is `kept`.
    fn end(&mut self, kept: Option<Instant>) {
        if let Some(sandbox) = self.sandbox.take() {
            self.shared.turn(|turn| turn.give_back(self.group, self.slot, sandbox, kept));
        }
    }
}

impl<F: SandboxFactory> Lease for WarmLease<F> {
    type Sandbox = F::Sandbox;

    #[expect(clippy::panic, reason = "only its end takes the sandbox")]
    fn sandbox(&self) -> &F::Sandbox {
        self.sandbox.as_ref().unwrap_or_else(|| panic!("the lease has ended"))
    }

    fn origin(&self) -> Origin {
        self.origin.as_ref().map_or(const { Origin::waited(Duration::ZERO) }, |origin| **origin)
    }

    fn keep(self) {
        self.keep_at(Instant::now());
    }

    fn keep_at(mut self, now: Instant) {
        self.end(Some(now));
    }
}

impl<F: SandboxFactory> Drop for WarmLease<F> {
    fn drop(&mut self) {
        self.end(None);
    }
}

/// A lease on its way to the request that it was granted to. If that has left, its sandbox becomes idle.
pub(super) struct Grant<F: SandboxFactory>(Option<WarmLease<F>>);

impl<F: SandboxFactory> Grant<F> {
    pub(super) fn new(lease: WarmLease<F>) -> Self {
        Self(Some(lease))
    }

    pub(super) fn claim(mut self) -> Option<WarmLease<F>> {
        self.0.take()
    }
}

impl<F: SandboxFactory> Drop for Grant<F> {
    fn drop(&mut self) {
        if let Some(lease) = self.0.take() {
            lease.keep();
        }
    }
}

/// A request that waits. Dropping it gives it up.
pub(super) struct Waiting<'a, F: SandboxFactory> {
    pub(super) shared: &'a Arc<Shared<F>>,
    pub(super) group: usize,
    pub(super) number: u64,
}

impl<F: SandboxFactory> Drop for Waiting<'_, F> {
    fn drop(&mut self) {
        self.shared.turn(|turn| turn.leave(self.group, self.number));
    }
}
