//! An accepted activation that has no record yet. Whatever becomes of it, it gets exactly one.

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Inner;
use super::run::{Request, billed};
use super::target::{Runs, Target};
use crate::activation::{Activation, Record, StartKind, Times, Usage};
use crate::backend::{Cancel, Completion, Invocation};
use crate::context::Emitted;
use crate::error::Error;
use crate::log::LogLine;
use crate::outcome::Outcome;
use crate::scheduler::Permit;
use crate::store::{Job, Work};

/// Holds an accepted request until its record is written. Dropping it before hands the record to the
/// platform's finisher.
pub(super) struct Unfinished<'a> {
    platform: &'a Arc<Inner>,
    target: &'a Arc<Target>,
    request: Option<Request>,
    attempts: u32,
    /// When the current attempt began to wait, and when it got its permit.
    queued: Instant,
    admitted: Instant,
    waited: Duration,
    billed_ms: u64,
    /// Whether a backend is running the current attempt.
    running: bool,
    /// The record, once it is known: from then on only writing it is left.
    record: Option<(Activation, Vec<Job>)>,
}

/// A record that somebody else has to write.
pub(super) struct Orphan {
    pub(super) request: Request,
    pub(super) target: Arc<Target>,
    pub(super) record: Activation,
    pub(super) follow_up: Vec<Job>,
}

/// What a run came to, as far as records tell it.
struct End {
    outcome: Outcome,
    start_kind: Option<StartKind>,
    times: Times,
    usage: Usage,
    usage_known: bool,
    logs: Vec<LogLine>,
}

impl<'a> Unfinished<'a> {
    pub(super) fn new(platform: &'a Arc<Inner>, target: &'a Arc<Target>, request: Request) -> Self {
        let accepted = request.accepted;
        Self {
            platform,
            target,
            request: Some(request),
            attempts: 0,
            queued: accepted,
            admitted: accepted,
            waited: Duration::ZERO,
            billed_ms: 0,
            running: false,
            record: None,
        }
    }

    #[expect(clippy::expect_used, reason = "only finishing takes the request, and it consumes self")]
    pub(super) fn request(&self) -> &Request {
        self.request.as_ref().expect("the activation is unfinished")
    }

    pub(super) fn namespace(&self) -> &str {
        let invoker = self.request().invoker.as_ref();
        invoker.map_or_else(|| self.target.name().namespace(), |namespace| namespace.as_str())
    }

    pub(super) fn attempts(&self) -> u32 {
        self.attempts
    }

    /// The attempt got its permit after it was queued.
    pub(super) fn queued_until(&mut self, now: Instant) {
        self.admitted = now;
        self.waited += now.saturating_duration_since(self.queued);
    }

    /// Another attempt begins to wait.
    pub(super) fn queue_again(&mut self, start_by: Instant) {
        let now = Instant::now();
        (self.queued, self.admitted) = (now, now);
        if let Some(request) = self.request.as_mut() {
            request.start_by = start_by;
        }
    }

    /// An attempt starts: what the backend is told.
    pub(super) fn begin(&mut self, permit: Permit) -> Invocation {
        self.attempts += 1;
        self.running = true;
        let request = self.request();
        Invocation {
            id: request.id,
            attempt: self.attempts,
            payload: request.payload.clone(),
            invoker: request.invoker.clone(),
            admitted: self.admitted,
            start_by: request.start_by,
            cause: request.cause,
            log_level: request.log_level,
            permit,
        }
    }

    /// The attempt found no room: it did not start.
    pub(super) fn take_back(&mut self) {
        self.running = false;
        self.attempts -= 1;
    }

    /// Counts what the attempt cost.
    pub(super) fn meter(&mut self, completion: &Completion) {
        self.billed_ms += billed(completion);
    }

    /// The attempt is over and another will follow.
    pub(super) fn rest(&mut self) {
        self.running = false;
    }

    /// Writes the record of a run that the backend completed.
    pub(super) async fn complete(mut self, completion: Completion) -> Result<Activation, Error> {
        self.running = false;
        let Completion { outcome, start_kind, wait, create, init, run, logs, emitted, usage } = completion;
        let times = Times { wait: self.waited + wait, create, init, run };
        let begun = wait + create;
        let usage_known = true;
        let end = End { outcome, start_kind: Some(start_kind), times, usage, usage_known, logs };
        let record = self.record(end, begun);
        let follow_up = self.follow_up(emitted);
        self.write(record, follow_up).await
    }

