//! Lambda's programs on this machine: the very zip that would be deployed, behind a Runtime API of our own.

mod builder;
mod environment;
mod exchange;
mod factory;
mod lifeline;
mod printed;
pub(crate) mod program;
mod runtime_api;
mod sandbox;

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use faas_core::action::BoxFuture;
use faas_core::backend::{BackendUrl, Cancel, LogsAfterKill};
use faas_core::guest::lambda::wire::MAX_LOGS;
use faas_core::{
    ActionSpec, Backend, BackendInfo, Capability, Capacity, Completion, Deployment, Entropy, Error, Health,
    Invocation, PoolConfig, Pooled, WarmPool, payload,
};

pub use self::builder::LambdaLocalBuilder;
use self::factory::LambdaFactory;
use self::sandbox::LATEST;
use crate::artifact::Catalogue;
use crate::function::MAX_TIMEOUT;

/// Runs the programs of Lambda functions on this machine.
///
/// ```no_run
/// use faas_backend_lambda::LambdaLocalBackend;
/// use faas_core::Platform;
/// # async fn example(actions: faas_core::ActionSet) -> Result<(), faas_core::Error> {
/// let backend = LambdaLocalBackend::open("target/faas/app/lambda")?;
/// let app = Platform::builder().backend(backend).actions(actions).build().await?;
/// # Ok(())
/// # }
/// ```
pub struct LambdaLocalBackend(Pooled<WarmPool<LambdaFactory>>);

impl LambdaLocalBackend {
    /// What the local stand-in for Lambda can do.
    pub const CAPABILITY: Capability = {
        let mut capability = faas_core::LocalBackend::CAPABILITY;
        capability.cancel = Cancel::Kills;
        capability.logs_after_kill = LogsAfterKill::Full;
        capability.enforces_memory = false;
        capability.stops_cpu_loop = true;
        capability.survives_exit = true;
        capability.isolates = false;
        capability.pauses = false;
        capability.prewarms = true;
        capability.egress = true;
        capability.fresh_instance = false;
        capability.captures_stdout = true;
        capability.timeout_granularity = LATEST;
        capability.max_timeout = MAX_TIMEOUT;
        capability.max_payload = payload::MAX_BYTES as u64;
        capability.max_logs = MAX_LOGS;
        capability
    };

    /// Collects what a backend is made of.
    pub fn builder() -> LambdaLocalBuilder {
        LambdaLocalBuilder::default()
    }

    /// A backend of one artifact, the folder that `cargo faas build --backend lambda` made, with defaults and what the
    /// environment says.
    ///
    /// # Errors
    /// As from [`LambdaLocalBuilder::build`] and [`LambdaLocalBuilder::from_env`].
    pub fn open(artifact: impl Into<PathBuf>) -> Result<Self, Error> {
        Self::builder().from_env()?.artifact(artifact).build()
    }

    /// The backend that a URL of the scheme `lambda-local` names, over what the environment says; see
    /// [`LambdaLocalBuilder::with_url`].
    ///
    /// # Errors
    /// As from [`LambdaLocalBuilder::build`], [`LambdaLocalBuilder::with_url`] and [`LambdaLocalBuilder::from_env`].
    pub fn from_url(url: &BackendUrl) -> Result<Self, Error> {
        Self::builder().from_env()?.with_url(url)?.build()
    }

    fn new(name: String, catalogue: Catalogue, freezes: bool, pool: PoolConfig) -> Self {
        let capacity = Capacity::Memory(pool.memory);
        let info = BackendInfo { name, capability: Self::CAPABILITY, capacity };
        // A program asks for one event after the other, as it does at AWS.
        let pool = PoolConfig { init_grace: LATEST, one_at_a_time: true, ..pool };
        Self(Pooled::new(info, WarmPool::new(LambdaFactory::new(catalogue, freezes), pool)))
    }
}

#[async_trait]
impl Backend for LambdaLocalBackend {
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

impl std::fmt::Debug for LambdaLocalBackend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("LambdaLocalBackend").field(&self.0.info().name).finish()
    }
}
