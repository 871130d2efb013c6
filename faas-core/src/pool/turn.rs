//! One turn at the pool's lock: who gets which sandbox.

use std::collections::{BTreeMap, VecDeque};
use std::mem;
use std::sync::Arc;

use slab::Slab;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::lease::{Grant, WarmLease};
use super::reaper::Job;
use super::start::Made;
use super::state::{Group, Shared, Shelf, Slot, State, Waiter, address};
use super::{AcquireRequest, IdleEntry, Origin};
use crate::action::ActionSpec;
use crate::activation::StartKind;
use crate::error::{Error, ErrorKind};
use crate::sandbox::{SandboxFactory, Shape};

/// The pool's lock, held, with what is to be done once it is not.
pub(super) struct Turn<'a, F: SandboxFactory> {
    pub(super) shared: &'a Arc<Shared<F>>,
    pub(super) state: &'a mut State<F>,
    pub(super) later: &'a mut Later<F>,
}

/// What is sent outside the lock, because it wakes others or runs destructors.
pub(super) struct Later<F: SandboxFactory> {
    pub(super) jobs: Vec<Job<F>>,
    pub(super) grants: Vec<(oneshot::Sender<Answer<F>>, Answer<F>)>,
    pub(super) returned: bool,
    pub(super) changed: bool,
    /// What may be the last of its kind, and then drops user code.
    pub(super) specs: Vec<Arc<ActionSpec>>,
}

impl<F: SandboxFactory> Default for Later<F> {
    fn default() -> Self {
        let (jobs, grants, specs) = (Vec::new(), Vec::new(), Vec::new());
        Self { jobs, grants, returned: false, changed: false, specs }
    }
}

impl<F: SandboxFactory> Later<F> {
    fn is_empty(&self) -> bool {
        self.jobs.is_empty() && self.grants.is_empty() && !self.returned && !self.changed
    }
}

type Answer<F> = Result<Grant<F>, Error>;

/// What a request that entered got.
pub(super) enum Entered<F: SandboxFactory> {
    Leased(WarmLease<F>),
    Waits { group: usize, number: u64, granted: oneshot::Receiver<Answer<F>> },
}

impl<F: SandboxFactory> Shared<F> {
    pub(super) fn turn<R>(self: &Arc<Self>, f: impl FnOnce(&mut Turn<'_, F>) -> R) -> R {
        // Made before the lock is taken, so that it is dropped after, even if a keep-alive policy panics.
        let mut later = Later::default();
        let mut state = self.lock();
        let result = f(&mut Turn { shared: self, state: &mut state, later: &mut later });
        drop(state);
        if !later.is_empty() {
            self.send(later);
        }
        result
    }

    #[cold]
    fn send(self: &Arc<Self>, later: Later<F>) {
        let lost: Vec<_> = later.jobs.into_iter().filter_map(|job| self.jobs.send(job).err()).collect();
        if !lost.is_empty() {
            // The runtime of the pool's task is gone: closed first, so that dropping the jobs begins no others.
            self.turn(|turn| turn.close());
        }
        drop(lost);
        for (waiter, answer) in later.grants {
            // An answer that comes back is dropped, which makes its sandbox idle.
            let _ = waiter.send(answer);
        }
        if later.returned {
            self.returned.notify_waiters();
        }
        if later.changed {
            self.changed.notify_waiters();
        }
    }
}

impl<F: SandboxFactory> State<F> {
    /// Takes a place in a warm sandbox, if there is one and its memory is not promised to who came before.
    pub(super) fn take(&mut self, group: usize, budget: u64) -> Option<(usize, Arc<F::Sandbox>)> {
        let group = &mut self.groups[group];
        let position = group.best_open()?;
        let index = group.open[position];
        let slot = &mut group.slots[index];
        if slot.active == 0 {
            if self.promised + group.mib > budget {
                return None;
            }
            self.promised += group.mib;
        }
        let sandbox = slot.lend(group.places)?;
        if slot.active == group.places {
            group.open.remove(position);
        }
        self.counted.warm_starts += 1;
        Some((index, sandbox))
    }
}

impl<F: SandboxFactory> Turn<'_, F> {
    /// Leases what is warm, or else queues the request and a start for it, or refuses it.
    pub(super) fn enter(
        &mut self,
        request: &AcquireRequest<'_>,
        shape: &Shape,
        now: Instant,
    ) -> Result<Entered<F>, Error> {
        self.check_open()?;
        let budget = self.shared.bounds.budget;
        if u64::from(shape.memory.mib()) > budget {
            let text = format!("the sandbox needs {}, the pool's budget is {budget} MiB", shape.memory);
            return Err(Error::new(ErrorKind::InvalidArgument, text));
        }
        let index = self.group(request.spec, request.namespace, shape);
        if let Some((slot, sandbox)) = self.state.take(index, budget) {
            return Ok(Entered::Leased(WarmLease::new(self.shared, index, slot, sandbox, None)));
        }
        let number = self.state.number();
        let group = &mut self.state.groups[index];
        let more = group.needed(group.waiters.len() + 1) as u64 > group.claimed;
        if more && self.state.promised + group.mib > budget {
            let text = format!("all of the pool's {budget} MiB are leased or promised");
            self.state.refused = true;
            self.tidy(index);
            return Err(Error::new(ErrorKind::Exhausted, text));
        }
        let (grant, granted) = oneshot::channel();
        group.waiters.insert(number, Waiter { grant, arrived: now });
        self.settle(index, Some(number));
        self.pump();
        Ok(Entered::Waits { group: index, number, granted })
    }

