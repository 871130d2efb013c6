//! The path of one accepted activation: permit, backend, attempts, record.

use std::sync::Arc;

use tokio::time::{Instant, sleep, timeout_at};

use super::Inner;
use super::target::Deployed;
use super::unfinished::{Progress, Unfinished};
use crate::activation::Activation;
use crate::error::{Error, ErrorKind};
use crate::outcome::Status;
use crate::scheduler::{AdmitRequest, Permit, Ticket, deadline_after};

/// A place in the scheduler.
pub(super) enum Admission {
    Granted(Permit),
    Queued(Ticket),
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
        if let Some(permit) = scheduler.try_admit(deployed.weight()) {
            return Ok(Admission::Granted(permit));
        }
        let request = AdmitRequest {
            namespace,
            weight: deployed.weight(),
            deadline: Some(start_by),
            expected_run: deployed.average.expected(),
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
        deployed: &Deployed,
        mut unfinished: Unfinished<'_>,
        mut admission: Option<Admission>,
    ) -> Result<Activation, Error> {
        loop {
            match self.attempt(deployed, unfinished.progress(), admission.take()).await {
                Ok(true) => return unfinished.write().await,
                Ok(false) => {}
                Err(error) => return unfinished.fail(error).await,
            }
        }
    }

    /// Makes one attempt, and tells whether it was the last: then the record is known.
    async fn attempt(
        &self,
        deployed: &Deployed,
        progress: &mut Progress,
        admission: Option<Admission>,
    ) -> Result<bool, Error> {
        let permit = self.permit(deployed, progress, admission).await?;
        let backend = &deployed.lane.backend;
        let retry = &deployed.spec().retry;
        let invocation = progress.begin(permit, retry.retries > 0 || deployed.lane.can_exhaust);
        match backend.invoke(&deployed.deployment, invocation).await {
            Ok(completion) => {
                progress.meter(&completion);
                if deployed.lane.averages_runs {
                    deployed.average.add(completion.run);
                }
                let again = match completion.outcome.status() {
                    Status::Success => false,
                    Status::ApplicationError => retry.on_application_error,
                    Status::DeveloperError | Status::InternalError => true,
                };
                if !again || progress.attempts > retry.retries {
                    progress.complete(completion, self);
                    return Ok(true);
                }
            }
            Err(error) if error.kind() == ErrorKind::Exhausted => {
                progress.take_back(Instant::now());
                return match timeout_at(progress.start_by, backend.ready()).await {
                    Ok(()) => Ok(false),
                    Err(_) => Err(error),
                };
            }
            Err(error) => {
                let again = matches!(
                    error.kind(),
                    ErrorKind::SandboxLost | ErrorKind::Internal | ErrorKind::Unavailable
                );
                if !again || progress.attempts > retry.retries {
                    return Err(error);
                }
                progress.running = false;
            }
        }
        sleep(self.entropy.jitter(retry.ceiling(progress.attempts))).await;
        let now = Instant::now();
        progress.queue_again(now, deadline_after(now, self.queue_deadline));
        Ok(false)
    }

    /// Waits for the permit of an attempt that has its place in the queue, or finds it one: what was accepted
    /// before may not be refused for a full queue.
    async fn permit(
        &self,
        deployed: &Deployed,
        progress: &mut Progress,
        admission: Option<Admission>,
    ) -> Result<Permit, Error> {
        let permit = match admission {
            // At once, so that accepting and admitting are one reading of the clock.
            Some(Admission::Granted(permit)) => return Ok(permit),
            Some(Admission::Queued(ticket)) => ticket.await?,
            None => match self.admit(deployed, progress.namespace(), progress.start_by, true)? {
                Admission::Granted(permit) => permit,
                Admission::Queued(ticket) => ticket.await?,
            },
        };
        progress.queued_until(Instant::now());
        Ok(permit)
    }
}
