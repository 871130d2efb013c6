//! Actions: named code with limits.

mod destination;
mod limits;

use std::any::{Any, TypeId};
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use self::destination::{Destination, Destinations};
pub use self::limits::{Limits, RetryPolicy};
use crate::activation::Version;
use crate::context::{Context, InitContext};
use crate::error::{BoxError, Error, ErrorKind};
use crate::http::Egress;
use crate::name::EntityName;
use crate::outcome::{MAX_RESULT, Outcome};
use crate::payload::Payload;
use crate::units::MemoryMib;

/// A future on the heap, as the erased calls return it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// State that the `init` function of an [`ActionSet`] built, shared by all activations of one sandbox.
pub type State = Arc<dyn Any + Send + Sync>;

/// Named code with limits. `#[action]` implements it; implement it by hand for code that is made at run time.
///
/// # Behavior
/// - An input of `()` accepts any object.
/// - An input that does not decode is an application error that says why; the code is not called.
/// - An output of `()` gives `{}`; an output that encodes to no object or array is a developer error.
/// - `Err` is an application error with the text of the top error.
///
/// ```
/// use faas_core::{Action, ActionSpec, BoxError, Context};
/// struct Add(i64);
/// impl Action for Add {
///     type Input = Vec<i64>;
///     type Output = Vec<i64>;
///     fn spec(&self) -> ActionSpec {
///         ActionSpec::new("add").expect("a valid name")
///     }
///     async fn call(&self, _cx: Context, input: Vec<i64>) -> Result<Vec<i64>, BoxError> {
///         Ok(input.iter().map(|n| n + self.0).collect())
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an action",
    label = "put `#[action]` on the function, or implement `Action` for the type"
)]
pub trait Action: Send + Sync + 'static {
    /// What it takes: the payload is decoded to this.
    type Input: DeserializeOwned + Send + 'static;
    /// What it returns: encoded to the result.
    type Output: Serialize + Send + 'static;

    /// Its name, limits and annotations.
    fn spec(&self) -> ActionSpec;

    /// Runs the code once.
    ///
    /// # Errors
    /// Whatever the code fails with; it becomes an application error.
    ///
    /// # Cancel safety
    /// A backend drops it at an await point when its time is over or its caller left, as the backend's `Capability`
    /// tells; what the code needs to keep, it keeps before the await.
    fn call(
        &self,
        cx: Context,
        input: Self::Input,
    ) -> impl Future<Output = Result<Self::Output, BoxError>> + Send;
}

/// An action whose name is known when it is compiled, for typed calls such as `app.call::<greet>(…)`.
///
/// # Behavior
/// - `NAME` is the name of `spec`, whatever the instance.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be called by type",
    label = "only a function with `#[action]` has a name that is known when it is compiled"
)]
pub trait NamedAction: Action {
    /// The name, with the package: `[package/]name`.
    const NAME: &'static str;
}

/// An action with its types erased: bytes in, outcome out. Every [`Action`] is one.
///
/// # Behavior
/// - `spec` and the names are those of the typed action.
/// - `call` maps inputs, outputs and errors to outcomes as [`Action`] says; a panic passes through it.
pub trait ErasedAction: Send + Sync + 'static {
    /// Its name, limits and annotations.
    fn spec(&self) -> ActionSpec;

    /// Decodes the payload, runs the code once and encodes what it returns.
    fn call<'a>(&'a self, cx: Context, payload: Payload) -> BoxFuture<'a, Outcome>;
}

impl<A: Action> ErasedAction for A {
    fn spec(&self) -> ActionSpec {
        Action::spec(self)
    }

    fn call<'a>(&'a self, cx: Context, payload: Payload) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let input = match decode::<A::Input>(&payload) {
                Ok(input) => input,
                Err(error) => {
                    return Outcome::application_error(format!("The input does not fit the action: {error}"));
                }
            };
            drop(payload);
            match Action::call(self, cx, input).await {
                Ok(output) => encode(&output),
                Err(error) => Outcome::from_error(&error),
            }
        })
    }
}

/// Decodes a payload; `()` stands for any object.
pub(crate) fn decode<T: DeserializeOwned + 'static>(payload: &Payload) -> serde_json::Result<T> {
    if TypeId::of::<T>() == TypeId::of::<()>() && payload.is_object() {
        return serde_json::from_str("null");
    }
    serde_json::from_slice(payload.as_bytes())
}

fn encode<T: Serialize + 'static>(output: &T) -> Outcome {
    if TypeId::of::<T>() == TypeId::of::<()>() {
        return Outcome::success(Payload::empty());
    }
    match serde_json::to_vec(output) {
        Ok(reply) => Outcome::from_reply(reply, MAX_RESULT),
        Err(error) => {
            Outcome::developer_error(format!("The action's result cannot be encoded as JSON: {error}"))
        }
    }
}