    pub(super) fn check_open(&self) -> Result<(), Error> {
        if self.state.closed {
            return Err(Error::new(ErrorKind::Closed, "the pool is drained"));
        }
        Ok(())
    }

    /// The group of a revision and namespace, made if there is none.
    pub(super) fn group(&mut self, spec: &Arc<ActionSpec>, namespace: &str, shape: &Shape) -> usize {
        if let Some(group) = self.state.find(spec, namespace) {
            return group;
        }
        let target = self.shared.bounds.stems_per_shape;
        if target > 0 && !self.state.shelves.contains_key(shape) {
            self.state.shelves.insert(shape.clone(), Shelf::new(target, false));
        }
        let key = self.state.number();
        let group = self.state.groups.insert(Group {
            key,
            spec: Arc::clone(spec),
            namespace: namespace.into(),
            shape: shape.clone(),
            mib: shape.memory.mib().into(),
            places: if self.shared.bounds.one_at_a_time { 1 } else { spec.limits.concurrency.max(1) },
            slots: Slab::new(),
            open: VecDeque::new(),
            waiters: BTreeMap::new(),
            queued: VecDeque::new(),
            underway: 0,
            creating: 0,
            destroying: 0,
            claimed: 0,
            listed: false,
            retired: false,
        });
        let revision = self.state.revisions.entry(address(spec)).or_default();
        if namespace == spec.name.namespace() {
            revision.own = Some(group);
        } else {
            revision.foreign.insert(namespace.into(), group);
        }
        group
    }

    /// Makes the sums and the queued starts of a group fit the requests that wait in it. `cause` is the request
    /// that a start more is for, the oldest otherwise.
    pub(super) fn settle(&mut self, index: usize, cause: Option<u64>) {
        let group = &mut self.state.groups[index];
        let needed = group.needed(group.waiters.len());
        let before = mem::replace(&mut group.claimed, needed as u64);
        self.state.promised = self.state.promised + group.claimed * group.mib - before * group.mib;
        let capacity_back = group.claimed < before;
        let short = needed.saturating_sub(group.underway);
        group.queued.truncate(short);
        let oldest = group.waiters.keys().next().copied();
        if let Some(cause) = cause.or(oldest) {
            group.queued.resize(short, cause);
        }
        let listed = !group.queued.is_empty();
        match (mem::replace(&mut group.listed, listed), listed) {
            (false, true) => self.state.pending.push_back(index),
            (true, false) => self.state.pending.retain(|pending| *pending != index),
            _ => {}
        }
        if capacity_back {
            self.capacity_back();
        }
    }

    pub(super) fn capacity_back(&mut self) {
        self.later.returned |= mem::take(&mut self.state.refused);
    }

    /// Gives a place of a slot to a request. `made` is what the sandbox took, if it was made for a request.
    fn hand(&mut self, index: usize, slot_index: usize, waiter: Waiter<F>, made: Option<Made>, now: Instant) {
        let group = &mut self.state.groups[index];
        let slot = &mut group.slots[slot_index];
        if slot.active == 0 {
            self.state.promised += group.mib;
        }
        let Some(sandbox) = slot.lend(group.places) else { return };
        let elapsed = now.saturating_duration_since(waiter.arrived);
        let origin = made.map_or_else(|| Origin::waited(elapsed), |made| made.origin(elapsed));
        let counted = &mut self.state.counted;
        match origin.start_kind {
            StartKind::Cold => counted.cold_starts += 1,
            StartKind::Prewarmed => counted.prewarmed_starts += 1,
            StartKind::Warm => counted.warm_starts += 1,
        }
        let lease = WarmLease::new(self.shared, index, slot_index, sandbox, Some(Box::new(origin)));
        self.later.grants.push((waiter.grant, Ok(Grant::new(lease))));
    }

