//! The two requests that a guest answers.

use std::convert::Infallible;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};

use super::wire::MAX_REQUEST;
use super::{ENVELOPE, GUEST, SENTINEL, VERSION};
use crate::action::ActionSet;
use crate::guest::Guest;
use crate::guest::process::{Output, ProcessHost};
use crate::log::Stream;

/// What this program serves: one action, once it is initialised.
pub(super) struct Server {
    pub(super) actions: fn() -> ActionSet,
    pub(super) host: Arc<ProcessHost>,
    pub(super) output: &'static Output,
    /// Held by the first initialisation, whatever comes of it.
    pub(super) begun: OnceLock<()>,
    pub(super) guest: OnceLock<Guest>,
}

/// What a request is answered with.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// The value of the header of an envelope, if it is one.
    pub(super) envelope: Option<String>,
    pub(super) body: Bytes,
}

impl Answer {
    pub(super) fn json(status: StatusCode, body: &serde_json::Value) -> Self {
        Self { status, envelope: None, body: body.to_string().into() }
    }

    /// An answer that tells an error.
    pub(super) fn error(status: StatusCode, text: impl AsRef<str>) -> Self {
        Self::json(status, &json!({ "error": text.as_ref() }))
    }

    fn into_response(self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(self.body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(GUEST, HeaderValue::from_static(VERSION));
        if let Some(Ok(value)) = self.envelope.map(HeaderValue::try_from) {
            headers.insert(ENVELOPE, value);
        }
        response
    }
}

impl Server {
    pub(super) fn new(actions: fn() -> ActionSet, host: ProcessHost, output: &'static Output) -> Self {
        Self { actions, host: Arc::new(host), output, begun: OnceLock::new(), guest: OnceLock::new() }
    }

    /// Answers the requests of a connection, one after the other, until it is closed. A host that closes it while an
    /// action runs has the action dropped.
    pub(super) async fn attend(
        self: Arc<Self>,
        connection: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) {
        let service = service_fn(|request| {
            let server = Arc::clone(&self);
            async move { Ok::<_, Infallible>(server.answer(request).await.into_response()) }
        });
        // A connection that breaks is the business of who was connected.
        let _ = http1::Builder::new().serve_connection(TokioIo::new(connection), service).await;
    }

    /// Shows on both streams that an activation has ended, to hosts that read them.
    pub(super) fn seal(&self) {
        let line = format!("{SENTINEL}\n");
        self.output.write(Stream::Stdout, line.as_bytes());
        self.output.write(Stream::Stderr, line.as_bytes());
    }

    async fn answer(&self, request: Request<Incoming>) -> Answer {
        let enveloped = request.headers().get(ENVELOPE).is_some_and(|value| value == VERSION);
        let (parts, body) = request.into_parts();
        let Ok(body) = Limited::new(body, MAX_REQUEST).collect().await.map(|body| body.to_bytes()) else {
            let text = format!("the request cannot be read, or has more than {MAX_REQUEST} bytes");
            return Answer::error(StatusCode::PAYLOAD_TOO_LARGE, text);
        };
        match (&parts.method, parts.uri.path()) {
            (&Method::POST, "/run") => self.run(&body, enveloped).await,
            (&Method::POST, "/init") => self.init(&body, enveloped).await,
            (method, path) => {
                let text = format!("there is no {method} {path}: a guest takes POST /init and POST /run");
                Answer::error(StatusCode::NOT_FOUND, text)
            }
        }
    }
}
