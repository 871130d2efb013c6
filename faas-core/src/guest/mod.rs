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

    /// Builds the shared state, if the action's set has any and it is not built yet.
    ///
    /// # Errors
    /// The developer error of an `init` function that failed or panicked.
    ///
    /// # Cancel safety
    /// Dropping it drops the half-built state; the next call begins anew.
    pub async fn init(&self) -> Result<(), Outcome> {
        let Some(init) = self.pending_init() else { return Ok(()) };
        let cx = InitContext { bound: Arc::clone(&self.bound) };
        let building = catch_unwind(AssertUnwindSafe(|| init(cx)));
        let built = match building {
            Ok(building) => CatchPanic(building).await,
            Err(panic) => Err(panic_message(panic)),
        };
        match built {
            Ok(Ok(state)) => {
                self.bound.set_state(state);
                Ok(())
            }
            Ok(Err(error)) => Err(Outcome::init_failed(&error.to_string())),
            Err(message) => Err(Outcome::init_failed(&format!("it panicked: {message}"))),
        }
    }

    /// Starts a run; nothing happens until it is polled.
    pub fn run(&self, call: Call) -> Running<'_> {
        self.bound.run(self.context(&call), call)
    }

    /// The context that a run of `call` will see.
    pub(crate) fn context(&self, call: &Call) -> Context {
        let out =
            Out { logs: LogBuffer::new(self.bound.spec.log_limit()), emitted: Vec::new(), closed: false };
        Context(Arc::new(ContextInner {
            id: call.id,
            attempt: call.attempt,
            deadline: call.deadline,
            bound: self.own.get(|| OwnBound(Arc::clone(&self.bound))),
            out: Mutex::new(out),
        }))
    }
}

/// A run of user code: a future of its [`Reply`].
///
/// # Cancel safety
/// Dropping it drops user code at its await point. [`abandon`](Self::abandon) does so and keeps the logs.
pub struct Running<'a> {
    cx: Context,
    future: Option<BoxFuture<'a, Outcome>>,
    capture: capture::Capture,
}

impl Running<'_> {
    /// Drops user code and replies with `outcome` and what was logged so far.
    #[must_use]
    pub fn abandon(mut self, outcome: Outcome) -> Reply {
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

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.drop_code();
    }
}

impl Future for Running<'_> {
    type Output = Reply;

    fn poll(mut self: Pin<&mut Self>, task: &mut std::task::Context<'_>) -> Poll<Reply> {
        let Self { cx, future, capture } = &mut *self;
        let polled = capture.enter(&cx.0, || {
            let Some(code) = future.as_mut() else { return Ok(Poll::Pending) };
            let polled = catch_unwind(AssertUnwindSafe(|| code.as_mut().poll(task)));
            if !matches!(polled, Ok(Poll::Pending)) {
                // Its destructors belong to the run, and may log, and panic.
                catch_unwind(AssertUnwindSafe(|| drop(future.take()))).unwrap_or_else(discard);
            }
            polled
        });
        let outcome = match polled {
            Ok(polled) => ready!(polled),
            Err(panic) => Outcome::panicked(&capture.enter(&cx.0, || panic_message(panic))),
        };
        Poll::Ready(cx.close(outcome))
    }
}

/// A future whose panic is an `Err` with its message.
struct CatchPanic<'a>(BoxFuture<'a, Result<State, BoxError>>);

impl Drop for CatchPanic<'_> {
    /// User code may panic when it is dropped, too: whether it was cut off or came to its end.
    fn drop(&mut self) {
        let code = std::mem::replace(&mut self.0, Box::pin(std::future::pending()));
        catch_unwind(AssertUnwindSafe(|| drop(code))).unwrap_or_else(discard);
    }
}

impl Future for CatchPanic<'_> {
    type Output = Result<Result<State, BoxError>, String>;

    fn poll(mut self: Pin<&mut Self>, task: &mut std::task::Context<'_>) -> Poll<Self::Output> {
        match catch_unwind(AssertUnwindSafe(|| self.0.as_mut().poll(task))) {
            Ok(polled) => polled.map(Ok),
            Err(panic) => Poll::Ready(Err(panic_message(panic))),
        }
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