/// Default parameters and annotations: a JSON object.
pub type Parameters = Map<String, Value>;

/// An action's code, in the form that a backend runs.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum Code {
    /// No code is bound yet: a declaration.
    #[default]
    Unbound,
    /// Rust code of this program. Backends that run built artifacts find it there by the action's name.
    Native(NativeCode),
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unbound => "Unbound",
            Self::Native(_) => "Native",
        })
    }
}

/// Rust code of this program, with the function that builds its shared state.
#[derive(Clone)]
pub struct NativeCode {
    /// The code.
    pub action: Arc<dyn ErasedAction>,
    /// Builds the state of one sandbox before its first run.
    pub init: Option<Init>,
}

/// Builds the state of one sandbox.
pub type Init = Arc<dyn Fn(InitContext) -> BoxFuture<'static, Result<State, BoxError>> + Send + Sync>;

/// What an action is called, may use, and is told: everything but its invocations.
///
/// Encoded it is without its code, which whoever decodes it binds.
#[derive(Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ActionSpec {
    /// Its name.
    pub name: EntityName,
    /// Its version; the platform counts it up.
    #[serde(default)]
    pub version: Version,
    /// Its code.
    #[serde(skip)]
    pub code: Code,
    /// What it may use.
    #[serde(default)]
    pub limits: Limits,
    /// When it is run again.
    #[serde(default)]
    pub retry: RetryPolicy,
    /// Parameters merged under each payload.
    #[serde(default, skip_serializing_if = "Parameters::is_empty")]
    pub parameters: Parameters,
    /// Notes for tools.
    #[serde(default, skip_serializing_if = "Parameters::is_empty")]
    pub annotations: Parameters,
    /// The environment that [`Context::env`] shows it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// The hosts that [`Context::http`] may call.
    #[serde(default, skip_serializing_if = "Egress::is_none")]
    pub egress: Egress,
    /// What it does, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Whether it blocks its thread, and so needs one of its own.
    #[serde(default)]
    pub blocking: bool,
    /// The backend that it asks for; the platform's default otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<String>,
    /// What is told how activations end that nobody waits for; few actions have any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destinations: Option<Box<Destinations>>,
}

impl fmt::Debug for ActionSpec {
    /// Without the values of parameters and environment, which may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ActionSpec")
            .field("name", &self.name)
            .field("version", &self.version)
            .field("code", &self.code)
            .field("limits", &self.limits)
            .field("parameters", &self.parameters.keys())
            .field("env", &self.env.keys())
            .field("egress", &self.egress)
            .finish_non_exhaustive()
    }
}

impl ActionSpec {
    /// The annotation of an action that has each activation run in a sandbox that nothing ran in before: anything but
    /// `false`, `0`, `""` and `null`. A backend without sandboxes refuses such an action.
    pub const FRESH_SANDBOX: &'static str = "fresh-sandbox";

    /// An action called `name` with default limits, no parameters and no code.
    ///
    /// # Errors
    /// `InvalidArgument` when the name breaks the rules.
    pub fn new(name: &str) -> Result<Self, Error> {
        Ok(Self {
            name: name.parse()?,
            version: Version::FIRST,
            code: Code::Unbound,
            limits: Limits::default(),
            retry: RetryPolicy::default(),
            parameters: Parameters::new(),
            annotations: Parameters::new(),
            env: BTreeMap::new(),
            egress: Egress::none(),
            description: String::new(),
            blocking: false,
            backend: None,
            destinations: None,
        })
    }

