//! Work that is not waited for: `submit`, now or later, once for each key.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::dispatch::Place;
use super::held::Held;
use super::invoke::{ended, job_of};
use super::run::Admission;
use super::target::Runs;
use super::unfinished::Progress;
use super::{Inner, Platform};
use crate::activation::ActivationId;
use crate::error::{Error, ErrorKind};
use crate::name::{EntityName, Namespace};
use crate::payload::{IntoPayload, Payload};
use crate::scheduler::deadline_after;
use crate::store::{IdempotencyKey, Job};
use crate::units::Timestamp;

/// The longest idempotency key, in bytes. Arbitrary.
pub const MAX_KEY: usize = 256;

/// For how long an idempotency key stands for its activation unless told.
///
/// # Source
/// 24 hours, as with Stripe's idempotent requests.
pub const KEY_RETENTION: Duration = Duration::from_secs(24 * 60 * 60);

/// How submitted work differs from the usual.
///
/// ```
/// use std::time::Duration;
/// use faas_core::SubmitOptions;
/// let options = SubmitOptions::new().with_key("order-42").run_after(Duration::from_secs(60));
/// # let _ = options;
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct SubmitOptions {
    /// Whose work it is; the action's own namespace unless told. It pays, and sees no other's sandboxes.
    pub namespace: Option<Namespace>,
    /// What the caller calls this piece of work, at most [`MAX_KEY`] bytes. Work of the same action, namespace and
    /// key is accepted once within the platform's
    /// [`idempotency_retention`](crate::PlatformBuilder::idempotency_retention): each call gives the id of the first.
    pub key: Option<String>,
    /// When it may run; at once unless told.
    pub when: When,
}

/// When submitted work may run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum When {
    /// At once.
    #[default]
    Now,
    /// Not before the wall clock shows this. What is over is at once.
    At(Timestamp),
    /// Not before so much time has passed since it was accepted.
    After(Duration),
}

impl SubmitOptions {
    /// Work as usual.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, as work of another namespace.
    #[must_use]
    pub fn with_namespace(mut self, namespace: Namespace) -> Self {
        self.namespace = Some(namespace);
        self
    }

    /// The same, accepted once for this key.
    #[must_use]
    pub fn with_key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// The same, not run before the wall clock shows `at`.
    #[must_use]
    pub fn run_at(mut self, at: Timestamp) -> Self {
        self.when = When::At(at);
        self
    }

    /// The same, not run before `delay` has passed.
    #[must_use]
    pub fn run_after(mut self, delay: Duration) -> Self {
        self.when = When::After(delay);
        self
    }
}

/// What lets submitted work start at once.
enum Start {
    Permit(Admission),
    Place(Place),
}

impl Platform {
    /// Accepts a run of an action or a sequence and gives its id at once. It runs whoever leaves, and
    /// [`activation`](Self::activation) waits for its record. With a store that is durable it runs even if this
    /// process ends.
    ///
    /// # Errors
    /// As [`invoke`](Self::invoke) before it is accepted; what fails later is in the record.
    ///
    /// # Cancel safety
    /// Dropping it leaves the run accepted or not; once accepted, it runs. With a key it can be called again
    /// without harm.
    pub async fn submit(&self, name: &str, payload: impl IntoPayload) -> Result<ActivationId, Error> {
        self.submit_with(name, payload, SubmitOptions::default()).await
    }

    /// [`submit`](Self::submit) with options.
    ///
    /// ```
    /// use faas_core::prelude::*;
    /// use faas_core::SubmitOptions;
    /// use serde_json::{Value, json};
    ///
    /// #[action]
    /// async fn charge(order: Value) -> Value {
    ///     order
    /// }
    /// actions![charge];
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), BoxError> {
    /// let app = Platform::builder().backend(LocalBackend::new()).actions(actions()).build().await?;
    /// let once = || SubmitOptions::new().with_key("order-42");
    /// let first = app.submit_with("charge", json!({ "order": 42 }), once()).await?;
    /// // Asked again, since the answer may have got lost: the card is charged once.
    /// assert_eq!(app.submit_with("charge", json!({ "order": 42 }), once()).await?, first);
    /// assert!(app.activation(first).await?.outcome.is_success());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`submit`](Self::submit); `InvalidArgument` for a key that is empty or too long.
    ///
    /// # Cancel safety
    /// As [`submit`](Self::submit).
    pub async fn submit_with(
        &self,
        name: &str,
        payload: impl IntoPayload,
        options: SubmitOptions,
    ) -> Result<ActivationId, Error> {
        self.0.submit(name, payload.into_payload()?, options).await
    }
}

