//! The inside of a sandbox: what every backend does around user code, written once.
//!
//! A [`Guest`] is an action bound to its host. Running it captures what the code logs, turns a panic into
//! a developer error, and gives back a [`Reply`]. Deadlines are the business of whoever polls it.

mod bound;
mod capture;
#[cfg(any(all(feature = "guest-wasi", target_family = "wasm"), test))]
mod executor;
#[cfg(all(feature = "guest-http", unix))]
pub mod http;
#[cfg(feature = "lambda-wire")]
pub mod lambda;
#[cfg(all(any(feature = "guest-http", feature = "guest-lambda"), unix))]
mod process;
#[cfg(feature = "guest-wasi")]
pub mod wasi;

use std::collections::BTreeMap;
use std::future::Future;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Poll, ready};
use std::time::Duration;

use tracing::level_filters::LevelFilter;

pub(crate) use self::bound::{Bound, Spec};
use crate::action::{ActionSpec, BoxFuture, Init, State};
use crate::activation::ActivationId;
use crate::context::{Context, ContextInner, Emitted, Host, InitContext, Out};
use crate::error::{BoxError, Error, ErrorKind};
use crate::log::{LogBuffer, LogLine};
use crate::outcome::Outcome;
use crate::payload::Payload;
use crate::stripe::OwnArcs;

/// What a guest is asked to run.
#[derive(Clone, Debug)]
pub struct Call {
    /// The activation.
    pub id: ActivationId,
    /// The number of the attempt, from 1.
    pub attempt: u32,
    /// The deadline on the host's monotonic clock.
    pub deadline: Duration,
    /// The input.
    pub payload: Payload,
    /// The most verbose level that is recorded.
    pub log_level: LevelFilter,
}

/// What a guest gives back.
#[derive(Clone, Debug)]
pub struct Reply {
    /// What user code did.
    pub outcome: Outcome,
    /// What it logged.
    pub logs: Vec<LogLine>,
    /// What it put into the outbox; empty unless it succeeded.
    pub emitted: Vec<Emitted>,
}

impl Reply {
    /// A reply that is nothing but an outcome.
    pub(crate) const fn of(outcome: Outcome) -> Self {
        Self { outcome, logs: Vec::new(), emitted: Vec::new() }
    }
}

/// The action as the contexts of one thread hold it, so that threads count no references together.
pub(crate) struct OwnBound(Arc<Bound>);

impl Deref for OwnBound {
    type Target = Bound;

    fn deref(&self) -> &Bound {
        &self.0
    }
}

/// An action of this program, bound to a host: one sandbox's worth of it.
pub struct Guest {
    bound: Arc<Bound>,
    /// What contexts hold.
    own: OwnArcs<OwnBound>,
}

impl Guest {
    /// Binds the code of `spec` to a host.
    ///
    /// # Errors
    /// `Unsupported` when the action's code is not of this program.
    pub fn new(spec: Arc<ActionSpec>, host: Arc<dyn Host>) -> Result<Self, Error> {
        let spec = Spec::Told(spec);
        if spec.code().is_none() {
            let text = "the action has no Rust code in this program".to_owned();
            return Err(Error::new(ErrorKind::Unsupported, text).with_context("action", &spec.get().name));
        }
        Ok(Self::bind(spec, host))
    }

    fn bind(spec: Spec, host: Arc<dyn Host>) -> Self {
        Self { bound: Arc::new(Bound::new(spec, host)), own: OwnArcs::new() }
    }

    /// The action.
    #[must_use]
    pub fn spec(&self) -> &Arc<ActionSpec> {
        self.bound.spec.get()
    }

    /// Whether [`init`](Self::init) has something left to do.
    #[must_use]
    pub fn needs_init(&self) -> bool {
        self.pending_init().is_some()
    }

    fn pending_init(&self) -> Option<&Init> {
        let init = self.bound.spec.code()?.init.as_ref();
        init.filter(|_| self.bound.state().is_none())
    }

    /// Builds the shared state, if the action's set has any and it is not built yet: a future of the developer error of an
    /// `init` function that failed or panicked, with what it logged. What one that succeeds logs begins the log of the
    /// first run.
    pub fn init(&self) -> Initialising<'_> {
        let code = self.pending_init().map(|init| {
            let cx = InitContext { bound: Arc::clone(&self.bound) };
            let scope = self.new_context(NO_ACTIVATION, 1, Duration::MAX);
            // The function itself is called within its scope, too.
            let future = Box::pin(async move { init(cx).await });
            Code { cx: scope, future: Some(future as _), capture: capture::Capture::new(LevelFilter::INFO) }
        });
        Initialising { bound: &self.bound, code }
    }

    /// Starts a run; nothing happens until it is polled.
    pub fn run(&self, call: Call) -> Running<'_> {
        self.bound.run(self.context(&call), call)
    }

    /// The context that a run of `call` will see.
    pub(crate) fn context(&self, call: &Call) -> Context {
        self.new_context(call.id, call.attempt, call.deadline)
    }

    fn new_context(&self, id: ActivationId, attempt: u32, deadline: Duration) -> Context {
        let logs = self.bound.take_logs().unwrap_or_else(|| LogBuffer::new(self.bound.spec.log_limit()));
        let out = Out { logs, emitted: Vec::new(), closed: false };
        let bound = self.own.get(|| OwnBound(Arc::clone(&self.bound)));
        let told = BTreeMap::new();
        Context(Arc::new(ContextInner { id, attempt, deadline, bound, told, out: Mutex::new(out) }))
    }
}

