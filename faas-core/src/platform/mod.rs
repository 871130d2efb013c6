//! The platform: what is registered, what is accepted, and what came of it.
//!
//! `invoke` and `fire` come in here. From here a request goes through [`scheduler`](crate::scheduler) to a
//! [`backend`](crate::backend), and its record to the [`store`](crate::store).

mod builder;
mod destinations;
mod dispatch;
mod edit;
mod entities;
mod feeds;
mod fire;
mod held;
mod in_flight;
mod invoke;
mod jobs;
mod lane;
mod letters;
mod lifecycle;
mod registry;
mod run;
mod sequence;
mod signal;
mod submit;
mod target;
mod unfinished;
mod waiters;

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tracing::level_filters::LevelFilter;

pub use self::builder::PlatformBuilder;
use self::dispatch::Dispatch;
pub use self::fire::FireOptions;
use self::in_flight::InFlight;
pub use self::invoke::{CallError, InvokeOptions};
use self::lane::Lane;
pub use self::lifecycle::{BackendHealth, BackendStats, PlatformHealth, PlatformStats, Shutdown};
use self::registry::Registry;
pub use self::sequence::MAX_SEQUENCE;
pub use self::submit::{KEY_RETENTION, MAX_KEY, SubmitOptions, When};
use self::unfinished::Orphan;
use self::waiters::Waiters;
use crate::activation::Activation;
use crate::entropy::Entropy;
use crate::error::Error;
use crate::scheduler::Quotas;
use crate::store::{ActivationQuery, Store};

/// How many events may lie between an activation and what came from outside, unless told. Arbitrary.
pub const MAX_CAUSAL_DEPTH: u32 = 32;

/// Actions, triggers, rules and sequences, wired to backends and a store. Cloning shares it.
///
/// Make one with [`Platform::builder`]. Dropping the last clone stops its background work;
/// [`shutdown`](Platform::shutdown) lets accepted work end first. What runs goes on all the same, and so does all work
/// that was accepted in a store that is not durable; a durable one keeps what waits for the next platform on it.
#[derive(Clone)]
pub struct Platform(Arc<Inner>, #[expect(dead_code, reason = "it counts the clones")] Arc<()>);

struct Inner {
    registry: Registry,
    /// The default lane first.
    lanes: Vec<Arc<Lane>>,
    store: Arc<dyn Store>,
    /// Whether accepted work must be in the store before it runs.
    durable: bool,
    entropy: Arc<Entropy>,
    quotas: Quotas,
    in_flight: InFlight,
    waiters: Waiters,
    dispatch: Arc<Dispatch>,
    /// Takes activations whose caller left.
    finisher: mpsc::UnboundedSender<Orphan>,
    /// Becomes true when feeds shall end.
    closing: watch::Sender<bool>,
    /// Becomes true when shutting down is over.
    shut: watch::Sender<bool>,
    /// Everything that runs for as long as the platform does.
    background: Mutex<JoinSet<()>>,
    queue_deadline: Duration,
    queue_limit: usize,
    max_payload: usize,
    max_causal_depth: u32,
    /// For how long an idempotency key stands for its activation.
    key_retention: Duration,
    /// Whether records tell the input.
    record_inputs: bool,
    log_level: LevelFilter,
    /// Held while entities are written, so that store and registry change in one order.
    writing: tokio::sync::Mutex<()>,
    metrics: crate::metrics::Metrics,
}

impl Platform {
    /// What a platform is made with.
    #[must_use]
    pub fn builder() -> PlatformBuilder {
        PlatformBuilder::default()
    }

    /// Records of activations, newest first.
    ///
    /// # Errors
    /// `Unavailable` when the store cannot be read.
    ///
    /// # Cancel safety
    /// Dropping it changes nothing.
    pub async fn activations(&self, query: &ActivationQuery) -> Result<Vec<Activation>, Error> {
        self.0.store.activations(query).await
    }

    /// The number of records that match, whatever the query's `skip` and `limit` say.
    ///
    /// # Errors
    /// `Unavailable` when the store cannot be read.
    ///
    /// # Cancel safety
    /// Dropping it changes nothing.
    pub async fn count_activations(&self, query: &ActivationQuery) -> Result<u64, Error> {
        self.0.store.count_activations(query).await
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.0.store
    }

    /// The platform's own namespace, which `_` and names without one stand for.
    #[must_use]
    pub fn namespace(&self) -> &crate::Namespace {
        self.0.registry.home()
    }

    /// Where it takes clock, randomness and ids from.
    #[must_use]
    pub fn entropy(&self) -> &Arc<Entropy> {
        &self.0.entropy
    }
}

impl fmt::Debug for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Platform").field("namespace", self.namespace()).finish_non_exhaustive()
    }
}
