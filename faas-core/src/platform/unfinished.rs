//! An accepted activation that has no record yet. Whatever becomes of it, it gets exactly one.

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::level_filters::LevelFilter;

use super::Inner;
use super::in_flight::Entered;
use super::target::{OwnTarget, Runs};
use crate::activation::{Activation, ActivationId, Record, StartKind, Times, Usage};
use crate::backend::{Cancel, Completion, Invocation};
use crate::context::Emitted;
use crate::error::Error;
use crate::log::LogLine;
use crate::meter;
use crate::name::Namespace;
use crate::outcome::Outcome;
use crate::payload::Payload;
use crate::scheduler::{Permit, QuotaGuard};
use crate::store::{Claim, Job, Work};
use crate::units::Timestamp;

/// An accepted request and how far it has come.
pub(super) struct Progress {
    pub(super) target: Arc<OwnTarget>,
    pub(super) id: ActivationId,
    pub(super) payload: Payload,
    pub(super) invoker: Option<Namespace>,
    pub(super) cause: Option<ActivationId>,
    /// How many events lie between it and what came from outside.
    pub(super) depth: u32,
    /// Set when the request is a job of the store.
    pub(super) claim: Option<Claim>,
    /// When it was accepted, on both clocks.
    pub(super) accepted: Instant,
    pub(super) accepted_at: Timestamp,
    /// Until when it may wait for a permit and a sandbox.
    pub(super) start_by: Instant,
    pub(super) log_level: LevelFilter,
    pub(super) entered: Entered,
    pub(super) quota: Option<QuotaGuard>,
    pub(super) attempts: u32,
    /// When the current attempt began to wait, and when it got its permit.
    pub(super) queued: Instant,
    pub(super) admitted: Instant,
    pub(super) waited: Duration,
    pub(super) billed_ms: u64,
    /// Whether a backend is running the current attempt.
    pub(super) running: bool,
    /// The record and what follows from it, once they are known: from then on only writing is left.
    pub(super) record: Option<Activation>,
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

impl End {
    /// An end without a run.
    fn without_run(outcome: Outcome, times: Times, usage_known: bool) -> Self {
        Self { outcome, start_kind: None, times, usage: Usage::default(), usage_known, logs: Vec::new() }
    }
}

impl Progress {
    pub(super) fn namespace(&self) -> &str {
        self.invoker.as_ref().map_or_else(|| self.target.name().namespace(), Namespace::as_str)
    }

    /// The attempt got its permit after it was queued.
    pub(super) fn queued_until(&mut self, now: Instant) {
        self.admitted = now;
        self.waited += now.saturating_duration_since(self.queued);
    }

    /// Another attempt begins to wait.
    pub(super) fn queue_again(&mut self, now: Instant, start_by: Instant) {
        (self.queued, self.admitted, self.start_by) = (now, now, start_by);
    }

    /// An attempt starts: what the backend is told. The payload is kept if there may be another attempt.
    pub(super) fn begin(&mut self, permit: Permit, keep_payload: bool) -> Invocation {
        self.attempts += 1;
        self.running = true;
        let payload = if keep_payload { self.payload.clone() } else { mem::take(&mut self.payload) };
        Invocation {
            id: self.id,
            attempt: self.attempts,
            payload,
            invoker: self.invoker.clone(),
            admitted: self.admitted,
            start_by: self.start_by,
            cause: self.cause,
            log_level: self.log_level,
            permit,
        }
    }

    /// The attempt found no room: it did not start, and waits again for as long as it may.
    pub(super) fn take_back(&mut self, now: Instant) {
        self.queued = now;
        self.running = false;
        self.attempts -= 1;
    }

    /// The attempt ran: counts what it cost.
    pub(super) fn meter(&mut self, completion: &Completion) {
        self.running = false;
        self.billed_ms += meter::billed_ms(completion.init.saturating_add(completion.run));
    }

    fn finish(&mut self, end: End, begun: Duration) {
        let mut start = self.accepted_at;
        // Most activations wait for nothing.
        if self.admitted != self.accepted || !begun.is_zero() {
            start = start.after(self.admitted.saturating_duration_since(self.accepted) + begun);
        }
        let record = Record {
            id: self.id,
            invoker: self.invoker.clone(),
            revision: Arc::clone(&self.target.own_record),
            start_kind: end.start_kind,
            start,
            end: start.after(end.times.billable()),
            times: end.times,
            billed_ms: self.billed_ms,
            usage: end.usage,
            usage_known: end.usage_known,
            attempts: self.attempts,
            cause: self.cause,
            outcome: end.outcome,
            logs: end.logs,
            earlier: Vec::new(),
            input: None,
        };
        self.running = false;
        self.record = Some(record.into());
    }

