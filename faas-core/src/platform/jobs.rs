//! Accepted work that the platform runs by itself, and writing records down.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Inner;
use super::in_flight::Entered;
use super::invoke::report;
use super::run::{Admission, Request};
use super::target::{Runs, Target};
use super::unfinished::Orphan;
use crate::activation::{
    ActionRevision, Activation, ActivationId, ActivationKind, Record, Times, Usage, Version,
};
use crate::error::{Error, ErrorKind};
use crate::name::EntityName;
use crate::outcome::Outcome;
use crate::store::{Claim, Job, Work};
use crate::units::MemoryMib;

impl Inner {
    /// Runs a request to its record.
    pub(super) async fn run(
        self: &Arc<Self>,
        target: &Arc<Target>,
        request: Request,
        admission: Option<Admission>,
    ) -> Result<Activation, Error> {
        match (&target.runs, admission) {
            (Runs::Action(deployed), Some(admission)) => {
                self.run_action(target, deployed, request, admission).await
            }
            (Runs::Action(deployed), None) => {
                let namespace = request.invoker.clone();
                let namespace = namespace.as_ref().map_or_else(|| target.name().namespace(), |n| n.as_str());
                let admission = self.admit(deployed, namespace, request.start_by, true)?;
                self.run_action(target, deployed, request, admission).await
            }
            (Runs::Sequence(members), _) => Box::pin(self.run_sequence(target, members, request)).await,
        }
    }

    /// Claims a job and tells that its code may start now.
    pub(super) async fn claim(&self, id: ActivationId) -> Result<Claim, Error> {
        let claim = self.store.claim(id).await?;
        self.store.start(claim).await?;
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
                    let request = self.request_of(job, claim, entered);
                    report(self.run(&target, request, None).await);
                    Ok(())
                }
                Err(error) => {
                    let record = self.bare_record(&job, name, ActivationKind::Action, error.message());
                    self.finish_bare(claim, record, &entered).await
                }
            },
            Work::Fire(name) => self.fire_job(&job, &name.clone(), claim, entered).await,
        }
    }

    fn request_of(&self, job: Job, claim: Claim, entered: Entered) -> Request {
        let accepted = Instant::now();
        Request {
            id: job.id,
            payload: job.payload,
            invoker: job.invoker,
            cause: job.cause,
            depth: job.depth,
            claim: Some(claim),
            accepted,
            accepted_at: self.entropy.wall_clock(),
            start_by: accepted + self.queue_deadline,
            log_level: self.log_level,
            entered,
            quota: None,
        }
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
            backend: String::new(),
        };
        let now = self.entropy.wall_clock();
        Record {
            id: job.id,
            invoker: job.invoker.clone(),
            revision: Arc::new(revision),
            start_kind: None,
            start: now,
            end: now,
            times: Times::default(),
            billed_ms: 0,
            usage: Usage::default(),
            usage_known: true,
            attempts: 0,
            cause: job.cause,
            outcome: Outcome::application_error(why),
            logs: Vec::new(),
        }
    }

    pub(super) async fn finish_bare(
        &self,
        claim: Claim,
        record: Record,
        entered: &Entered,
    ) -> Result<(), Error> {
        let record = Activation::from(record);
        self.store.finish(claim, record.clone(), Vec::new()).await?;
        entered.finished(record.status());
        self.waiters.written(record.id);
        Ok(())
    }

    /// Writes a record and accepts the jobs that follow, in one step.
    pub(super) async fn write(
        &self,
        claim: Option<Claim>,
        record: Activation,
        follow_up: Vec<Job>,
    ) -> Result<(), Error> {
        match claim {
            Some(claim) => self.store.finish(claim, record, follow_up).await,
            None => self.store.append(record, follow_up).await,
        }
    }

    /// After a record is written: counts it, wakes who waits for it, and runs what follows.
    pub(super) fn settled(
        self: &Arc<Self>,
        target: &Target,
        request: Request,
        record: &Activation,
        follow_up: Vec<Job>,
    ) {
        target.metrics.record(record);
        request.entered.finished(record.status());
        self.waiters.written(record.id);
        for job in follow_up {
            self.dispatch(job, request.entered.another());
        }
    }

    /// Leaves a record to the finisher: for `Drop`, which cannot wait.
    pub(super) fn finish_later(&self, orphan: Orphan) {
        let id = orphan.request.id;
        if self.finisher.send(orphan).is_err() {
            tracing::error!(activation = %id, "the platform is gone: a cancelled activation has no record");
        }
    }

    /// Writes a record that a cancelled caller left behind.
    pub(super) async fn finish(self: &Arc<Self>, orphan: Orphan) {
        let Orphan { request, target, record, follow_up } = orphan;
        match self.write(request.claim, record.clone(), follow_up.clone()).await {
            Ok(()) => self.settled(&target, request, &record, follow_up),
            // The record was written before its writer was dropped.
            Err(error) if matches!(error.kind(), ErrorKind::AlreadyExists | ErrorKind::Conflict) => {}
            Err(error) => tracing::error!(activation = %record.id, %error, "a record was not written"),
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
