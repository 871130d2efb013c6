//! What an action sees of the world: one [`Context`] per activation, the same on every backend.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::action::{ActionSpec, BoxFuture, State};
use crate::activation::ActivationId;
use crate::error::{Error, ErrorKind};
use crate::guest::{Bound, OwnBound, Reply};
use crate::http::{HttpRequest, HttpResponse};
use crate::log::{LogBuffer, LogLine, Stream};
use crate::name::EntityName;
use crate::outcome::Outcome;
use crate::payload::{IntoPayload, Payload};
use crate::units::Timestamp;

/// The most events that one activation may emit. Arbitrary.
pub const MAX_EMITTED: usize = 1_000;

/// The clocks, timers and randomness of the place where user code runs, and its way to other hosts.
///
/// A sandbox gets them from its platform, so that one seed decides a whole run.
///
/// # Behavior
/// - `monotonic` never goes back; `wall` may, where somebody sets the clock.
/// - `sleep` lasts at least `duration`, by `monotonic`. Dropping it forgets the timer.
/// - `http` makes one request and follows no redirect. Dropping it ends the request.
pub trait Host: Send + Sync + 'static {
    /// Wall-clock time.
    fn wall(&self) -> Timestamp;

    /// Time that only grows, since a point that is the same for all readings of one host.
    fn monotonic(&self) -> Duration;

    /// Completes after `duration`.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;

    /// 64 random bits; not for secrets.
    fn random(&self) -> u64;

    /// Makes an HTTP request, which is checked and granted.
    fn http(&self, _request: HttpRequest) -> BoxFuture<'static, Result<HttpResponse, Error>> {
        let error = Error::new(ErrorKind::Unsupported, "this host makes no HTTP requests");
        Box::pin(std::future::ready(Err(error)))
    }

    /// Takes a line of an action's log at once, and tells that it did: a host that can loses none of them
    /// when the sandbox is killed. All others are kept until the action replies.
    fn log(&self, _stream: Stream, _text: &str) -> bool {
        false
    }

    /// Has what actions wrote past `tracing` reach their logs now, where the host does so: before a line is added, and
    /// once more at the `end` of an activation.
    fn settle(&self, _end: bool) {}

    /// Shows a line that was added to the log of an activation to whoever looks at the sandbox from outside.
    fn echo(&self, _activation: ActivationId, _line: &LogLine) {}
}

/// An event that an action emitted: it fires the trigger once the activation's record is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Emitted {
    /// The trigger.
    pub trigger: EntityName,
    /// What it is fired with: an object.
    pub payload: Payload,
}

/// What an action sees of its activation and of the world. Cloning shares it.
///
/// Portable actions use it for clock, sleep, randomness and environment; `std::env`, `println!` and tokio's
/// I/O work where the backend's `Capability` says so.
#[derive(Clone)]
pub struct Context(pub(crate) Arc<ContextInner>);

pub(crate) struct ContextInner {
    pub(crate) id: ActivationId,
    pub(crate) attempt: u32,
    /// On the host's monotonic clock.
    pub(crate) deadline: Duration,
    pub(crate) bound: Arc<OwnBound>,
    /// Variables that the host tells of this activation alone.
    pub(crate) told: BTreeMap<String, String>,
    pub(crate) out: Mutex<Out>,
}

/// What an activation has produced besides its result.
pub(crate) struct Out {
    pub(crate) logs: LogBuffer,
    pub(crate) emitted: Vec<Emitted>,
    /// Set once the reply is taken: what comes later belongs to nobody.
    pub(crate) closed: bool,
}

impl Context {
    /// The id of this activation.
    #[must_use]
    pub fn activation_id(&self) -> ActivationId {
        self.0.id
    }

    /// The action that runs, with its limits and annotations.
    #[must_use]
    pub fn action(&self) -> &ActionSpec {
        self.0.bound.spec.get()
    }

