//! The client that makes real requests.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ::http::Request;
use ::http::header::CONTENT_LENGTH;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use super::message::body_too_large;
use super::target::Target;
use super::{HttpClient, HttpRequest, HttpResponse, MAX_BODY};
use crate::action::BoxFuture;
use crate::error::{Error, ErrorKind};

/// Makes HTTP requests over the network. Cloning shares the connections.
///
/// It speaks HTTP/1.1, `https` by TLS 1.2 or 1.3, and keeps connections open for requests that follow. It trusts
/// the certificate authorities that the system does. It uses no proxy, whatever the environment says. It needs
/// tokio's I/O in the runtime where it is used, as `#[tokio::main]` has it.
///
/// ```
/// use faas_core::{LocalBackend, NetworkClient};
/// // Two backends that share connections.
/// let client = NetworkClient::new();
/// let (a, b) = (LocalBackend::new().with_http(client.clone()), LocalBackend::new().with_http(client));
/// ```
#[derive(Clone)]
pub struct NetworkClient {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl NetworkClient {
    /// How long a connection is kept that nobody uses. Arbitrary.
    pub const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

    /// The most connections to one host that are kept while nobody uses them. Arbitrary.
    pub const MAX_IDLE_PER_HOST: usize = 32;

    /// A client that trusts the certificate authorities that the system does.
    #[must_use]
    pub fn new() -> Self {
        Self::with_roots(system_roots())
    }

    /// A client that also trusts other certificate authorities, such as a company's own.
    ///
    /// # Errors
    /// `InvalidArgument` unless `pem` has at least one certificate, and none that is malformed.
    pub fn trusting(pem: &str) -> Result<Self, Error> {
        let refuse = |text: String| Error::new(ErrorKind::InvalidArgument, text);
        let mut roots = system_roots();
        let mut added = 0;
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            let added_one = certificate.map_err(|error| error.to_string()).and_then(|certificate| {
                added += 1;
                roots.add(certificate).map_err(|error| error.to_string())
            });
            added_one
                .map_err(|problem| refuse(format!("a certificate authority is malformed: {problem}")))?;
        }
        if added == 0 {
            return Err(refuse(
                "the text has no certificate: none begins with -----BEGIN CERTIFICATE-----".into(),
            ));
        }
        Ok(Self::with_roots(roots))
    }

    fn with_roots(roots: RootCertStore) -> Self {
        // Named, since a process may have several providers, and then has no default one.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        #[expect(clippy::expect_used, reason = "the provider is the one of the versions' own crate")]
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring has suites for TLS 1.2 and 1.3");
        let config = config.with_root_certificates(roots).with_no_client_auth();
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(config)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(Self::IDLE_TIMEOUT)
            .pool_max_idle_per_host(Self::MAX_IDLE_PER_HOST)
            .pool_timer(TokioTimer::new())
            .build(connector);
        Self { client }
    }
}

/// What the system trusts; nothing where it does not tell, and then no `https` works.
fn system_roots() -> RootCertStore {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "cannot read the system's certificate authorities");
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    roots
}

impl Default for NetworkClient {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for NetworkClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NetworkClient").finish_non_exhaustive()
    }
}

impl HttpClient for NetworkClient {
    fn send(&self, request: HttpRequest) -> BoxFuture<'static, Result<HttpResponse, Error>> {
        let client = self.client.clone();
        Box::pin(async move {
            let target = request.target()?;
            let response = client.request(outgoing(request, &target)?).await;
            let response = response.map_err(|error| {
                let connected = !error.is_connect();
                unanswered(&target, connected, error)
            })?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, MAX_BODY).collect().await.map_err(|error| {
                if error.is::<LengthLimitError>() {
                    let length = head.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
                    return body_too_large("response", length.unwrap_or("more"));
                }
                unanswered(&target, true, error)
            })?;
            let headers = head.headers.iter().map(|(name, value)| {
                (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
            });
            let response = HttpResponse {
                status: head.status.as_u16(),
                headers: headers.collect(),
                body: body.to_bytes(),
            };
            response.check()?;
            Ok(response)
        })
    }
}

fn outgoing(request: HttpRequest, target: &Target) -> Result<Request<Full<Bytes>>, Error> {
    let builder = Request::builder().method(request.method.as_str()).uri(target.uri.clone());
    let builder = request.headers.iter().fold(builder, |builder, (name, value)| builder.header(name, value));
    builder
        .body(Full::new(request.body))
        .map_err(|error| Error::new(ErrorKind::InvalidArgument, format!("the request is malformed: {error}")))
}

/// No answer came. Only without a connection it is certain that the server has not seen the request.
fn unanswered(target: &Target, connected: bool, error: impl Into<Box<dyn StdError + Send + Sync>>) -> Error {
    let error = error.into();
    let mut cause: &dyn StdError = &*error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let text = if connected {
        format!("'{target}' broke off before its answer was complete: {cause}")
    } else {
        format!("no connection to '{target}': {cause}")
    };
    Error::new(ErrorKind::Unavailable, text).temporary(!connected).with_source(error)
}
