//! Accepted work that the platform runs by itself, and writing records down.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Inner;
use super::dispatch::{Place, since};
use super::held::{Held, first_due, is_step};
use super::in_flight::Entered;
use super::invoke::ended;
use super::run::Admission;
use super::target::{OwnTarget, Runs};
use super::unfinished::{Orphan, Progress, Ran, Unfinished};
use crate::activation::{ActionRevision, Activation, ActivationKind, Attempt, Record, Times, Version};
use crate::error::{Error, ErrorKind};
use crate::name::EntityName;
use crate::outcome::{Outcome, Status};
use crate::scheduler::deadline_after;
use crate::store::{Claim, Claimed, Damage, FollowUp, Job, JobState, Work};
use crate::units::{MemoryMib, Timestamp};

/// What is told of an attempt whose process ended before it did.
const LOST: &str = "The activation was lost: its process ended before it did.";

/// How many jobs are given up in one go. Arbitrary.
const GIVEN_UP: usize = 256;

impl Inner {
    /// Runs an accepted request to its record. One without a place in the queue was accepted before, and gets
    /// one however long the queue is.
    pub(super) async fn run(self: &Arc<Self>, progress: Box<Progress>, admission: Option<Admission>) -> Ran {
        let target = Arc::clone(&progress.target);
        let unfinished = Unfinished::new(self, progress);
        match &target.runs {
            Runs::Action(deployed) => self.run_action(deployed, unfinished, admission).await,
            Runs::Sequence(members) => Box::pin(self.run_sequence(members, unfinished)).await,
        }
    }

    /// Runs a job that the dispatcher claimed.
    pub(super) async fn run_claimed(
        self: &Arc<Self>,
        claimed: Claimed,
        place: Option<Place>,
        entered: Entered,
    ) {
        let id = claimed.job.id;
        let done = match self.find_target(&claimed.job) {
            _ if claimed.damage.is_some() => self.end_damaged(&claimed, entered).await,
            Ok(Some(target)) => {
                let lost = claimed.state == JobState::Lost && matches!(target.runs, Runs::Action(_));
                let mut progress = self.progress_of(target, claimed, entered);
                if let Some(held) = &mut progress.held {
                    held.place = place;
                }
                if lost {
                    self.run_lost(progress).await;
                } else {
                    self.run_to_its_end(progress, None).await;
                }
                return;
            }
            Ok(None) => self.fire_job(&claimed.job, claimed.claim, entered).await,
            Err(error) => self.end_unrunnable(&claimed.job, claimed.claim, &error, entered).await,
        };
        // What is closed meanwhile is left to the next start.
        if let Err(error) = done
            && error.kind() != ErrorKind::Closed
        {
            tracing::error!(activation = %id, %error, "an accepted activation has no record");
        }
    }

    /// What a job runs, unless it fires a trigger.
    fn find_target(&self, job: &Job) -> Result<Option<Arc<OwnTarget>>, Error> {
        let Work::Invoke(name) = &job.work else { return Ok(None) };
        self.check_depth(job.depth)?;
        self.registry.action(&format!("/{name}")).map(Some)
    }

    /// Refuses what is too many events away from its origin.
    pub(super) fn check_depth(&self, depth: u32) -> Result<(), Error> {
        if depth <= self.max_causal_depth {
            return Ok(());
        }
        let text = format!(
            "The event is {depth} events away from its origin, more than {}: rules and actions fire each other in a cycle.",
            self.max_causal_depth
        );
        Err(Error::new(ErrorKind::InvalidArgument, text))
    }

    /// A job on its way, as far as it had come. Nobody waits for it, so that it may wait for as long as it takes.
    fn progress_of(&self, target: Arc<OwnTarget>, claimed: Claimed, entered: Entered) -> Box<Progress> {
        let Claimed { job, claim, earlier, .. } = claimed;
        let quota = self.quotas.count_accepted(job.namespace());
        let held = Held {
            is_step: is_step(&job),
            retry: job.rule.as_ref().and_then(|rule| self.retry_of(rule)),
            ..Held::new(claim, false, first_due(&job, &earlier))
        };
        let mut progress = self.accept(target, job.payload, self.queue_deadline, entered);
        let (now, wall) = (progress.accepted, progress.accepted_at);
        if let Some(accepted) = now.checked_sub(since(job.accepted, wall)) {
            (progress.accepted, progress.accepted_at) = (accepted, job.accepted);
        }
        progress.admitted = progress.accepted;
        progress.queued = now.checked_sub(since(job.not_before, wall)).unwrap_or(now);
        progress.id = job.id;
        progress.invoker = job.invoker;
        progress.cause = job.cause;
        progress.depth = job.depth;
        progress.alone = true;
        progress.quota = quota;
        progress.held = Some(Box::new(held));
        progress.recall(earlier);
        progress
    }

