//! A sandbox of an action with shared state, in this process.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, timeout, timeout_at};

use crate::activation::{StartKind, Usage};
use crate::backend::Completion;
use crate::error::{Error, ErrorKind};
use crate::guest::{Guest, Reply};
use crate::outcome::Outcome;

/// A guest that has to be initialised, and whether it is.
pub(super) struct Place {
    pub(super) guest: Guest,
    started: AtomicBool,
    /// Held by whoever initialises.
    initialising: Mutex<()>,
}

/// How a guest came to be ready.
pub(super) struct Start {
    pub(super) kind: StartKind,
    pub(super) wait: Duration,
    pub(super) init: Duration,
}

impl Start {
    /// A start that took no time.
    pub(super) fn at_once(kind: StartKind) -> Self {
        Self { kind, wait: Duration::ZERO, init: Duration::ZERO }
    }

    /// How an invocation ended that began so, and then ran for `run`.
    pub(super) fn completion(&self, reply: Reply, run: Duration) -> Completion {
        Completion {
            outcome: reply.outcome,
            start_kind: self.kind,
            wait: self.wait,
            create: Duration::ZERO,
            init: self.init,
            run,
            logs: reply.logs,
            emitted: reply.emitted,
            usage: Usage::default(),
        }
    }
}

impl Place {
    pub(super) fn new(guest: Guest) -> Self {
        Self { guest, started: AtomicBool::new(false), initialising: Mutex::new(()) }
    }

    /// Initialises the guest unless it is; all but one caller wait for the one, until `start_by`.
    pub(super) async fn start(&self, start_by: Instant) -> Result<(Start, Result<(), Reply>), Error> {
        let warm = Start::at_once(StartKind::Warm);
        if self.started.load(Ordering::Acquire) {
            return Ok((warm, Ok(())));
        }
        let arrived = Instant::now();
        let turn = timeout_at(start_by, self.initialising.lock()).await;
        let wait = arrived.elapsed();
        let _turn = turn.map_err(|_| self.waited_too_long(wait))?;
        if self.started.load(Ordering::Acquire) {
            return Ok((Start { wait, ..warm }, Ok(())));
        }
        let began = Instant::now();
        let limit = self.guest.spec().limits.timeout;
        let mut init = self.guest.init();
        let ready = timeout(limit, &mut init).await;
        let ready = ready.unwrap_or_else(|_| Err(init.abandon(Outcome::init_timed_out(limit))));
        self.started.store(ready.is_ok(), Ordering::Release);
        Ok((Start { kind: StartKind::Cold, wait, init: began.elapsed() }, ready))
    }

    fn waited_too_long(&self, wait: Duration) -> Error {
        let text = format!("waited {wait:?} for the initialisation by another invocation");
        let error = Error::new(ErrorKind::DeadlineExceeded, text).temporary(true);
        error.with_context("action", &self.guest.spec().name)
    }
}
