//! Actions made of closures, which write down each start of their code.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex};

use faas_core::action::BoxFuture;
use faas_core::store::MemoryStore;
use faas_core::{
    Action, ActionSpec, ActivationId, BoxError, Context, LocalBackend, Platform, PlatformBuilder, Version,
};
use serde_json::{Value, json};

/// One start of an action's code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Start {
    pub(crate) action: String,
    pub(crate) version: Version,
    /// Which closure ran: the number of the probe's action, from 0.
    pub(crate) code: usize,
}

/// Writes down what the code of its actions did.
#[derive(Clone, Default)]
pub(crate) struct Probe(Arc<Inner>);

#[derive(Default)]
struct Inner {
    starts: Mutex<BTreeMap<ActivationId, Vec<Start>>>,
    made: Mutex<usize>,
}

pub(crate) type Run = Result<Value, BoxError>;
type Body = Arc<dyn Fn(Context, Value) -> BoxFuture<'static, Run> + Send + Sync>;

/// An action whose code is a closure.
pub(crate) struct ProbeAction {
    spec: ActionSpec,
    probe: Probe,
    code: usize,
    body: Body,
}

impl Action for ProbeAction {
    type Input = Value;
    type Output = Value;

    fn spec(&self) -> ActionSpec {
        self.spec.clone()
    }

    async fn call(&self, cx: Context, input: Value) -> Run {
        self.probe.note(&cx, self.code);
        tracing::info!("own={}", cx.activation_id());
        (self.body)(cx, input).await
    }
}

impl Probe {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// An action with limits of its own.
    pub(crate) fn spec<F, Fut>(&self, spec: ActionSpec, body: F) -> ProbeAction
    where
        F: Fn(Context, Value) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Run> + Send + 'static,
    {
        let mut made = self.0.made.lock().unwrap();
        *made += 1;
        let body: Body = Arc::new(move |cx, input| Box::pin(body(cx, input)));
        ProbeAction { spec, probe: self.clone(), code: *made - 1, body }
    }

    /// An action with default limits.
    pub(crate) fn action<F, Fut>(&self, name: &str, body: F) -> ProbeAction
    where
        F: Fn(Context, Value) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Run> + Send + 'static,
    {
        self.spec(spec(name), body)
    }

    /// An action that returns its input.
    pub(crate) fn echo(&self, name: &str) -> ProbeAction {
        self.action(name, |_, input| async { Ok(input) })
    }

    /// An action that sleeps for `ms` of its input and returns it.
    pub(crate) fn sleeper(&self, name: &str) -> ProbeAction {
        self.action(name, |cx, input| async move {
            cx.sleep(millis(input["ms"].as_u64().unwrap_or_default())).await;
            Ok(input)
        })
    }

    fn note(&self, cx: &Context, code: usize) {
        let action = cx.action();
        let start = Start { action: action.name.to_string(), version: action.version, code };
        self.0.starts.lock().unwrap().entry(cx.activation_id()).or_default().push(start);
    }

    /// All starts, by activation.
    pub(crate) fn starts(&self) -> BTreeMap<ActivationId, Vec<Start>> {
        self.0.starts.lock().unwrap().clone()
    }

    /// How often any code started.
    pub(crate) fn count(&self) -> usize {
        self.0.starts.lock().unwrap().values().map(Vec::len).sum()
    }
}

pub(crate) fn spec(name: &str) -> ActionSpec {
    ActionSpec::new(name).unwrap()
}

pub(crate) fn millis(ms: u64) -> std::time::Duration {
    std::time::Duration::from_millis(ms)
}

/// A platform in this process whose store forgets nothing.
pub(crate) fn local() -> PlatformBuilder {
    on(LocalBackend::new())
}

/// The same on another backend.
pub(crate) fn on(backend: impl faas_core::Backend) -> PlatformBuilder {
    Platform::builder()
        .backend(backend)
        .store(MemoryStore::new().with_max_records(1_000_000).with_max_age(std::time::Duration::MAX))
}

pub(crate) fn empty() -> Value {
    json!({})
}

/// Panics without a message on the test's output.
pub(crate) fn panic_quietly(message: &'static str) -> ! {
    std::panic::resume_unwind(Box::new(message))
}
