//! Layers: what is put around a backend to change how it runs invocations.

mod chaos;
mod retry;
#[cfg(test)]
mod scripted;
mod trace;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

pub use self::chaos::{ChaosConfig, ChaosLayer};
pub use self::retry::RetryLayer;
pub use self::trace::TraceLayer;
use crate::action::ActionSpec;
use crate::backend::{Backend, BackendInfo, Completion, Deployment, Health, Invocation};
use crate::entropy::Entropy;
use crate::error::Error;

/// Changes how invocations run; all else is left to the backend below.
///
/// # Behavior
/// - An invocation without fault or retry reaches the backend once, unchanged, and its completion the caller.
/// - Dropping the future of `invoke` drops the one of the backend.
#[async_trait]
pub trait Layer: Send + Sync + 'static {
    /// Tells where clock and randomness come from, before anything else.
    fn attach(&self, entropy: &Arc<Entropy>);

    /// Runs an invocation on `backend`.
    ///
    /// # Errors
    /// What the backend fails with, or what the layer is there to fail with.
    ///
    /// # Cancel safety
    /// Dropping it drops the invocation of the backend.
    async fn invoke(
        &self,
        backend: &dyn Backend,
        deployment: &Deployment,
        invocation: Invocation,
    ) -> Result<Completion, Error>;

    /// The backend with this layer around it.
    #[must_use]
    fn around(self, backend: Arc<dyn Backend>) -> Layered<Self>
    where
        Self: Sized,
    {
        Layered { backend, layer: self }
    }
}

/// A backend with a layer around it; it is a backend itself, so layers can be stacked.
///
/// ```
/// use faas_core::layer::{Layer, TraceLayer};
/// use faas_core::Backend;
/// use std::sync::Arc;
/// fn traced(backend: impl Backend) -> impl Backend {
///     TraceLayer::new().around(Arc::new(backend))
/// }
/// ```
pub struct Layered<L> {
    backend: Arc<dyn Backend>,
    layer: L,
}

impl<L> fmt::Debug for Layered<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Layered").field("backend", &self.backend.info().name).finish_non_exhaustive()
    }
}

#[async_trait]
impl<L: Layer> Backend for Layered<L> {
    fn info(&self) -> &BackendInfo {
        self.backend.info()
    }

    fn attach(&self, entropy: &Arc<Entropy>) {
        self.layer.attach(entropy);
        self.backend.attach(entropy);
    }

    async fn deploy(&self, spec: Arc<ActionSpec>) -> Result<Deployment, Error> {
        self.backend.deploy(spec).await
    }

    async fn invoke(&self, deployment: &Deployment, invocation: Invocation) -> Result<Completion, Error> {
        self.layer.invoke(&*self.backend, deployment, invocation).await
    }

    async fn ready(&self) {
        self.backend.ready().await;
    }

    async fn warm(&self, deployment: &Deployment, count: usize) -> Result<usize, Error> {
        self.backend.warm(deployment, count).await
    }

    async fn remove(&self, deployment: &Deployment) -> Result<(), Error> {
        self.backend.remove(deployment).await
    }

    async fn health(&self) -> Health {
        self.backend.health().await
    }

    async fn shutdown(&self) -> Result<(), Error> {
        self.backend.shutdown().await
    }
}
