//! Tries again what a backend refused for the moment.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, sleep};

use super::Layer;
use crate::action::RetryPolicy;
use crate::backend::{Backend, Completion, Deployment, Invocation};
use crate::entropy::Entropy;
use crate::error::{Error, ErrorKind};

/// Tries an invocation again when the backend failed with a temporary error, that is, before user code started.
///
/// # Behavior
/// - Errors that are not temporary, and outcomes of whatever kind, are passed on at once. So is `Exhausted`:
///   [`Backend::ready`] tells the scheduler when that is worth another try.
/// - There are at most [`RetryPolicy::retries`] tries more; `on_application_error` and `max_age` have no meaning here.
/// - Before each, it pauses for a random time up to [`RetryPolicy::ceiling`]. When the pause would reach beyond the
///   invocation's `start_by`, the error is passed on at once.
/// - All tries are one attempt of the activation, under one permit. Failed tries and pauses count as waiting.
///
/// # Source
/// "Full jitter": M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
#[derive(Debug)]
pub struct RetryLayer {
    policy: RetryPolicy,
    /// The platform's, once there is one.
    entropy: OnceLock<Arc<Entropy>>,
}

impl RetryLayer {
    /// How often it tries again unless told. Arbitrary.
    pub const DEFAULT_RETRIES: u32 = 5;

    /// Five more tries, after at most 100 ms, 200 ms, 400 ms and so on.
    #[must_use]
    pub fn new() -> Self {
        let policy = RetryPolicy { retries: Self::DEFAULT_RETRIES, ..RetryPolicy::default() };
        Self { policy, entropy: OnceLock::new() }
    }

    /// The same layer with another policy.
    #[must_use]
    pub fn with_policy(mut self, policy: RetryPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// The pause before try `tries` + 1, if that one may come after `error`.
    fn pause(&self, tries: u32, error: &Error, start_by: Instant) -> Option<Duration> {
        if !error.is_temporary() || error.kind() == ErrorKind::Exhausted || tries > self.policy.retries {
            return None;
        }
        let entropy = self.entropy.get_or_init(Arc::default);
        let pause = entropy.jitter(self.policy.ceiling(tries));
        (pause <= start_by.saturating_duration_since(Instant::now())).then_some(pause)
    }
}

impl Default for RetryLayer {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Layer for RetryLayer {
    fn attach(&self, entropy: &Arc<Entropy>) {
        // Where there is one already, it does as well.
        let _ = self.entropy.set(Arc::clone(entropy));
    }

