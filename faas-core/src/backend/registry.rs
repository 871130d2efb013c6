//! The backends that an app knows, by the scheme of their URL.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::url::is_scheme;
use super::{Backend, BackendUrl, LocalBackend};
use crate::action::BoxFuture;
use crate::error::Error;

/// What makes a backend of a URL.
type Connect = dyn Fn(BackendUrl) -> BoxFuture<'static, Result<Arc<dyn Backend>, Error>> + Send + Sync;

/// The backends that an app knows: it fills the set itself, and nothing else adds to it.
///
/// ```
/// use faas_core::backend::{BackendRegistry, LocalBackend};
/// use faas_core::layer::{Layer, TraceLayer};
/// # use std::sync::Arc;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), faas_core::Error> {
/// let registry = BackendRegistry::local().with("traced", async |url| {
///     Ok(TraceLayer::new().around(Arc::new(LocalBackend::from_url(&url)?)))
/// });
/// let backend = registry.connect("traced?slots=64&name=batch").await?;
/// assert_eq!(backend.info().name, "batch");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct BackendRegistry(BTreeMap<String, Arc<Connect>>);

impl BackendRegistry {
    /// A registry that knows no backend.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A registry that knows the local backend, as [`LocalBackend::from_url`] makes it.
    #[must_use]
    pub fn local() -> Self {
        Self::new().with("local", async |url| LocalBackend::from_url(&url))
    }

    /// The same registry with one more backend, or another of a scheme that it knows. `connect` refuses
    /// options that it does not know: [`BackendUrl::options`] does.
    ///
    /// # Panics
    /// When `scheme` is none, or has upper case: then no URL could name it.
    #[must_use]
    pub fn with<B, F>(
        mut self,
        scheme: &str,
        connect: impl Fn(BackendUrl) -> F + Send + Sync + 'static,
    ) -> Self
    where
        B: Backend,
        F: Future<Output = Result<B, Error>> + Send + 'static,
    {
        assert!(
            is_scheme(scheme) && !scheme.bytes().any(|b| b.is_ascii_uppercase()),
            "'{scheme}' is no scheme of a URL in lower case"
        );
        let erased = move |url: BackendUrl| -> BoxFuture<'static, Result<Arc<dyn Backend>, Error>> {
            let connecting = connect(url);
            Box::pin(async move { Ok(Arc::new(connecting.await?) as Arc<dyn Backend>) })
        };
        self.0.insert(scheme.to_owned(), Arc::new(erased));
        self
    }

    /// The schemes that it knows, sorted.
    pub fn schemes(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Makes the backend that a URL names.
    ///
    /// # Errors
    /// `NotFound` for an unknown scheme, listing the known ones; `InvalidArgument` for a URL that is malformed
    /// or has an option that the backend does not know; `Unavailable` when it cannot be reached.
    ///
    /// # Cancel safety
    /// Dropping it leaves no backend behind, unless that backend's own documentation says so.
    pub async fn connect(&self, url: &str) -> Result<Arc<dyn Backend>, Error> {
        let refused = |error: Error| error.with_operation("connect");
        let url: BackendUrl = url.parse().map_err(refused)?;
        let Some(connect) = self.0.get(url.scheme()) else {
            return Err(refused(Error::unknown("backend", url.scheme(), self.schemes())));
        };
        connect(url).await.map_err(refused)
    }
}

impl fmt::Debug for BackendRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BackendRegistry").field(&self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Capacity;
    use crate::error::ErrorKind;

    async fn refusal(registry: &BackendRegistry, url: &str) -> Error {
        registry.connect(url).await.err().expect("refused")
    }

    #[tokio::test]
    async fn the_url_configures_the_local_backend() {
        let registry = BackendRegistry::local();
        let plain = registry.connect("local").await.unwrap();
        assert_eq!(plain.info().name, "local");
        assert_eq!(plain.info().capacity, Capacity::Slots(LocalBackend::DEFAULT_SLOTS));
        let named = registry.connect("local?slots=2&name=batch").await.unwrap();
        assert_eq!((named.info().name.as_str(), named.info().capacity), ("batch", Capacity::Slots(2)));
        for bad in
            ["local:there", "local?slots=0", "local?slots=many", "local?name=", "local?slot=1", "local?a"]
        {
            assert_eq!(refusal(&registry, bad).await.kind(), ErrorKind::InvalidArgument, "{bad}");
        }
    }

    #[tokio::test]
    async fn an_unknown_scheme_lists_the_known_ones() {
        let registry = BackendRegistry::local().with("spare", async |url| LocalBackend::from_url(&url));
        assert_eq!(registry.schemes().collect::<Vec<_>>(), ["local", "spare"]);
        let error = refusal(&registry, "mainframe:ibm?x=1").await;
        assert_eq!(
            error.to_string(),
            "connect: not found: no backend is named 'mainframe'; known: local, spare"
        );
        let error = refusal(&BackendRegistry::new(), "local").await;
        assert_eq!(error.message(), "no backend is named 'local'; none is known");
    }

    #[tokio::test]
    async fn the_last_of_a_scheme_counts_and_may_wait() {
        let registry = BackendRegistry::local().with("local", async |url: BackendUrl| {
            tokio::task::yield_now().await;
            Err::<LocalBackend, _>(Error::new(ErrorKind::Unavailable, format!("no {url} today")))
        });
        let error = refusal(&registry, "local:x").await;
        assert_eq!(error.to_string(), "connect: unavailable: no local:x today");
    }

    #[test]
    #[should_panic(expected = "'Docker' is no scheme")]
    fn a_scheme_that_no_url_can_name_is_refused() {
        let _ = BackendRegistry::new().with("Docker", async |url| LocalBackend::from_url(&url));
    }
}
