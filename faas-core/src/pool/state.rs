//! What a pool holds: groups of interchangeable sandboxes, stem cells, and the sums over them.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use slab::Slab;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::lease::Grant;
use super::reaper::Job;
use super::{IdleEntry, KeepAlive, PoolStats};
use crate::action::ActionSpec;
use crate::error::Error;
use crate::sandbox::{SandboxFactory, Shape};

/// What the handle, the leases and the tasks of a pool share.
pub(super) struct Shared<F: SandboxFactory> {
    pub(super) factory: F,
    pub(super) bounds: Bounds,
    pub(super) jobs: UnboundedSender<Job<F>>,
    /// Tells requests that were refused that capacity came back.
    pub(super) returned: Notify,
    /// Tells that a sandbox was made or destroyed.
    pub(super) changed: Notify,
    state: Mutex<State<F>>,
}

/// The part of the configuration that never changes, in the units of the sums.
pub(super) struct Bounds {
    /// MiB.
    pub(super) budget: u64,
    pub(super) cold_starts: usize,
    pub(super) cold_starts_per_action: usize,
    pub(super) stems_per_shape: usize,
    pub(super) one_at_a_time: bool,
    pub(super) pause_after: Option<Duration>,
    pub(super) init_grace: Duration,
}

impl<F: SandboxFactory> Shared<F> {
    pub(super) fn new(factory: F, bounds: Bounds, jobs: UnboundedSender<Job<F>>, state: State<F>) -> Self {
        let (returned, changed) = (Notify::new(), Notify::new());
        Self { factory, bounds, jobs, returned, changed, state: Mutex::new(state) }
    }

    /// Held for short: nothing is awaited, sent or dropped that runs foreign code, but the keep-alive policy.
    pub(super) fn lock(&self) -> MutexGuard<'_, State<F>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Everything that changes, under one lock.
///
/// # Invariants
/// - `used` ≤ the budget: the memory of all sandboxes, from before they are made until after they are destroyed.
/// - `promised` ≤ the budget: the memory of the leased sandboxes, and of those that waiting requests need. A
///   request that would exceed it is refused. So the memory for whoever waits is never leased: it is free, idle,
///   or on its way to become so, and no request ever waits for capacity.
pub(super) struct State<F: SandboxFactory> {
    pub(super) closed: bool,
    /// The jobs, until a task is there to take them.
    pub(super) unattended: Option<UnboundedReceiver<Job<F>>>,
    /// By the address of the spec, which stays taken while a group holds the spec. Never iterated.
    pub(super) revisions: HashMap<usize, Revision, BuildHasherDefault<AddressHasher>>,
    pub(super) groups: Slab<Group<F>>,
    pub(super) shelves: BTreeMap<Shape, Shelf<F::Stem>>,
    pub(super) keep_alive: Box<dyn KeepAlive>,
    /// MiB.
    pub(super) used: u64,
    /// MiB, the part of `used` that is being destroyed.
    pub(super) freeing: u64,
    /// MiB.
    pub(super) promised: u64,
    /// Creations under way, stem cells included.
    pub(super) creating: usize,
    /// Destructions under way.
    pub(super) destroying: usize,
    /// Groups with queued starts, in the order of their turn.
    pub(super) pending: VecDeque<usize>,
    /// Counts waiting requests and keys.
    pub(super) next_number: u64,
    /// Whether a request was refused since capacity last came back.
    pub(super) refused: bool,
    /// When the reaper looks for what has expired.
    pub(super) next_look: Option<Instant>,
    /// The counters; its gauges are computed when asked for.
    pub(super) counted: PoolStats,
}

impl<F: SandboxFactory> State<F> {
    pub(super) fn new(
        keep_alive: Box<dyn KeepAlive>,
        shelves: BTreeMap<Shape, Shelf<F::Stem>>,
        jobs: UnboundedReceiver<Job<F>>,
    ) -> Self {
        Self {
            closed: false,
            unattended: Some(jobs),
            revisions: HashMap::default(),
            groups: Slab::new(),
            shelves,
            keep_alive,
            used: 0,
            freeing: 0,
            promised: 0,
            creating: 0,
            destroying: 0,
            pending: VecDeque::new(),
            next_number: 0,
            refused: false,
            next_look: None,
            counted: PoolStats::default(),
        }
    }

    pub(super) fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    /// The group of a revision and namespace, if it has anything.
    pub(super) fn find(&self, spec: &Arc<ActionSpec>, namespace: &str) -> Option<usize> {
        let revision = self.revisions.get(&address(spec))?;
        let own = spec.name.namespace();
        // Mostly it is that very text.
        if std::ptr::eq(namespace, own) || namespace == own {
            return revision.own;
        }
        revision.foreign.get(namespace).copied()
    }

    /// Whether nothing is left that holds memory, and nobody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.groups.is_empty() && self.used == 0
    }