    /// The number of this attempt, from 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.0.attempt
    }

    /// The time that is left until the deadline.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.0.deadline.saturating_sub(self.host().monotonic())
    }

    /// The wall clock.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        self.host().wall().into()
    }

    /// Completes after `duration`.
    ///
    /// # Cancel safety
    /// Dropping it forgets the timer.
    pub async fn sleep(&self, duration: Duration) {
        self.host().sleep(duration).await;
    }

    /// 64 random bits; not for secrets. A platform with a seed always gives the same.
    #[must_use]
    pub fn random(&self) -> u64 {
        self.host().random()
    }

    /// A variable of the action's environment, which is its spec's and nothing else; in a container of an OpenWhisk, also
    /// the variables `__OW_…` that it tells of the action and of this activation.
    #[must_use]
    pub fn env(&self, key: &str) -> Option<&str> {
        self.0.told.get(key).or_else(|| self.action().env.get(key)).map(String::as_str)
    }

    /// The state that the set's `init` function built.
    ///
    /// # Panics
    /// When the set has no `init`, or it builds another type; the activation then is a developer error.
    #[must_use]
    #[expect(clippy::panic, reason = "a defect of the action, reported as its developer error")]
    pub fn state<T: Send + Sync + 'static>(&self) -> &T {
        self.try_state().unwrap_or_else(|| {
            panic!("the action set's init function builds no state of type {}", std::any::type_name::<T>())
        })
    }

    /// The state that the set's `init` function built, if it is of type `T`.
    #[must_use]
    pub fn try_state<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.0.bound.state().and_then(|state: &State| state.downcast_ref())
    }

    /// Makes an HTTP request to a host that the action's specification grants ([`ActionSpec::egress`]).
    ///
    /// Whatever status the server sends is an answer. No redirect is followed, since it may lead to a host that is
    /// not granted. The request may take as long as the action has left, and ends with the run.
    ///
    /// ```
    /// # use faas_core::{BoxError, Context, HttpRequest, HttpResponse, LocalBackend, Platform, action, actions};
    /// # use serde_json::{Value, json};
    /// #[action(egress = "api.example.com")]
    /// async fn rate(cx: &Context, input: Value) -> Result<Value, BoxError> {
    ///     let currency = input["currency"].as_str().ok_or("which currency?")?;
    ///     let response = cx.http(HttpRequest::get(format!("https://api.example.com/rates/{currency}"))).await?;
    ///     if !response.is_success() {
    ///         return Err(format!("the bank answered with status {}", response.status).into());
    ///     }
    ///     Ok(response.json()?)
    /// }
    /// actions![rate];
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), BoxError> {
    /// // A test answers itself; without a client the local backend makes real requests, with the feature `http`.
    /// let backend = LocalBackend::new().with_http(|request: HttpRequest| {
    ///     assert_eq!(request.url, "https://api.example.com/rates/chf");
    ///     HttpResponse::new(200).with_json(&json!({ "rate": 0.94 }))
    /// });
    /// let app = Platform::builder().backend(backend).actions(actions()).build().await?;
    /// let activation = app.invoke("rate", json!({ "currency": "chf" })).await?;
    /// assert_eq!(activation.outcome.result().as_str(), r#"{"rate":0.94}"#);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// - `InvalidArgument` for a malformed request, and for a response that is larger than [`MAX_BODY`] or
    ///   [`MAX_HEAD`].
    /// - `PermissionDenied` when the host is not granted; nothing is sent.
    /// - `Unsupported` when the backend makes no HTTP requests.
    /// - `Unavailable` when no answer came: temporary if there was no connection, so that the server cannot have
    ///   seen the request.
    /// - `DeadlineExceeded` when the action's time is over; nothing is sent.
    ///
    /// # Cancel safety
    /// Dropping it ends the request, which the server may have carried out.
    ///
    /// [`MAX_BODY`]: crate::http::MAX_BODY
    /// [`MAX_HEAD`]: crate::http::MAX_HEAD
    pub async fn http(&self, request: HttpRequest) -> Result<HttpResponse, Error> {
        let failed = |error: Error| error.with_operation("http");
        self.action().egress.check(&request).map_err(failed)?;
        if self.remaining().is_zero() {
            let error = Error::new(ErrorKind::DeadlineExceeded, "the action's time is over");
            return Err(failed(error));
        }
        let response = self.send(request).await.map_err(failed)?;
        response.check().map_err(failed)?;
        Ok(response)
    }

    #[cfg(not(all(feature = "guest-wasi", target_family = "wasm")))]
    fn send(&self, request: HttpRequest) -> BoxFuture<'static, Result<HttpResponse, Error>> {
        self.host().http(request)
    }

    /// Calls the import itself: by way of the table of the host's methods every module would have it, also one
    /// whose code makes no request.
    #[cfg(all(feature = "guest-wasi", target_family = "wasm"))]
    fn send(&self, request: HttpRequest) -> BoxFuture<'static, Result<HttpResponse, Error>> {
        crate::guest::wasi::http(request)
    }

    /// Puts an event into the outbox: it fires the trigger once this activation's record is written with a
    /// success, and never otherwise.
    ///
    /// # Errors
    /// `InvalidArgument` for a bad name, a payload that is no object, or more than [`MAX_EMITTED`] events.
    pub fn emit(&self, trigger: &str, payload: impl IntoPayload) -> Result<(), Error> {
        let payload = payload.into_payload().map_err(|error| error.with_operation("emit"))?;
        let trigger = trigger.parse::<EntityName>().map_err(|error| error.with_operation("emit"))?;
        let refuse = |text: String| {
            Err(Error::new(ErrorKind::InvalidArgument, text)
                .with_operation("emit")
                .with_context("trigger", &trigger))
        };
        if !payload.is_object() {
            return refuse("the payload of an event must be a JSON object, but is an array".into());
        }
        let mut out = self.0.out();
        if out.emitted.len() >= MAX_EMITTED {
            return refuse(format!("an activation may emit at most {MAX_EMITTED} events"));
        }
        out.emitted.push(Emitted { trigger, payload });
        Ok(())
    }

    /// Ends the activation as `outcome`: what it logged, and what it emitted if it succeeded. What user code
    /// still logs or emits afterwards belongs to nobody.
    pub(crate) fn close(&self, outcome: Outcome) -> Reply {
        let (logs, emitted) = self.0.close();
        let emitted = if outcome.is_success() { emitted } else { Vec::new() };
        Reply { outcome, logs, emitted }
    }

    /// Whether it has ended, so that nothing it does is heard.
    #[cfg(feature = "host")]
    pub(crate) fn is_closed(&self) -> bool {
        self.0.out().closed
    }

    fn host(&self) -> &dyn Host {
        &*self.0.bound.host
    }
}

