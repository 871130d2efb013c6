//! Quotas: how much of the platform one namespace may take.

mod clock;
mod tenant;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

use self::tenant::Tenant;
use crate::error::{Error, ErrorKind};
use crate::name::Namespace;

/// What one namespace may take. `None` is without limit, `Some(0)` forbids all.
///
/// Rates are limited by the generic cell rate algorithm of the `governor` crate: a namespace that has been
/// quiet may use a whole minute's number at once, and gets one back every 60 s / limit. OpenWhisk counts per
/// calendar minute instead, gives all back when the minute is full, and counts refused requests too; here a
/// request that the rate refuses costs nothing. Over any 60 s both let through at most twice the limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Quota {
    /// Invocations that are accepted and not finished, waiting or running, but for work that waits in the store: a
    /// backlog, or what is to run later, does not shut its own namespace out. It counts once it was taken from there to
    /// run, and is not refused then, so that there may be more than the limit. OpenWhisk, whose queue is short, counts
    /// what waits as well.
    pub concurrent: Option<u32>,
    /// Invocations per minute.
    pub invocations_per_minute: Option<u32>,
    /// Fired triggers per minute.
    pub fires_per_minute: Option<u32>,
}

impl Quota {
    /// No limit at all.
    pub const UNLIMITED: Self =
        Self { concurrent: None, invocations_per_minute: None, fires_per_minute: None };

    fn limits_invocations(self) -> bool {
        self.concurrent.is_some() || self.invocations_per_minute.is_some()
    }
}

/// How many namespaces are counted at once, about 200 bytes each. Arbitrary.
const TRACKED: usize = 65_536;

/// How many locks the namespaces are spread over, so that tenants do not wait for each other. Arbitrary.
const SHARDS: usize = 16;

/// Counts what namespaces take, over all backends, and refuses what is over their [`Quota`].
///
/// Namespaces that have been quiet long enough to have nothing to their account are forgotten when there are
/// many (65,536); if none is, namespaces that are not counted yet are refused.
///
/// ```
/// use faas_core::scheduler::{Quota, Quotas};
///
/// let quotas = Quotas::new(Quota { concurrent: Some(1), ..Quota::UNLIMITED }, []);
/// let running = quotas.admit_invoke("acme")?;
/// let error = quotas.admit_invoke("acme").expect_err("one is running");
/// assert!(error.message().contains("1 of 1"));
/// drop(running);
/// assert!(quotas.admit_invoke("acme").is_ok());
/// # Ok::<(), faas_core::Error>(())
/// ```
pub struct Quotas(Option<Box<Limits>>);

struct Limits {
    default: Quota,
    overrides: BTreeMap<Box<str>, Quota>,
    shards: [Mutex<Shard>; SHARDS],
    shard_limit: usize,
}

#[derive(Default)]
struct Shard(BTreeMap<Arc<str>, Tracked>);

struct Tracked {
    tenant: Arc<Tenant>,
    seen: Instant,
}

impl Quotas {
    /// Quotas of `default` for every namespace but those that `overrides` names.
    #[must_use]
    pub fn new(default: Quota, overrides: impl IntoIterator<Item = (Namespace, Quota)>) -> Self {
        Self::tracking(TRACKED, default, overrides)
    }

    fn tracking(
        tracked: usize,
        default: Quota,
        overrides: impl IntoIterator<Item = (Namespace, Quota)>,
    ) -> Self {
        let overrides: BTreeMap<Box<str>, Quota> =
            overrides.into_iter().map(|(namespace, quota)| (namespace.as_str().into(), quota)).collect();
        let limited =
            default != Quota::UNLIMITED || overrides.values().any(|quota| *quota != Quota::UNLIMITED);
        let limits = || {
            let shard_limit = tracked.div_ceil(SHARDS);
            Box::new(Limits { default, overrides, shards: Default::default(), shard_limit })
        };
        Self(limited.then(limits))
    }