    /// Runs what nobody waits for to its record, or as far as it comes before it is put back.
    pub(super) async fn run_to_its_end(
        self: &Arc<Self>,
        mut progress: Box<Progress>,
        admission: Option<Admission>,
    ) {
        if admission.is_none() {
            progress.start_by = deadline_after(Instant::now(), Duration::MAX);
        }
        report(self.run(progress, admission).await);
    }

    /// Goes on with a job whose owner was lost while its code may have run: another attempt, or the end.
    async fn run_lost(self: &Arc<Self>, mut progress: Box<Progress>) {
        let lost = Attempt {
            start: progress.held.as_ref().map_or(progress.accepted_at, |held| held.due),
            times: Times::default(),
            billed_ms: 0,
            usage_known: false,
            status: Status::InternalError,
            error: LOST.into(),
        };
        let retry = progress.retry();
        let wall = self.entropy.wall_clock();
        if progress.attempts < retry.retries && progress.is_young(&retry, wall) {
            progress.attempts += 1;
            progress.earlier.push(lost);
            return self.run_to_its_end(progress, None).await;
        }
        progress.attempts += 1;
        progress.running = true;
        let error = Error::new(ErrorKind::SandboxLost, LOST);
        report(Unfinished::new(self, progress).fail(error).await);
    }

    /// Ends a job that cannot run at all. If that can be mended, it is kept as a dead letter, to be run then.
    async fn end_unrunnable(
        self: &Arc<Self>,
        job: &Job,
        claim: Claim,
        error: &Error,
        entered: Entered,
    ) -> Result<(), Error> {
        let record = self.bare_record(job, job.work.name(), ActivationKind::Action, error.message());
        if error.kind() != ErrorKind::NotFound {
            return self.finish_bare(claim, record, &entered).await;
        }
        self.bury_bare(claim, record, &entered).await
    }

    /// Ends a job that is not what was accepted. With its input it is kept as a dead letter, to be run when somebody has
    /// looked at it.
    async fn end_damaged(self: &Arc<Self>, claimed: &Claimed, entered: Entered) -> Result<(), Error> {
        let Claimed { job, claim, damage: Some(damage), .. } = claimed else { return Ok(()) };
        let kind = match job.work {
            Work::Invoke(_) => ActivationKind::Action,
            Work::Fire(_) => ActivationKind::Trigger,
        };
        let outcome = Outcome::internal_error(format!("The activation was not run: {}", damage.reason()));
        let record = Record { outcome, ..self.bare_record(job, job.work.name(), kind, "") };
        if let Damage::Input(_) = damage {
            return self.finish_bare(*claim, Record { input: None, ..record }, &entered).await;
        }
        self.bury_bare(*claim, record, &entered).await
    }

    /// The record of a job that could not run at all.
    pub(super) fn bare_record(
        &self,
        job: &Job,
        name: &EntityName,
        kind: ActivationKind,
        why: &str,
    ) -> Record {
        let revision = ActionRevision {
            name: name.clone(),
            version: Version::FIRST,
            kind,
            memory: MemoryMib::new(0),
            backend: "".into(),
        };
        let (now, outcome) = (self.entropy.wall_clock(), Outcome::application_error(why));
        Record {
            invoker: job.invoker.clone(),
            cause: job.cause,
            input: self.record_inputs.then(|| job.payload.clone()),
            ..Record::without_run(job.id, Arc::new(revision), now, outcome)
        }
    }

    pub(super) async fn finish_bare(
        &self,
        claim: Claim,
        record: Record,
        entered: &Entered,
    ) -> Result<(), Error> {
        let record = Activation::from(record);
        self.patiently(|| self.store.finish(claim, record.clone(), FollowUp::default())).await?;
        self.written(&record, entered);
        Ok(())
    }

    /// [`finish_bare`](Self::finish_bare) that keeps the job as a dead letter.
    pub(super) async fn bury_bare(
        &self,
        claim: Claim,
        record: Record,
        entered: &Entered,
    ) -> Result<(), Error> {
        let record = Activation::from(record);
        self.patiently(|| self.store.dead_letter(claim, record.clone(), FollowUp::default())).await?;
        self.written(&record, entered);
        Ok(())
    }

    /// Ends all jobs that wait in a store that forgets them with this process.
    pub(super) async fn give_up_rest(self: &Arc<Self>) {
        let end_of_time = Timestamp::from_nanos(u64::MAX);
        while let Ok(claimed) = self.store.claim_next(end_of_time, GIVEN_UP).await {
            if claimed.is_empty() {
                return;
            }
            for claimed in claimed {
                let entered = self.in_flight.enter_accepted();
                self.dispatch.count(-1);
                if let Err(error) = self.give_up(claimed, entered).await {
                    tracing::error!(%error, "a job that was given up has no record");
                }
            }
        }
    }

