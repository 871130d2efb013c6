//! The ends of groups, of revisions, and of the pool.

use std::mem;
use std::sync::Arc;

use super::state::{Group, State, address};
use super::turn::Turn;
use crate::action::ActionSpec;
use crate::error::{Error, ErrorKind};
use crate::sandbox::{SandboxFactory, Shape};

impl<F: SandboxFactory> Turn<'_, F> {
    /// Forgets a group that has nothing left.
    pub(super) fn tidy(&mut self, index: usize) {
        if !self.state.groups.get(index).is_some_and(Group::is_empty) {
            return;
        }
        let group = self.state.groups.remove(index);
        self.state.keep_alive.gone(group.key);
        unlink(self.state, &group.spec, &group.namespace, index);
        self.later.specs.push(group.spec);
    }

    /// Takes a revision away: what is idle is destroyed, what is leased when it is returned.
    pub(super) fn retire(&mut self, spec: &Arc<ActionSpec>, shape: &Shape) {
        for index in groups_of(self.state, spec) {
            let namespace = mem::take(&mut self.state.groups[index].namespace);
            unlink(self.state, spec, &namespace, index);
            self.state.groups[index].retired = true;
            self.doom_idle(index);
            self.tidy(index);
        }
        let own_stems = shape.artifact.is_some() && self.state.shelves.get(shape).is_some_and(|s| !s.fixed);
        if own_stems {
            self.doom_stems(shape);
            self.state.shelves.remove(shape);
        }
        self.later.changed = true;
        self.pump();
    }

    /// Whether anything is left of a revision that was taken away.
    pub(super) fn remains(&self, spec: &Arc<ActionSpec>) -> bool {
        groups_of(self.state, spec).into_iter().any(|index| self.state.groups[index].retired)
    }

    /// Whether a revision that was taken away still has a sandbox that is not leased.
    pub(super) fn retires(&self, spec: &Arc<ActionSpec>) -> bool {
        groups_of(self.state, spec).into_iter().map(|index| &self.state.groups[index]).any(|group| {
            group.retired
                && (group.underway > group.claimed.try_into().unwrap_or(usize::MAX) || group.destroying > 0)
        })
    }

    /// Refuses everything from now on, and destroys what is not leased.
    pub(super) fn close(&mut self) {
        if mem::replace(&mut self.state.closed, true) {
            return;
        }
        let groups: Vec<usize> = self.state.groups.iter().map(|(index, _)| index).collect();
        for index in groups {
            for (_, waiter) in mem::take(&mut self.state.groups[index].waiters) {
                let error = Error::new(ErrorKind::Closed, "the pool is drained");
                self.later.grants.push((waiter.grant, Err(error)));
            }
            self.settle(index, None);
            self.doom_idle(index);
            self.tidy(index);
        }
        let shapes: Vec<Shape> = self.state.shelves.keys().cloned().collect();
        for shape in &shapes {
            self.doom_stems(shape);
        }
        self.state.refused = false;
        self.later.returned = true;
        self.later.changed = true;
    }
}

fn groups_of<F: SandboxFactory>(state: &State<F>, spec: &Arc<ActionSpec>) -> Vec<usize> {
    let of_spec = |(_, group): &(usize, &Group<F>)| Arc::ptr_eq(&group.spec, spec);
    state.groups.iter().filter(of_spec).map(|(index, _)| index).collect()
}

/// Makes new requests for a revision and namespace begin a group of their own.
fn unlink<F: SandboxFactory>(state: &mut State<F>, spec: &Arc<ActionSpec>, namespace: &str, index: usize) {
    let Some(revision) = state.revisions.get_mut(&address(spec)) else { return };
    if revision.own == Some(index) {
        revision.own = None;
    } else if revision.foreign.get(namespace) == Some(&index) {
        revision.foreign.remove(namespace);
    }
    if revision.own.is_none() && revision.foreign.is_empty() {
        state.revisions.remove(&address(spec));
    }
}
