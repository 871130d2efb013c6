//! Pools: cold, prewarmed and warm sandboxes, keep-alive and eviction.

mod config;
mod ending;
mod evict;
mod keep_alive;
mod lease;
mod queue;
mod reaper;
mod start;
mod state;
mod stems;
#[cfg(test)]
pub(crate) mod tests;
mod turn;
mod warm;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

pub use self::config::PoolConfig;
pub use self::keep_alive::{FixedTtl, GreedyDual};
pub use self::lease::WarmLease;
pub use self::start::StartFailed;
pub use self::warm::WarmPool;
use crate::action::ActionSpec;
use crate::activation::StartKind;
use crate::entropy::Entropy;
use crate::error::Error;
use crate::sandbox::Sandbox;
use crate::units::MemoryMib;

/// A request for exclusive use of a sandbox.
#[derive(Clone, Copy, Debug)]
pub struct AcquireRequest<'a> {
    /// The action, at the revision that was admitted. A revision is one allocation: sandboxes are reused among
    /// requests with clones of one `Arc`, as those with one deployment are.
    pub spec: &'a Arc<ActionSpec>,
    /// Whose invocation it is: sandboxes are never shared between namespaces.
    pub namespace: &'a str,
    /// Until when it may wait.
    pub deadline: Instant,
}

/// A place that keeps sandboxes and leases them.
///
/// # Behavior
/// - A lease is of a sandbox of exactly the namespace and revision asked for.
/// - A warm sandbox is taken before a stem cell, a stem cell before a new one.
/// - A stem cell that turns out to be lost before user code can have started is replaced by another start.
/// - While a sandbox is being made for a request, the request takes one that frees up, if that comes first.
/// - The memory of all sandboxes, in whatever state, never exceeds the budget.
/// - To make room, idle sandboxes are evicted, and the request waits until they are destroyed.
/// - A request that cannot have room, because all is leased, is refused with `Exhausted` at once.
/// - A cold start whose request left goes on and its sandbox becomes idle.
/// - After `drain`, `acquire` and `warm` are `Closed` and every sandbox is destroyed, leased ones when they
///   are returned.
pub trait ContainerPool: Send + Sync + 'static {
    /// Exclusive use of a sandbox.
    type Lease: Lease;

    /// Tells its factory where clock, randomness and timers of user code come from.
    fn attach(&self, entropy: &Arc<Entropy>);

    /// Gets what sandboxes of the action need, before any is made.
    ///
    /// # Errors
    /// What the factory refuses the action with.
    ///
    /// # Cancel safety
    /// Dropping it leaves nothing behind but what may be used again, such as a cached artifact.
    fn prepare(&self, spec: &Arc<ActionSpec>) -> impl Future<Output = Result<(), Error>> + Send;

    /// Leases a sandbox.
    ///
    /// # Errors
    /// `Exhausted`, `DeadlineExceeded`, `InitFailed`, `Closed`, or what the factory failed with.
    ///
    /// # Cancel safety
    /// Dropping it gives up the request; a sandbox in the making becomes idle.
    fn acquire(
        &self,
        request: &AcquireRequest<'_>,
    ) -> impl Future<Output = Result<Self::Lease, Error>> + Send;

    /// Completes when a request that was refused as `Exhausted` is worth another try.
    ///
    /// # Cancel safety
    /// Dropping it changes nothing.
    fn ready(&self) -> impl Future<Output = ()> + Send;

    /// Makes up to `count` sandboxes of the action idle and tells how many are; evicts nobody.
    ///
    /// # Errors
    /// `InitFailed`, `Closed`, or what the factory failed with.
    ///
    /// # Cancel safety
    /// Dropping it gives up waiting; sandboxes in the making become idle.
    fn warm(
        &self,
        spec: &Arc<ActionSpec>,
        namespace: &str,
        count: usize,
    ) -> impl Future<Output = Result<usize, Error>> + Send;

    /// Destroys the idle sandboxes of an action's revision, and leased ones when they are returned.
    ///
    /// # Cancel safety
    /// Dropping it gives up waiting; the sandboxes are destroyed all the same.
    fn remove(&self, spec: &Arc<ActionSpec>) -> impl Future<Output = ()> + Send;

    /// Completes when nothing is left of what [`remove`](Self::remove) found of the revision: leases, waiting
    /// requests, sandboxes.
    fn removed(&self, spec: &Arc<ActionSpec>) -> impl Future<Output = ()> + Send;

    /// What the pool holds and has done.
    fn stats(&self) -> PoolStats;

    /// Stops leasing, and waits until every sandbox is destroyed.
    ///
    /// # Cancel safety
    /// Dropping it leaves the pool closed, and its sandboxes are destroyed all the same.
    fn drain(&self) -> impl Future<Output = ()> + Send;
}

