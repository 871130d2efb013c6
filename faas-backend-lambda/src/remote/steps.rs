//! Steps that are taken again: calls of the control plane whose effect is looked at the next time.

use std::future::Future;
use std::time::Duration;

use aws_sdk_lambda::config::http::HttpResponse;
use aws_sdk_lambda::error::{ProvideErrorMetadata, SdkError};
use faas_core::{Error, ErrorKind};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::error::of_call;
use super::pause::{LOOKS, Pauses};

/// How often in a row AWS may not do what it is asked to before it is given up. Arbitrary.
const MISSES: u32 = 8;

/// Why a step ended before the end.
pub(super) enum Stopped {
    /// Something was changed, and what comes of it is to be looked at.
    Changed,
    /// The function is being made ready, or somebody else changes it, as the text says.
    Busy(String),
    /// AWS did not do what it was asked to, or nobody knows whether it did.
    Missed(Error),
    Failed(Error),
}

impl From<Error> for Stopped {
    fn from(error: Error) -> Self {
        match error.kind() {
            ErrorKind::Conflict => Self::Busy(error.message().to_owned()),
            _ if error.is_temporary() => Self::Missed(error),
            _ => Self::Failed(error),
        }
    }
}

/// What is told again later of a refusal that passes, and else the error.
pub(super) fn passing<E>(what: &str, error: &SdkError<E, HttpResponse>, passes: &str) -> Stopped
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let refused = of_call(what, error);
    match error.message() {
        Some(text) if text.contains(passes) => Stopped::Busy(refused.message().to_owned()),
        _ => refused.into(),
    }
}

/// The steps to a function that is ready, within a limit of time.
pub(super) struct Steps<'a> {
    function: &'a str,
    limit: Duration,
    deadline: Instant,
    pauses: Pauses,
    /// How many steps in a row were missed.
    misses: u32,
    /// Why it is not ready.
    reason: String,
}

impl<'a> Steps<'a> {
    /// The first step may be taken; the limit ends at the deadline.
    pub(super) fn new(function: &'a str, limit: Duration, deadline: Instant) -> Self {
        let reason = "AWS does not answer".to_owned();
        Self { function, limit, deadline, pauses: Pauses::new(LOOKS), misses: 0, reason }
    }

    /// Takes a step, as long as there is time.
    pub(super) async fn take<T>(&self, step: impl Future<Output = Result<T, Stopped>>) -> Result<T, Stopped> {
        timeout_at(self.deadline, step).await.unwrap_or_else(|_| Err(Stopped::Failed(self.late())))
    }

    /// After a step that led on.
    pub(super) fn led_on(&mut self) {
        (self.pauses, self.misses) = (Pauses::new(LOOKS), 0);
    }

    /// Waits until the step is taken again.
    ///
    /// # Errors
    /// What ended the step, where it is of no use to take it again; `DeadlineExceeded` when there is no time left.
    pub(super) async fn rest(&mut self, stopped: Stopped) -> Result<(), Error> {
        match stopped {
            Stopped::Failed(error) => return Err(error),
            Stopped::Changed => self.misses = 0,
            Stopped::Busy(why) => (self.reason, self.misses) = (why, 0),
            Stopped::Missed(error) => {
                self.misses += 1;
                if self.misses >= MISSES && error.kind() != ErrorKind::Throttled {
                    return Err(error);
                }
                tracing::debug!(%error, "a step of a deployment is taken again");
                error.message().clone_into(&mut self.reason);
            }
        }
        let until = Instant::now() + self.pauses.next();
        if until >= self.deadline {
            return Err(self.late());
        }
        sleep_until(until).await;
        Ok(())
    }

    fn late(&self) -> Error {
        let Self { function, limit, reason, .. } = self;
        let text = format!("function '{function}' was not ready within {limit:?}: {reason}");
        Error::new(ErrorKind::DeadlineExceeded, text)
    }
}
