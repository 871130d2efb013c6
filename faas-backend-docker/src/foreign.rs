//! Containers of other images: OpenWhisk's action interface and nothing else, a connection for each request.

use std::sync::Arc;

use bytes::Bytes;
use faas_core::guest::http::wire::{Init, InitValue};
use faas_core::log::{LogLine, Stream};
use faas_core::outcome::MAX_RESULT;
use faas_core::{ActionSpec, Entropy, Error, ErrorKind, Invocation, Outcome, RunOutput, Timestamp};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use http::header::{CONNECTION, CONTENT_TYPE, HOST};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::Full;
use serde_json::{Map, Value};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout, timeout_at};

use crate::asked::Asked;
use crate::catalogue::Code;
use crate::connection::{Connection, NoReply};
use crate::container::{Container, Death, NOT_INITIALISED};
use crate::engine::{LogFrame, LogQuery};
use crate::left;
use crate::output::{Ending, FAILED, Follower};
use crate::reply::{done, init_error, init_failed, of_run};
use crate::sandbox::KILLING;

type Frames = BoxStream<'static, Result<LogFrame, Error>>;

/// A container of another image that is bound to an action.
pub(crate) struct Foreign {
    asked: Asked,
    entropy: Arc<Entropy>,
    /// Whether it marks the end of an activation in its output.
    sentinels: bool,
    /// Its output. Where several activations run at once, it cannot be told whose it is, and nobody gets it.
    output: Option<Mutex<Follower<Frames>>>,
}

impl Foreign {
    /// Binds a container to its action, with its code if it is a runtime.
    ///
    /// # Errors
    /// `InitFailed` with the text of the developer error when the container says so, or ends; `SandboxLost` when it is
    /// gone.
    pub(crate) async fn init(
        container: &Container,
        mut connection: Connection,
        spec: &Arc<ActionSpec>,
        code: Option<&Code>,
        sentinels: bool,
        entropy: &Arc<Entropy>,
    ) -> Result<Self, Error> {
        let began = entropy.wall_clock();
        let value = InitValue {
            name: spec.name.name().to_owned(),
            main: code.map_or_else(|| "main".to_owned(), |code| code.main.clone()),
            code: code.map(|code| code.text.clone()),
            binary: code.is_some_and(|code| code.binary),
            env: environment(spec, began),
            faas: None,
        };
        let body = serde_json::to_vec(&Init { value }).map_err(|error| {
            Error::new(ErrorKind::Internal, "the action cannot be encoded").with_source(error)
        })?;
        let reply = match connection.request(request("/init", body.into()), MAX_RESULT, None).await {
            Ok(reply) => reply,
            Err(error) => return Err(container.autopsy().await.before_init().with_source(error)),
        };
        if reply.status == StatusCode::SERVICE_UNAVAILABLE {
            return Err(about_to_end());
        }
        if reply.length.is_none() {
            return Err(init_failed(NOT_INITIALISED.to_owned()));
        }
        if reply.status != StatusCode::OK {
            return Err(init_failed(init_error(&reply.body)));
        }
        let listens = spec.limits.logs > 0 && spec.limits.concurrency == 1;
        let output = match listens {
            true => Some(Mutex::new(Follower::new(follow(container, began).await?, sentinels))),
            false => None,
        };
        Ok(Self { asked: Asked::new(spec), entropy: Arc::clone(entropy), sentinels, output })
    }

