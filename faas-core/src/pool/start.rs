//! Starts: sandboxes that are created, initialised or resumed, by tasks of the pool's own.

use std::error::Error as StdError;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::reaper::Doomed;
use super::state::Shared;
use super::turn::Turn;
use super::{IdleEntry, Origin};
use crate::action::ActionSpec;
use crate::activation::StartKind;
use crate::error::{Error, ErrorKind};
use crate::log::LogLine;
use crate::outcome::Outcome;
use crate::sandbox::{InitError, Sandbox, SandboxFactory, Shape};

/// Where a start that no request caused leaves its error.
pub(super) type Report = Arc<Mutex<Option<Error>>>;

/// Who a start is for.
pub(super) enum Cause {
    /// The waiting request of this number.
    Request(u64),
    /// A call of `warm`.
    Warm(Report),
    /// Nobody: the sandbox was made before.
    Upkeep,
}

/// What making a sandbox for a request took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Made {
    pub(super) kind: StartKind,
    pub(super) create: Duration,
    pub(super) init: Duration,
}

impl Made {
    /// Splits the time that a request waited for the sandbox. The request may have come while it was made, so
    /// that no part is longer than what is left.
    pub(super) fn origin(self, elapsed: Duration) -> Origin {
        let init = self.init.min(elapsed);
        let create = self.create.min(elapsed - init);
        Origin { start_kind: self.kind, wait: elapsed - init - create, create, init }
    }
}

impl Origin {
    /// A warm start that waited.
    pub(super) const fn waited(wait: Duration) -> Self {
        Self { start_kind: StartKind::Warm, wait, create: Duration::ZERO, init: Duration::ZERO }
    }
}

/// A start whose user code failed to initialise: the source of the pool's `InitFailed`, whose message is the text of the
/// outcome.
#[derive(Debug)]
pub struct StartFailed {
    /// Whether a stem cell was used.
    pub start_kind: StartKind,
    /// Time spent making the sandbox.
    pub create: Duration,
    /// Time spent initialising user code.
    pub init: Duration,
    /// The developer error.
    pub outcome: Outcome,
    /// What user code logged.
    pub logs: Vec<LogLine>,
}

impl fmt::Display for StartFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} start failed after {:?} of initialising", self.start_kind, self.init)
    }
}

impl StdError for StartFailed {}

impl From<StartFailed> for Error {
    fn from(failed: StartFailed) -> Self {
        let text = failed.outcome.error().unwrap_or_default();
        Self::new(ErrorKind::InitFailed, text).with_source(failed)
    }
}

/// One sandbox that a task works on, with its memory and its place in the counts. Dropping it gives them back
/// and fails the request that caused the start, as when a factory panics.
pub(super) struct Underway<F: SandboxFactory> {
    shared: Arc<Shared<F>>,
    group: usize,
    mib: u64,
    /// Whether it is created, and so counts in the bounds of creations.
    cold: bool,
    cause: Cause,
    done: bool,
}

impl<F: SandboxFactory> Underway<F> {
    /// Creates a sandbox from nothing.
    pub(super) async fn create(self, spec: Arc<ActionSpec>, shape: Shape) {
        let begun = Instant::now();
        let shared = Arc::clone(&self.shared);
        match shared.factory.create(&shape).await {
            Ok(stem) => self.init(spec, stem, begun.elapsed(), StartKind::Cold).await,
            Err(error) => self.failed(error),
        }
    }

    /// Initialises a stem whose creation took `created`.
    pub(super) async fn init(
        mut self,
        spec: Arc<ActionSpec>,
        stem: F::Stem,
        created: Duration,
        kind: StartKind,
    ) {
        let shared = Arc::clone(&self.shared);
        if shared.turn(|turn| turn.is_unwanted(self.group)) {
            let doomed = self.doom();
            shared.factory.discard(stem).await;
            return drop(doomed);
        }
        let begun = Instant::now();
        let limit = spec.limits.timeout;
        let patience = limit.saturating_add(shared.bounds.init_grace);
        let result = timeout(patience, shared.factory.init(stem, &spec)).await;
        // A stem cell's creation was nobody's waiting.
        let create = if kind == StartKind::Cold { created } else { Duration::ZERO };
        let made = Made { kind, create, init: begun.elapsed() };
        let (outcome, logs) = match result {
            Ok(Ok(sandbox)) => {
                let for_request = matches!(self.cause, Cause::Request(_));
                return self.placed(sandbox, None, for_request.then_some(made), created + made.init);
            }
            Ok(Err(InitError::Factory(error))) => return self.not_made(error, kind),
            Ok(Err(InitError::Action { outcome, logs })) => (outcome, logs),
            Err(_) => (Outcome::init_timed_out(limit), Vec::new()),
        };
        let init = made.init;
        self.failed(StartFailed { start_kind: kind, create, init, outcome, logs }.into());
    }