/// What stands for the activation where an action is initialised, which may be for nobody yet.
pub const NO_ACTIVATION: ActivationId = ActivationId::from_u128(0);

/// An initialisation of user code: a future that ends once the shared state is there, or with the reply of a failure.
///
/// # Cancel safety
/// Dropping it drops the half-built state; the next one begins anew. [`abandon`](Self::abandon) does so and keeps the
/// logs.
pub struct Initialising<'a> {
    bound: &'a Bound,
    /// `None` where there is nothing to build, or no longer.
    code: Option<Code<'a, Result<State, BoxError>>>,
}

impl Initialising<'_> {
    /// Drops user code and replies with `outcome` and what was logged so far.
    #[must_use]
    pub fn abandon(self, outcome: Outcome) -> Reply {
        match self.code {
            Some(code) => code.abandon(outcome),
            None => Reply::of(outcome),
        }
    }

    /// The context that what is logged belongs to, if there is anything to do.
    #[cfg(all(any(feature = "guest-http", feature = "guest-lambda"), unix))]
    pub(crate) fn context(&self) -> Option<&Context> {
        self.code.as_ref().map(|code| &code.cx)
    }
}

impl Future for Initialising<'_> {
    type Output = Result<(), Reply>;

    fn poll(mut self: Pin<&mut Self>, task: &mut std::task::Context<'_>) -> Poll<Result<(), Reply>> {
        let Self { bound, code } = &mut *self;
        let Some(running) = code else { return Poll::Ready(Ok(())) };
        let built = ready!(running.poll(task));
        let cx = running.cx.clone();
        *code = None;
        let outcome = match built {
            Ok(Ok(state)) => {
                bound.set_state(state, cx.0.take_logs());
                return Poll::Ready(Ok(()));
            }
            Ok(Err(error)) => Outcome::init_failed(&error.to_string()),
            Err(message) => Outcome::init_failed(&format!("it panicked: {message}")),
        };
        Poll::Ready(Err(cx.close(outcome)))
    }
}

/// A run of user code: a future of its [`Reply`].
///
/// # Cancel safety
/// Dropping it drops user code at its await point. [`abandon`](Self::abandon) does so and keeps the logs.
pub struct Running<'a>(Code<'a, Outcome>);

impl Running<'_> {
    /// Drops user code and replies with `outcome` and what was logged so far.
    #[must_use]
    pub fn abandon(self, outcome: Outcome) -> Reply {
        self.0.abandon(outcome)
    }
}

impl Future for Running<'_> {
    type Output = Reply;

    fn poll(mut self: Pin<&mut Self>, task: &mut std::task::Context<'_>) -> Poll<Reply> {
        let outcome = ready!(self.0.poll(task)).unwrap_or_else(|message| Outcome::panicked(&message));
        Poll::Ready(self.0.cx.close(outcome))
    }
}

/// User code in its scope: what it logs is captured, and a panic is caught, one of its destructors' too.
struct Code<'a, T> {
    cx: Context,
    /// `None` once it has ended.
    future: Option<BoxFuture<'a, T>>,
    capture: capture::Capture,
}

impl<T> Code<'_, T> {
    /// Lets it go on; `Err` is the message of a panic.
    fn poll(&mut self, task: &mut std::task::Context<'_>) -> Poll<Result<T, String>> {
        let Self { cx, future, capture } = self;
        let polled = capture.enter(&cx.0, || {
            let Some(code) = future.as_mut() else { return Ok(Poll::Pending) };
            let polled = catch_unwind(AssertUnwindSafe(|| code.as_mut().poll(task)));
            if !matches!(polled, Ok(Poll::Pending)) {
                // Its destructors belong to the run, and may log, and panic.
                catch_unwind(AssertUnwindSafe(|| drop(future.take()))).unwrap_or_else(discard);
            }
            polled
        });
        match polled {
            Ok(polled) => polled.map(Ok),
            Err(panic) => Poll::Ready(Err(capture.enter(&cx.0, || panic_message(panic)))),
        }
    }

    fn abandon(mut self, outcome: Outcome) -> Reply {
        self.drop_code();
        self.cx.close(outcome)
    }

    /// Drops user code inside its scope; a destructor that panics is caught.
    fn drop_code(&mut self) {
        if let Some(future) = self.future.take() {
            let drop_it = AssertUnwindSafe(|| self.capture.enter(&self.cx.0, || drop(future)));
            catch_unwind(drop_it).unwrap_or_else(discard);
        }
    }
}

impl<T> Drop for Code<'_, T> {
    fn drop(&mut self) {
        self.drop_code();
    }
}

/// Runs user code; a panic is an `Err` with its message.
#[cfg(feature = "host")]
pub(crate) fn catch_panic<T>(code: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(code)).map_err(panic_message)
}

type Panic = Box<dyn std::any::Any + Send>;

fn panic_message(panic: Panic) -> String {
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => {
            let text = panic.downcast_ref::<&'static str>().map_or("(no message)", |text| text).to_owned();
            discard(panic);
            text
        }
    }
}

/// Drops what user code panicked with. Its destructor is user code too: one that panics is caught, and what it
/// panicked with is leaked, since that could go on for ever.
fn discard(panic: Panic) {
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        std::mem::forget(again);
    }
}