impl Inner {
    async fn submit(
        self: &Arc<Self>,
        name: &str,
        payload: Payload,
        options: SubmitOptions,
    ) -> Result<ActivationId, Error> {
        let entered = self.in_flight.enter()?;
        self.check_payload(&payload).map_err(|error| error.with_context("action", name))?;
        let target = self.registry.action(name)?;
        let payload = target.merge(payload)?;
        let mut progress = self.accept(target, payload, self.queue_deadline, entered);
        progress.alone = true;
        progress.invoker = options.namespace;
        let key = self.key(progress.namespace(), progress.target.name(), options.key.as_deref())?;
        if let Some(known) = self.find_keyed(key.as_ref()).await? {
            return Ok(known);
        }
        progress.quota = self.quotas.admit_invoke(progress.namespace())?;
        let now = progress.accepted_at;
        let not_before = match options.when {
            When::Now => now,
            When::At(at) => at.max(now),
            When::After(delay) => now.after(delay),
        };
        let accepted = self.dispatch.accepted_at(now);
        let job = Job { key, accepted, not_before, ..job_of(&progress) };
        let is_later = not_before > now;
        let start = if is_later { None } else { self.try_start(&progress) };
        if start.is_none() {
            self.check_queue(&progress, is_later)?;
        }
        let (id, key) = (job.id, job.key.clone());
        match self.put_in(progress, job, start).await {
            // Somebody else was first with the key.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                self.find_keyed(key.as_ref()).await?.ok_or(error)
            }
            done => done.map(|()| id),
        }
    }

    /// A key as the store knows it: a caller's own, of one namespace and one entity.
    pub(super) fn key(
        &self,
        namespace: &str,
        entity: &EntityName,
        key: Option<&str>,
    ) -> Result<Option<IdempotencyKey>, Error> {
        let Some(key) = key else { return Ok(None) };
        if key.is_empty() || key.len() > MAX_KEY {
            let text = format!("a key of {} bytes is out of range: 1 to {MAX_KEY} bytes", key.len());
            return Err(Error::new(ErrorKind::InvalidArgument, text));
        }
        let until = self.entropy.wall_clock().after(self.key_retention);
        // No name contains what stands between.
        Ok(Some(IdempotencyKey { key: format!("{namespace}\n{entity}\n{key}").into(), until }))
    }

    /// The activation that a key stands for by now.
    pub(super) async fn find_keyed(
        &self,
        key: Option<&IdempotencyKey>,
    ) -> Result<Option<ActivationId>, Error> {
        match key {
            Some(key) => self.store.keyed(&key.key, self.entropy.wall_clock()).await,
            None => Ok(None),
        }
    }

    /// What lets it start now, without overtaking what waits.
    fn try_start(&self, progress: &Progress) -> Option<Start> {
        if self.dispatch.is_behind() {
            return None;
        }
        match &progress.target.runs {
            Runs::Action(deployed) => {
                let permit = deployed.lane.scheduler.try_admit(deployed.weight())?;
                Some(Start::Permit(Admission::Granted(permit)))
            }
            Runs::Sequence(_) => self.dispatch.try_place().map(Start::Place),
        }
    }

    /// Refuses what could never run, and what would make the queue too long; what is to run later has one of its own, as
    /// long. A store that is durable has a limit of its own, or none.
    fn check_queue(&self, progress: &Progress, is_later: bool) -> Result<(), Error> {
        let later = self.dispatch.later(self.entropy.wall_clock());
        let mut queued = self.dispatch.waiting().saturating_sub(later);
        if let Runs::Action(deployed) = &progress.target.runs {
            deployed.lane.scheduler.check_weight(deployed.weight())?;
            queued += deployed.lane.scheduler.queued() as u64;
        }
        let (queued, limit) = (if is_later { later } else { queued }, self.queue_limit);
        if self.durable || queued < limit as u64 {
            return Ok(());
        }
        let text = format!("the queue holds {queued} jobs, and its limit is {limit}");
        Err(Error::new(ErrorKind::Overloaded, text).with_context("namespace", progress.namespace()))
    }

    /// Accepts a job, and runs it if it can start now, in a task of its own: a caller who leaves meanwhile tears nothing
    /// apart.
    async fn put_in(
        self: &Arc<Self>,
        mut progress: Box<Progress>,
        job: Job,
        start: Option<Start>,
    ) -> Result<(), Error> {
        let Some(start) = start else { return self.accept_job(job).await };
        let platform = Arc::clone(self);
        let (answer, accepted) = oneshot::channel();
        tokio::spawn(async move {
            match platform.store.begin(job, true).await {
                Ok(claim) => {
                    // A caller who has left does not need the answer.
                    let _ = answer.send(Ok(()));
                    let accepted = progress.accepted_at;
                    let mut held = Held::new(claim, true, accepted);
                    let admission = match start {
                        Start::Permit(admission) => Some(admission),
                        Start::Place(place) => {
                            held.place = Some(place);
                            None
                        }
                    };
                    progress.held = Some(Box::new(held));
                    progress.start_by = deadline_after(Instant::now(), platform.queue_deadline);
                    platform.run_to_its_end(progress, admission).await;
                }
                Err(error) => {
                    let _ = answer.send(Err(error));
                }
            }
        });
        accepted.await.unwrap_or_else(|_| Err(ended()))
    }
}
