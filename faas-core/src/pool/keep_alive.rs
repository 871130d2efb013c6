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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::MemoryMib;

    fn entry(key: u64, mib: u32, cost_ms: u64, since: Instant) -> IdleEntry {
        let (memory, cost) = (MemoryMib::new(mib), Duration::from_millis(cost_ms));
        IdleEntry { key, memory, cost, since, priority: 0 }
    }

    /// The keys in the order in which they are evicted.
    fn order(policy: &mut impl KeepAlive, mut entries: Vec<IdleEntry>, now: Instant) -> Vec<u64> {
        let mut keys = Vec::new();
        while let Some(victim) = policy.victim(&entries, now) {
            keys.push(entries.remove(victim).key);
        }
        keys
    }

    #[tokio::test(start_paused = true)]
    async fn the_fixed_time_evicts_the_longest_idle_and_expires_exactly() {
        let now = Instant::now();
        let at = |millis| now + Duration::from_millis(millis);
        let mut policy = FixedTtl::default();
        let entries = vec![entry(1, 1, 1, at(20)), entry(2, 9, 9, at(10)), entry(3, 1, 1, at(30))];
        assert_eq!(policy.expires(&entries[0]), Some(at(600_020)));
        assert_eq!(order(&mut policy, entries, at(40)), [2, 1, 3]);
        assert_eq!(FixedTtl(Duration::MAX).expires(&entry(1, 1, 1, now)), None);
        assert_eq!(policy.victim(&[], now), None);
    }

    #[tokio::test(start_paused = true)]
    async fn greedy_dual_evicts_the_rare_the_cheap_and_the_large_first() {
        let now = Instant::now();
        let mut policy = GreedyDual::new();
        // Nanoseconds per MiB: 100 ms ÷ 10, 3 uses × 100 ms ÷ 10, 100 ms ÷ 100, 5 ms ÷ 10.
        let mut entries = vec![
            entry(1, 10, 100, now),
            entry(2, 10, 100, now),
            entry(3, 100, 100, now),
            entry(4, 10, 5, now),
        ];
        for (at, uses) in [(0, 1), (1, 3), (2, 1), (3, 1)] {
            for _ in 0..uses {
                policy.used(&mut entries[at], now);
            }
        }
        let priorities: Vec<u64> = entries.iter().map(|entry| entry.priority).collect();
        assert_eq!(priorities, [10_000_000, 30_000_000, 1_000_000, 500_000]);
        assert_eq!(order(&mut policy, entries, now), [4, 3, 1, 2]);
        assert_eq!(policy.clock, 30_000_000);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_often_used_long_ago_loses_in_the_end() {
        let now = Instant::now();
        let mut policy = GreedyDual::new();
        let mut old = entry(1, 1, 10, now);
        for _ in 0..5 {
            policy.used(&mut old, now);
        }
        let mut evicted = Vec::new();
        for key in 2..10 {
            let mut new = entry(key, 1, 10, now);
            policy.used(&mut new, now);
            let candidates = [old, new];
            evicted.push(candidates[policy.victim(&candidates, now).unwrap()].key);
        }
        assert_eq!(evicted[..5], [2, 3, 4, 5, 1], "each eviction ages the old one by a use");
    }

    #[tokio::test(start_paused = true)]
    async fn the_policy_forgets_and_never_overflows() {
        let now = Instant::now();
        let mut policy = GreedyDual::new().with_ttl(Duration::from_secs(1));
        let mut huge = entry(1, 0, u64::MAX, now);
        for _ in 0..3 {
            policy.used(&mut huge, now);
            assert_eq!(huge.priority, u64::MAX);
            assert_eq!(policy.victim(&[huge], now), Some(0));
        }
        assert_eq!(policy.expires(&huge), Some(now + Duration::from_secs(1)));
        policy.gone(1);
        assert!(policy.uses.is_empty());
    }
}