/// Exclusive use of a sandbox (or of one of its places, where the action's concurrency allows more).
///
/// A lease that is dropped is dirty, and its sandbox is destroyed: call [`keep`](Self::keep) after a run that
/// ended with success or an application error.
///
/// # Behavior
/// - Until it is kept or dropped, nobody else has the sandbox, or its place of it.
/// - `keep` makes the sandbox idle at once, before whoever waits for room is told.
/// - Dropping it destroys the sandbox, also one that others have places of, once the last of them is returned.
pub trait Lease: Send + 'static {
    /// What is leased.
    type Sandbox: Sandbox;

    /// The sandbox.
    fn sandbox(&self) -> &Self::Sandbox;

    /// How the sandbox came to be, and what that took.
    fn origin(&self) -> Origin;

    /// Returns the sandbox for further use.
    fn keep(self);

    /// Returns the sandbox for further use, as of `now`: for callers who have just looked at the clock.
    fn keep_at(self, now: Instant);
}

/// How a leased sandbox came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Its start kind.
    pub start_kind: StartKind,
    /// Time spent waiting for somebody else.
    pub wait: Duration,
    /// Time spent making it.
    pub create: Duration,
    /// Time spent initialising user code.
    pub init: Duration,
}

/// What a pool holds and has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolStats {
    /// Stem cells.
    pub stems: usize,
    /// Sandboxes in the making.
    pub creating: usize,
    /// Idle sandboxes that are up.
    pub idle: usize,
    /// Idle sandboxes that are paused.
    pub paused: usize,
    /// Leased sandboxes.
    pub leased: usize,
    /// Sandboxes that are being destroyed.
    pub destroying: usize,
    /// The memory of all of these.
    pub memory: MemoryMibTotal,
    /// Sandboxes whose creation has begun so far, stem cells included.
    pub created: u64,
    /// Cold starts so far.
    pub cold_starts: u64,
    /// Starts on a stem cell so far.
    pub prewarmed_starts: u64,
    /// Warm starts so far.
    pub warm_starts: u64,
    /// Sandboxes destroyed to make room so far.
    pub evictions: u64,
    /// Sandboxes destroyed because they were idle for too long so far.
    pub expirations: u64,
}

/// A sum of memory, in MiB.
pub type MemoryMibTotal = u64;

/// Decides how long idle sandboxes are kept and which one makes room. It is called under the pool's lock: it
/// takes no lock, reads no clock and logs nothing.
///
/// # Behavior
/// - `victim` picks one of the candidates, or none when there is none.
/// - `expires` may be asked again at any time; its answer holds until the next `used`.
/// - After `gone`, nothing is kept for the key.
pub trait KeepAlive: Send + 'static {
    /// The sandbox of `entry` became idle at `now`; the policy may note its `priority` there.
    fn used(&mut self, entry: &mut IdleEntry, now: Instant);

    /// No sandbox with this key is left, idle or leased.
    fn gone(&mut self, key: u64);

    /// When an idle sandbox expires; `None` keeps it until it is evicted.
    fn expires(&self, entry: &IdleEntry) -> Option<Instant>;

    /// The index of the candidate to evict.
    fn victim(&mut self, candidates: &[IdleEntry], now: Instant) -> Option<usize>;
}

/// An idle sandbox, as a keep-alive policy sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdleEntry {
    /// Which action, namespace and revision: the same number for all sandboxes that are interchangeable.
    pub key: u64,
    /// Its memory: what evicting it frees.
    pub memory: MemoryMib,
    /// What making it again costs: the time to create and initialise it.
    pub cost: Duration,
    /// Since when it has been idle.
    pub since: Instant,
    /// The policy's own note about this sandbox; 0 until its first `used`.
    pub priority: u64,
}