    /// Runs an invocation.
    pub(crate) async fn run(
        &self,
        container: &Container,
        invocation: &Invocation,
    ) -> Result<RunOutput, Error> {
        let mut connection = container.connection().await?;
        let began = self.entropy.wall_clock();
        let limit = self.asked.spec.limits.timeout;
        // By when all must be known: later, it is taken for one that did not stop.
        let end = Instant::now() + limit + KILLING;
        let request = request("/run", self.asked.body(invocation, began, None));
        match connection.request(request, MAX_RESULT + 1, Some(limit)).await {
            Ok(reply) => {
                let outcome = of_run(&reply).ok_or_else(about_to_end)?;
                let ending = if reply.status == StatusCode::OK { Ending::Replied } else { Ending::Failed };
                Ok(done(outcome, self.logs(container, began, ending, end).await))
            }
            Err(NoReply::Broken(_)) => {
                let death = timeout_at(end, container.autopsy()).await.unwrap_or(Death::Exited(None));
                let outcome = death.during_run()?;
                let logs = match self.last_logs(container, began, end).await {
                    Some(logs) => logs,
                    None => self.logs(container, began, Ending::Failed, end).await,
                };
                Ok(done(outcome, logs))
            }
            Err(NoReply::Late) => {
                let killing = timeout(KILLING, container.engine.kill(&container.id));
                // An engine that is busy may take as long for one as for the other.
                let reading = self.logs(container, began, Ending::Failed, end);
                let (killed, read) = tokio::join!(killing, reading);
                if let Ok(Err(error)) = killed {
                    tracing::debug!(%error, "a container that is overdue could not be killed");
                }
                let logs = self.last_logs(container, began, end).await.unwrap_or(read);
                Ok(done(Outcome::timed_out(limit), logs))
            }
        }
    }

    async fn logs(
        &self,
        container: &Container,
        began: Timestamp,
        ending: Ending,
        end: Instant,
    ) -> Vec<LogLine> {
        let Some(output) = &self.output else { return Vec::new() };
        let mut output = output.lock().await;
        let lines = output.collect(began, self.asked.spec.limits.logs, ending, end).await;
        if !output.is_over() {
            return lines;
        }
        // The engine has been away, or is. Once it is back, it tells again what was printed since then.
        match timeout_at(end, follow(container, began)).await {
            Ok(Ok(frames)) => {
                *output = Follower::new(frames, self.sentinels);
                output.collect(began, self.asked.spec.limits.logs, ending, end).await
            }
            Ok(Err(_)) | Err(_) => lines,
        }
    }

    /// The lines of an activation whose container has ended: whoever follows its output may miss the last ones. `None`
    /// where the engine does not tell them in time.
    async fn last_logs(&self, container: &Container, began: Timestamp, end: Instant) -> Option<Vec<LogLine>> {
        if self.output.is_none() {
            return Some(Vec::new());
        }
        let left =
            left::lines(&container.engine, &container.id, None, began, false, self.asked.spec.limits.logs);
        let mut lines = timeout_at(end, left).await.ok()?.ok()?;
        lines.push(LogLine {
            at: lines.last().map_or(began, |line| line.at),
            stream: Stream::Stderr,
            text: FAILED.to_owned(),
        });
        Some(lines)
    }
}

/// The output of a container from then on.
async fn follow(container: &Container, began: Timestamp) -> Result<Frames, Error> {
    let query = LogQuery { since: began, follow: true, last: None };
    Ok(container.engine.logs(&container.id, query).await?.boxed())
}

/// The error of a container that takes no work any more: it may be done elsewhere.
fn about_to_end() -> Error {
    Error::new(ErrorKind::SandboxLost, "the container is about to end").temporary(true)
}

/// The environment of an action: its own, and what OpenWhisk adds.
fn environment(spec: &ActionSpec, began: Timestamp) -> Map<String, Value> {
    let deadline = began.after(spec.limits.timeout).millis().to_string();
    let added = [
        ("__OW_NAMESPACE", spec.name.namespace().to_owned()),
        ("__OW_ACTION_NAME", format!("/{}", spec.name)),
        ("__OW_ACTION_VERSION", spec.version.to_string()),
        ("__OW_DEADLINE", deadline),
    ];
    let own = spec.env.iter().map(|(key, value)| (key.clone(), Value::from(value.clone())));
    own.chain(added.map(|(key, value)| (key.to_owned(), Value::from(value)))).collect()
}

/// A request on a connection that is used once.
fn request(path: &'static str, body: Bytes) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = http::Uri::from_static(path);
    let headers = request.headers_mut();
    headers.insert(HOST, HeaderValue::from_static("action"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    request
}
