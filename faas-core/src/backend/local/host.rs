//! What the guests of the local backend see of the world.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::action::BoxFuture;
use crate::context::Host;
use crate::entropy::Entropy;
use crate::error::Error;
use crate::http::{HttpClient, HttpRequest, HttpResponse};
use crate::units::Timestamp;

/// The platform's clock and randomness, and a client for requests.
pub(super) struct LocalHost {
    pub(super) entropy: Arc<Entropy>,
    http: OnceLock<Arc<dyn HttpClient>>,
}

impl LocalHost {
    /// A host with the client that was given; without one, the default client is made for the first request.
    pub(super) fn new(entropy: Arc<Entropy>, client: Option<Arc<dyn HttpClient>>) -> Self {
        Self { entropy, http: client.map_or_else(OnceLock::new, OnceLock::from) }
    }

    #[cfg(feature = "http")]
    fn client(&self) -> Result<&dyn HttpClient, Error> {
        Ok(&**self.http.get_or_init(|| Arc::new(crate::http::NetworkClient::new())))
    }

    #[cfg(not(feature = "http"))]
    fn client(&self) -> Result<&dyn HttpClient, Error> {
        self.http.get().map(|client| &**client).ok_or_else(|| {
            let text = "the local backend makes no HTTP requests: turn on the feature `http` of faas-core, or give it a \
                        client by `LocalBackend::with_http`";
            Error::new(crate::error::ErrorKind::Unsupported, text)
        })
    }
}

impl Host for LocalHost {
    fn wall(&self) -> Timestamp {
        self.entropy.wall()
    }

    fn monotonic(&self) -> Duration {
        self.entropy.monotonic()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.entropy.sleep(duration)
    }

    fn random(&self) -> u64 {
        self.entropy.random()
    }

    fn http(&self, request: HttpRequest) -> BoxFuture<'static, Result<HttpResponse, Error>> {
        match self.client() {
            Ok(client) => client.send(request),
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }
    }
}
