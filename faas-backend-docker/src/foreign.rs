//! Containers of other images: OpenWhisk's action interface and nothing else, a connection for each request.

use std::sync::Arc;

use faas_core::guest::NO_ACTIVATION;
use faas_core::guest::http::wire::{Init, InitValue};
use faas_core::log::{LogLine, Stream};
use faas_core::outcome::MAX_RESULT;
use faas_core::sandbox::InitError;
use faas_core::{ActionSpec, Entropy, Error, ErrorKind, Invocation, Outcome, RunOutput, Timestamp};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use http::HeaderName;
use http::header::CONNECTION;
use serde_json::{Map, Value};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use crate::asked::{Asked, Call, Phase, post};
use crate::catalogue::Code;
use crate::connection::{Connection, NoReply};
use crate::container::Container;
use crate::death::Death;
use crate::engine::{LogFrame, LogQuery};
use crate::left;
use crate::output::{Ending, FAILED, Follower};
use crate::reply::{Replied, done, of_init, of_run};
use crate::sandbox::KILLING;

/// A connection is used once.
const CLOSING: (HeaderName, &str) = (CONNECTION, "close");

type Frames = BoxStream<'static, Result<LogFrame, Error>>;

/// A container of another image that is bound to an action.
pub(crate) struct Foreign {
    asked: Asked,
    entropy: Arc<Entropy>,
    /// Its output. Where several activations run at once, it cannot be told whose it is, and nobody gets it.
    output: Option<Output>,
}

/// The output of a container.
struct Output {
    /// Whether it marks the end of an activation.
    sentinels: bool,
    /// The most bytes of a log.
    limit: u64,
    follower: Mutex<Follower<Frames>>,
}

impl Foreign {
    /// Binds a container to its action, with its code if it is a runtime.
    ///
    /// # Errors
    /// `InitError::Action` when the container says so, or ends; `SandboxLost` when it is gone, temporary when it takes no
    /// work.
    pub(crate) async fn init(
        container: &Container,
        mut connection: Connection,
        spec: &Arc<ActionSpec>,
        code: Option<&Code>,
        sentinels: bool,
        entropy: &Arc<Entropy>,
    ) -> Result<Self, InitError> {
        let limit = spec.limits.timeout;
        let (began, end) = (entropy.wall_clock(), Instant::now() + limit + KILLING);
        let call = Call { phase: Phase::Init, id: NO_ACTIVATION, began, end };
        let output = match spec.limits.logs {
            0 => None,
            limit => Some(Output::of(container, began, limit, sentinels).await?),
        };
        let mut foreign = Self { asked: Asked::new(spec), entropy: Arc::clone(entropy), output };
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
        let reply = connection.request(post("/init", CLOSING, body.into()), MAX_RESULT, Some(limit)).await;
        let (outcome, logs) = match reply {
            Ok(reply) => match of_init(&reply) {
                Replied::Done => {
                    foreign.output = foreign.output.filter(|_| spec.limits.concurrency == 1);
                    return Ok(foreign);
                }
                Replied::Ending => return Err(about_to_end().into()),
                Replied::Outcome(outcome) => {
                    let logs = foreign.logs(container, &call, Ending::Failed).await;
                    (outcome, logs)
                }
            },
            Err(no_reply) => foreign.unanswered(container, &no_reply, &call).await?,
        };
        Err(InitError::Action { outcome, logs })
    }

    /// Runs an invocation.
    pub(crate) async fn run(
        &self,
        container: &Container,
        invocation: &Invocation,
    ) -> Result<RunOutput, Error> {
        let mut connection = container.connection().await?;
        let limit = self.asked.spec.limits.timeout;
        let (began, end) = (self.entropy.wall_clock(), Instant::now() + limit + KILLING);
        let call = Call { phase: Phase::Run, id: invocation.id, began, end };
        let request = post("/run", CLOSING, self.asked.body(invocation, began, None));
        let (outcome, logs) = match connection.request(request, MAX_RESULT + 1, Some(limit)).await {
            Ok(reply) => {
                let outcome = of_run(&reply).ok_or_else(about_to_end)?;
                let logs = self.logs(container, &call, Ending::of(&outcome)).await;
                (outcome, logs)
            }
            Err(no_reply) => self.unanswered(container, &no_reply, &call).await?,
        };
        Ok(done(outcome, logs))
    }

    /// The outcome of a call that the container did not answer, because it ended, broke its connection, or did not stop;
    /// and what was printed.
    async fn unanswered(
        &self,
        container: &Container,
        no_reply: &NoReply,
        call: &Call,
    ) -> Result<(Outcome, Vec<LogLine>), Error> {
        if let NoReply::Late = no_reply {
            let read = container.kill_while(self.logs(container, call, Ending::Failed)).await;
            let logs = self.last_logs(container, call).await.unwrap_or(read);
            return Ok((call.timed_out(&self.asked.spec), logs));
        }
        let death = timeout_at(call.end, container.autopsy()).await.unwrap_or(Death::Exited(None));
        let outcome = death.outcome(call.phase)?;
        let logs = match self.last_logs(container, call).await {
            Some(logs) => logs,
            None => self.logs(container, call, Ending::Failed).await,
        };
        Ok((outcome, logs))
    }

    /// What was printed during a call that has ended so.
    async fn logs(&self, container: &Container, call: &Call, ending: Ending) -> Vec<LogLine> {
        match &self.output {
            Some(output) => output.collect(container, call, ending).await,
            None => Vec::new(),
        }
    }

    /// The same of a container that has ended: whoever follows its output may miss the last lines. `None` where the
    /// engine does not tell them in time.
    async fn last_logs(&self, container: &Container, call: &Call) -> Option<Vec<LogLine>> {
        match &self.output {
            Some(output) => output.rest(container, call).await,
            None => Some(Vec::new()),
        }
    }
}

impl Output {
    /// The output of a container from then on.
    async fn of(container: &Container, began: Timestamp, limit: u64, sentinels: bool) -> Result<Self, Error> {
        // What the initialisation prints is the first activation's.
        let follower = Follower::new(follow(container, began).await?, sentinels, Some(began));
        Ok(Self { sentinels, limit, follower: Mutex::new(follower) })
    }

    async fn collect(&self, container: &Container, call: &Call, ending: Ending) -> Vec<LogLine> {
        let mut follower = self.follower.lock().await;
        let lines = follower.collect(call.began, self.limit, ending, call.end).await;
        if !follower.is_over() {
            return lines;
        }
        // The engine has been away, or is. Once it is back, it tells again what was printed since then.
        match timeout_at(call.end, follow(container, call.began)).await {
            Ok(Ok(frames)) => {
                *follower = Follower::new(frames, self.sentinels, None);
                follower.collect(call.began, self.limit, ending, call.end).await
            }
            Ok(Err(_)) | Err(_) => lines,
        }
    }

    async fn rest(&self, container: &Container, call: &Call) -> Option<Vec<LogLine>> {
        let left = left::lines(&container.engine, &container.id, None, call.began, false, self.limit);
        let mut lines = timeout_at(call.end, left).await.ok()?.ok()?;
        lines.push(LogLine {
            at: lines.last().map_or(call.began, |line| line.at),
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