    /// The factory failed with a stem.
    fn not_made(mut self, error: Error, kind: StartKind) {
        let lost = error.kind() == ErrorKind::SandboxLost && error.is_temporary();
        if lost && kind == StartKind::Prewarmed && matches!(self.cause, Cause::Request(_)) {
            // A stem that ended while nobody looked costs its request time, and no more: it gets another start.
            tracing::debug!(%error, "a stem cell was lost before it was used");
            self.cause = Cause::Upkeep;
        }
        self.failed(error);
    }

    /// Resumes a sandbox; one that cannot be is destroyed.
    pub(super) async fn resume(self, mut sandbox: F::Sandbox, entry: IdleEntry) {
        match sandbox.resume().await {
            Ok(()) => self.placed(sandbox, Some(entry), None, entry.cost),
            Err(error) => self.lost(sandbox, &error).await,
        }
    }

    /// Pauses a sandbox, and resumes it if a request has come for it meanwhile.
    pub(super) async fn pause(mut self, mut sandbox: F::Sandbox, entry: IdleEntry) {
        if let Err(error) = sandbox.pause().await {
            return self.lost(sandbox, &error).await;
        }
        let shared = Arc::clone(&self.shared);
        if shared.turn(|turn| turn.is_awaited(self.group)) {
            return self.resume(sandbox, entry).await;
        }
        self.done = true;
        shared.turn(|turn| {
            turn.ended(self.group, false);
            turn.place_paused(self.group, Arc::new(sandbox), entry);
        });
    }

    fn placed(mut self, sandbox: F::Sandbox, entry: Option<IdleEntry>, made: Option<Made>, cost: Duration) {
        self.done = true;
        let shared = Arc::clone(&self.shared);
        shared.turn(|turn| {
            turn.ended(self.group, self.cold);
            let group = &turn.state.groups[self.group];
            let (key, memory) = (group.key, group.shape.memory);
            let fresh = || IdleEntry { key, memory, cost, since: Instant::now(), priority: 0 };
            turn.place(self.group, Arc::new(sandbox), entry.unwrap_or_else(fresh), made);
        });
    }

    async fn lost(mut self, sandbox: F::Sandbox, error: &Error) {
        tracing::debug!(%error, "a sandbox is destroyed that could not be paused or resumed");
        let doomed = self.doom();
        sandbox.destroy().await;
        drop(doomed);
    }

    /// Keeps the memory until the sandbox is destroyed; requests that counted on it get another start.
    fn doom(&mut self) -> Doomed<F> {
        self.done = true;
        self.shared.turn(|turn| {
            turn.ended(self.group, self.cold);
            let doomed = turn.doom(Some(self.group), self.mib);
            turn.settle(self.group, None);
            turn.pump();
            doomed
        })
    }

    fn failed(mut self, error: Error) {
        self.give_up(error);
    }

    fn give_up(&mut self, error: Error) {
        self.done = true;
        self.shared.turn(|turn| {
            turn.ended(self.group, self.cold);
            turn.state.used -= self.mib;
            match &self.cause {
                Cause::Request(number) => turn.fail(self.group, *number, error),
                Cause::Warm(report) => {
                    report.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                }
                Cause::Upkeep => {}
            }
            turn.settle(self.group, None);
            turn.tidy(self.group);
            turn.later.changed = true;
            turn.pump();
        });
        self.cause = Cause::Upkeep;
    }
}

impl<F: SandboxFactory> Drop for Underway<F> {
    fn drop(&mut self) {
        if !self.done {
            self.give_up(Error::new(ErrorKind::Internal, "the sandbox factory panicked or was stopped"));
        }
    }
}

impl<F: SandboxFactory> Turn<'_, F> {
    /// Counts a start in.
    pub(super) fn underway(&mut self, index: usize, cold: bool, cause: Cause) -> Underway<F> {
        let group = &mut self.state.groups[index];
        group.underway += 1;
        Underway { shared: Arc::clone(self.shared), group: index, mib: group.mib, cold, cause, done: false }
    }

    /// Counts a start out.
    fn ended(&mut self, index: usize, cold: bool) {
        let group = &mut self.state.groups[index];
        group.underway -= 1;
        if cold {
            group.creating -= 1;
            self.state.creating -= 1;
        }
    }

    /// Fails the request that caused a start, unless other starts cover all that wait.
    fn fail(&mut self, index: usize, number: u64, error: Error) {
        let group = &mut self.state.groups[index];
        if group.needed(group.waiters.len()) <= group.underway {
            return;
        }
        if let Some(waiter) = group.waiters.remove(&number) {
            self.later.grants.push((waiter.grant, Err(error)));
        }
    }

    fn is_awaited(&self, index: usize) -> bool {
        !self.state.groups[index].waiters.is_empty()
    }

    fn is_unwanted(&self, index: usize) -> bool {
        self.state.closed || (self.state.groups[index].retired && !self.is_awaited(index))
    }
}
