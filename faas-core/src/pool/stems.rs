//! Stem cells: created ahead of any request, and again at once after one is taken.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::reaper::Job;
use super::state::Shared;
use super::turn::Turn;
use crate::sandbox::{SandboxFactory, Shape};

/// How long the pool waits after a stem cell could not be created. Arbitrary.
const STEM_RETRY: Duration = Duration::from_secs(1);

/// A stem that is created ahead of any request. Dropping it gives its memory back.
pub(super) struct Growing<F: SandboxFactory> {
    shared: Arc<Shared<F>>,
    shape: Shape,
    mib: u64,
    done: bool,
}

impl<F: SandboxFactory> Growing<F> {
    pub(super) async fn grow(mut self) {
        let shared = Arc::clone(&self.shared);
        let begun = Instant::now();
        match shared.factory.create(&self.shape).await {
            Ok(stem) => {
                self.done = true;
                shared.turn(|turn| turn.shelve(&self.shape, self.mib, stem, begun.elapsed()));
            }
            Err(error) => tracing::debug!(%error, shape = ?self.shape, "a stem cell could not be created"),
        }
    }
}

impl<F: SandboxFactory> Drop for Growing<F> {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        self.shared.turn(|turn| {
            turn.grown(&self.shape);
            turn.state.used -= self.mib;
            let retry_at = Instant::now() + STEM_RETRY;
            if let Some(shelf) = turn.state.shelves.get_mut(&self.shape) {
                shelf.retry_at = Some(retry_at);
                turn.look_at(Some(retry_at));
            }
            turn.later.changed = true;
            turn.pump();
        });
    }
}

impl<F: SandboxFactory> Turn<'_, F> {
    /// Creates stems until every shelf has its number, as far as memory is free.
    pub(super) fn refill(&mut self) {
        let bounds = &self.shared.bounds;
        let state = &mut *self.state;
        for (shape, shelf) in &mut state.shelves {
            let mib = u64::from(shape.memory.mib());
            if shelf.stems.len() + shelf.creating < shelf.target
                && shelf.retry_at.is_some_and(|at| Instant::now() < at)
            {
                continue;
            }
            while shelf.stems.len() + shelf.creating < shelf.target
                && state.creating < bounds.cold_starts
                && state.used + mib <= bounds.budget
            {
                shelf.creating += 1;
                state.creating += 1;
                state.used += mib;
                state.counted.created += 1;
                let (shared, shape) = (Arc::clone(self.shared), shape.clone());
                self.later.jobs.push(Job::Grow(Growing { shared, shape, mib, done: false }));
            }
        }
    }

    fn grown(&mut self, shape: &Shape) {
        self.state.creating -= 1;
        if let Some(shelf) = self.state.shelves.get_mut(shape) {
            shelf.creating = shelf.creating.saturating_sub(1);
        }
    }

    fn shelve(&mut self, shape: &Shape, mib: u64, stem: F::Stem, created: Duration) {
        self.grown(shape);
        let closed = self.state.closed;
        match self.state.shelves.get_mut(shape) {
            Some(shelf) if !closed && shelf.stems.len() < shelf.target => {
                shelf.retry_at = None;
                shelf.stems.push((stem, created));
            }
            _ => self.discard(mib, stem),
        }
        self.later.changed = true;
        self.pump();
    }
}
