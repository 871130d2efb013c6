//! Backends: where actions run. One object-safe trait, chosen at run time.

mod capability;
mod local;
mod pooled;
mod registry;
pub mod settings;
mod url;

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;
use tracing::level_filters::LevelFilter;

pub use self::capability::{Cancel, Capability, LogsAfterKill};
pub use self::local::LocalBackend;
pub use self::pooled::Pooled;
pub use self::registry::BackendRegistry;
pub use self::url::{BackendUrl, UrlOptions};
use crate::action::ActionSpec;
use crate::activation::{ActivationId, StartKind, Usage};
use crate::context::Emitted;
use crate::entropy::Entropy;
use crate::error::Error;
use crate::guest::Reply;
use crate::log::LogLine;
use crate::name::Namespace;
use crate::outcome::Outcome;
use crate::payload::Payload;
use crate::pool::PoolStats;
use crate::scheduler::Permit;
use crate::units::MemoryMib;

/// How much a backend runs at once; the scheduler admits no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capacity {
    /// This many activations.
    Slots(u32),
    /// Activations whose memory limits sum up to this much.
    Memory(MemoryMib),
}

/// What a backend is called, can do, and has room for.
#[derive(Clone, Debug)]
pub struct BackendInfo {
    /// Its name: the scheme of its URL, such as `local`.
    pub name: String,
    /// What it can do.
    pub capability: Capability,
    /// What it has room for.
    pub capacity: Capacity,
}

/// An action made ready on a backend.
#[derive(Clone)]
pub struct Deployment {
    /// The action.
    pub spec: Arc<ActionSpec>,
    /// What the backend keeps for it.
    pub state: Arc<dyn Any + Send + Sync>,
}

impl Deployment {
    /// A deployment of `spec` with the backend's own state.
    #[must_use]
    pub fn new(spec: Arc<ActionSpec>, state: impl Any + Send + Sync) -> Self {
        Self { spec, state: Arc::new(state) }
    }

    /// The backend's own state, if it is of type `T`.
    #[must_use]
    pub fn state<T: Any>(&self) -> Option<&T> {
        self.state.downcast_ref()
    }
}

impl fmt::Debug for Deployment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deployment").field("action", &self.spec.name).finish_non_exhaustive()
    }
}

/// One request to run an action once.
#[derive(Debug)]
pub struct Invocation {
    /// The activation that it is for.
    pub id: ActivationId,
    /// The number of the attempt, from 1.
    pub attempt: u32,
    /// The input, an object or (within a sequence) an array.
    pub payload: Payload,
    /// Whose invocation it is, where that is not the action's own namespace.
    pub invoker: Option<Namespace>,
    /// When its permit was granted.
    pub admitted: Instant,
    /// Until when it may wait for a sandbox. The time to run is the action's limit, counted from the start of
    /// the run.
    pub start_by: Instant,
    /// The sequence or trigger activation that caused it.
    pub cause: Option<ActivationId>,
    /// The most verbose level of `tracing` that is recorded.
    pub log_level: LevelFilter,
    /// The right to run. The backend drops it when nothing of the run is left, which may be after it answered.
    pub permit: Permit,
}

impl Invocation {
    /// A first attempt with `payload`, outside of any scheduler: for tests and for trying out a backend.
    #[must_use]
    pub fn detached(id: ActivationId, payload: Payload) -> Self {
        Self::detached_at(id, payload, Instant::now())
    }

    /// [`detached`](Self::detached) at a time that is known.
    #[must_use]
    pub fn detached_at(id: ActivationId, payload: Payload, admitted: Instant) -> Self {
        Self {
            id,
            attempt: 1,
            payload,
            invoker: None,
            admitted,
            start_by: admitted + Duration::from_secs(60),
            cause: None,
            log_level: LevelFilter::INFO,
            permit: Permit::unlimited(),
        }
    }

    /// Whose invocation of `spec` it is.
    #[must_use]
    pub fn namespace<'a>(&'a self, spec: &'a ActionSpec) -> &'a str {
        self.invoker.as_ref().map_or_else(|| spec.name.namespace(), Namespace::as_str)
    }
}

/// How an invocation ended: the backend did its part, whatever user code did.
#[derive(Clone, Debug)]
pub struct Completion {
    /// What user code did.
    pub outcome: Outcome,
    /// How the sandbox came to be.
    pub start_kind: StartKind,
    /// Time spent waiting for a sandbox that somebody else was making or using.
    pub wait: Duration,
    /// Time spent making the sandbox.
    pub create: Duration,
    /// Time spent initialising user code.
    pub init: Duration,
    /// Time spent running it.
    pub run: Duration,
    /// What it logged.
    pub logs: Vec<LogLine>,
    /// What it put into the outbox.
    pub emitted: Vec<Emitted>,
    /// What else was measured.
    pub usage: Usage,
}

