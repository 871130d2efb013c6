//! What the backend suite is run on.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use faas_core::action::BoxFuture;
use faas_core::{Backend, Capability};

/// A backend that the suite is run on: its name, and how to make a fresh one for each behaviour.
pub struct BackendSubject {
    name: &'static str,
    make: Make,
}

type Make = Box<dyn Fn() -> BoxFuture<'static, Result<Arc<dyn Backend>, String>> + Send + Sync>;

impl BackendSubject {
    /// A subject whose backend is always there.
    ///
    /// ```
    /// use faas_core::LocalBackend;
    /// use faas_testkit::backend_suite::BackendSubject;
    /// let subject = BackendSubject::new("local", || async { LocalBackend::new() });
    /// assert_eq!(subject.name(), "local");
    /// ```
    pub fn new<B, Made>(name: &'static str, make: impl Fn() -> Made + Send + Sync + 'static) -> Self
    where
        B: Backend,
        Made: Future<Output = B> + Send + 'static,
    {
        Self::where_present(name, move || {
            let made = make();
            async move { Ok(made.await) }
        })
    }

    /// A subject whose backend needs something that may be absent, such as a daemon: then `make` says what, and all
    /// behaviours are skipped for that reason.
    pub fn where_present<B, Made>(name: &'static str, make: impl Fn() -> Made + Send + Sync + 'static) -> Self
    where
        B: Backend,
        Made: Future<Output = Result<B, String>> + Send + 'static,
    {
        let make = move || {
            let made = make();
            let shared = async move { made.await.map(|backend| Arc::new(backend) as Arc<dyn Backend>) };
            Box::pin(shared) as BoxFuture<'static, _>
        };
        Self { name, make: Box::new(make) }
    }

    /// Its name, as it stands in lines and paths of transcripts.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// A fresh backend.
    ///
    /// # Errors
    /// What is missing.
    pub async fn try_backend(&self) -> Result<Arc<dyn Backend>, String> {
        (self.make)().await
    }

    /// A fresh backend, for a behaviour that would have been skipped without one.
    pub(super) async fn backend(&self) -> Arc<dyn Backend> {
        match self.try_backend().await {
            Ok(backend) => backend,
            #[expect(clippy::panic, reason = "it was there when the behaviour was selected")]
            Err(missing) => panic!("the backend {} is gone: {missing}", self.name),
        }
    }

    /// What behaviours are selected by.
    pub(super) async fn facts(&self) -> Result<Facts, String> {
        let backend = self.try_backend().await?;
        let facts =
            Facts { capability: backend.info().capability, pooled: backend.health().await.pool.is_some() };
        backend.shutdown().await.map_err(|error| format!("it does not shut down: {error}"))?;
        Ok(facts)
    }
}

impl fmt::Debug for BackendSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BackendSubject({})", self.name)
    }
}

/// What is known of a backend before a behaviour runs on it.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// What it can do.
    pub capability: Capability,
    /// Whether it keeps a pool of sandboxes, one action and one namespace in each.
    pub pooled: bool,
}