    /// The backend completed the last attempt.
    pub(super) fn complete(&mut self, completion: Completion, platform: &Inner) {
        let Completion { outcome, start_kind, wait, create, init, run, logs, emitted, usage } = completion;
        let times = Times { wait: self.waited + wait, create, init, run };
        let end = End { outcome, start_kind: Some(start_kind), times, usage, usage_known: true, logs };
        self.finish(end, wait + create);
        if !emitted.is_empty() {
            self.follow(emitted, platform);
        }
    }

    fn fail(&mut self, error: &Error) {
        let times = Times { wait: self.waited, ..Times::default() };
        let usage_known = !self.running;
        self.finish(
            End::without_run(Outcome::internal_error(error.message()), times, usage_known),
            Duration::ZERO,
        );
    }

    /// The caller left.
    fn cancel(&mut self) {
        let ran = if self.running { self.admitted.elapsed() } else { Duration::ZERO };
        let stops = match &self.target.runs {
            Runs::Action(deployed) => {
                deployed.lane.capability.cancel != Cancel::Abandons && !deployed.spec().blocking
            }
            Runs::Sequence(_) => true,
        };
        if self.running && stops {
            self.billed_ms += meter::billed_ms(ran);
        }
        let times = Times { wait: self.waited, run: ran, ..Times::default() };
        let usage_known = !self.running || stops;
        self.finish(End::without_run(Outcome::internal_error(CANCELLED), times, usage_known), Duration::ZERO);
    }

    /// The jobs that fire what was emitted.
    fn follow(&mut self, emitted: Vec<Emitted>, platform: &Inner) {
        let now = platform.entropy.wall_clock();
        let home = platform.registry.home();
        let job = |(n, Emitted { trigger, payload }): (usize, Emitted)| Job {
            id: self.id.derive(&format!("emit/{n}")),
            work: Work::Fire(trigger.resolve(home)),
            payload,
            invoker: self.invoker.clone(),
            cause: Some(self.id),
            rule: None,
            depth: self.depth + 1,
            accepted: now,
            not_before: now,
            key: None,
        };
        self.follow_up = emitted.into_iter().enumerate().map(job).collect();
    }
}

/// What the record of a cancelled activation says.
const CANCELLED: &str = "The activation was cancelled: its caller left before it ended.";

/// An activation whose caller left: it keeps the platform until its record is written.
pub(super) struct Orphan {
    pub(super) platform: Arc<Inner>,
    pub(super) progress: Box<Progress>,
}

/// An accepted activation on its way to whoever runs it. Dropping it is the same as dropping [`Unfinished`].
pub(super) struct Accepted {
    platform: Arc<Inner>,
    progress: Option<Box<Progress>>,
}

impl Accepted {
    pub(super) fn new(platform: Arc<Inner>, progress: Box<Progress>) -> Self {
        Self { platform, progress: Some(progress) }
    }

    /// Takes it, once.
    pub(super) fn into_progress(mut self) -> Option<Box<Progress>> {
        self.progress.take()
    }
}

impl Drop for Accepted {
    fn drop(&mut self) {
        drop(self.progress.take().map(|progress| Unfinished::new(&self.platform, progress)));
    }
}

/// Holds an accepted activation until its record is written. Dropping it before leaves that to the
/// platform's finisher.
pub(super) struct Unfinished<'a> {
    platform: &'a Arc<Inner>,
    /// `None` once the record is written.
    progress: Option<Box<Progress>>,
}

impl<'a> Unfinished<'a> {
    pub(super) fn new(platform: &'a Arc<Inner>, progress: Box<Progress>) -> Self {
        Self { platform, progress: Some(progress) }
    }

    #[expect(clippy::expect_used, reason = "only writing the record takes it, and that consumes self")]
    pub(super) fn progress(&mut self) -> &mut Progress {
        self.progress.as_mut().expect("the activation is unfinished")
    }

    /// Writes the record of a sequence.
    pub(super) async fn conclude(
        mut self,
        outcome: Outcome,
        times: Times,
        logs: Vec<LogLine>,
    ) -> Result<Activation, Error> {
        self.progress().finish(End { logs, ..End::without_run(outcome, times, true) }, times.wait);
        self.write().await
    }

    /// Writes the record of a run that the platform failed, and gives the error back with its id.
    pub(super) async fn fail(mut self, error: Error) -> Result<Activation, Error> {
        let progress = self.progress();
        progress.fail(&error);
        let error = error.with_context("activation", progress.id);
        match self.write().await {
            Ok(_) => Err(error),
            Err(store) => Err(error.with_context("record", store)),
        }
    }

    /// Writes the record, which is known.
    pub(super) async fn write(mut self) -> Result<Activation, Error> {
        let record = self.platform.write(self.progress()).await?;
        if let Some(progress) = self.progress.take() {
            self.platform.settled(&progress, &record);
        }
        Ok(record)
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if let Some(mut progress) = self.progress.take() {
            if progress.record.is_none() {
                progress.cancel();
            }
            self.platform.finish_later(progress);
        }
    }
}
