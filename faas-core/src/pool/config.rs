//! What a pool may use and keeps ready.

use std::fmt;
use std::time::Duration;

use super::KeepAlive;
use super::keep_alive::FixedTtl;
use crate::sandbox::Shape;
use crate::units::MemoryMib;

/// What a [`WarmPool`](super::WarmPool) may use and keeps ready.
///
/// ```
/// use std::time::Duration;
/// use faas_core::MemoryMib;
/// use faas_core::pool::{GreedyDual, PoolConfig};
/// let config = PoolConfig {
///     memory: MemoryMib::new(8192),
///     stems_per_shape: 1,
///     keep_alive: Box::new(GreedyDual::new().with_ttl(Duration::from_secs(1800))),
///     ..PoolConfig::default()
/// };
/// assert_eq!(config.cold_starts_per_action, 8);
/// ```
pub struct PoolConfig {
    /// The memory of all its sandboxes together.
    pub memory: MemoryMib,
    /// The stem cells that are kept ready, by shape.
    pub stems: Vec<(Shape, usize)>,
    /// The stem cells that are kept ready of every other shape that was asked for.
    pub stems_per_shape: usize,
    /// Whether a sandbox runs one activation at a time, even of an action that allows more: for sandboxes that can do no
    /// better.
    pub one_at_a_time: bool,
    /// The sandboxes that are created at once, stem cells included; 1 at least.
    pub cold_starts: usize,
    /// The sandboxes that are created at once for one action and namespace; 1 at least.
    pub cold_starts_per_action: usize,
    /// How long a sandbox is idle before it is paused; `None` where the factory's sandboxes cannot be.
    pub pause_after: Option<Duration>,
    /// How long after its action's timeout an initialisation may take to tell that the time is over; it is dropped then.
    pub init_grace: Duration,
    /// How long idle sandboxes are kept, and which one makes room.
    pub keep_alive: Box<dyn KeepAlive>,
}

impl Default for PoolConfig {
    /// 2 GiB, as many activations in a sandbox as its action allows, no stem cells, [`FixedTtl`], no pausing and no grace, 32 creations at once and 8 of them for one action.
    ///
    /// # Source
    /// The memory is that of OpenWhisk's deployments; the bounds of creations are arbitrary.
    fn default() -> Self {
        Self {
            memory: MemoryMib::new(2048),
            stems: Vec::new(),
            stems_per_shape: 0,
            one_at_a_time: false,
            cold_starts: 32,
            cold_starts_per_action: 8,
            pause_after: None,
            init_grace: Duration::ZERO,
            keep_alive: Box::new(FixedTtl::default()),
        }
    }
}

impl fmt::Debug for PoolConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolConfig")
            .field("memory", &self.memory)
            .field("stems", &self.stems)
            .field("stems_per_shape", &self.stems_per_shape)
            .field("one_at_a_time", &self.one_at_a_time)
            .field("cold_starts", &self.cold_starts)
            .field("cold_starts_per_action", &self.cold_starts_per_action)
            .field("pause_after", &self.pause_after)
            .field("init_grace", &self.init_grace)
            .finish_non_exhaustive()
    }
}
