//! The factory of instances that are kept and used again.

use std::sync::Arc;

use faas_core::sandbox::{InitError, SandboxFactory, Shape};
use faas_core::{ActionSpec, EntityName, Entropy, Error};
use tokio::time::Instant;

use crate::module::Artifact;
use crate::sandbox::WasmSandbox;
use crate::shared::Shared;

/// Makes sandboxes of actions that ask for reuse.
pub(crate) struct WasmFactory(pub(crate) Arc<Shared>);

/// A module in the engine.
pub(crate) struct WasmStem(Arc<Artifact>);

impl SandboxFactory for WasmFactory {
    type Stem = WasmStem;
    type Sandbox = WasmSandbox;

    fn attach(&self, entropy: &Arc<Entropy>) {
        self.0.world.attach(entropy);
    }

    async fn prepare(&self, spec: &Arc<ActionSpec>) -> Result<(), Error> {
        self.0.deploy(spec).await
    }

    fn shape(&self, spec: &ActionSpec) -> Shape {
        Shape { kind: "wasm".into(), memory: spec.limits.memory, artifact: Some(spec.name.path().into()) }
    }

    async fn create(&self, shape: &Shape) -> Result<WasmStem, Error> {
        let name: EntityName = shape.artifact.as_deref().unwrap_or_default().parse()?;
        let (artifact, _) = self.0.catalogue().find(&name)?;
        artifact.load(&self.0.workshop).await?;
        Ok(WasmStem(Arc::clone(artifact)))
    }

    async fn init(&self, stem: WasmStem, spec: &Arc<ActionSpec>) -> Result<WasmSandbox, InitError> {
        let action = self.0.find(spec)?;
        let most = action.reuse.unwrap_or(1);
        let loaded = stem.0.load(&self.0.workshop).await?;
        let mut live = self.0.instantiate(action, loaded, Instant::now()).await?;
        live.init(&self.0.ticker, loaded).await?;
        Ok(WasmSandbox::new(Arc::clone(&self.0), live, most))
    }

    async fn discard(&self, _: WasmStem) {}

    async fn sweep(&self) -> usize {
        0
    }
}
