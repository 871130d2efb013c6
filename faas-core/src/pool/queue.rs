//! The starts that wait for their turn or for memory.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;

use super::reaper::Job;
use super::start::{Cause, Report};
use super::turn::Turn;
use crate::sandbox::SandboxFactory;

/// Whether a start could begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begun {
    Yes,
    /// As many are under way as may be.
    Bounded,
    /// There is no memory now.
    NoRoom,
}

/// Starts that wait for memory before others in the queue.
#[derive(Default)]
struct Ahead {
    mib: u64,
    starts: usize,
}

impl<F: SandboxFactory> Turn<'_, F> {
    /// Begins what can begin: queued starts first, then stems with the memory that is left.
    pub(super) fn pump(&mut self) {
        // Jobs that nobody takes would keep the pool alive, and it them.
        if self.state.closed || self.state.unattended.is_some() {
            return;
        }
        let mut ahead = Ahead::default();
        let (mut kept, mut moved) = (VecDeque::new(), VecDeque::new());
        for group in mem::take(&mut self.state.pending) {
            let progressed = self.begin_queued(group, &mut ahead);
            let more = !self.state.groups[group].queued.is_empty();
            self.state.groups[group].listed = more;
            if more {
                // Who got something waits behind those that got nothing.
                if progressed { moved.push_back(group) } else { kept.push_back(group) }
            }
        }
        kept.append(&mut moved);
        self.state.pending = kept;
        if self.state.pending.is_empty() && !self.state.shelves.is_empty() {
            self.refill();
        }
    }

    fn begin_queued(&mut self, index: usize, ahead: &mut Ahead) -> bool {
        let (mut next, mut progressed) = (0, false);
        while let Some(cause) = self.state.groups[index].queued.get(next).copied() {
            let cause = || Cause::Request(cause);
            let begun = if self.begin_paused(index) || self.begin_prewarmed(index, cause) {
                Begun::Yes
            } else {
                self.begin_cold(index, cause, next, ahead)
            };
            match begun {
                Begun::Yes => {
                    self.state.groups[index].queued.remove(next);
                    progressed = true;
                }
                Begun::NoRoom => {
                    let mib = self.state.groups[index].mib;
                    ahead.mib += mib;
                    ahead.starts += 1;
                    self.make_room(ahead.mib);
                    next += 1;
                }
                Begun::Bounded => break,
            }
        }
        progressed
    }

    /// Resumes a sandbox of the group, if one is paused.
    fn begin_paused(&mut self, index: usize) -> bool {
        let group = &mut self.state.groups[index];
        let Some(slot) = group.open.iter().copied().rfind(|slot| group.slots[*slot].paused) else {
            return false;
        };
        group.close_slot(slot);
        let slot = group.slots.remove(slot);
        let underway = self.underway(index, false, Cause::Upkeep);
        self.later.jobs.push(Job::Resume(underway, slot.sandbox, slot.entry));
        true
    }

    /// Initialises a stem cell, if there is one of the shape.
    fn begin_prewarmed(&mut self, index: usize, cause: impl FnOnce() -> Cause) -> bool {
        let group = &self.state.groups[index];
        let shelf = self.state.shelves.get_mut(&group.shape);
        let Some((stem, created)) = shelf.and_then(|shelf| shelf.stems.pop()) else { return false };
        let spec = Arc::clone(&group.spec);
        let underway = self.underway(index, false, cause());
        self.later.jobs.push(Job::Init(underway, spec, stem, created));
        true
    }

    fn begin_cold(
        &mut self,
        index: usize,
        cause: impl FnOnce() -> Cause,
        waiting: usize,
        ahead: &Ahead,
    ) -> Begun {
        let group = &self.state.groups[index];
        let bounds = &self.shared.bounds;
        if group.creating + waiting >= bounds.cold_starts_per_action
            || self.state.creating + ahead.starts >= bounds.cold_starts
        {
            return Begun::Bounded;
        }
        if self.state.used + ahead.mib + group.mib > bounds.budget {
            return Begun::NoRoom;
        }
        let (spec, shape) = (Arc::clone(&group.spec), group.shape.clone());
        self.state.used += group.mib;
        self.state.creating += 1;
        self.state.counted.created += 1;
        self.state.groups[index].creating += 1;
        let underway = self.underway(index, true, cause());
        self.later.jobs.push(Job::Create(underway, spec, shape));
        Begun::Yes
    }

    /// Begins a start that no request waits for; it takes nobody's place and nobody's memory.
    pub(super) fn begin_ahead(&mut self, index: usize, report: &Report) -> Begun {
        let cause = || Cause::Warm(Arc::clone(report));
        if self.begin_prewarmed(index, cause) {
            self.pump();
            return Begun::Yes;
        }
        if !self.state.pending.is_empty() {
            return Begun::NoRoom;
        }
        self.begin_cold(index, cause, 0, &Ahead::default())
    }
}
