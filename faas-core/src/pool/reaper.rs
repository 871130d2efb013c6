//! The pool's task: carries out what was decided at the lock, and looks for what has expired.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::select;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::IdleEntry;
use super::start::{Cause, Underway};
use super::state::{Shared, Slot};
use super::stems::Growing;
use super::turn::Turn;
use crate::action::ActionSpec;
use crate::activation::StartKind;
use crate::sandbox::{Sandbox, SandboxFactory, Shape};

/// A sandbox out of a slot that nobody leases: it is there, and nobody else has a clone.
type Returned<F> = Option<Arc<<F as SandboxFactory>::Sandbox>>;

/// What the pool's task is asked to do.
pub(super) enum Job<F: SandboxFactory> {
    /// See when something expires first.
    Look,
    Create(Underway<F>, Arc<ActionSpec>, Shape),
    Init(Underway<F>, Arc<ActionSpec>, F::Stem, Duration),
    Resume(Underway<F>, Returned<F>, IdleEntry),
    Pause(Underway<F>, Returned<F>, IdleEntry),
    Grow(Growing<F>),
    Destroy(Doomed<F>, Returned<F>),
    Discard(Doomed<F>, F::Stem),
}

impl<F: SandboxFactory> Job<F> {
    async fn run(self) {
        match self {
            Self::Look => {}
            Self::Create(underway, spec, shape) => underway.create(spec, shape).await,
            Self::Init(underway, spec, stem, created) => {
                underway.init(spec, stem, created, StartKind::Prewarmed).await;
            }
            Self::Resume(underway, sandbox, entry) => {
                if let Some(sandbox) = sandbox.and_then(Arc::into_inner) {
                    underway.resume(sandbox, entry).await;
                }
            }
            Self::Pause(underway, sandbox, entry) => {
                if let Some(sandbox) = sandbox.and_then(Arc::into_inner) {
                    underway.pause(sandbox, entry).await;
                }
            }
            Self::Grow(growing) => growing.grow().await,
            Self::Destroy(doomed, sandbox) => {
                if let Some(sandbox) = sandbox.and_then(Arc::into_inner) {
                    sandbox.destroy().await;
                }
                drop(doomed);
            }
            Self::Discard(doomed, stem) => {
                doomed.shared.factory.discard(stem).await;
                drop(doomed);
            }
        }
    }
}

/// Takes jobs until the pool and all its leases are gone, and then ends what it began. It holds the pool only
/// while it looks.
pub(super) async fn attend<F: SandboxFactory>(shared: Weak<Shared<F>>, mut jobs: UnboundedReceiver<Job<F>>) {
    let mut tasks = JoinSet::new();
    loop {
        let next_look = shared.upgrade().and_then(|shared| shared.lock().next_look);
        select! {
            biased;
            job = jobs.recv() => match job {
                Some(Job::Look) => {}
                Some(job) => {
                    tasks.spawn(job.run());
                }
                None => break,
            },
            // A panic has already given back what its task held.
            Some(_) = tasks.join_next() => {}
            () = sleep_until(next_look.unwrap_or_else(Instant::now)), if next_look.is_some() => {
                if let Some(shared) = shared.upgrade() {
                    shared.turn(|turn| turn.look(Instant::now()));
                }
            }
        }
    }
    while tasks.join_next().await.is_some() {}
}

/// The memory of something that is being destroyed. Dropping it gives the memory back.
pub(super) struct Doomed<F: SandboxFactory> {
    shared: Arc<Shared<F>>,
    group: Option<usize>,
    mib: u64,
}

impl<F: SandboxFactory> Drop for Doomed<F> {
    fn drop(&mut self) {
        self.shared.turn(|turn| {
            turn.state.used -= self.mib;
            turn.state.freeing -= self.mib;
            turn.state.destroying -= 1;
            if let Some(index) = self.group {
                turn.state.groups[index].destroying -= 1;
                turn.tidy(index);
            }
            turn.later.changed = true;
            turn.pump();
        });
    }
}

impl<F: SandboxFactory> Turn<'_, F> {
    /// Counts a destruction in.
    pub(super) fn doom(&mut self, group: Option<usize>, mib: u64) -> Doomed<F> {
        self.state.freeing += mib;
        self.state.destroying += 1;
        if let Some(index) = group {
            self.state.groups[index].destroying += 1;
        }
        Doomed { shared: Arc::clone(self.shared), group, mib }
    }

    /// Destroys the sandbox of a slot that nobody leases.
    pub(super) fn doom_slot(&mut self, index: usize, slot_index: usize) {
        let group = &mut self.state.groups[index];
        group.close_slot(slot_index);
        let Slot { sandbox, .. } = group.slots.remove(slot_index);
        let doomed = self.doom(Some(index), self.state.groups[index].mib);
        self.later.jobs.push(Job::Destroy(doomed, sandbox));
    }

    pub(super) fn doom_idle(&mut self, index: usize) {
        let slots = &self.state.groups[index].slots;
        let idle: Vec<usize> = slots.iter().filter(|(_, s)| s.active == 0).map(|(slot, _)| slot).collect();
        for slot in idle {
            self.doom_slot(index, slot);
        }
    }

    pub(super) fn doom_stems(&mut self, shape: &Shape) {
        let mib = u64::from(shape.memory.mib());
        while let Some((stem, _)) = self.state.shelves.get_mut(shape).and_then(|s| s.stems.pop()) {
            self.discard(mib, stem);
        }
    }

    pub(super) fn discard(&mut self, mib: u64, stem: F::Stem) {
        let doomed = self.doom(None, mib);
        self.later.jobs.push(Job::Discard(doomed, stem));
    }

    /// Destroys what has expired, pauses what has been idle for long enough, and notes when to look again.
    pub(super) fn look(&mut self, now: Instant) {
        self.state.next_look = None;
        let mut next: Option<Instant> = None;
        for ((index, slot_index), entry) in self.idle_slots() {
            if self.state.keep_alive.expires(&entry).is_some_and(|at| at <= now) {
                self.doom_slot(index, slot_index);
                self.state.counted.expirations += 1;
                continue;
            }
            let due = self.due(&self.state.groups[index].slots[slot_index]);
            if due.is_some_and(|at| at <= now) {
                self.begin_pause(index, slot_index);
            } else {
                next = next.into_iter().chain(due).min();
            }
        }
        self.pump();
        let retries = self.state.shelves.values().filter_map(|shelf| shelf.retry_at.filter(|at| now < *at));
        let next = retries.chain(next).min();
        self.look_at(next);
    }

    fn begin_pause(&mut self, index: usize, slot_index: usize) {
        let group = &mut self.state.groups[index];
        group.close_slot(slot_index);
        let slot = group.slots.remove(slot_index);
        let underway = self.underway(index, false, Cause::Upkeep);
        self.later.jobs.push(Job::Pause(underway, slot.sandbox, slot.entry));
    }

    /// Puts a paused sandbox behind all others of its group.
    pub(super) fn place_paused(&mut self, index: usize, sandbox: Arc<F::Sandbox>, entry: IdleEntry) {
        let slot = Slot { sandbox: Some(sandbox), active: 0, paused: true, dirty: false, entry };
        let group = &mut self.state.groups[index];
        let slot_index = group.slots.insert(slot);
        group.open.push_front(slot_index);
        if self.state.closed || group.retired {
            self.doom_slot(index, slot_index);
        } else {
            let due = self.due(&self.state.groups[index].slots[slot_index]);
            self.look_at(due);
        }
        self.settle(index, None);
        self.later.changed = true;
        self.pump();
    }
}
