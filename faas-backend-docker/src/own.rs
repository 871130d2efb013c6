//! Rust guests: one connection that stays open, and replies with everything in them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use faas_core::context::Host;
use faas_core::guest::http::wire::{Envelope, Init, InitValue, RunExtra};
use faas_core::guest::http::{ENVELOPE, GUEST, VERSION};
use faas_core::http::HttpClient;
use faas_core::log::number_of_level;
use faas_core::outcome::MAX_RESULT;
use faas_core::{ActionSpec, Entropy, Error, ErrorKind, Invocation, Outcome, RunOutput, Timestamp};
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderName, HeaderValue, Method, Request};
use http_body_util::Full;
use tokio::time::{Instant, timeout, timeout_at};

use crate::asked::Asked;
use crate::connection::{Connection, NoReply, Received};
use crate::container::{Container, Death};
use crate::egress::Egress;
use crate::left;
use crate::reply::{done, init_error, init_failed};
use crate::sandbox::{GRACE, KILLING};

/// The most that a reply may hold besides its result and its log lines: the outbox. Arbitrary.
const MAX_EXTRA: usize = 48 << 20;

/// A Rust guest that is bound to an action.
pub(crate) struct Own {
    asked: Asked,
    entropy: Arc<Entropy>,
    /// Those that nobody uses now.
    connections: Mutex<Vec<Connection>>,
    _egress: Option<Egress>,
}

impl Own {
    /// Binds a guest to its action.
    ///
    /// # Errors
    /// `InitFailed` with the text of the developer error when user code fails; `SandboxLost` when the container is gone.
    pub(crate) async fn init(
        container: &Container,
        mut connection: Connection,
        spec: &Arc<ActionSpec>,
        entropy: &Arc<Entropy>,
        client: Option<Arc<dyn HttpClient>>,
    ) -> Result<Self, Error> {
        let egress = match (container.shared(), client) {
            (Some(shared), Some(client)) if !spec.egress.is_none() => {
                Some(Egress::start(shared, Arc::clone(spec), client)?)
            }
            _ => None,
        };
        let value = InitValue {
            name: spec.name.path().to_owned(),
            faas: Some(Box::new(ActionSpec::clone(spec))),
            ..InitValue::default()
        };
        let body = serde_json::to_vec(&Init { value }).map_err(|error| {
            Error::new(ErrorKind::Internal, "the action cannot be encoded").with_source(error)
        })?;
        let reply = match connection.request(request("/init", body.into()), MAX_RESULT, None).await {
            Ok(reply) => reply,
            Err(error) => {
                let death = container.autopsy().await;
                return Err(death.before_init().with_source(error));
            }
        };
        if !reply.status.is_success() {
            return Err(init_failed(init_error(&reply.body)));
        }
        if reply.headers.get(GUEST).is_none_or(|version| version != VERSION) {
            let text = "the image is no guest of this library, or one of another version";
            return Err(init_failed(text.to_owned()));
        }
        Ok(Self {
            asked: Asked::new(spec),
            entropy: Arc::clone(entropy),
            connections: Mutex::new(vec![connection]),
            _egress: egress,
        })
    }

    /// Runs an invocation.
    pub(crate) async fn run(
        &self,
        container: &Container,
        invocation: &Invocation,
    ) -> Result<RunOutput, Error> {
        let mut connection = self.connection(container).await?;
        let began = self.entropy.wall_clock();
        let limit = self.asked.spec.limits.timeout;
        let end = Instant::now() + limit + GRACE + KILLING;
        let logs = usize::try_from(self.asked.spec.limits.logs).unwrap_or(usize::MAX);
        // Each byte of a line may become six in JSON.
        let most = MAX_RESULT.saturating_add(logs.saturating_mul(6)).saturating_add(MAX_EXTRA);
        let request = request("/run", self.body(invocation, began));
        let reply = match connection.request(request, most, Some(limit.saturating_add(GRACE))).await {
            Ok(reply) => reply,
            Err(NoReply::Broken(_)) => return self.broken(container, invocation, began, end).await,
            Err(NoReply::Late) => return self.overdue(container, invocation, began).await,
        };
        match read(&reply) {
            Ok(reply) => {
                self.connections.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
                Ok(RunOutput {
                    outcome: reply.outcome,
                    logs: reply.logs,
                    emitted: reply.emitted,
                    usage: faas_core::activation::Usage::default(),
                })
            }
            Err(outcome) => Ok(done(outcome, self.left(container, invocation, began).await)),
        }
    }