impl ContextInner {
    pub(crate) fn out(&self) -> std::sync::MutexGuard<'_, Out> {
        self.out.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a line that was logged through `tracing`.
    pub(crate) fn log(&self, stream: Stream, text: &str) {
        self.bound.host.settle(false);
        self.add_line(stream, text);
    }

    /// Adds a line to the log, and tells whether the activation had not ended.
    pub(crate) fn add_line(&self, stream: Stream, text: &str) -> bool {
        let host = &self.bound.host;
        let mut out = self.out();
        if out.closed {
            return false;
        }
        if host.log(stream, text) {
            out.logs.spend(text.len());
        } else {
            for line in out.logs.push(host.wall(), stream, text) {
                host.echo(self.id, line);
            }
        }
        true
    }

    /// Takes what was logged and emitted; later lines and events are dropped.
    pub(crate) fn close(&self) -> (Vec<LogLine>, Vec<Emitted>) {
        let logs = self.take_logs();
        (logs.into_lines(), std::mem::take(&mut self.out().emitted))
    }

    /// Takes what was logged; later lines are dropped.
    pub(crate) fn take_logs(&self) -> LogBuffer {
        self.bound.host.settle(true);
        let mut out = self.out();
        out.closed = true;
        std::mem::replace(&mut out.logs, LogBuffer::new(0))
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("activation", &self.0.id)
            .field("action", &self.action().name)
            .field("attempt", &self.0.attempt)
            .finish_non_exhaustive()
    }
}

/// What the `init` function of an action set sees.
///
/// What the function logs is captured up to the level info. It is in the record of the activation that fails with it, or
/// else at the beginning of the log of the first activation that runs with its state.
#[derive(Clone)]
pub struct InitContext {
    pub(crate) bound: Arc<Bound>,
}

impl InitContext {
    /// The action whose sandbox is initialised.
    #[must_use]
    pub fn action(&self) -> &ActionSpec {
        self.bound.spec.get()
    }

    /// A variable of the action's environment.
    #[must_use]
    pub fn env(&self, key: &str) -> Option<&str> {
        self.action().env.get(key).map(String::as_str)
    }

    /// Completes after `duration`.
    ///
    /// # Cancel safety
    /// Dropping it forgets the timer.
    pub async fn sleep(&self, duration: Duration) {
        self.bound.host.sleep(duration).await;
    }
}

impl fmt::Debug for InitContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InitContext").field("action", &self.action().name).finish_non_exhaustive()
    }
}
