//! The path of one accepted activation: permit, backend, attempts, record.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::level_filters::LevelFilter;

use super::Inner;
use super::in_flight::Entered;
use super::target::{Deployed, Target};
use super::unfinished::Unfinished;
use crate::activation::{Activation, ActivationId};
use crate::backend::Completion;
use crate::error::{Error, ErrorKind};
use crate::meter;
use crate::name::Namespace;
use crate::outcome::Status;
use crate::payload::Payload;
use crate::scheduler::{AdmitRequest, Permit, QuotaGuard, Ticket};
use crate::store::Claim;
use crate::units::Timestamp;

/// An accepted request to run an action or sequence.
pub(super) struct Request {
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
}

/// A place in the scheduler.
pub(super) enum Admission {
    Granted(Permit),
    Queued(Ticket),
}

/// What an attempt came to.
enum Verdict {
    Done(Completion),
    Failed(Error),
    Again,
}

impl Inner {
    /// Asks for a permit without waiting. Nothing is accepted when it is refused.
    ///
    /// `accepted` work was accepted before, and is queued however long the queue is.
    pub(super) fn admit(
        &self,
        deployed: &Deployed,
        namespace: &str,
        start_by: Instant,
        accepted: bool,
    ) -> Result<Admission, Error> {
        let scheduler = &deployed.lane.scheduler;
        if let Some(permit) = scheduler.try_admit(deployed.weight) {
            return Ok(Admission::Granted(permit));
        }
        let request = AdmitRequest {
            namespace,
            weight: deployed.weight,
            deadline: Some(start_by),
            expected_run: Duration::ZERO,
            accepted,
        };
        scheduler.enqueue(request).map(Admission::Queued)
    }

    /// Runs an accepted action to its record.
    ///
    /// # Cancel safety
    /// Dropping it writes a record that says so.
    pub(super) async fn run_action(
        self: &Arc<Self>,
        target: &Arc<Target>,
        deployed: &Deployed,
        request: Request,
        admission: Admission,
    ) -> Result<Activation, Error> {
        let mut unfinished = Unfinished::new(self, target, request);
        let mut admission = Some(admission);
        loop {
            let verdict = self.attempt(deployed, &mut unfinished, admission.take()).await;
            match verdict {
                Verdict::Done(completion) => return unfinished.complete(completion).await,
                Verdict::Failed(error) => return unfinished.fail(error).await,
                Verdict::Again => {}
            }
        }
    }

    async fn attempt(
        &self,
        deployed: &Deployed,
        unfinished: &mut Unfinished<'_>,
        admission: Option<Admission>,
    ) -> Verdict {
        let permit = match self.permit(deployed, unfinished, admission).await {
            Ok(permit) => permit,
            Err(error) => return Verdict::Failed(error),
        };
        let backend = &deployed.lane.backend;
        let invocation = unfinished.begin(permit);
        let retry = &deployed.spec().retry;
        match backend.invoke(&deployed.deployment, invocation).await {
            Ok(completion) => {
                let again = match completion.outcome.status() {
                    Status::DeveloperError | Status::InternalError => true,
                    Status::ApplicationError => retry.on_application_error,
                    Status::Success => false,
                };
                unfinished.meter(&completion);
                if !again || unfinished.attempts() > retry.retries {
                    return Verdict::Done(completion);
                }
            }
            Err(error) if error.kind() == ErrorKind::Exhausted => {
                unfinished.take_back();
                let start_by = unfinished.request().start_by;
                if tokio::time::timeout_at(start_by, backend.ready()).await.is_err() {
                    return Verdict::Failed(error.with_context("waited", "until the deadline to start"));
                }
                return Verdict::Again;
            }
            Err(error) => {
                let again = matches!(
                    error.kind(),
                    ErrorKind::SandboxLost | ErrorKind::Internal | ErrorKind::Unavailable
                );
                if !again || unfinished.attempts() > retry.retries {
                    return Verdict::Failed(error);
                }
            }
        }
        unfinished.rest();
        sleep(self.entropy.jitter(retry.ceiling(unfinished.attempts()))).await;
        Verdict::Again
    }

    /// Waits for the permit of the next attempt. The first has a place already; a retry was accepted before
    /// and may not be refused for a full queue.
    async fn permit(
        &self,
        deployed: &Deployed,
        unfinished: &mut Unfinished<'_>,
        admission: Option<Admission>,
    ) -> Result<Permit, Error> {
        let admission = match admission {
            Some(admission) => admission,
            None => {
                let start_by = Instant::now() + self.queue_deadline;
                unfinished.queue_again(start_by);
                self.admit(deployed, unfinished.namespace(), start_by, true)?
            }
        };
        match admission {
            Admission::Granted(permit) => Ok(permit),
            Admission::Queued(ticket) => {
                let permit = ticket.await?;
                unfinished.queued_until(Instant::now());
                Ok(permit)
            }
        }
    }
}

/// The billed milliseconds of one attempt.
pub(super) fn billed(completion: &Completion) -> u64 {
    meter::billed_ms(completion.init.saturating_add(completion.run))
}
