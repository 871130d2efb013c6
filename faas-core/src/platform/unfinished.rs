//! An accepted activation that has no record yet. Whatever becomes of it, it gets exactly one.

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::level_filters::LevelFilter;

use super::Inner;
use super::held::Held;
use super::in_flight::Entered;
use super::target::{OwnTarget, Runs};
use crate::action::RetryPolicy;
use crate::activation::{Activation, ActivationId, Attempt, Record, StartKind, Times, Usage};
use crate::backend::{Cancel, Completion, Invocation};
use crate::context::Emitted;
use crate::error::{Error, ErrorKind};
use crate::log::LogLine;
use crate::meter;
use crate::name::Namespace;
use crate::outcome::{Outcome, Status};
use crate::payload::Payload;
use crate::scheduler::{Permit, QuotaGuard};
use crate::store::{Job, Work};
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
    /// Whether nobody waits for it in this process: a store that is durable lets the next start go on with it.
    pub(super) alone: bool,
    /// Set when the request is a job of the store.
    pub(super) held: Option<Box<Held>>,
    /// When it was accepted, on both clocks.
    pub(super) accepted: Instant,
    pub(super) accepted_at: Timestamp,
    /// Until when it may wait for a permit and a sandbox.
    pub(super) start_by: Instant,
    pub(super) log_level: LevelFilter,
    pub(super) entered: Entered,
    pub(super) quota: Option<QuotaGuard>,
    pub(super) attempts: u32,
    /// What became of the attempts before the current one.
    pub(super) earlier: Vec<Attempt>,
    /// What the record tells of the input, where it does.
    pub(super) input: Option<Payload>,
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

    /// Whose attempts are known from earlier owners.
    pub(super) fn recall(&mut self, earlier: Vec<Attempt>) {
        self.attempts = u32::try_from(earlier.len()).unwrap_or(u32::MAX);
        self.billed_ms = earlier.iter().map(|attempt| attempt.billed_ms).sum();
        self.waited = earlier.iter().map(|attempt| attempt.times.wait).sum();
        self.earlier = earlier;
    }

    /// When it is run again: by the rule that asked for it, or else by its action.
    pub(super) fn retry(&self) -> RetryPolicy {
        let of_rule = self.held.as_ref().and_then(|held| held.retry);
        of_rule.unwrap_or_else(|| match &self.target.runs {
            Runs::Action(deployed) => deployed.spec().retry,
            Runs::Sequence(_) => RetryPolicy::default(),
        })
    }

    /// Whether an attempt may start at that time.
    pub(super) fn is_young(&self, retry: &RetryPolicy, at: Timestamp) -> bool {
        let due = self.held.as_ref().map_or(self.accepted_at, |held| held.due);
        retry.max_age.is_none_or(|age| at <= due.after(age))
    }

    /// Whether it waits in the store for its next attempt.
    pub(super) fn waits_in_store(&self) -> bool {
        self.alone && self.held.as_ref().is_some_and(|held| !held.is_awaited)
    }

    /// Whether the next start goes on with it when this platform is shut down.
    pub(super) fn is_left(&self, platform: &Inner) -> bool {
        self.is_kept(platform) && !self.running
    }

    /// Whether its job stays in the store when this process ends.
    fn is_kept(&self, platform: &Inner) -> bool {
        platform.durable && self.alone && self.held.is_some()
    }

    /// Whether it was begun by an earlier owner.
    pub(super) fn is_resumed(&self) -> bool {
        self.held.as_ref().is_some_and(|held| held.claim.attempt > 1)
    }

    /// Whether its job becomes a dead letter: nobody else learns how it ended.
    pub(super) fn is_dead(&self, record: &Record) -> bool {
        let is_own = self.alone && self.held.as_ref().is_some_and(|held| !held.is_step);
        is_own
            && match record.status() {
                Status::Success => false,
                Status::ApplicationError => self.retry().on_application_error,
                Status::DeveloperError | Status::InternalError => true,
            }
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

    /// The attempt found no room, or a closed backend: it did not start.
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

    /// Keeps what became of an attempt that another one follows.
    pub(super) fn keep_attempt(&mut self, completion: &Completion) {
        let Completion { wait, create, init, run, outcome, .. } = completion;
        self.waited += *wait;
        let waited = self.admitted.saturating_duration_since(self.queued) + *wait;
        self.earlier.push(Attempt {
            start: self.started_at(*wait + *create),
            times: Times { wait: waited, create: *create, init: *init, run: *run },
            billed_ms: meter::billed_ms(init.saturating_add(*run)),
            usage_known: true,
            status: outcome.status(),
            error: cut(&outcome.error().unwrap_or_default()),
        });
        self.await_start();
    }

    /// Keeps what became of an attempt that the platform failed, and that another one follows.
    pub(super) fn keep_failure(&mut self, error: &Error) {
        self.earlier.push(Attempt {
            start: self.started_at(Duration::ZERO),
            times: Times { wait: self.admitted.saturating_duration_since(self.queued), ..Times::default() },
            billed_ms: 0,
            usage_known: false,
            status: Status::InternalError,
            error: cut(error.message()),
        });
        self.running = false;
        self.await_start();
    }

    /// The store does not know of the next attempt yet.
    fn await_start(&mut self) {
        if let Some(held) = &mut self.held {
            held.started = false;
        }
    }

    /// When what waited for so long after its permit began.
    fn started_at(&self, begun: Duration) -> Timestamp {
        // Most activations wait for nothing.
        if self.admitted == self.accepted && begun.is_zero() {
            return self.accepted_at;
        }
        self.accepted_at.after(self.admitted.saturating_duration_since(self.accepted) + begun)
    }

    fn finish(&mut self, end: End, begun: Duration) {
        let start = self.started_at(begun);
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
            earlier: mem::take(&mut self.earlier),
            input: self.input.take(),
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
        self.send_on(platform);
    }

    fn fail(&mut self, error: &Error, platform: &Inner) {
        let times = Times { wait: self.waited, ..Times::default() };
        let usage_known = !self.running;
        self.finish(
            End::without_run(Outcome::internal_error(error.message()), times, usage_known),
            Duration::ZERO,
        );
        self.send_on(platform);
    }

    /// It was stopped, for that reason, if it runs.
    fn cancel(&mut self, why: &str) {
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
        self.finish(End::without_run(Outcome::internal_error(why), times, usage_known), Duration::ZERO);
    }

    /// The jobs that fire what was emitted.
    fn follow(&mut self, emitted: Vec<Emitted>, platform: &Inner) {
        let now = platform.entropy.wall_clock();
        let home = platform.registry.home();
        for (n, Emitted { trigger, payload }) in emitted.into_iter().enumerate() {
            let work = Work::Fire(trigger.resolve(home));
            let job = self.caused(&format!("emit/{n}"), work, payload, now, platform);
            self.follow_up.push(job);
        }
    }

    /// A job that follows from this one at once, and is called so among all that do.
    pub(super) fn caused(
        &self,
        name: &str,
        work: Work,
        payload: Payload,
        now: Timestamp,
        platform: &Inner,
    ) -> Job {
        Job {
            id: self.id.derive(name),
            work,
            payload,
            invoker: self.invoker.clone(),
            cause: Some(self.id),
            rule: None,
            depth: self.depth + 1,
            accepted: platform.dispatch.accepted_at(now),
            not_before: now,
            key: None,
        }
    }
}