    /// A connection of the guest's that is open.
    async fn connection(&self, container: &Container) -> Result<Connection, Error> {
        loop {
            let kept = self.connections.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Some(mut connection) = kept else { break };
            if connection.is_open() {
                return Ok(connection);
            }
        }
        container.connection().await
    }

    fn body(&self, invocation: &Invocation, began: Timestamp) -> Bytes {
        let limit = self.asked.spec.limits.timeout;
        let extra = RunExtra {
            attempt: invocation.attempt,
            level: number_of_level(invocation.log_level),
            remaining: u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX),
            seed: self.entropy.random(),
        };
        self.asked.body(invocation, began, Some(&extra))
    }

    /// The guest ended, or broke its connection. All must be known by `end`: later, it is taken for one that did not stop.
    async fn broken(
        &self,
        container: &Container,
        invocation: &Invocation,
        began: Timestamp,
        end: Instant,
    ) -> Result<RunOutput, Error> {
        let death = timeout_at(end, container.autopsy()).await.unwrap_or(Death::Exited(None));
        if let Death::Exited(_) | Death::OutOfMemory = death {
            let outcome = death.during_run()?;
            let logs = timeout_at(end, self.left(container, invocation, began)).await.unwrap_or_default();
            return Ok(done(outcome, logs));
        }
        death.during_run().map(|outcome| done(outcome, Vec::new()))
    }

    /// The guest did not stop by itself: it is killed, and what it has printed is its log.
    async fn overdue(
        &self,
        container: &Container,
        invocation: &Invocation,
        began: Timestamp,
    ) -> Result<RunOutput, Error> {
        // What it has printed in its time is there already; an engine that is busy may take as long for one as for the other.
        let killing = timeout(KILLING, container.engine.kill(&container.id));
        let reading = timeout(KILLING, self.left(container, invocation, began));
        let (killed, logs) = tokio::join!(killing, reading);
        if let Ok(Err(error)) = killed {
            tracing::debug!(%error, "a container that is overdue could not be killed");
        }
        let logs = logs.unwrap_or_default();
        Ok(done(Outcome::timed_out(self.asked.spec.limits.timeout), logs))
    }

    /// What the activation has printed.
    async fn left(
        &self,
        container: &Container,
        invocation: &Invocation,
        began: Timestamp,
    ) -> Vec<faas_core::log::LogLine> {
        let limits = &self.asked.spec.limits;
        if limits.logs == 0 {
            return Vec::new();
        }
        let beside = limits.concurrency > 1;
        let (engine, own) = (&container.engine, Some(invocation.id));
        let left = left::lines(engine, &container.id, own, began, beside, limits.logs);
        match timeout(Duration::from_secs(2), left).await {
            Ok(Ok(lines)) => lines,
            Ok(Err(error)) => {
                tracing::warn!(%error, "the logs of an activation that ended badly could not be read");
                Vec::new()
            }
            Err(_) => {
                tracing::warn!("the logs of an activation that ended badly could not be read in time");
                Vec::new()
            }
        }
    }
}

/// What a guest replied, or the outcome where it replied with something else.
fn read(reply: &Received) -> Result<faas_core::guest::Reply, Outcome> {
    let envelope = reply.headers.get(ENVELOPE).and_then(|value| Envelope::read(value.as_bytes()));
    let complete = reply.length == u64::try_from(reply.body.len()).ok();
    match envelope {
        Some(envelope) if complete && reply.status.is_success() => {
            envelope.unpack(&reply.body).map_err(|error| {
                tracing::debug!(%error, "a guest's reply cannot be read");
                Outcome::from_foreign_reply(reply.body.to_vec())
            })
        }
        _ => Err(Outcome::exited()),
    }
}

/// A request to a guest.
fn request(path: &'static str, body: Bytes) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = http::Uri::from_static(path);
    let headers = request.headers_mut();
    headers.insert(HOST, HeaderValue::from_static("guest"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(HeaderName::from_static(ENVELOPE), HeaderValue::from_static(VERSION));
    request
}