    /// The same action with other limits.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The same action with another timeout.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.limits.timeout = timeout;
        self
    }

    /// The same action with another memory limit.
    #[must_use]
    pub fn with_memory(mut self, memory: MemoryMib) -> Self {
        self.limits.memory = memory;
        self
    }

    /// The same action, run again up to `retries` times.
    #[must_use]
    pub fn with_retries(mut self, retries: u32) -> Self {
        self.retry.retries = retries;
        self
    }

    /// The same action with another policy for when it is run again.
    #[must_use]
    pub fn with_retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }

    /// The same action with a destination for activations that nobody waits for and that succeed.
    #[must_use]
    pub fn with_on_success(mut self, destination: Destination) -> Self {
        self.destinations.get_or_insert_default().on_success = Some(destination);
        self
    }

    /// The same action with a destination for activations that nobody waits for and that fail.
    #[must_use]
    pub fn with_on_failure(mut self, destination: Destination) -> Self {
        self.destinations.get_or_insert_default().on_failure = Some(destination);
        self
    }

    /// The same action with a default parameter more.
    #[must_use]
    pub fn with_parameter(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.parameters.insert(key.into(), value.into());
        self
    }

    /// The same action with an environment variable more.
    #[must_use]
    pub fn with_env(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.insert(key.into(), value.into());
        self
    }

    /// The same action, which may also call the hosts of `pattern`, such as `api.example.com`; see [`Egress`].
    #[must_use]
    pub fn with_egress(mut self, pattern: impl Into<String>) -> Self {
        self.egress = self.egress.with(pattern);
        self
    }

    /// Whether each activation needs a sandbox that nothing ran in before; see [`FRESH_SANDBOX`](Self::FRESH_SANDBOX).
    #[must_use]
    pub fn needs_fresh_sandbox(&self) -> bool {
        self.annotations.get(Self::FRESH_SANDBOX).is_some_and(is_true)
    }

    /// The same action on the backend of that name.
    #[must_use]
    pub fn on_backend(mut self, backend: impl Into<String>) -> Self {
        self.backend = Some(backend.into());
        self
    }

    /// Checks limits and retries against their ranges, and the syntax of the hosts it may call.
    ///
    /// # Errors
    /// `InvalidArgument`, naming the action, the value and what is allowed.
    pub fn check(&self) -> Result<(), Error> {
        let checked = self.limits.check().and_then(|()| self.egress.check_patterns());
        checked.map_err(|error| error.with_context("action", &self.name))?;
        if self.needs_fresh_sandbox() && self.limits.concurrency > 1 {
            let text = format!("with '{}' the concurrency must be 1", Self::FRESH_SANDBOX);
            return Err(Error::new(ErrorKind::InvalidArgument, text).with_context("action", &self.name));
        }
        self.retry.check().map_err(|error| error.with_context("action", &self.name))
    }
}

/// Whether an annotation counts as true. Source: OpenWhisk.
fn is_true(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Bool(true) | Value::Array(_) | Value::Object(_) => true,
    }
}

/// The actions of one crate, as `actions!` lists them, with what builds their shared state.
#[derive(Clone, Default)]
pub struct ActionSet {
    actions: Vec<Arc<dyn ErasedAction>>,
    init: Option<Init>,
}

impl ActionSet {
    /// A set with nothing in it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same set with one action more.
    #[must_use]
    pub fn with(mut self, action: impl Action) -> Self {
        self.actions.push(Arc::new(action));
        self
    }

    /// The same set with the function that builds the state of each sandbox, once, before its first run.
    ///
    /// Actions reach the state by [`Context::state`]; the time that building takes is the *init time*.
    #[must_use]
    pub fn with_init<T, E, F, Fut>(mut self, init: F) -> Self
    where
        T: Send + Sync + 'static,
        E: Into<BoxError>,
        F: Fn(InitContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
    {
        self.init = Some(Arc::new(move |cx| {
            let building = init(cx);
            Box::pin(async move { building.await.map(|state| Arc::new(state) as State).map_err(Into::into) })
        }));
        self
    }

    /// Whether the set has a function that builds the state of each sandbox.
    #[must_use]
    pub fn has_init(&self) -> bool {
        self.init.is_some()
    }

    /// The code of the action at that place of the list.
    #[cfg(all(feature = "guest-wasi", target_family = "wasm"))]
    pub(crate) fn into_code(self, index: usize) -> Option<NativeCode> {
        let action = self.actions.into_iter().nth(index)?;
        Some(NativeCode { action, init: self.init })
    }

    /// The specifications of all actions, bound to their code.
    #[must_use]
    pub fn into_specs(self) -> Vec<ActionSpec> {
        let init = self.init;
        let bind = |action: Arc<dyn ErasedAction>| {
            let mut spec = action.spec();
            spec.code = Code::Native(NativeCode { action, init: init.clone() });
            spec
        };
        self.actions.into_iter().map(bind).collect()
    }
}

impl fmt::Debug for ActionSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.actions.iter().map(|action| action.spec().name)).finish()
    }
}

/// Lists the actions of a crate: makes `pub fn actions() -> ActionSet`.
///
/// ```
/// # use faas_core as faas;
/// use faas_core::{InitContext, action, actions};
/// #[action]
/// async fn ping() {}
///
/// async fn setup(_cx: InitContext) -> Result<u32, std::io::Error> {
///     Ok(42)
/// }
/// actions![ping; init = setup];
/// # fn main() { assert_eq!(actions().into_specs()[0].name.name(), "ping"); }
/// ```
#[macro_export]
macro_rules! actions {
    ($($($action:ident)::+),* $(,)? $(; init = $init:path)?) => {
        /// The actions of this crate.
        pub fn actions() -> $crate::ActionSet {
            $crate::ActionSet::new()$(.with($($action)::+ {}))*$(.with_init($init))?
        }
    };
}
