//! Keep-alive policies: how long idle sandboxes are kept, and which one makes room.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::{IdleEntry, KeepAlive};
use crate::units::nanos;

/// Keeps every idle sandbox for the same time, and evicts the one that has been idle for longest.
///
/// # Source
/// OpenWhisk: `idle-container` of 10 minutes, eviction of the least recently used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FixedTtl(
    /// The time an idle sandbox is kept.
    pub Duration,
);

impl Default for FixedTtl {
    /// 10 minutes.
    fn default() -> Self {
        Self(Duration::from_secs(10 * 60))
    }
}

impl KeepAlive for FixedTtl {
    fn used(&mut self, _: &mut IdleEntry, _: Instant) {}

    fn gone(&mut self, _: u64) {}

    fn expires(&self, entry: &IdleEntry) -> Option<Instant> {
        entry.since.checked_add(self.0)
    }

    fn victim(&mut self, candidates: &[IdleEntry], _: Instant) -> Option<usize> {
        (0..candidates.len()).min_by_key(|i| candidates[*i].since)
    }
}

/// Evicts the idle sandbox that is worth least: rarely used, cheap to make again, large, and long unused.
///
/// The priority of a sandbox, set whenever it is used, is *clock + uses × cost ÷ size*, where *uses* counts
/// the uses of all sandboxes of its key, *cost* is the nanoseconds that it took to create and initialise, and
/// *size* is its memory in MiB. The lowest priority is evicted, among equals the longest idle, and *clock*
/// becomes that priority: what was not used since then loses against what was. Sums and products
/// saturate.
///
/// # Source
/// A. Fuerst, P. Sharma, "FaasCache: Keeping Serverless Computing Alive with Greedy-Dual Caching", ASPLOS
/// 2021, §4.1 (Greedy-Dual-Size-Frequency).
#[derive(Clone, Debug, Default)]
pub struct GreedyDual {
    clock: u64,
    uses: BTreeMap<u64, u64>,
    ttl: Option<Duration>,
}

impl GreedyDual {
    /// A policy that evicts, and lets nothing expire.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same policy, under which what was idle for `ttl` expires.
    #[must_use]
    pub fn with_ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }
}

impl KeepAlive for GreedyDual {
    fn used(&mut self, entry: &mut IdleEntry, _: Instant) {
        let uses = self.uses.entry(entry.key).or_insert(0);
        *uses = uses.saturating_add(1);
        let worth = uses.saturating_mul(nanos(entry.cost)) / u64::from(entry.memory.mib().max(1));
        entry.priority = self.clock.saturating_add(worth);
    }

    fn gone(&mut self, key: u64) {
        self.uses.remove(&key);
    }

    fn expires(&self, entry: &IdleEntry) -> Option<Instant> {
        self.ttl.and_then(|ttl| entry.since.checked_add(ttl))
    }

    fn victim(&mut self, candidates: &[IdleEntry], _: Instant) -> Option<usize> {
        let worst = |i: &usize| (candidates[*i].priority, candidates[*i].since);
        let victim = (0..candidates.len()).min_by_key(worst)?;
        self.clock = self.clock.max(candidates[victim].priority);
        Some(victim)
    }
}
