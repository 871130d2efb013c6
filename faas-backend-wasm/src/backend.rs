//! The backend: a pool of instances behind the run-time seam.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use faas_core::action::{BoxFuture, Limits};
use faas_core::backend::{BackendUrl, Cancel, LogsAfterKill};
use faas_core::http::HttpClient;
use faas_core::{
    ActionSpec, Backend, BackendInfo, Capability, Capacity, Completion, Deployment, Entropy, Error, Health,
    Invocation, Pooled, payload,
};

use crate::builder::WasmBuilder;
use crate::catalogue::Catalogue;
use crate::config::{WasmConfig, granularity};
use crate::host::World;
use crate::pool::WasmPool;
use crate::shared::Shared;

/// Runs actions as Wasm modules, each activation in an instance of its own.
///
/// ```no_run
/// use faas_backend_wasm::WasmBackend;
/// use faas_core::Platform;
/// # async fn example(actions: faas_core::ActionSet) -> Result<(), faas_core::Error> {
/// let backend = WasmBackend::open("target/faas/app/wasm")?;
/// let app = Platform::builder().backend(backend).actions(actions).build().await?;
/// # Ok(())
/// # }
/// ```
pub struct WasmBackend(Pooled<WasmPool>);

impl WasmBackend {
    /// What the Wasm backend can do with epochs of 1 ms.
    pub const CAPABILITY: Capability = Self::capability(Duration::from_millis(1));

    /// Collects what a backend is made of.
    pub fn builder() -> WasmBuilder {
        WasmBuilder::default()
    }

    /// A backend of one artifact, the folder that `cargo faas build --backend wasm` made, with defaults and what the
    /// environment says.
    ///
    /// # Errors
    /// As from [`WasmBuilder::build`] and [`WasmBuilder::from_env`].
    pub fn open(artifact: impl Into<PathBuf>) -> Result<Self, Error> {
        Self::builder().from_env()?.artifact(artifact).build()
    }

    /// The backend that a URL of the scheme `wasm` names, over what the environment says; see
    /// [`WasmBuilder::with_url`].
    ///
    /// # Errors
    /// As from [`WasmBuilder::build`], [`WasmBuilder::with_url`] and [`WasmBuilder::from_env`].
    pub fn from_url(url: &BackendUrl) -> Result<Self, Error> {
        Self::builder().from_env()?.with_url(url)?.build()
    }

    pub(crate) fn new(
        config: WasmConfig,
        catalogue: Catalogue,
        http: Option<Arc<dyn HttpClient>>,
    ) -> Result<Self, Error> {
        let info = BackendInfo {
            name: config.name.clone(),
            capability: Self::capability(config.tick),
            capacity: Capacity::Memory(config.memory),
        };
        let shared = Shared::new(World::new(config, http), catalogue)?;
        Ok(Self(Pooled::new(info, WasmPool::new(Arc::new(shared)))))
    }

    const fn capability(tick: Duration) -> Capability {
        let mut capability = faas_core::LocalBackend::CAPABILITY;
        capability.cancel = Cancel::Kills;
        capability.logs_after_kill = LogsAfterKill::Full;
        capability.enforces_memory = true;
        capability.stops_cpu_loop = true;
        capability.survives_exit = true;
        capability.isolates = true;
        capability.pauses = false;
        capability.prewarms = true;
        capability.egress = true;
        capability.fresh_instance = true;
        capability.captures_stdout = true;
        capability.timeout_granularity = granularity(tick);
        capability.max_timeout = Limits::MAX_TIMEOUT;
        capability.max_payload = payload::MAX_BYTES as u64;
        capability
    }
}

#[async_trait]
impl Backend for WasmBackend {
    fn info(&self) -> &BackendInfo {
        self.0.info()
    }

    fn attach(&self, entropy: &Arc<Entropy>) {
        self.0.attach(entropy);
    }

    // This and `invoke` are written out, so that there is one future and not two.
    fn deploy<'a, 'b>(&'a self, spec: Arc<ActionSpec>) -> BoxFuture<'b, Result<Deployment, Error>>
    where
        'a: 'b,
        Self: 'b,
    {
        self.0.deploy(spec)
    }

    fn invoke<'a, 'b, 'c>(
        &'a self,
        deployment: &'b Deployment,
        invocation: Invocation,
    ) -> BoxFuture<'c, Result<Completion, Error>>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        self.0.invoke(deployment, invocation)
    }

    async fn ready(&self) {
        self.0.ready().await;
    }

    async fn warm(&self, deployment: &Deployment, count: usize) -> Result<usize, Error> {
        self.0.warm(deployment, count).await
    }

    async fn remove(&self, deployment: &Deployment) -> Result<(), Error> {
        self.0.remove(deployment).await
    }

    async fn health(&self) -> Health {
        self.0.health().await
    }

    async fn shutdown(&self) -> Result<(), Error> {
        self.0.shutdown().await
    }
}

impl std::fmt::Debug for WasmBackend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("WasmBackend").field(&self.0.info().name).finish()
    }
}
