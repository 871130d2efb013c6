//! Invocations that are waited for: `invoke`, `call`, and waiting for a record.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::held::Held;
use super::in_flight::Entered;
use super::run::Admission;
use super::target::{OwnTarget, Runs};
use super::unfinished::{Accepted, Progress};
use super::{Inner, Platform};
use crate::action::NamedAction;
use crate::activation::{Activation, ActivationId, FailedActivation};
use crate::error::{Error, ErrorKind};
use crate::name::Namespace;
use crate::payload::{IntoPayload, Payload};
use crate::scheduler::deadline_after;
use crate::store::{Job, Work};
use crate::units::Timestamp;

/// How an invocation differs from the platform's configuration.
#[derive(Clone, Debug, Default)]
pub struct InvokeOptions {
    /// Whose invocation it is; the action's own namespace unless told. It pays, and sees no other's sandboxes.
    pub namespace: Option<Namespace>,
    /// How long it may wait for a permit and a sandbox.
    pub queue_deadline: Option<Duration>,
}

/// Why a typed call gave no result.
#[derive(Debug)]
#[non_exhaustive]
pub enum CallError {
    /// The platform did not do its job.
    Platform(Error),
    /// The action failed.
    Failed(FailedActivation),
    /// The action's result does not decode to its output type.
    Output(Activation, serde_json::Error),
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Platform(error) => error.fmt(f),
            Self::Failed(failed) => failed.fmt(f),
            Self::Output(activation, error) => {
                write!(f, "the result of {} does not decode: {error}", activation.action())
            }
        }
    }
}

impl std::error::Error for CallError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Platform(error) => error.source(),
            Self::Failed(_) => None,
            Self::Output(_, error) => Some(error),
        }
    }
}

impl From<Error> for CallError {
    fn from(error: Error) -> Self {
        Self::Platform(error)
    }
}

/// A request that has passed every check and has its place in the queue.
struct Checked {
    progress: Box<Progress>,
    admission: Option<Admission>,
}

impl Platform {
    /// Runs an action or a sequence and waits for its record.
    ///
    /// The name is `name`, `package/name`, `/namespace/name` or `/namespace/package/name`. A failed action is
    /// an `Ok` whose outcome is not a success.
    ///
    /// # Errors
    /// Before it is accepted, and so without a record: `InvalidArgument` for a bad name or payload, `NotFound`,
    /// `Throttled`, `Overloaded`, `Closed`. Afterwards, with a record whose id is the context `activation`:
    /// `DeadlineExceeded` when it waited too long, or whatever the backend failed with.
    ///
    /// # Cancel safety
    /// It runs in the caller's task: dropping it stops the run as the backend's
    /// [`Capability::cancel`](crate::Capability) tells, and writes a record that says so.
    pub async fn invoke(&self, name: &str, payload: impl IntoPayload) -> Result<Activation, Error> {
        self.invoke_with(name, payload, InvokeOptions::default()).await
    }

    /// [`invoke`](Self::invoke) with options.
    ///
    /// # Errors
    /// As [`invoke`](Self::invoke).
    ///
    /// # Cancel safety
    /// As [`invoke`](Self::invoke).
    pub async fn invoke_with(
        &self,
        name: &str,
        payload: impl IntoPayload,
        options: InvokeOptions,
    ) -> Result<Activation, Error> {
        let payload = payload.into_payload()?;
        let Checked { mut progress, admission } = self.0.check(name, payload, options)?;
        if self.0.durable {
            // A sequence has no code of its own that could have started.
            let started = !matches!(admission, Some(Admission::Queued(_)));
            progress = self.0.begin(progress, started).await?;
        }
        self.0.run(progress, admission).await?.ok_or_else(ended)
    }

    /// Runs an action with typed input and output.
    ///
    /// # Errors
    /// [`CallError::Failed`] when the action failed; [`CallError::Platform`] as [`invoke`](Self::invoke).
    ///
    /// # Cancel safety
    /// As [`invoke`](Self::invoke).
    pub async fn call<A: NamedAction>(&self, input: A::Input) -> Result<A::Output, CallError>
    where
        A::Input: Serialize,
        A::Output: DeserializeOwned,
    {
        let payload = Payload::from_typed(&input)?;
        let activation = self.invoke(A::NAME, payload).await?;
        if !activation.outcome.is_success() {
            return Err(CallError::Failed(FailedActivation(activation)));
        }
        crate::action::decode(activation.outcome.result())
            .map_err(|error| CallError::Output(activation.clone(), error))
    }

    /// Waits for the record of an activation.
    ///
    /// # Errors
    /// `NotFound` when there is no record and no accepted work of that id; `Closed` once the platform has been shut down
    /// and left that work without a record, to the next start or for good; `Unavailable` when the store cannot be read.
    ///
    /// # Cancel safety
    /// Dropping it changes nothing.
    pub async fn activation(&self, id: ActivationId) -> Result<Activation, Error> {
        self.0.wait_for(id).await
    }

    /// The record of an activation, if it is written.
    ///
    /// # Errors
    /// `Unavailable` when the store cannot be read.
    ///
    /// # Cancel safety
    /// Dropping it changes nothing.
    pub async fn find(&self, id: ActivationId) -> Result<Option<Activation>, Error> {
        self.0.store.activation(id).await
    }
}

