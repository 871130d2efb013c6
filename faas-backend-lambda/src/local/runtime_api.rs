//! Lambda's Runtime API, as its programs ask for events and answer them. Each environment has its own on loopback.
//!
//! # Source
//! "Using the Lambda runtime API for custom runtimes", AWS Lambda Developer Guide: paths, headers, statuses.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use faas_core::guest::lambda::wire::MAX_MESSAGE;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderName, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

use super::environment::Environment;
use super::exchange::{Answer, Event};

/// What every path begins with.
const VERSION: &str = "/2018-06-01/runtime/";

/// How many connections a program has at once; further ones wait, so that it cannot use up its host's files. Arbitrary.
const CONNECTIONS: usize = 64;

/// A place for the server of an environment that is about to be made.
pub(super) struct Place {
    listener: TcpListener,
    pub(super) address: SocketAddr,
}

impl Place {
    /// A free port of loopback.
    pub(super) async fn find() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// Serves the environment there.
    pub(super) fn serve(self, environment: &Arc<Environment>) -> RuntimeApi {
        RuntimeApi(tokio::spawn(serve(self.listener, Arc::downgrade(environment))).abort_handle())
    }
}

/// The server of an environment. Dropping it closes it.
pub(super) struct RuntimeApi(AbortHandle);

impl Drop for RuntimeApi {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn serve(listener: TcpListener, environment: Weak<Environment>) {
    // Dropped with this task, and the connections with it.
    let mut connections = JoinSet::new();
    loop {
        while connections.len() >= CONNECTIONS {
            connections.join_next().await;
        }
        match listener.accept().await {
            Ok((connection, _)) => {
                connections.spawn(attend(connection, Weak::clone(&environment)));
            }
            Err(error) => {
                tracing::debug!(%error, "a connection to the Runtime API could not be accepted");
                // Mostly there are too many open files, which takes a while to change.
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn attend(connection: TcpStream, environment: Weak<Environment>) {
    if connection.set_nodelay(true).is_err() {
        return;
    }
    let service = service_fn(|request: Request<Incoming>| {
        let environment = environment.upgrade();
        async move {
            Ok::<_, Infallible>(match environment {
                Some(environment) => answer(request, &environment).await,
                None => refusal(StatusCode::GONE, "Closed", "the environment is gone"),
            })
        }
    });
    // A connection that breaks is the business of its program, whose end is seen elsewhere.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(connection), service).await;
}

async fn answer(request: Request<Incoming>, environment: &Environment) -> Response<Full<Bytes>> {
    let (parts, body) = request.into_parts();
    let steps = parts.uri.path().strip_prefix(VERSION).unwrap_or_default();
    let steps: Vec<&str> = steps.split('/').collect();
    match (&parts.method, steps.as_slice()) {
        (&Method::GET, ["invocation", "next"]) => next(environment).await,
        (&Method::POST, ["invocation", request, "response"]) => match read(body).await {
            Ok(body) => take(environment, request, Answer::Response(body)),
            Err(unread) => unanswered(environment, request, &unread),
        },
        (&Method::POST, ["invocation", request, "error"]) => match read(body).await {
            Ok(body) => take(environment, request, Answer::Error(body)),
            Err(unread) => unanswered(environment, request, &unread),
        },
        (&Method::POST, ["init", "error"]) => {
            match read(body).await.map(|body| environment.exchange.fail(body)) {
                Ok(true) => accepted(),
                Ok(false) => refusal(
                    StatusCode::FORBIDDEN,
                    "InvalidStateTransition",
                    "the environment is initialised already",
                ),
                Err(_) => unreadable(),
            }
        }
        _ => refusal(StatusCode::NOT_FOUND, "InvalidPath", "the Runtime API has no such path and method"),
    }
}

/// Whoever asks for an event, as long as it waits for one.
struct Asker<'a>(&'a Environment);

impl Drop for Asker<'_> {
    fn drop(&mut self) {
        self.0.exchange.left(|| self.0.thaw());
    }
}

/// Waits for an event and hands it over.
async fn next(environment: &Environment) -> Response<Full<Bytes>> {
    // Dropped after what is asked for: the program may hang up, and ask again over another connection.
    let _asker = Asker(environment);
    let asked = environment.exchange.ask();
    let Ok(event) = asked.await else {
        return refusal(StatusCode::GONE, "Superseded", "the environment has asked for an event again");
    };
    let Event { request, body, deadline } = event;
    let mut response = Response::new(Full::new(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let mut insert = |name: &'static str, value: String| {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    insert("lambda-runtime-aws-request-id", name_of(request));
    insert("lambda-runtime-deadline-ms", deadline.to_string());
    insert("lambda-runtime-invoked-function-arn", environment.arn.clone());
    response
}

/// An answer that was not read. One that is too large is none, and nobody waits for another one.
fn unanswered(environment: &Environment, request: &str, unread: &Unread) -> Response<Full<Bytes>> {
    match unread {
        Unread::TooLarge => {
            take(environment, request, Answer::TooLarge);
            let text = format!("an answer may have {MAX_MESSAGE} bytes");
            refusal(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", &text)
        }
        Unread::Broken => unreadable(),
    }
}

fn take(environment: &Environment, request: &str, answer: Answer) -> Response<Full<Bytes>> {
    let taken = number_of(request).is_some_and(|request| environment.exchange.answer(request, answer));
    if taken {
        return accepted();
    }
    refusal(StatusCode::BAD_REQUEST, "InvalidRequestID", "no event of that request waits for an answer")
}

/// Why a body was not read.
enum Unread {
    TooLarge,
    Broken,
}

/// Reads a body to its end, even if it is too large: whoever sends it listens to nothing before.
async fn read(mut body: Incoming) -> Result<Bytes, Unread> {
    let (mut read, mut length) = (BytesMut::new(), 0_usize);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Unread::Broken)?.into_data() else { continue };
        length = length.saturating_add(data.len());
        if length <= MAX_MESSAGE {
            read.extend_from_slice(&data);
        } else {
            read = BytesMut::new();
        }
    }
    if length > MAX_MESSAGE { Err(Unread::TooLarge) } else { Ok(read.freeze()) }
}

fn accepted() -> Response<Full<Bytes>> {
    json(StatusCode::ACCEPTED, &json!({ "status": "OK" }))
}

fn unreadable() -> Response<Full<Bytes>> {
    refusal(StatusCode::BAD_REQUEST, "InvalidBody", "the body of the request cannot be read")
}

fn refusal(status: StatusCode, kind: &str, text: &str) -> Response<Full<Bytes>> {
    json(status, &json!({ "errorType": kind, "errorMessage": text }))
}

fn json(status: StatusCode, body: &serde_json::Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The id of a request, in the form that Lambda's have.
fn name_of(request: u64) -> String {
    format!("00000000-0000-4000-8000-{request:012x}")
}

fn number_of(name: &str) -> Option<u64> {
    u64::from_str_radix(name.strip_prefix("00000000-0000-4000-8000-")?, 16).ok()
}
