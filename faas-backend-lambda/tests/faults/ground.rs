//! What tests start from: a service, an artifact, and backends of both.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use faas_backend_lambda::{LambdaBackend, LambdaBuilder};
use faas_core::artifact::{Description, FORMAT, MANIFEST, Manifest};
use faas_core::guest::lambda::ABI;
use faas_core::guest::lambda::wire::{Event, Told, encode_answer};
use faas_core::{ActionSpec, ActivationId, Backend, Completion, Deployment, Error, Invocation, Payload};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::cloud::{BoxFuture, Cloud, Invoked, Reply};

/// The role of all functions here.
pub(crate) const ROLE: &str = "arn:aws:iam::123456789012:role/functions";

/// The action that most tests run.
pub(crate) const ECHO: &str = "echo";

/// A service whose functions answer as those of this library do that give their input back, and say which version of
/// what they are.
pub(crate) async fn echoing() -> Cloud {
    Cloud::start(|invoked| boxed(echo(&invoked))).await
}

/// A function that answers at once.
pub(crate) fn boxed(reply: Reply) -> BoxFuture<Reply> {
    Box::pin(std::future::ready(reply))
}

/// What a function of this library answers that gives its input back.
pub(crate) fn echo(invoked: &Invoked) -> Reply {
    let Ok(event) = serde_json::from_slice::<Event<'_>>(&invoked.payload) else {
        return Reply::new(invoked.payload.clone());
    };
    let value: Value = serde_json::from_str(event.value.get()).unwrap();
    let zip = String::from_utf8_lossy(&invoked.zip[..invoked.zip.len().min(16)]);
    let result = json!({ "value": value, "version": invoked.version, "zip": zip, "memory": invoked.memory });
    told(Told { run: 1_000_000, ..Told::default() }, &result)
}

/// What a function of this library answers.
pub(crate) fn told(told: Told, result: &Value) -> Reply {
    Reply::new(encode_answer(told, &Payload::from_value(result).unwrap()))
}

/// An artifact's folder, which goes with this.
pub(crate) struct Artifact {
    folder: PathBuf,
    package: &'static str,
}

impl Artifact {
    /// One of actions with defaults, and of any bytes as its zip.
    pub(crate) fn of(zip: impl AsRef<[u8]>, actions: &[&str]) -> Self {
        Self::of_package("fixture", zip, actions)
    }

    /// The same, built of a crate of that name.
    pub(crate) fn of_package(package: &'static str, zip: impl AsRef<[u8]>, actions: &[&str]) -> Self {
        let folder =
            std::env::temp_dir().join(format!("faas-l-{}-{:x}", std::process::id(), fastrand::u64(..)));
        std::fs::create_dir_all(&folder).unwrap();
        let artifact = Self { folder, package };
        artifact.write(zip.as_ref(), actions);
        artifact
    }

    /// Replaces what is in it.
    pub(crate) fn write(&self, zip: &[u8], actions: &[&str]) {
        let digest = Sha256::digest(zip).iter().map(|byte| format!("{byte:02x}")).collect();
        let manifest = Manifest {
            format: FORMAT,
            backend: "lambda".to_owned(),
            package: self.package.to_owned(),
            version: "0.1.0".to_owned(),
            file: "fixture.zip".to_owned(),
            image: None,
            architecture: Some("x86_64".to_owned()),
            digest,
            size: zip.len() as u64,
            kind: "rust".to_owned(),
            toolchain: "rustc".to_owned(),
            description: Description {
                abi: ABI,
                init: false,
                actions: actions.iter().map(|name| spec(name)).collect(),
            },
        };
        std::fs::write(self.folder.join("fixture.zip"), zip).unwrap();
        std::fs::write(self.folder.join(MANIFEST), serde_json::to_vec(&manifest).unwrap()).unwrap();
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Artifact {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// The artifact of most tests.
pub(crate) fn artifact() -> Artifact {
    Artifact::of("one", &[ECHO])
}

/// A backend of the artifact at the service.
pub(crate) fn builder(cloud: &Cloud, artifact: &Artifact) -> LambdaBuilder {
    builder_at(&cloud.endpoint()).artifact(artifact.folder()).role(ROLE)
}

/// A backend of nothing at that address.
pub(crate) fn builder_at(endpoint: &str) -> LambdaBuilder {
    LambdaBackend::builder()
        .endpoint(endpoint)
        .region("eu-west-1")
        .credentials("AKIDEXAMPLE", "a-secret", None)
        .deploy_timeout(Duration::from_secs(20))
}

pub(crate) fn backend(cloud: &Cloud, artifact: &Artifact) -> LambdaBackend {
    builder(cloud, artifact).build().unwrap()
}

pub(crate) fn spec(name: &str) -> ActionSpec {
    ActionSpec::new(name).unwrap()
}

pub(crate) async fn deploy(backend: &LambdaBackend, spec: ActionSpec) -> Result<Deployment, Error> {
    backend.deploy(Arc::new(spec)).await
}

/// Runs an invocation of a deployment.
pub(crate) async fn invoke(backend: &LambdaBackend, deployment: &Deployment) -> Result<Completion, Error> {
    backend.invoke(deployment, invocation(&json!({ "n": 1 }))).await
}

pub(crate) fn invocation(payload: &Value) -> Invocation {
    let id = ActivationId::from_u128(u128::from(fastrand::u64(..)));
    Invocation::detached(id, Payload::from_value(payload).unwrap())
}

/// Runs an invocation that succeeds; its result.
pub(crate) async fn result(backend: &LambdaBackend, deployment: &Deployment) -> Value {
    let completion = invoke(backend, deployment).await.unwrap();
    assert!(completion.outcome.is_success(), "{:?}", completion.outcome);
    completion.outcome.result().to_value()
}