    /// Counts an invocation of a namespace; the guard is kept until it has finished. `None` where no number of
    /// concurrent invocations is set.
    ///
    /// The rate is asked before the concurrency, as in OpenWhisk: an invocation that is refused for its
    /// concurrency has counted towards the rate.
    ///
    /// # Errors
    /// `Throttled` (temporary), naming the namespace, the count and the limit. Where it is a rate, the context
    /// `retry_after` holds the time until one more is allowed, in whole milliseconds such as `1500ms`.
    pub fn admit_invoke(&self, namespace: &str) -> Result<Option<QuotaGuard>, Error> {
        let Some(limits) = &self.0 else { return Ok(None) };
        let quota = limits.quota(namespace);
        if !quota.limits_invocations() {
            return Ok(None);
        }
        let tenant = limits.tenant(namespace, quota)?;
        tenant.count_invocation(namespace)?;
        let Some(limit) = quota.concurrent else { return Ok(None) };
        tenant.enter(namespace, limit)?;
        Ok(Some(QuotaGuard(tenant)))
    }

    /// Counts an invocation that was accepted before, and so is not refused: others are, while it runs.
    pub(crate) fn count_accepted(&self, namespace: &str) -> Option<QuotaGuard> {
        let limits = self.0.as_ref()?;
        let quota = limits.quota(namespace);
        quota.concurrent?;
        let tenant = limits.tenant(namespace, quota).ok()?;
        tenant.enter(namespace, u32::MAX).ok()?;
        Some(QuotaGuard(tenant))
    }

    /// Counts a trigger fired by a namespace.
    ///
    /// # Errors
    /// As for the rate of [`admit_invoke`](Self::admit_invoke).
    pub fn admit_fire(&self, namespace: &str) -> Result<(), Error> {
        let Some(limits) = &self.0 else { return Ok(()) };
        let quota = limits.quota(namespace);
        if quota.fires_per_minute.is_none() {
            return Ok(());
        }
        limits.tenant(namespace, quota)?.count_fire(namespace)
    }

    /// The quota of a namespace.
    #[must_use]
    pub fn quota(&self, namespace: &str) -> Quota {
        self.0.as_ref().map_or(Quota::UNLIMITED, |limits| limits.quota(namespace))
    }
}

impl Limits {
    fn quota(&self, namespace: &str) -> Quota {
        self.overrides.get(namespace).copied().unwrap_or(self.default)
    }

    /// The account of a namespace.
    fn tenant(&self, namespace: &str, quota: Quota) -> Result<Arc<Tenant>, Error> {
        let now = Instant::now();
        let shard = &self.shards[shard_of(namespace)];
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tracked) = shard.0.get_mut(namespace) {
            tracked.seen = now;
            return Ok(Arc::clone(&tracked.tenant));
        }
        if shard.0.len() >= self.shard_limit {
            shard.0.retain(|_, tracked| !tracked.is_forgettable(now));
            if shard.0.len() >= self.shard_limit {
                let text = format!(
                    "namespace '{namespace}' cannot be counted: {} others are, none of them quiet",
                    self.shard_limit
                );
                return Err(Error::new(ErrorKind::Throttled, text));
            }
        }
        let tenant = Arc::new(Tenant::new(quota));
        shard.0.insert(namespace.into(), Tracked { tenant: Arc::clone(&tenant), seen: now });
        Ok(tenant)
    }
}

impl Tracked {
    /// Whether a new account would be the same: nothing runs, and all rates have recovered.
    fn is_forgettable(&self, now: Instant) -> bool {
        Arc::strong_count(&self.tenant) == 1
            && (!self.tenant.has_rate() || now.duration_since(self.seen) >= tenant::MINUTE)
    }
}

/// FNV-1a (Fowler, Noll, Vo): the same in every process, so that runs can be repeated.
fn shard_of(namespace: &str) -> usize {
    let step = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    namespace.bytes().fold(0x811c_9dc5, step) as usize % SHARDS
}

/// One concurrent invocation of a namespace; dropping it lets the next one in.
#[must_use = "a guard that is dropped stops counting the invocation"]
pub struct QuotaGuard(Arc<Tenant>);

impl Drop for QuotaGuard {
    fn drop(&mut self) {
        self.0.exit();
    }
}

impl fmt::Debug for QuotaGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("QuotaGuard")
    }
}

impl fmt::Debug for Quotas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            None => f.write_str("Quotas(off)"),
            Some(limits) => f
                .debug_struct("Quotas")
                .field("default", &limits.default)
                .field("overrides", &limits.overrides)
                .finish_non_exhaustive(),
        }
    }
}

#[cfg(test)]
mod tests;
