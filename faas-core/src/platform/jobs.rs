//! Accepted work that the platform runs by itself, and writing records down.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

use super::Inner;
use super::in_flight::Entered;
use super::invoke::report;
use super::run::Admission;
use super::target::{OwnTarget, Runs};
use super::unfinished::{Orphan, Progress, Unfinished};
use crate::activation::{ActionRevision, Activation, ActivationId, ActivationKind, Record, Version};
use crate::error::{Error, ErrorKind};
use crate::name::EntityName;
use crate::outcome::Outcome;
use crate::store::{Claim, FollowUp, Job, Work};
use crate::units::MemoryMib;

impl Inner {
    /// Runs an accepted request to its record. One without a place in the queue was accepted before, and gets
    /// one however long the queue is.
    pub(super) async fn run(
        self: &Arc<Self>,
        progress: Box<Progress>,
        admission: Option<Admission>,
    ) -> Result<Activation, Error> {
        let target = Arc::clone(&progress.target);
        let unfinished = Unfinished::new(self, progress);
        match &target.runs {
            Runs::Action(deployed) => self.run_action(deployed, unfinished, admission).await,
            Runs::Sequence(members) => Box::pin(self.run_sequence(members, unfinished)).await,
        }
    }

    /// Claims a job and tells that its code may start now.
    pub(super) async fn claim(&self, id: ActivationId) -> Result<Claim, Error> {
        let claim = self.store.claim(id).await?;
        self.store.start(claim, Vec::new()).await?;
        Ok(claim)
    }

    /// Runs a job in a task of its own.
    pub(super) fn dispatch(self: &Arc<Self>, job: Job, entered: Entered) {
        let platform = Arc::clone(self);
        tokio::spawn(async move {
            let id = job.id;
            if let Err(error) = platform.run_job(job, entered).await {
                tracing::error!(activation = %id, %error, "an accepted job was not run");
            }
        });
    }

    async fn run_job(self: &Arc<Self>, job: Job, entered: Entered) -> Result<(), Error> {
        let claim = self.claim(job.id).await?;
        match &job.work {
            Work::Invoke(name) => match self.registry.action(&format!("/{name}")) {
                Ok(target) => {
                    report(self.run(self.progress_of(target, job, claim, entered), None).await);
                    Ok(())
                }
                Err(error) => {
                    let record = self.bare_record(&job, name, ActivationKind::Action, error.message());
                    self.finish_bare(claim, record, &entered).await
                }
            },
            Work::Fire(name) => self.fire_job(&job, name, claim, entered).await,
        }
    }

    fn progress_of(&self, target: Arc<OwnTarget>, job: Job, claim: Claim, entered: Entered) -> Box<Progress> {
        let mut progress = self.accept(target, job.payload, self.queue_deadline, entered);
        progress.id = job.id;
        progress.invoker = job.invoker;
        progress.cause = job.cause;
        progress.depth = job.depth;
        progress.claim = Some(claim);
        progress
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
        self.store.finish(claim, record.clone(), FollowUp::default()).await?;
        self.written(&record, entered);
        Ok(())
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
        match progress.claim {
            Some(claim) => self.store.finish(claim, record.clone(), follow_up).await?,
            None => self.store.append(record.clone(), follow_up).await?,
        }
        Ok(record.clone())
    }

    /// After the record of a run is written: measures it, and runs what follows.
    pub(super) fn settled(self: &Arc<Self>, progress: &Progress, record: &Activation) {
        self.metrics.record(&progress.target.metrics, record);
        self.written(record, &progress.entered);
        for job in &progress.follow_up {
            self.dispatch(job.clone(), progress.entered.another());
        }
    }

    /// Leaves writing a record to the finisher: for `Drop`, which cannot wait.
    pub(super) fn finish_later(self: &Arc<Self>, progress: Box<Progress>) {
        let id = progress.id;
        if self.finisher.send(Orphan { platform: Arc::clone(self), progress }).is_err() {
            tracing::error!(activation = %id, "the runtime is gone: a cancelled activation has no record");
        }
    }

    /// Writes the record of an activation whose caller left.
    pub(super) async fn finish(self: &Arc<Self>, progress: Box<Progress>) {
        match self.write(&progress).await {
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

/// Who waits for which record.
#[derive(Default)]
pub(super) struct Waiters {
    /// How many wait: the path of every activation looks at this alone.
    count: AtomicUsize,
    by_id: Mutex<HashMap<ActivationId, Vec<oneshot::Sender<()>>>>,
}

impl Waiters {
    /// Asks to be woken when the record is written after this call.
    pub(super) fn wait_for(&self, id: ActivationId) -> Waiting<'_> {
        let (sender, receiver) = oneshot::channel();
        let mut by_id = self.by_id.lock().unwrap_or_else(PoisonError::into_inner);
        by_id.entry(id).or_default().push(sender);
        self.count.store(by_id.len(), Ordering::SeqCst);
        Waiting { waiters: self, id, receiver }
    }

    /// Wakes who waits for the record. It is in the store by now: who looks there after asking to be woken
    /// either finds it or is counted here.
    pub(super) fn written(&self, id: ActivationId) {
        if self.count.load(Ordering::SeqCst) == 0 {
            return;
        }
        let mut by_id = self.by_id.lock().unwrap_or_else(PoisonError::into_inner);
        let senders = by_id.remove(&id);
        self.count.store(by_id.len(), Ordering::SeqCst);
        drop(by_id);
        for sender in senders.into_iter().flatten() {
            let _ = sender.send(());
        }
    }
}

/// Somebody who waits for a record; dropping it forgets them.
pub(super) struct Waiting<'a> {
    waiters: &'a Waiters,
    id: ActivationId,
    receiver: oneshot::Receiver<()>,
}

impl Waiting<'_> {
    pub(super) async fn written(mut self) {
        let _ = (&mut self.receiver).await;
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.receiver.close();
        let mut by_id = self.waiters.by_id.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(senders) = by_id.get_mut(&self.id) {
            senders.retain(|sender| !sender.is_closed());
            if senders.is_empty() {
                by_id.remove(&self.id);
            }
        }
        self.waiters.count.store(by_id.len(), Ordering::SeqCst);
    }
}