    /// Writes the record of a sequence.
    pub(super) async fn conclude(
        mut self,
        outcome: Outcome,
        times: Times,
        logs: Vec<LogLine>,
    ) -> Result<Activation, Error> {
        self.running = false;
        let usage = Usage::default();
        let end = End { outcome, start_kind: None, times, usage, usage_known: true, logs };
        let record = self.record(end, times.wait);
        self.write(record, Vec::new()).await
    }

    /// Writes the record of a run that the platform failed, and gives the error back with its id.
    pub(super) async fn fail(mut self, error: Error) -> Result<Activation, Error> {
        let id = self.request().id;
        let usage_known = !self.running;
        self.running = false;
        let times = Times { wait: self.waited, ..Times::default() };
        let outcome = Outcome::internal_error(error.message());
        let end =
            End { outcome, start_kind: None, times, usage: Usage::default(), usage_known, logs: Vec::new() };
        let record = self.record(end, Duration::ZERO);
        match self.write(record, Vec::new()).await {
            Ok(_) => Err(error.with_context("activation", id)),
            Err(store) => Err(error.with_context("activation", id).with_context("record", store)),
        }
    }

    fn record(&mut self, end: End, begun: Duration) -> Record {
        let since_accepted = self.admitted.saturating_duration_since(self.request().accepted);
        let request = self.request();
        let start = request.accepted_at.after(since_accepted + begun);
        Record {
            id: request.id,
            invoker: request.invoker.clone(),
            revision: Arc::clone(&self.target.record),
            start_kind: end.start_kind,
            start,
            end: start.after(end.times.billable()),
            times: end.times,
            billed_ms: self.billed_ms,
            usage: end.usage,
            usage_known: end.usage_known,
            attempts: self.attempts,
            cause: request.cause,
            outcome: end.outcome,
            logs: end.logs,
        }
    }

    /// The jobs that fire what was emitted.
    fn follow_up(&self, emitted: Vec<Emitted>) -> Vec<Job> {
        if emitted.is_empty() {
            return Vec::new();
        }
        let request = self.request();
        let now = self.platform.entropy.wall_clock();
        let home = self.platform.registry.home();
        let job = |(n, Emitted { trigger, payload }): (usize, Emitted)| Job {
            id: request.id.derive(&format!("emit/{n}")),
            work: Work::Fire(trigger.resolve(home)),
            payload,
            invoker: request.invoker.clone(),
            cause: Some(request.id),
            depth: request.depth + 1,
            accepted: now,
            not_before: now,
        };
        emitted.into_iter().enumerate().map(job).collect()
    }

    async fn write(mut self, record: Record, follow_up: Vec<Job>) -> Result<Activation, Error> {
        let record = Activation::from(record);
        self.record = Some((record.clone(), follow_up.clone()));
        let claim = self.request().claim;
        self.platform.write(claim, record.clone(), follow_up.clone()).await?;
        self.record = None;
        if let Some(request) = self.request.take() {
            self.platform.settled(self.target, request, &record, follow_up);
        }
        Ok(record)
    }

    /// The record of a run whose caller left.
    fn cancelled(&mut self) -> Record {
        let ran = if self.running { self.admitted.elapsed() } else { Duration::ZERO };
        let usage_known = match &self.target.runs {
            Runs::Action(deployed) => {
                !self.running
                    || (deployed.lane.capability.cancel != Cancel::Abandons && !deployed.spec().blocking)
            }
            Runs::Sequence(_) => true,
        };
        if self.running && usage_known {
            self.billed_ms += crate::meter::billed_ms(ran);
        }
        let times = Times { wait: self.waited, run: ran, ..Times::default() };
        let outcome = Outcome::internal_error(CANCELLED);
        let end =
            End { outcome, start_kind: None, times, usage: Usage::default(), usage_known, logs: Vec::new() };
        self.record(end, Duration::ZERO)
    }
}

/// What the record of a cancelled activation says.
pub(super) const CANCELLED: &str = "The activation was cancelled: its caller left before it ended.";

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if self.request.is_none() {
            return;
        }
        let written = mem::take(&mut self.record);
        let (record, follow_up) = written.unwrap_or_else(|| (self.cancelled().into(), Vec::new()));
        if let Some(request) = self.request.take() {
            self.platform.finish_later(Orphan {
                request,
                target: Arc::clone(self.target),
                record,
                follow_up,
            });
        }
    }
}