    /// Takes a place back; the sandbox may be used again if it was `kept`.
    pub(super) fn give_back(
        &mut self,
        index: usize,
        slot_index: usize,
        sandbox: Arc<F::Sandbox>,
        kept: Option<Instant>,
    ) {
        let closed = self.state.closed;
        let group = &mut self.state.groups[index];
        let slot = &mut group.slots[slot_index];
        let was_full = slot.active == group.places;
        slot.active -= 1;
        slot.sandbox = Some(sandbox);
        slot.dirty |= kept.is_none();
        let idle = slot.active == 0;
        let unwanted = slot.dirty || closed || (group.retired && group.waiters.is_empty());
        let Some(now) = kept.filter(|_| !unwanted) else {
            if !was_full {
                group.close_slot(slot_index);
            }
            if idle {
                self.state.promised -= group.mib;
                self.doom_slot(index, slot_index);
                self.capacity_back();
            }
            return self.pump();
        };
        if let Some((_, waiter)) = group.waiters.pop_first() {
            if idle {
                self.state.promised -= group.mib;
            }
            self.hand(index, slot_index, waiter, None, now);
            self.settle(index, None);
        } else {
            if was_full {
                group.open.push_back(slot_index);
            }
            if idle {
                self.state.promised -= group.mib;
                self.idle(index, slot_index, now);
            }
            self.capacity_back();
        }
        if !self.state.pending.is_empty() {
            self.pump();
        }
    }

    /// Tells the policy and the reaper that a slot became idle.
    fn idle(&mut self, index: usize, slot_index: usize, now: Instant) {
        let slot = &mut self.state.groups[index].slots[slot_index];
        slot.entry.since = now;
        self.state.keep_alive.used(&mut slot.entry, now);
        let due = self.due(&self.state.groups[index].slots[slot_index]);
        self.look_at(due);
    }

    /// When a slot that is idle expires or is paused.
    pub(super) fn due(&self, slot: &Slot<F::Sandbox>) -> Option<Instant> {
        let expires = self.state.keep_alive.expires(&slot.entry);
        let pause_after = self.shared.bounds.pause_after.filter(|_| !slot.paused);
        let pauses = pause_after.and_then(|after| slot.entry.since.checked_add(after));
        expires.into_iter().chain(pauses).min()
    }

    pub(super) fn look_at(&mut self, due: Option<Instant>) {
        if let Some(due) = due
            && self.state.next_look.is_none_or(|at| due < at)
        {
            self.state.next_look = Some(due);
            self.later.jobs.push(Job::Look);
        }
    }

    /// Puts a sandbox where requests find it: those that wait, then the idle list.
    pub(super) fn place(
        &mut self,
        index: usize,
        sandbox: Arc<F::Sandbox>,
        entry: IdleEntry,
        made: Option<Made>,
    ) {
        let now = Instant::now();
        let slot = Slot { sandbox: Some(sandbox), active: 0, paused: false, dirty: false, entry };
        let group = &mut self.state.groups[index];
        let slot_index = group.slots.insert(slot);
        if self.state.closed || (group.retired && group.waiters.is_empty()) {
            self.doom_slot(index, slot_index);
        } else {
            let places = group.places;
            let mut made = made;
            for _ in 0..places {
                let Some((_, waiter)) = self.state.groups[index].waiters.pop_first() else { break };
                self.hand(index, slot_index, waiter, made.take(), now);
            }
            let group = &mut self.state.groups[index];
            let active = group.slots[slot_index].active;
            if active < places {
                group.open.push_back(slot_index);
            }
            match active {
                0 => self.idle(index, slot_index, now),
                _ if active < places => self.capacity_back(),
                _ => {}
            }
        }
        self.settle(index, None);
        self.later.changed = true;
        self.pump();
    }

    /// Forgets a request that left.
    pub(super) fn leave(&mut self, index: usize, number: u64) {
        let waits = self.state.groups.get_mut(index).and_then(|group| group.waiters.remove(&number));
        if waits.is_some() {
            self.settle(index, None);
            self.tidy(index);
            self.pump();
        }
    }
}
