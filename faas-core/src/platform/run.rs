//! The path of one accepted activation: permit, backend, attempts, record.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use super::Inner;
use super::target::Deployed;
use super::unfinished::{Progress, Ran, Unfinished};
use crate::action::RetryPolicy;
use crate::backend::Completion;
use crate::error::{Error, ErrorKind};
use crate::outcome::Status;
use crate::scheduler::{AdmitRequest, Permit, Ticket, deadline_after};

/// A place in the scheduler.
pub(super) enum Admission {
    Granted(Permit),
    Queued(Ticket),
}

/// What an attempt came to.
enum Attempted {
    /// It was the last: the record is known.
    Last,
    /// It found no room, did not start, and there may be room now.
    NoRoom,
    /// Another one follows after this pause.
    Again(Duration),
    /// Shutting down stopped it.
    Stopped,
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

    /// Runs an accepted action to its record, or as far as it comes before its job is put back.
    ///
    /// # Cancel safety
    /// Dropping it writes a record that says so.
    pub(super) async fn run_action(
        self: &Arc<Self>,
        deployed: &Deployed,
        mut unfinished: Unfinished<'_>,
        mut admission: Option<Admission>,
    ) -> Ran {
        loop {
            let progress = unfinished.progress();
            let pause = match self.attempt(deployed, progress, admission.take()).await {
                Ok(Attempted::Last) => return unfinished.write().await,
                Ok(Attempted::NoRoom) => continue,
                Ok(Attempted::Again(pause)) => pause,
                Ok(Attempted::Stopped) => return unfinished.stop().await,
                Err(error) => return unfinished.fail(error).await,
            };
            if progress.waits_in_store() {
                let not_before = self.entropy.wall_clock().after(pause);
                return unfinished.put_back(not_before).await;
            }
            if progress.is_left(self) {
                tokio::select! {
                    biased;
                    () = self.dispatch.stopped() => return unfinished.leave().await,
                    () = sleep(pause) => {}
                }
            } else {
                sleep(pause).await;
            }
            let now = Instant::now();
            progress.queue_again(now, self.start_by(progress, now));
        }
    }

    /// Until when an attempt may wait that begins to: for ever, where nobody waits for it.
    fn start_by(&self, progress: &Progress, now: Instant) -> Instant {
        deadline_after(now, if progress.alone { Duration::MAX } else { self.queue_deadline })
    }

    /// Makes one attempt. After the last one the record is known.
    async fn attempt(
        &self,
        deployed: &Deployed,
        progress: &mut Progress,
        admission: Option<Admission>,
    ) -> Result<Attempted, Error> {
        let permit = self.permit(deployed, progress, admission).await?;
        let backend = &deployed.lane.backend;
        let retry = progress.retry();
        self.start(progress, &retry).await?;
        let keep_payload = retry.retries > 0 || deployed.lane.can_exhaust || progress.sends_on();
        let invocation = progress.begin(permit, keep_payload);
        let invoked = tokio::select! {
            biased;
            invoked = backend.invoke(&deployed.deployment, invocation) => invoked,
            () = deployed.lane.halted() => return Ok(Attempted::Stopped),
        };
        match invoked {
            Ok(completion) => Ok(self.completed(deployed, progress, &retry, completion)),
            Err(error) if error.kind() == ErrorKind::Exhausted => {
                self.await_room(deployed, progress, error).await
            }
            Err(error) if error.kind() == ErrorKind::Closed => {
                progress.take_back(Instant::now());
                Err(error)
            }
            Err(error) => self.failed(progress, &retry, error),
        }
    }

    /// The attempt found no room and did not start: waits until there may be some.
    async fn await_room(
        &self,
        deployed: &Deployed,
        progress: &mut Progress,
        error: Error,
    ) -> Result<Attempted, Error> {
        let now = Instant::now();
        progress.take_back(now);
        if progress.alone {
            progress.start_by = self.start_by(progress, now);
        }
        let ready = timeout_at(progress.start_by, deployed.lane.backend.ready());
        if !progress.is_left(self) {
            return ready.await.map(|()| Attempted::NoRoom).map_err(|_| error);
        }
        tokio::select! {
            biased;
            () = self.dispatch.stopped() => Err(Error::new(ErrorKind::Closed, "the platform is shut down")),
            ready = ready => ready.map(|()| Attempted::NoRoom).map_err(|_| error),
        }
    }

    /// The backend completed the attempt.
    fn completed(
        &self,
        deployed: &Deployed,
        progress: &mut Progress,
        retry: &RetryPolicy,
        completion: Completion,
    ) -> Attempted {
        progress.meter(&completion);
        if deployed.lane.averages_runs {
            deployed.average.add(completion.run);
        }
        let may_again = match completion.outcome.status() {
            Status::Success => false,
            Status::ApplicationError => retry.on_application_error,
            Status::DeveloperError | Status::InternalError => true,
        };
        match may_again.then(|| self.pause(progress, retry)).flatten() {
            Some(pause) => {
                progress.keep_attempt(&completion);
                Attempted::Again(pause)
            }
            None => {
                progress.complete(completion, self);
                Attempted::Last
            }
        }
    }

    /// The backend failed with the attempt.
    fn failed(&self, progress: &mut Progress, retry: &RetryPolicy, error: Error) -> Result<Attempted, Error> {
        let may_again =
            matches!(error.kind(), ErrorKind::SandboxLost | ErrorKind::Internal | ErrorKind::Unavailable);
        match may_again.then(|| self.pause(progress, retry)).flatten() {
            Some(pause) => {
                progress.keep_failure(&error);
                Ok(Attempted::Again(pause))
            }
            None => Err(error),
        }
    }

    /// The pause before another attempt, if there may be one.
    fn pause(&self, progress: &Progress, retry: &RetryPolicy) -> Option<Duration> {
        if progress.attempts > retry.retries {
            return None;
        }
        let pause = self.entropy.jitter(retry.ceiling(progress.attempts));
        progress.is_young(retry, self.entropy.wall_clock().after(pause)).then_some(pause)
    }

    /// Tells the store that the attempt starts, unless it knows. None starts when the activation is too old.
    async fn start(&self, progress: &mut Progress, retry: &RetryPolicy) -> Result<(), Error> {
        if let Some(age) = retry.max_age
            && !progress.is_young(retry, self.entropy.wall_clock())
        {
            let text =
                format!("no attempt may start more than {age:?} after it was accepted, or was first to run");
            return Err(Error::new(ErrorKind::DeadlineExceeded, text));
        }
        let Some(held) = progress.held.as_mut().filter(|held| !held.started) else { return Ok(()) };
        let (claim, earlier) = (held.claim, &progress.earlier);
        if progress.alone {
            self.patiently(|| self.store.start(claim, earlier.clone())).await?;
        } else {
            self.store.start(claim, earlier.clone()).await?;
        }
        held.started = true;
        Ok(())
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
        let now = Instant::now();
        progress.queued_until(now);
        if progress.alone {
            // It waited for as long as it took; for a sandbox it waits no longer than others.
            progress.start_by = deadline_after(now, self.queue_deadline);
        }
        Ok(permit)
    }
}
