//! The backend: core's pool of containers behind the run-time seam.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use faas_core::action::{BoxFuture, Limits};
use faas_core::backend::{BackendUrl, Cancel, LogsAfterKill};
use faas_core::http::HttpClient;
use faas_core::{
    ActionSpec, Backend, BackendInfo, Capability, Capacity, Completion, Deployment, Entropy, Error, FixedTtl,
    Health, Invocation, KeepAlive, PoolConfig, Pooled, WarmPool, payload,
};

use crate::builder::DockerBuilder;
use crate::catalogue::{Catalogue, shape};
use crate::config::DockerConfig;
use crate::engine::Engine;
use crate::factory::DockerFactory;
use crate::home::Home;
use crate::sandbox::LATEST;
use crate::site::{Plan, Site};

/// Runs actions in containers that are reused.
///
/// ```no_run
/// use faas_backend_docker::DockerBackend;
/// use faas_core::Platform;
/// # async fn example(actions: faas_core::ActionSet) -> Result<(), faas_core::Error> {
/// let backend = DockerBackend::open("target/faas/app/docker")?;
/// let app = Platform::builder().backend(backend).actions(actions).build().await?;
/// # Ok(())
/// # }
/// ```
pub struct DockerBackend {
    pooled: Pooled<WarmPool<DockerFactory>>,
    site: Arc<Site>,
}

impl DockerBackend {
    /// What the Docker backend can do with Rust guests on an engine of this machine.
    pub const CAPABILITY: Capability = {
        let mut capability = faas_core::LocalBackend::CAPABILITY;
        capability.cancel = Cancel::Kills;
        capability.logs_after_kill = LogsAfterKill::Full;
        capability.enforces_memory = true;
        capability.stops_cpu_loop = true;
        capability.survives_exit = true;
        capability.isolates = true;
        capability.pauses = true;
        capability.prewarms = true;
        capability.egress = true;
        capability.fresh_instance = false;
        capability.captures_stdout = true;
        capability.timeout_granularity = LATEST;
        capability.max_timeout = Limits::MAX_TIMEOUT;
        capability.max_payload = payload::MAX_BYTES as u64;
        capability
    };

    /// Collects what a backend is made of.
    pub fn builder() -> DockerBuilder {
        DockerBuilder::default()
    }

    /// A backend of one artifact, the folder that `cargo faas build --backend docker` made, with defaults and what the
    /// environment says.
    ///
    /// # Errors
    /// As from [`DockerBuilder::build`] and [`DockerBuilder::from_env`].
    pub fn open(artifact: impl Into<PathBuf>) -> Result<Self, Error> {
        Self::builder().from_env()?.artifact(artifact).build()
    }

    /// The backend that a URL of the scheme `docker` names, over what the environment says; see
    /// [`DockerBuilder::with_url`].
    ///
    /// # Errors
    /// As from [`DockerBuilder::build`], [`DockerBuilder::with_url`] and [`DockerBuilder::from_env`].
    pub fn from_url(url: &BackendUrl) -> Result<Self, Error> {
        Self::builder().from_env()?.with_url(url)?.build()
    }

    pub(crate) fn new(
        config: DockerConfig,
        catalogue: Catalogue,
        http: Option<Arc<dyn HttpClient>>,
        keep_alive: Option<Box<dyn KeepAlive>>,
    ) -> Result<Self, Error> {
        let home = Home::make(config.home.as_deref())?;
        let mut pool = PoolConfig {
            memory: config.memory,
            stems: Vec::new(),
            stems_per_shape: config.stems,
            one_at_a_time: false,
            cold_starts: config.cold_starts,
            cold_starts_per_action: config.cold_starts_per_action.min(config.cold_starts),
            pause_after: config.pause_after,
            init_grace: LATEST,
            keep_alive: keep_alive.unwrap_or_else(|| Box::new(FixedTtl(config.keep_alive))),
        };
        let (name, runtimes) = (config.name.clone(), config.runtimes.clone());
        let site = Arc::new(Site::new(config, home, http.or_else(default_client)));
        for (kind, runtime) in &runtimes {
            for (count, memory) in &runtime.stems {
                let plan = Plan::of(runtime, *memory);
                let shape = shape(kind, &plan);
                site.plan(shape.clone(), plan);
                pool.stems.push((shape, *count));
            }
        }
        let factory = DockerFactory::new(Arc::clone(&site), catalogue);
        let info =
            BackendInfo { name, capability: Self::CAPABILITY, capacity: Capacity::Memory(pool.memory) };
        Ok(Self { pooled: Pooled::new(info, WarmPool::new(factory, pool)), site })
    }
}

/// The client that makes requests where none was given.
#[cfg(feature = "http")]
fn default_client() -> Option<Arc<dyn HttpClient>> {
    Some(Arc::new(faas_core::http::NetworkClient::new()))
}

/// There is none.
#[cfg(not(feature = "http"))]
fn default_client() -> Option<Arc<dyn HttpClient>> {
    None
}

/// What loading an image did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Loaded {
    /// The engine had it.
    Present,
    /// The engine has it now.
    Loaded,
}

/// Loads an image into the engine that is found as a backend finds it, unless it is there. It blocks.
///
/// # Errors
/// `Unavailable` when no engine answers; `NotFound` when there is no such file; `InvalidArgument` when the file does not
/// contain the image of that name.
pub fn load_image(path: &Path, name: &str) -> Result<Loaded, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|source| {
        Error::new(faas_core::ErrorKind::Internal, "there is no runtime to load an image").with_source(source)
    })?;
    runtime.block_on(async {
        let engine = Engine::new(None, DockerConfig::default().engine_timeout);
        if engine.has_image(name).await? {
            return Ok(Loaded::Present);
        }
        engine.load_image(path).await?;
        if engine.has_image(name).await? {
            return Ok(Loaded::Loaded);
        }
        let text = format!("the file {} does not contain the image '{name}'", path.display());
        Err(Error::new(faas_core::ErrorKind::InvalidArgument, text))
    })
}

#[async_trait]
impl Backend for DockerBackend {
    fn info(&self) -> &BackendInfo {
        self.pooled.info()
    }

    fn attach(&self, entropy: &Arc<Entropy>) {
        self.pooled.attach(entropy);
    }

    // This and `invoke` are written out, so that there is one future and not two.
    fn deploy<'a, 'b>(&'a self, spec: Arc<ActionSpec>) -> BoxFuture<'b, Result<Deployment, Error>>
    where
        'a: 'b,
        Self: 'b,
    {
        self.pooled.deploy(spec)
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
        self.pooled.invoke(deployment, invocation)
    }

    async fn ready(&self) {
        self.pooled.ready().await;
    }

    async fn warm(&self, deployment: &Deployment, count: usize) -> Result<usize, Error> {
        self.pooled.warm(deployment, count).await
    }

    async fn remove(&self, deployment: &Deployment) -> Result<(), Error> {
        self.pooled.remove(deployment).await
    }

    async fn health(&self) -> Health {
        let mut health = self.pooled.health().await;
        if health.problem.is_none() {
            health.problem = self.site.engine.problem().await;
        }
        health
    }

    async fn shutdown(&self) -> Result<(), Error> {
        self.pooled.shutdown().await?;
        self.site.close().await
    }
}

impl std::fmt::Debug for DockerBackend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("DockerBackend").field(&self.pooled.info().name).finish()
    }
}