    async fn give_up(self: &Arc<Self>, claimed: Claimed, entered: Entered) -> Result<(), Error> {
        let closed = || Error::new(ErrorKind::Closed, "the platform was shut down before it ran");
        match self.find_target(&claimed.job) {
            Ok(Some(target)) => {
                let progress = self.progress_of(target, claimed, entered);
                report(Unfinished::new(self, progress).fail(closed()).await);
                Ok(())
            }
            Ok(None) | Err(_) => {
                let (name, kind) = match &claimed.job.work {
                    Work::Invoke(name) => (name, ActivationKind::Action),
                    Work::Fire(name) => (name, ActivationKind::Trigger),
                };
                let record = self.bare_record(&claimed.job, name, kind, closed().message());
                self.finish_bare(claimed.claim, record, &entered).await
            }
        }
    }

    /// Accepts a job for the dispatcher, in a task of its own: a caller who leaves meanwhile leaves none behind that
    /// nobody is told of.
    pub(super) async fn accept_job(self: &Arc<Self>, job: Job) -> Result<(), Error> {
        let platform = Arc::clone(self);
        let accepting = tokio::spawn(async move {
            let not_before = job.not_before;
            platform.store.accept(vec![job]).await?;
            platform.queued_for(not_before);
            Ok(())
        });
        accepting.await.unwrap_or_else(|_| Err(ended()))
    }

    /// After a record is written: counts it, and wakes who waits for it.
    pub(super) fn written(&self, record: &Record, entered: &Entered) {
        entered.finished(record.status());
        self.waiters.written(record.id);
    }

    /// Writes the record of an activation and accepts the jobs that follow, in one step.
    pub(super) async fn write(&self, progress: &Progress) -> Result<Activation, Error> {
        let Some(record) = &progress.record else {
            return Err(Error::new(ErrorKind::Internal, "an activation without a record cannot be written"));
        };
        let follow_up = FollowUp::from(progress.follow_up.clone());
        match &progress.held {
            Some(held) if progress.is_dead(record) => {
                self.store.dead_letter(held.claim, record.clone(), follow_up).await?;
            }
            Some(held) => self.store.finish(held.claim, record.clone(), follow_up).await?,
            None => self.store.append(record.clone(), follow_up).await?,
        }
        Ok(record.clone())
    }

    /// After the record of a run is written: measures it, and has run what follows.
    pub(super) fn settled(self: &Arc<Self>, progress: &Progress, record: &Activation) {
        self.metrics.record(&progress.target.metrics, record);
        self.queued(progress.follow_up.len());
        self.written(record, &progress.entered);
    }

    /// Puts a job back, to be claimed again from `not_before` on.
    pub(super) async fn put_back(
        self: &Arc<Self>,
        progress: &Progress,
        not_before: Timestamp,
    ) -> Result<(), Error> {
        let Some(held) = &progress.held else {
            return Err(Error::new(ErrorKind::Internal, "what is no job cannot be put back"));
        };
        self.patiently(|| self.store.retry(held.claim, not_before, progress.earlier.clone())).await?;
        self.queued_for(not_before);
        Ok(())
    }

    /// Leaves writing a record to the finisher: for `Drop`, which cannot wait.
    pub(super) fn finish_later(self: &Arc<Self>, progress: Box<Progress>) {
        let id = progress.id;
        if self.finisher.send(Orphan { platform: Arc::clone(self), progress }).is_err() {
            tracing::error!(activation = %id, "the runtime is gone: a cancelled activation has no record");
        }
    }

    /// Writes the record of an activation whose caller left, or which could not be written at once.
    pub(super) async fn finish(self: &Arc<Self>, progress: Box<Progress>) {
        match self.patiently(|| self.write(&progress)).await {
            Ok(record) => self.settled(&progress, &record),
            // Its writer was dropped after it had written and before it could tell, or somebody else was first.
            Err(error) if matches!(error.kind(), ErrorKind::AlreadyExists | ErrorKind::Conflict) => {
                let written = self.store.activation(progress.id).await.ok().flatten();
                if let Some(record) = written.filter(|written| progress.record.as_ref() == Some(written)) {
                    self.settled(&progress, &record);
                }
            }
            Err(error) => tracing::error!(activation = %progress.id, %error, "a record was not written"),
        }
    }
}

/// The record tells of a failure; the log does for whoever watches it.
fn report(ran: Ran) {
    if let Err(error) = ran {
        tracing::warn!(%error, activation = error.context("activation"), "an accepted activation failed");
    }
}
