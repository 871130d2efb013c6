//! What a container is asked to run.

use std::sync::Arc;

use bytes::Bytes;
use faas_core::guest::http::wire::{RunAction, RunExtra, encode_run};
use faas_core::{ActionSpec, ActivationId, Invocation, Outcome, Timestamp};
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderName, HeaderValue, Method, Request};
use http_body_util::Full;
use tokio::time::Instant;

/// An action as its container is told of it.
pub(crate) struct Asked {
    pub(crate) spec: Arc<ActionSpec>,
    /// Its name, with a slash before it.
    name: String,
    version: String,
}

impl Asked {
    pub(crate) fn new(spec: &Arc<ActionSpec>) -> Self {
        let (name, version) = (format!("/{}", spec.name), spec.version.to_string());
        Self { spec: Arc::clone(spec), name, version }
    }

    /// The body of `/run` for a run that begins then; `extra` is for guests of this library.
    pub(crate) fn body(&self, invocation: &Invocation, began: Timestamp, extra: Option<&RunExtra>) -> Bytes {
        let deadline = began.after(self.spec.limits.timeout).millis().to_string();
        let action = RunAction {
            namespace: invocation.namespace(&self.spec),
            name: &self.name,
            version: &self.version,
            deadline: &deadline,
        };
        encode_run(&invocation.payload, invocation.id, &action, extra)
    }
}

/// What a container is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Init,
    Run,
}

/// A request that is under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) phase: Phase,
    /// Whose it is; that of an initialisation is nobody's.
    pub(crate) id: ActivationId,
    /// When it began.
    pub(crate) began: Timestamp,
    /// By when all must be known of it: later, it is taken for one that did not stop.
    pub(crate) end: Instant,
}

impl Call {
    /// The outcome where the time that the action has is over.
    pub(crate) fn timed_out(&self, spec: &ActionSpec) -> Outcome {
        match self.phase {
            Phase::Init => Outcome::init_timed_out(spec.limits.timeout),
            Phase::Run => Outcome::timed_out(spec.limits.timeout),
        }
    }
}

/// A request to a container, with one header more, which tells how it is meant.
pub(crate) fn post(
    path: &'static str,
    (name, value): (HeaderName, &'static str),
    body: Bytes,
) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = http::Uri::from_static(path);
    let headers = request.headers_mut();
    headers.insert(HOST, HeaderValue::from_static("action"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(name, HeaderValue::from_static(value));
    request
}
