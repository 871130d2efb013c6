//! Sandboxes: isolated places that run one action, and the factory that makes them.
//!
//! A pooled backend implements these two traits; when to make, keep and destroy a sandbox is decided once,
//! in [`pool`](crate::pool).

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use crate::action::ActionSpec;
use crate::activation::Usage;
use crate::backend::Invocation;
use crate::context::Emitted;
use crate::entropy::Entropy;
use crate::error::Error;
use crate::guest::Reply;
use crate::log::LogLine;
use crate::outcome::Outcome;
use crate::units::MemoryMib;

/// What a stem cell is keyed by: sandboxes of one shape are interchangeable until they are initialised.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shape {
    /// The runtime, such as `rust` or `nodejs:20`.
    pub kind: Arc<str>,
    /// Its memory.
    pub memory: MemoryMib,
    /// The artifact, where runtime and code are one.
    pub artifact: Option<Arc<str>>,
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.memory)?;
        self.artifact.as_ref().map_or(Ok(()), |artifact| write!(f, "/{artifact}"))
    }
}

/// Makes sandboxes.
///
/// # Behavior
/// - `prepare` refuses what the factory cannot run, before any sandbox is made.
/// - A stem is up and bound to no namespace and no action.
/// - `init` binds a stem to one action; a failure of user code is [`InitError::Action`], with what it logged.
/// - `init` stops user code at the action's timeout with [`Outcome::init_timed_out`]; one that does not is dropped, without
///   its logs, once the pool's [`init_grace`](crate::PoolConfig::init_grace) is over too.
/// - A future that is dropped, and a stem that fails to initialise, leave nothing behind.
pub trait SandboxFactory: Send + Sync + 'static {
    /// A sandbox that is up and bound to nothing.
    type Stem: Send + 'static;
    /// A sandbox that is bound to an action.
    type Sandbox: Sandbox;

    /// Tells where clock, randomness and timers of user code come from; see
    /// [`Backend::attach`](crate::Backend::attach).
    fn attach(&self, entropy: &Arc<Entropy>);

    /// Gets what sandboxes of the action need, such as its artifact.
    ///
    /// # Errors
    /// `InvalidArgument` or `Unsupported` when it cannot run the action; `Unavailable` when the engine cannot be
    /// reached.
    ///
    /// # Cancel safety
    /// Dropping it leaves nothing behind but what may be used again, such as a cached artifact.
    fn prepare(&self, spec: &Arc<ActionSpec>) -> impl Future<Output = Result<(), Error>> + Send;

    /// The shape that an action needs.
    fn shape(&self, spec: &ActionSpec) -> Shape;

    /// Makes a stem of a shape.
    ///
    /// # Errors
    /// `Unavailable`, temporary, when the engine cannot be reached; `Internal` when it refuses.
    ///
    /// # Cancel safety
    /// Dropping it leaves nothing behind: what was made so far is destroyed, by the factory itself.
    fn create(&self, shape: &Shape) -> impl Future<Output = Result<Self::Stem, Error>> + Send;

    /// Binds a stem to an action, initialising user code.
    ///
    /// # Errors
    /// [`InitError::Action`] when user code fails; `SandboxLost` when the stem is gone: temporary if user code cannot have
    /// started, and another one is then used.
    ///
    /// # Cancel safety
    /// Dropping it destroys the stem.
    fn init(
        &self,
        stem: Self::Stem,
        spec: &Arc<ActionSpec>,
    ) -> impl Future<Output = Result<Self::Sandbox, InitError>> + Send;

    /// Destroys a stem.
    ///
    /// # Cancel safety
    /// A pool runs it to its end, unless the runtime ends first; [`sweep`](Self::sweep) finds what is left then.
    fn discard(&self, stem: Self::Stem) -> impl Future<Output = ()> + Send;

    /// Removes what an earlier process of this pool left behind, and tells how many sandboxes that were.
    ///
    /// # Cancel safety
    /// Dropping it leaves what it has not removed; it can be repeated.
    fn sweep(&self) -> impl Future<Output = usize> + Send;
}

/// Why a stem did not become a sandbox.
#[derive(Debug)]
pub enum InitError {
    /// User code failed.
    Action {
        /// The developer error, such as [`Outcome::init_failed`].
        outcome: Outcome,
        /// What it logged.
        logs: Vec<LogLine>,
    },
    /// The factory failed.
    Factory(Error),
}

impl From<Error> for InitError {
    fn from(error: Error) -> Self {
        Self::Factory(error)
    }
}

impl From<Reply> for InitError {
    fn from(reply: Reply) -> Self {
        Self::Action { outcome: reply.outcome, logs: reply.logs }
    }
}

/// One isolated place, bound to one action.
///
/// # Behavior
/// - `run` may be called again after it answered, and concurrently where the action's limit allows it.
/// - `run` stops the action at its timeout with [`Outcome::timed_out`]; a sandbox that cannot is stopped from
///   outside and destroyed.
/// - After a run that ended other than with success or an application error, the sandbox is destroyed.
/// - A paused sandbox is resumed before its next run.
pub trait Sandbox: Send + Sync + 'static {
    /// Runs an invocation.
    ///
    /// # Errors
    /// `SandboxLost` when the sandbox died of no fault of the action's: temporary if user code cannot have started, and the
    /// invocation then gets another one. `Unavailable` when it cannot be reached.
    ///
    /// # Cancel safety
    /// Dropping it stops the run; the sandbox is then destroyed and not used again.
    fn run(&self, invocation: &Invocation) -> impl Future<Output = Result<RunOutput, Error>> + Send;

    /// Pauses an idle sandbox.
    ///
    /// # Errors
    /// `SandboxLost`; the sandbox is then destroyed.
    ///
    /// # Cancel safety
    /// A pool runs it to its end, unless the runtime ends first.
    fn pause(&mut self) -> impl Future<Output = Result<(), Error>> + Send;

    /// Resumes a paused sandbox.
    ///
    /// # Errors
    /// `SandboxLost`; the sandbox is then destroyed and the invocation gets another one.
    ///
    /// # Cancel safety
    /// A pool runs it to its end, unless the runtime ends first.
    fn resume(&mut self) -> impl Future<Output = Result<(), Error>> + Send;

    /// Ends the sandbox and frees all that it held.
    ///
    /// # Cancel safety
    /// A pool runs it to its end, unless the runtime ends first; [`SandboxFactory::sweep`] finds what is left then.
    fn destroy(self) -> impl Future<Output = ()> + Send;
}

/// What one run in a sandbox gave.
#[derive(Clone, Debug)]
pub struct RunOutput {
    /// What user code did.
    pub outcome: Outcome,
    /// What it logged.
    pub logs: Vec<LogLine>,
    /// What it put into the outbox.
    pub emitted: Vec<Emitted>,
    /// What else was measured.
    pub usage: Usage,
}