impl Inner {
    /// Checks a request from outside and finds its place in the queue. Nothing is accepted on an error.
    fn check(&self, name: &str, payload: Payload, options: InvokeOptions) -> Result<Checked, Error> {
        let entered = self.in_flight.enter()?;
        self.check_payload(&payload).map_err(|error| error.with_context("action", name))?;
        let target = self.registry.action(name)?;
        let payload = target.merge(payload)?;
        let namespace =
            options.namespace.as_ref().map_or_else(|| target.name().namespace(), Namespace::as_str);
        let quota = self.quotas.admit_invoke(namespace)?;
        let wait = options.queue_deadline.unwrap_or(self.queue_deadline);
        let mut progress = self.accept(target, payload, wait, entered);
        progress.quota = quota;
        progress.invoker = options.namespace;
        let admission = match &progress.target.runs {
            Runs::Action(deployed) => {
                Some(self.admit(deployed, progress.namespace(), progress.start_by, false)?)
            }
            Runs::Sequence(_) => None,
        };
        Ok(Checked { progress, admission })
    }

    /// Accepts and claims a request as a job of the store, in a task of its own: a caller who leaves meanwhile
    /// leaves no job behind that nobody runs.
    pub(super) async fn begin(
        self: &Arc<Self>,
        mut progress: Box<Progress>,
        started: bool,
    ) -> Result<Box<Progress>, Error> {
        let platform = Arc::clone(self);
        let beginning = tokio::spawn(async move {
            let job = job_of(&progress);
            let claim = if progress.alone {
                platform.patiently(|| platform.store.begin(job.clone(), started)).await?
            } else {
                platform.store.begin(job, started).await?
            };
            progress.held = Some(Box::new(Held::new(claim, started, progress.accepted_at)));
            Ok(Accepted::new(platform, progress))
        });
        beginning.await.unwrap_or_else(|_| Err(ended()))?.into_progress().ok_or_else(ended)
    }

    /// Waits for the record of an activation that is accepted.
    pub(super) async fn wait_for(&self, id: ActivationId) -> Result<Activation, Error> {
        loop {
            let waiting = self.waiters.wait_for(id);
            if let Some(activation) = self.store.activation(id).await? {
                return Ok(activation);
            }
            if self.store.job(id).await?.is_none() {
                // The job may have ended between the two looks.
                let found = self.store.activation(id).await?;
                return found
                    .ok_or_else(|| Error::new(ErrorKind::NotFound, format!("there is no activation {id}")));
            }
            tokio::select! {
                biased;
                () = waiting.written() => {}
                () = self.ended() => {
                    let found = self.store.activation(id).await?;
                    let text = format!("the platform was shut down before activation {id} had its record");
                    return found.ok_or_else(|| Error::new(ErrorKind::Closed, text));
                }
            }
        }
    }

    pub(super) fn check_payload(&self, payload: &Payload) -> Result<(), Error> {
        let refuse = |text: String| Err(Error::new(ErrorKind::InvalidArgument, text));
        if !payload.is_object() {
            return refuse("the payload must be a JSON object, but is an array".into());
        }
        if payload.len() > self.max_payload {
            return refuse(format!(
                "the payload has {} bytes, more than {}",
                payload.len(),
                self.max_payload
            ));
        }
        Ok(())
    }

    /// A request of now that has not come far.
    pub(super) fn accept(
        &self,
        target: Arc<OwnTarget>,
        payload: Payload,
        wait: Duration,
        entered: Entered,
    ) -> Box<Progress> {
        let accepted = Instant::now();
        let accepted_at = self.entropy.wall_clock_at(accepted);
        let input = self.record_inputs.then(|| payload.clone());
        Box::new(Progress {
            target,
            id: self.new_id(accepted_at),
            payload,
            invoker: None,
            cause: None,
            depth: 0,
            alone: false,
            held: None,
            accepted,
            accepted_at,
            start_by: deadline_after(accepted, wait),
            log_level: self.log_level,
            entered,
            quota: None,
            attempts: 0,
            earlier: Vec::new(),
            input,
            queued: accepted,
            admitted: accepted,
            waited: Duration::ZERO,
            billed_ms: 0,
            running: false,
            record: None,
            follow_up: Vec::new(),
        })
    }

    /// A new id. Its lower bits tell the thread, so that threads append to shards of their own.
    pub(super) fn new_id(&self, at: Timestamp) -> ActivationId {
        let id = self.entropy.activation_id(at);
        if self.entropy.is_seeded() {
            return id;
        }
        let shard = (1_u128 << crate::store::SHARD_BITS) - 1;
        ActivationId::from_u128((id.as_u128() & !shard) | (crate::stripe::thread_number() as u128 & shard))
    }
}

/// The error of whoever waits for a task that the runtime has ended.
pub(super) fn ended() -> Error {
    Error::new(ErrorKind::Closed, "the runtime is shutting down")
}

/// The job that a request is.
pub(super) fn job_of(progress: &Progress) -> Job {
    Job {
        id: progress.id,
        work: Work::Invoke(progress.target.name().clone()),
        payload: progress.payload.clone(),
        invoker: progress.invoker.clone(),
        cause: progress.cause,
        rule: None,
        depth: progress.depth,
        accepted: progress.accepted_at,
        not_before: progress.accepted_at,
        key: None,
    }
}
