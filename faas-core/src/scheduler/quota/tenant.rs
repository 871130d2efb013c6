//! The account of one namespace.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use governor::RateLimiter;
use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};

use super::Quota;
use super::clock::{At, TokioClock};
use crate::error::{Error, ErrorKind};

/// What rates are per. A rate that nothing was counted against for so long has wholly recovered.
pub(super) const MINUTE: Duration = Duration::from_secs(60);

pub(super) struct Tenant {
    in_flight: AtomicU32,
    invocations: Option<Rate>,
    fires: Option<Rate>,
}

type Limiter = RateLimiter<NotKeyed, InMemoryState, TokioClock, NoOpMiddleware<At>>;

/// A number per minute.
struct Rate {
    limit: u32,
    /// `None` for a limit of zero, which the limiter does not know.
    limiter: Option<Limiter>,
}

impl Tenant {
    pub(super) fn new(quota: Quota) -> Self {
        Self {
            in_flight: AtomicU32::new(0),
            invocations: quota.invocations_per_minute.map(Rate::new),
            fires: quota.fires_per_minute.map(Rate::new),
        }
    }

    pub(super) fn has_rate(&self) -> bool {
        self.invocations.is_some() || self.fires.is_some()
    }

    pub(super) fn count_invocation(&self, namespace: &str) -> Result<(), Error> {
        self.invocations.as_ref().map_or(Ok(()), |rate| rate.count(namespace, "invocations"))
    }

    pub(super) fn count_fire(&self, namespace: &str) -> Result<(), Error> {
        self.fires.as_ref().map_or(Ok(()), |rate| rate.count(namespace, "fired triggers"))
    }

    /// Counts one more invocation in flight; [`exit`](Self::exit) takes it back.
    pub(super) fn enter(&self, namespace: &str, limit: u32) -> Result<(), Error> {
        let more = |count: u32| (count < limit).then(|| count + 1);
        match self.in_flight.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more) {
            Ok(_) => Ok(()),
            Err(count) => Err(throttled(
                namespace,
                format!("{count} of {limit} allowed concurrent invocations are in flight"),
            )),
        }
    }

    pub(super) fn exit(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Rate {
    fn new(limit: u32) -> Self {
        let quota = NonZeroU32::new(limit).map(governor::Quota::per_minute);
        Self { limit, limiter: quota.map(|quota| RateLimiter::direct_with_clock(quota, TokioClock)) }
    }

    fn count(&self, namespace: &str, what: &str) -> Result<(), Error> {
        let limit = self.limit;
        let refused =
            || throttled(namespace, format!("{limit} of {limit} allowed {what} per minute are used"));
        let Some(limiter) = &self.limiter else { return Err(refused()) };
        limiter.check().map_err(|until| {
            let wait = until.wait_time_from(TokioClock.now());
            refused().with_context("retry_after", format_args!("{}ms", wait.as_nanos().div_ceil(1_000_000)))
        })
    }
}

fn throttled(namespace: &str, text: String) -> Error {
    Error::new(ErrorKind::Throttled, format!("namespace '{namespace}': {text}"))
        .with_context("namespace", namespace)
}