/// What the record of a cancelled activation says.
const CANCELLED: &str = "The activation was cancelled: its caller left before it ended.";

/// What the record of an activation says that shutting down stopped.
const STOPPED: &str = "The activation was stopped: the platform was shut down before it ended.";

/// An error's text, up to what an attempt keeps of it.
fn cut(error: &str) -> String {
    error[..error.floor_char_boundary(Attempt::MAX_ERROR)].to_owned()
}

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

/// What a run comes to: its record, or `None` when its job was put back into the store.
pub(super) type Ran = Result<Option<Activation>, Error>;

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
    pub(super) async fn conclude(mut self, outcome: Outcome, times: Times, logs: Vec<LogLine>) -> Ran {
        self.progress().finish(End { logs, ..End::without_run(outcome, times, true) }, times.wait);
        self.write().await
    }

    /// Writes the record of a run that the platform failed, and gives the error back with its id. What is shut down
    /// before it ran is left to the next start, where there can be one.
    pub(super) async fn fail(mut self, error: Error) -> Ran {
        let platform = self.platform;
        let progress = self.progress();
        if error.kind() == ErrorKind::Closed && progress.is_left(platform) {
            return self.leave().await;
        }
        progress.fail(&error, platform);
        self.write_failed(error).await
    }

    /// Ends a run that shutting down has stopped. Where the next start goes on with its job, that stays started: the code
    /// has run, and its retries say whether it may again.
    pub(super) async fn stop(mut self) -> Ran {
        let platform = self.platform;
        if self.progress().is_kept(platform) {
            self.progress = None;
            return Ok(None);
        }
        self.progress().cancel(STOPPED);
        self.progress().send_on(platform);
        self.write_failed(Error::new(ErrorKind::Closed, STOPPED)).await
    }

    /// Writes the record of a run that failed with this error.
    async fn write_failed(mut self, error: Error) -> Ran {
        let error = error.with_context("activation", self.progress().id);
        match self.write().await {
            Ok(_) => Err(error),
            Err(store) => Err(error.with_context("record", store)),
        }
    }

    /// Puts the job back as it came, for the next start.
    pub(super) async fn leave(mut self) -> Ran {
        let due = self.progress().held.as_ref().map(|held| held.due);
        // The time at which it may run is over, so that this one does as well, and keeps its place in the order.
        self.put_back(due.unwrap_or_default()).await
    }

    /// Puts the job back, to be claimed again from `not_before` on.
    pub(super) async fn put_back(mut self, not_before: Timestamp) -> Ran {
        if let Some(progress) = self.progress.take() {
            self.platform.put_back(&progress, not_before).await?;
        }
        Ok(None)
    }

    /// Writes the record, which is known.
    pub(super) async fn write(mut self) -> Ran {
        let record = self.platform.write(self.progress()).await?;
        if let Some(progress) = self.progress.take() {
            self.platform.settled(&progress, &record);
        }
        Ok(Some(record))
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if let Some(mut progress) = self.progress.take() {
            if progress.record.is_none() {
                progress.cancel(CANCELLED);
            }
            self.platform.finish_later(progress);
        }
    }
}