    pub(super) fn stats(&self) -> PoolStats {
        let mut stats = PoolStats { memory: self.used, ..self.counted };
        let made_before = self.groups.iter().map(|(_, group)| group.underway - group.creating);
        stats.creating = self.creating + made_before.sum::<usize>();
        stats.destroying = self.destroying;
        stats.stems = self.shelves.values().map(|shelf| shelf.stems.len()).sum();
        for (_, slot) in self.groups.iter().flat_map(|(_, group)| &group.slots) {
            match slot {
                Slot { active: 1.., .. } => stats.leased += 1,
                Slot { paused: true, .. } => stats.paused += 1,
                Slot { .. } => stats.idle += 1,
            }
        }
        stats
    }
}

/// The groups of one revision of an action, by namespace.
#[derive(Default)]
pub(super) struct Revision {
    /// That of the action's own namespace.
    pub(super) own: Option<usize>,
    pub(super) foreign: BTreeMap<Box<str>, usize>,
}

pub(super) fn address(spec: &Arc<ActionSpec>) -> usize {
    Arc::as_ptr(spec).addr()
}

/// Spreads addresses over all bits. Source: D. Knuth, TAOCP vol. 3, §6.4, multiplicative hashing by the golden
/// ratio.
#[derive(Default)]
pub(super) struct AddressHasher(u64);

impl Hasher for AddressHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_usize(usize::from(*byte));
        }
    }

    fn write_usize(&mut self, address: usize) {
        let mixed = (self.0 ^ address as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = mixed ^ (mixed >> 32);
    }
}

/// The sandboxes of one revision and namespace, and who waits for them.
pub(super) struct Group<F: SandboxFactory> {
    /// What the keep-alive policy knows the group by; never used again.
    pub(super) key: u64,
    pub(super) spec: Arc<ActionSpec>,
    pub(super) namespace: Box<str>,
    pub(super) shape: Shape,
    /// MiB of one sandbox.
    pub(super) mib: u64,
    /// How many requests one sandbox serves at once.
    pub(super) places: u32,
    pub(super) slots: Slab<Slot<F::Sandbox>>,
    /// Slots with a free place, the one returned last at the back. It is taken first, so that those that are not
    /// needed expire.
    pub(super) open: VecDeque<usize>,
    /// Requests that wait, in the order of arrival. There are none while an open slot is not paused.
    pub(super) waiters: BTreeMap<u64, Waiter<F>>,
    /// Starts that wait for their turn or for memory: the numbers of the requests that caused them.
    pub(super) queued: VecDeque<u64>,
    /// Sandboxes that tasks create, initialise, pause or resume.
    pub(super) underway: usize,
    /// Of these, the ones that are created.
    pub(super) creating: usize,
    pub(super) destroying: usize,
    /// Sandboxes that the waiting requests need: the group's part of `promised` beside leased ones.
    pub(super) claimed: u64,
    /// Whether the group stands in `pending`.
    pub(super) listed: bool,
    /// Whether the revision was removed: nothing of it becomes idle any more.
    pub(super) retired: bool,
}

impl<F: SandboxFactory> Group<F> {
    /// How many sandboxes `waiters` requests need.
    pub(super) fn needed(&self, waiters: usize) -> usize {
        waiters.div_ceil(self.places as usize)
    }

    /// The open slot to take: the last one that was returned and is not paused.
    pub(super) fn best_open(&self) -> Option<usize> {
        self.open.iter().rposition(|slot| !self.slots[*slot].paused)
    }

    pub(super) fn close_slot(&mut self, slot: usize) {
        if let Some(position) = self.open.iter().position(|open| *open == slot) {
            self.open.remove(position);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty() && self.waiters.is_empty() && self.underway == 0 && self.destroying == 0
    }
}

/// A sandbox that is idle or leased.
pub(super) struct Slot<S> {
    /// Out with the lease while the only place is leased. Leases of several places hold clones.
    pub(super) sandbox: Option<Arc<S>>,
    pub(super) active: u32,
    pub(super) paused: bool,
    /// A lease was dropped: no place is given out any more.
    pub(super) dirty: bool,
    /// What the keep-alive policy sees of it.
    pub(super) entry: IdleEntry,
}

impl<S> Slot<S> {
    /// Gives out one of `places` places that is free.
    pub(super) fn lend(&mut self, places: u32) -> Option<Arc<S>> {
        self.active += 1;
        if places == 1 { self.sandbox.take() } else { self.sandbox.clone() }
    }
}

/// A request that waits.
pub(super) struct Waiter<F: SandboxFactory> {
    pub(super) grant: oneshot::Sender<Result<Grant<F>, Error>>,
    pub(super) arrived: Instant,
}

/// The stem cells of one shape.
pub(super) struct Shelf<T> {
    /// With the time that each took to create.
    pub(super) stems: Vec<(T, Duration)>,
    pub(super) creating: usize,
    pub(super) target: usize,
    /// Whether the configuration names the shape.
    pub(super) fixed: bool,
    /// No stem is created before: the last creation failed.
    pub(super) retry_at: Option<Instant>,
}

impl<T> Shelf<T> {
    pub(super) fn new(target: usize, fixed: bool) -> Self {
        Self { stems: Vec::new(), creating: 0, target, fixed, retry_at: None }
    }
}