impl Completion {
    /// What a guest replied after it ran for `run`; all other times are zero.
    #[must_use]
    pub fn new(reply: Reply, start_kind: StartKind, run: Duration) -> Self {
        Self {
            outcome: reply.outcome,
            start_kind,
            wait: Duration::ZERO,
            create: Duration::ZERO,
            init: Duration::ZERO,
            run,
            logs: reply.logs,
            emitted: reply.emitted,
            usage: Usage::default(),
        }
    }
}

/// Whether a backend can take work now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Health {
    /// Why it cannot, if it cannot.
    pub problem: Option<String>,
    /// Its sandboxes, where it keeps a pool.
    pub pool: Option<PoolStats>,
}

impl Health {
    /// Whether it can take work.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.problem.is_none()
    }
}

/// Where actions run: deploys them and runs invocations of them.
///
/// # Behavior
/// - `deploy` refuses what the backend cannot run, with the reason, before anything of it runs.
/// - `invoke` answers `Ok` when user code ran, or failed to initialise, whatever came of it; `Err` when the
///   backend failed. A temporary `Err` means that user code did not start.
/// - `invoke` enforces the action's timeout as its [`Capability`] tells, and answers with
///   [`Outcome::timed_out`].
/// - Dropping the future of `invoke` stops the run as [`Capability::cancel`] tells; nothing is leaked.
/// - `invoke` with a deployment of another backend is `InvalidArgument`.
/// - `warm` makes sandboxes ready ahead of invocations, never at the cost of another action's, and tells how
///   many are ready.
/// - After `remove`, no sandbox of the deployment is left; running invocations end first.
/// - After `shutdown`, every call but `health` and `shutdown` is `Closed`, and no sandbox is left.
#[async_trait]
pub trait Backend: Send + Sync + 'static {
    /// Its name, capability and capacity.
    fn info(&self) -> &BackendInfo;

    /// Tells where clock, randomness and timers of its actions come from. A platform calls it once, before
    /// anything else.
    fn attach(&self, entropy: &Arc<Entropy>);

    /// Makes an action ready.
    ///
    /// # Errors
    /// `InvalidArgument` or `Unsupported` when the backend cannot run it; `Unavailable` when it cannot be reached.
    ///
    /// # Cancel safety
    /// Dropping it leaves no deployment; what was made for it may stay until `shutdown`.
    async fn deploy(&self, spec: Arc<ActionSpec>) -> Result<Deployment, Error>;

    /// Runs an invocation.
    ///
    /// # Errors
    /// `Exhausted` when there is no room for a sandbox: [`ready`](Self::ready) tells when to try again;
    /// `DeadlineExceeded` when none was found in time; `SandboxLost` when it died of no fault of the action's;
    /// `Unavailable` when the backend cannot be reached; `Closed` after shutdown, and then user code did not start.
    ///
    /// # Cancel safety
    /// Dropping it stops the run as [`Capability::cancel`] tells.
    async fn invoke(&self, deployment: &Deployment, invocation: Invocation) -> Result<Completion, Error>;

    /// Completes when an invocation that was refused as `Exhausted` is worth another try.
    ///
    /// # Cancel safety
    /// Dropping it changes nothing.
    async fn ready(&self);

    /// Makes up to `count` sandboxes of the action ready and tells how many are, counting those that were.
    ///
    /// # Errors
    /// As for making a sandbox in [`invoke`](Self::invoke).
    ///
    /// # Cancel safety
    /// Dropping it gives up waiting; sandboxes in the making may still become ready.
    async fn warm(&self, deployment: &Deployment, count: usize) -> Result<usize, Error>;

    /// Takes an action away.
    ///
    /// # Errors
    /// `Unavailable` when the backend cannot be reached.
    ///
    /// # Cancel safety
    /// Dropping it leaves the action removed for new invocations; what is left of it may still be there. It
    /// can be repeated.
    async fn remove(&self, deployment: &Deployment) -> Result<(), Error>;

    /// Whether it can take work now, and what its pool holds.
    ///
    /// # Cancel safety
    /// Dropping it changes nothing.
    async fn health(&self) -> Health;

    /// Ends all sandboxes. Repeating it is allowed.
    ///
    /// # Errors
    /// `Unavailable` when the backend cannot be reached; what could not be ended is swept at the next start.
    ///
    /// # Cancel safety
    /// Dropping it leaves the backend closed; it can be repeated to end what is left.
    async fn shutdown(&self) -> Result<(), Error>;
}
