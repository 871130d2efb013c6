//! Where behaviours play: a platform, or a bare backend, that writes down what comes back.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use faas_core::platform::{InvokeOptions, PlatformBuilder};
use faas_core::pool::PoolStats;
use faas_core::{
    ActionSpec, Activation, Backend, Completion, Deployment, Entropy, Error, Invocation, Payload, Platform,
    Record, Status,
};
use serde::Serialize;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::subject::BackendSubject;
use crate::fixtures;
use crate::transcript::Entry;

/// How long a behaviour waits for something that happens in the background. Arbitrary.
const PATIENCE: Duration = Duration::from_secs(10);

/// The entries of a behaviour, in order.
#[derive(Default)]
struct Notes(Mutex<Vec<Entry>>);

impl Notes {
    fn push(&self, entry: Entry) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
    }

    fn into_entries(self) -> Vec<Entry> {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A platform over a fresh backend.
pub(super) struct Stage {
    pub(super) app: Platform,
    pub(super) backend: Arc<dyn Backend>,
    notes: Notes,
}

impl Stage {
    /// With all fixtures, as they are.
    pub(super) async fn new(subject: &BackendSubject) -> Self {
        Self::build(subject, |builder| builder.actions(fixtures::actions())).await
    }

    /// With one fixture.
    pub(super) async fn with(subject: &BackendSubject, spec: ActionSpec) -> Self {
        Self::build(subject, |builder| builder.spec(spec)).await
    }

    pub(super) async fn build(
        subject: &BackendSubject,
        fill: impl FnOnce(PlatformBuilder) -> PlatformBuilder,
    ) -> Self {
        let backend = subject.backend().await;
        let builder = fill(Platform::builder().shared_backend(Arc::clone(&backend)));
        let app = builder.build().await.expect("a platform with fixtures on a fresh backend");
        Self { app, backend, notes: Notes::default() }
    }

    /// Invokes an action without writing it down.
    pub(super) async fn try_invoke(&self, action: &str, input: impl Serialize) -> Result<Activation, Error> {
        self.app.invoke(action, payload(input)?).await
    }

    /// Invokes an action, and writes its record down.
    pub(super) async fn invoke(&self, action: &str, input: impl Serialize) -> Record {
        let activation = self.observe(action, input).await;
        self.note(Entry::from(&activation));
        activation
    }

    /// Invokes an action whose result is different each time, which is not written down.
    pub(super) async fn glance(&self, action: &str, input: impl Serialize) -> Record {
        let activation = self.observe(action, input).await;
        self.note(Entry::from(&activation).without_result());
        activation
    }

    /// Invokes an action for another namespace.
    pub(super) async fn invoke_for(&self, namespace: &str, action: &str, input: impl Serialize) -> Record {
        let namespace = Some(faas_core::Namespace::new(namespace).expect("a valid namespace"));
        let options = InvokeOptions { namespace, ..InvokeOptions::default() };
        let input = payload(input).expect("a payload");
        let activation = self.app.invoke_with(action, input, options).await.expect("an activation");
        self.note(Entry::from(&*activation));
        (*activation).clone()
    }

    /// Invokes an action once for each input, all at once; they are written down in the order of the inputs.
    pub(super) async fn invoke_all<I: Serialize>(&self, action: &str, inputs: Vec<I>) -> Vec<Record> {
        let mut running = Vec::with_capacity(inputs.len());
        for input in inputs {
            let (app, action) = (self.app.clone(), action.to_owned());
            let input = payload(input).expect("a payload");
            running.push(tokio::spawn(async move { app.invoke(&action, input).await }));
        }
        let mut activations = Vec::with_capacity(running.len());
        for run in running {
            let activation = run.await.expect("no panic").expect("an activation");
            self.note(Entry::from(&*activation));
            activations.push((*activation).clone());
        }
        activations
    }

    /// Invokes an action that has to end with this outcome.
    pub(super) async fn expect(
        &self,
        action: &str,
        input: impl Serialize,
        status: Status,
        result: Value,
    ) -> Record {
        let activation = self.invoke(action, input).await;
        assert_eq!(activation.status(), status, "{:?}", activation.outcome);
        assert_eq!(activation.outcome.result().to_value(), result);
        activation
    }

    async fn observe(&self, action: &str, input: impl Serialize) -> Record {
        let activation = self.try_invoke(action, input).await;
        (*activation.expect("an activation, whatever its outcome")).clone()
    }

    /// Writes something down.
    pub(super) fn note(&self, entry: Entry) {
        self.notes.push(entry);
    }

    /// Shuts down, and checks that nothing is left.
    pub(super) async fn close(self) -> Vec<Entry> {
        let ended = self.app.shutdown(PATIENCE).await.expect("a clean shutdown");
        assert_eq!(ended.left, 0, "activations without a record");
        assert_empty(&*self.backend).await;
        self.notes.into_entries()
    }
}

/// A fresh backend alone.
pub(super) struct Bare {
    pub(super) backend: Arc<dyn Backend>,
    entropy: Arc<Entropy>,
    notes: Notes,
}

impl Bare {
    pub(super) async fn new(subject: &BackendSubject) -> Self {
        let backend = subject.backend().await;
        let entropy = Arc::new(Entropy::system());
        backend.attach(&entropy);
        Self { backend, entropy, notes: Notes::default() }
    }

    pub(super) async fn deploy(&self, spec: ActionSpec) -> Deployment {
        self.try_deploy(spec).await.expect("a deployment")
    }

    pub(super) async fn try_deploy(&self, mut spec: ActionSpec) -> Result<Deployment, Error> {
        spec.name = spec.name.resolve(&faas_core::Namespace::new("guest").expect("a valid namespace"));
        self.backend.deploy(Arc::new(spec)).await
    }

    pub(super) fn invocation(&self, input: impl Serialize) -> Invocation {
        let id = self.entropy.activation_id(self.entropy.wall_clock());
        Invocation::detached(id, payload(input).expect("a payload"))
    }

    pub(super) async fn invoke(&self, deployment: &Deployment, input: impl Serialize) -> Completion {
        self.perform(deployment, self.invocation(input)).await
    }

    pub(super) async fn perform(&self, deployment: &Deployment, invocation: Invocation) -> Completion {
        let completion = self.backend.invoke(deployment, invocation).await.expect("a completion");
        self.note(Entry::of_completion(&deployment.spec, &completion));
        completion
    }

    pub(super) fn note(&self, entry: Entry) {
        self.notes.push(entry);
    }

    pub(super) async fn close(self) -> Vec<Entry> {
        self.backend.shutdown().await.expect("a clean shutdown");
        assert_empty(&*self.backend).await;
        self.notes.into_entries()
    }
}

/// Encodes an input; `()` is no input.
fn payload(input: impl Serialize) -> Result<Payload, Error> {
    match serde_json::to_value(input) {
        Ok(Value::Null) => Ok(Payload::empty()),
        Ok(value) => Payload::from_value(&value),
        Err(error) => Err(Error::new(faas_core::ErrorKind::InvalidArgument, error.to_string())),
    }
}

/// Waits until a condition holds.
pub(super) async fn eventually(what: &str, condition: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition().await {
        assert!(Instant::now() < deadline, "after {PATIENCE:?} still not: {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

/// What the backend's pool holds, if it keeps one.
pub(super) async fn pool(backend: &dyn Backend) -> Option<PoolStats> {
    backend.health().await.pool
}

async fn assert_empty(backend: &dyn Backend) {
    if let Some(stats) = pool(backend).await {
        let held = [stats.stems, stats.creating, stats.idle, stats.paused, stats.leased, stats.destroying];
        assert_eq!(held, [0; 6], "sandboxes are left: {stats:?}");
        assert_eq!(stats.memory, 0, "memory is left: {stats:?}");
    }
}
