//! Rust guests: one connection that stays open, and replies with everything in them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use faas_core::activation::Usage;
use faas_core::context::Host;
use faas_core::guest::http::wire::{Envelope, Init, InitValue, RunExtra};
use faas_core::guest::http::{ENVELOPE, GUEST, VERSION};
use faas_core::guest::{NO_ACTIVATION, Reply};
use faas_core::http::HttpClient;
use faas_core::log::{LogLine, number_of_level};
use faas_core::outcome::MAX_RESULT;
use faas_core::sandbox::InitError;
use faas_core::{
    ActionSpec, ActivationId, Entropy, Error, ErrorKind, Invocation, Outcome, RunOutput, Timestamp,
};
use http::HeaderName;
use tokio::time::{Instant, timeout, timeout_at};

use crate::asked::{Asked, Call, Phase, post};
use crate::connection::{Connection, NoReply, Received};
use crate::container::Container;
use crate::death::Death;
use crate::egress::Egress;
use crate::left;
use crate::reply::{done, init_error};
use crate::sandbox::{GRACE, KILLING};

/// The header by which a reply with everything in it is asked for.
const ENVELOPED: (HeaderName, &str) = (HeaderName::from_static(ENVELOPE), VERSION);

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
    /// `InitError::Action` when user code fails; `SandboxLost` when the container is gone.
    pub(crate) async fn init(
        container: &Container,
        mut connection: Connection,
        spec: &Arc<ActionSpec>,
        entropy: &Arc<Entropy>,
        client: Option<Arc<dyn HttpClient>>,
    ) -> Result<Self, InitError> {
        let egress = match (container.shared(), client) {
            (Some(shared), Some(client)) if !spec.egress.is_none() => {
                Some(Egress::start(shared, Arc::clone(spec), client)?)
            }
            _ => None,
        };
        let (asked, entropy) = (Asked::new(spec), Arc::clone(entropy));
        let own = Self { asked, entropy, connections: Mutex::default(), _egress: egress };
        let value = InitValue {
            name: spec.name.path().to_owned(),
            faas: Some(Box::new(ActionSpec::clone(spec))),
            ..InitValue::default()
        };
        let body = serde_json::to_vec(&Init { value }).map_err(|error| {
            Error::new(ErrorKind::Internal, "the action cannot be encoded").with_source(error)
        })?;
        let limit = spec.limits.timeout;
        let call = own.call(Phase::Init, NO_ACTIVATION, limit);
        let request = post("/init", ENVELOPED, body.into());
        let reply = match connection.request(request, own.longest(), Some(limit)).await {
            Ok(reply) => reply,
            Err(no_reply) => {
                let (outcome, logs) = own.unanswered(container, &no_reply, &call).await?;
                return Err(InitError::Action { outcome, logs });
            }
        };
        let failed = |outcome| Err(InitError::Action { outcome, logs: Vec::new() });
        if !reply.status.is_success() {
            return match read(&reply) {
                Ok(reply) => Err(reply.into()),
                Err(_) => failed(init_error(&reply.body)),
            };
        }
        if reply.headers.get(GUEST).is_none_or(|version| version != VERSION) {
            let text = "the image is no guest of this library, or one of another version";
            return failed(Outcome::developer_error(text));
        }
        own.keep(connection);
        Ok(own)
    }

    /// Runs an invocation.
    pub(crate) async fn run(
        &self,
        container: &Container,
        invocation: &Invocation,
    ) -> Result<RunOutput, Error> {
        let mut connection = self.connection(container).await?;
        // The guest ends it by itself, unless it cannot.
        let limit = self.asked.spec.limits.timeout.saturating_add(GRACE);
        let call = self.call(Phase::Run, invocation.id, limit);
        let request = post("/run", ENVELOPED, self.body(invocation, call.began));
        let reply = match connection.request(request, self.longest(), Some(limit)).await {
            Ok(reply) => reply,
            Err(no_reply) => {
                let (outcome, logs) = self.unanswered(container, &no_reply, &call).await?;
                return Ok(done(outcome, logs));
            }
        };
        match read(&reply) {
            Ok(Reply { outcome, logs, emitted }) if reply.status.is_success() => {
                self.keep(connection);
                Ok(RunOutput { outcome, logs, emitted, usage: Usage::default() })
            }
            Ok(_) => Ok(done(Outcome::exited(), self.left(container, &call).await)),
            Err(outcome) => Ok(done(outcome, self.left(container, &call).await)),
        }
    }

    /// A call that begins now and has so much time.
    fn call(&self, phase: Phase, id: ActivationId, limit: Duration) -> Call {
        Call { phase, id, began: self.entropy.wall_clock(), end: Instant::now() + limit + KILLING }
    }

    /// The most that a reply may have. Each byte of a line may become six in JSON.
    fn longest(&self) -> usize {
        let logs = usize::try_from(self.asked.spec.limits.logs).unwrap_or(usize::MAX);
        MAX_RESULT.saturating_add(logs.saturating_mul(6)).saturating_add(MAX_EXTRA)
    }

    /// Keeps a connection for the next request.
    fn keep(&self, connection: Connection) {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
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

    /// The outcome of a call that the guest did not answer, because it ended, broke its connection, or did not stop by
    /// itself; and what was printed.
    async fn unanswered(
        &self,
        container: &Container,
        no_reply: &NoReply,
        call: &Call,
    ) -> Result<(Outcome, Vec<LogLine>), Error> {
        if let NoReply::Late = no_reply {
            let reading = timeout(KILLING, self.left(container, call));
            let logs = container.kill_while(reading).await.unwrap_or_default();
            return Ok((call.timed_out(&self.asked.spec), logs));
        }
        let death = timeout_at(call.end, container.autopsy()).await.unwrap_or(Death::Exited(None));
        let outcome = death.outcome(call.phase)?;
        let logs = timeout_at(call.end, self.left(container, call)).await.unwrap_or_default();
        Ok((outcome, logs))
    }

    /// What was printed during a call.
    async fn left(&self, container: &Container, call: &Call) -> Vec<LogLine> {
        let limits = &self.asked.spec.limits;
        if limits.logs == 0 {
            return Vec::new();
        }
        let beside = limits.concurrency > 1 && call.phase == Phase::Run;
        let left =
            left::lines(&container.engine, &container.id, Some(call.id), call.began, beside, limits.logs);
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
fn read(reply: &Received) -> Result<Reply, Outcome> {
    let envelope = reply.headers.get(ENVELOPE).and_then(|value| Envelope::read(value.as_bytes()));
    let complete = reply.length == u64::try_from(reply.body.len()).ok();
    match envelope.filter(|_| complete) {
        Some(envelope) => envelope.unpack(&reply.body).map_err(|error| {
            tracing::debug!(%error, "a guest's reply cannot be read");
            Outcome::from_foreign_reply(reply.body.to_vec())
        }),
        None => Err(Outcome::exited()),
    }
}