    async fn invoke(
        &self,
        backend: &dyn Backend,
        deployment: &Deployment,
        mut invocation: Invocation,
    ) -> Result<Completion, Error> {
        let first = Instant::now();
        let mut tries = 1;
        loop {
            let began = Instant::now();
            let error = match backend.invoke(deployment, same(&mut invocation)).await {
                Ok(mut completion) => {
                    completion.wait = completion.wait.saturating_add(began - first);
                    return Ok(completion);
                }
                Err(error) => error,
            };
            let Some(pause) = self.pause(tries, &error, invocation.start_by) else {
                return Err(error.with_context("tries", tries));
            };
            sleep(pause).await;
            tries += 1;
        }
    }
}

/// The same invocation once more, under the same permit.
fn same(invocation: &mut Invocation) -> Invocation {
    Invocation {
        id: invocation.id,
        attempt: invocation.attempt,
        payload: invocation.payload.clone(),
        invoker: invocation.invoker.clone(),
        admitted: invocation.admitted,
        start_by: invocation.start_by,
        cause: invocation.cause,
        log_level: invocation.log_level,
        permit: invocation.permit.share(),
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::Poll;

    use super::*;
    use crate::backend::Capacity;
    use crate::layer::Layered;
    use crate::layer::scripted::{Scripted, completion, invocation};
    use crate::scheduler::{Scheduler, SchedulerConfig};

    fn unavailable() -> Error {
        Error::new(ErrorKind::Unavailable, "the socket is gone")
    }

    fn seeded(retries: u32, seed: u64, backend: &Scripted) -> Layered<RetryLayer> {
        let policy = RetryPolicy { retries, ..RetryPolicy::default() };
        let layered = RetryLayer::new().with_policy(policy).around(backend.shared());
        layered.attach(&Arc::new(Entropy::seeded(seed)));
        layered
    }

    #[tokio::test(start_paused = true)]
    async fn a_temporary_error_is_tried_again_until_it_passes() {
        let backend = Scripted::new([Err(unavailable()), Err(unavailable()), Ok(completion())]);
        let began = Instant::now();
        let layered = seeded(5, 1, &backend);
        let done = layered.invoke(&backend.deployment(), invocation()).await.unwrap();
        assert!(done.outcome.is_success());
        let tries = backend.tries();
        assert_eq!(tries.len(), 3);
        assert!(tries.iter().all(|(_, attempt)| *attempt == 1), "tries are no attempts: {tries:?}");
        assert!(tries[1].0 - tries[0].0 <= Duration::from_millis(100));
        assert!(tries[2].0 - tries[1].0 <= Duration::from_millis(200));
        assert_eq!(done.wait, tries[2].0 - began, "pauses count as waiting");
        assert!(done.wait > Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_and_are_jittered() {
        let mut longest = [Duration::ZERO; 3];
        for seed in 0..50 {
            let backend =
                Scripted::new([Err(unavailable()), Err(unavailable()), Err(unavailable()), Ok(completion())]);
            let layered = seeded(3, seed, &backend);
            layered.invoke(&backend.deployment(), invocation()).await.unwrap();
            let tries = backend.tries();
            for (longest, pair) in longest.iter_mut().zip(tries.windows(2)) {
                *longest = (*longest).max(pair[1].0 - pair[0].0);
            }
        }
        // The timer's resolution is a millisecond.
        for (longest, ceiling) in longest.into_iter().zip([100, 200, 400].map(Duration::from_millis)) {
            assert!(longest > ceiling / 2 && longest <= ceiling + Duration::from_millis(1), "{longest:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn tries_end() {
        let backend = Scripted::new((0..10).map(|_| Err(unavailable())));
        let layered = seeded(2, 1, &backend);
        let error = layered.invoke(&backend.deployment(), invocation()).await.unwrap_err();
        assert_eq!((error.kind(), error.context("tries")), (ErrorKind::Unavailable, Some("3")));
        assert_eq!(backend.tries().len(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_have_started_and_what_is_exhausted_is_not_tried_again() {
        for kind in [ErrorKind::SandboxLost, ErrorKind::Internal, ErrorKind::Exhausted] {
            let backend = Scripted::new([Err(Error::new(kind, "no")), Ok(completion())]);
            let layered = seeded(5, 1, &backend);
            let error = layered.invoke(&backend.deployment(), invocation()).await.unwrap_err();
            assert_eq!((error.kind(), backend.tries().len()), (kind, 1));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_try_begins_after_the_time_to_start() {
        let backend = Scripted::new((0..1_000).map(|_| Err(unavailable())));
        let layered = seeded(1_000, 1, &backend);
        let invocation = Invocation { start_by: Instant::now() + Duration::from_secs(30), ..invocation() };
        let start_by = invocation.start_by;
        let error = layered.invoke(&backend.deployment(), invocation).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(Instant::now() <= start_by && backend.tries().len() > 5);
    }

    #[tokio::test(start_paused = true)]
    async fn the_permit_is_held_through_the_pauses_and_given_back_at_the_end() {
        let scheduler = Scheduler::new(Capacity::Slots(1), SchedulerConfig::default());
        let backend = Scripted::new([Err(unavailable()), Ok(completion())]);
        let layered = seeded(5, 1, &backend);
        let deployment = backend.deployment();
        let permit = scheduler.try_admit(1).unwrap();
        let mut run = layered.invoke(&deployment, Invocation { permit, ..invocation() });
        assert!(is_pending(&mut run).await);
        assert_eq!((backend.tries().len(), scheduler.in_use()), (1, 1), "it pauses");
        run.await.unwrap();
        assert_eq!((backend.tries().len(), scheduler.in_use()), (2, 0));
    }

    /// Polls once.
    async fn is_pending<F: Future + Unpin>(future: &mut F) -> bool {
        std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut *future).poll(cx).is_pending())).await
    }
}
