//! Sandboxes: an environment that is bound to one action.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use faas_core::activation::Usage;
use faas_core::context::Host;
use faas_core::guest::Reply;
use faas_core::guest::lambda::wire::MAX_MESSAGE;
use faas_core::log::LogLine;
use faas_core::outcome::MAX_RESULT;
use faas_core::sandbox::{InitError, RunOutput, Sandbox};
use faas_core::{ActionSpec, Error, ErrorKind, Invocation, Outcome, Status};
use tokio::time::timeout;

use super::environment::Environment;
use super::exchange::Answer;
use super::factory::Site;
use super::runtime_api::RuntimeApi;
use crate::message::{self, Failure, Heard};

/// How long after an action's timeout its program may take to say that the time is over, before it is killed. Arbitrary.
const GRACE: Duration = Duration::from_millis(250);

/// How late a timeout may come: that, and what it takes to kill a program.
pub(super) const LATEST: Duration = GRACE.saturating_add(Duration::from_millis(750));

/// How long a program that has answered may take to ask for the next event. Arbitrary: it has nothing else to do.
const ASKING: Duration = Duration::from_secs(5);

/// How long a program may take to tell what came of its initialisation, once it has asked for events. Arbitrary.
const PROBING: Duration = Duration::from_secs(10);

/// Why a program was not initialised that does not know what it is asked.
const FOREIGN: &str = "the answer of its program is none of this library's";

/// An environment that is bound to one action.
pub(super) struct LambdaSandbox {
    site: Arc<Site>,
    environment: Arc<Environment>,
    _api: RuntimeApi,
    spec: Arc<ActionSpec>,
}

/// What became of an event.
enum Fate {
    Answered(Answer),
    /// The program ended without an answer.
    Exited,
    /// There was no answer in time.
    Late,
    /// It was never handed over, for this reason.
    Untaken(&'static str),
}

/// What came of an initialisation.
enum Initialised {
    Well,
    /// The program says why it failed, with its log.
    Badly(Reply),
    /// It does not, or not with its log.
    Silently(Outcome),
}

impl LambdaSandbox {
    pub(super) fn new(
        site: Arc<Site>,
        environment: Arc<Environment>,
        api: RuntimeApi,
        spec: Arc<ActionSpec>,
    ) -> Self {
        Self { site, environment, _api: api, spec }
    }

    /// Waits until the program asks for events, and asks it what came of its initialisation.
    ///
    /// # Errors
    /// `InitError::Action` when it failed; `SandboxLost`, temporary, when the program takes no work.
    pub(super) async fn initialised(&self) -> Result<(), InitError> {
        let reply = match self.initialisation().await? {
            Initialised::Well => {
                self.environment.printed.end();
                return Ok(());
            }
            Initialised::Badly(reply) => reply,
            Initialised::Silently(outcome) => {
                let RunOutput { outcome, logs, emitted, .. } = self.silent(outcome).await;
                Reply { outcome, logs, emitted }
            }
        };
        Err(reply.into())
    }

    async fn initialisation(&self) -> Result<Initialised, Error> {
        let limit = self.spec.limits.timeout;
        let said = |said: &[u8]| Initialised::Silently(Outcome::init_failed(&Failure::read(said).text()));
        let ready = tokio::select! {
            // A program that says why it ends is heard.
            biased;
            ready = timeout(limit + GRACE, self.environment.exchange.ready()) => ready,
            () = self.environment.exited() => return Ok(Initialised::Silently(Outcome::exited_in_init())),
        };
        match ready {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Ok(said(&error)),
            Err(_) => return Ok(Initialised::Silently(Outcome::init_timed_out(limit))),
        }
        let foreign = || Initialised::Silently(Outcome::init_failed(FOREIGN));
        Ok(match self.exchange(message::probe(), PROBING, || {}).await {
            Fate::Answered(Answer::Response(body)) => match message::heard(&body) {
                Heard::Ran(..) => Initialised::Well,
                Heard::Uninitialized(_, reply) => Initialised::Badly(reply),
                Heard::Garbage(_) => foreign(),
                Heard::Refused(reason) => return Err(lost(&reason)),
            },
            Fate::Answered(Answer::Error(error)) => said(&error),
            Fate::Answered(Answer::TooLarge | Answer::Skipped) => foreign(),
            Fate::Exited | Fate::Untaken(_) => Initialised::Silently(Outcome::exited_in_init()),
            Fate::Late => Initialised::Silently(Outcome::init_timed_out(limit)),
        })
    }

    /// Hands an event over and waits for what comes of it, no longer than that. It is handed over after `before`, while the
    /// program has nothing to do.
    async fn exchange(&self, event: Bytes, limit: Duration, before: impl Fn() + Send + Sync) -> Fate {
        let environment = &*self.environment;
        let deadline = self.site.entropy().wall_clock().after(limit).millis();
        let handing_over = environment.exchange.hand_over(event, deadline, before, || environment.thaw());
        let answered = tokio::select! {
            biased;
            () = environment.exited() => return Fate::Untaken("its program has ended"),
            answered = timeout(ASKING.min(limit), handing_over) => answered,
        };
        let Ok(answered) = answered else {
            return Fate::Untaken("its program does not ask for events any more");
        };
        tokio::select! {
            biased;
            Ok(answer) = answered => Fate::Answered(answer),
            () = environment.exited() => Fate::Exited,
            () = tokio::time::sleep(limit) => Fate::Late,
        }
    }

    /// The output of a run that its program did not reply to. One that is not to be used again is ended first: only then
    /// is it known what it printed.
    async fn silent(&self, outcome: Outcome) -> RunOutput {
        let printed = &self.environment.printed;
        if outcome.status() != Status::DeveloperError {
            return done(outcome, printed.so_far());
        }
        self.environment.end().await;
        done(outcome, printed.rest().await)
    }
}

fn lost(reason: &str) -> Error {
    Error::new(ErrorKind::SandboxLost, format!("the environment took no work: {reason}")).temporary(true)
}

fn done(outcome: Outcome, logs: Vec<LogLine>) -> RunOutput {
    RunOutput { outcome, logs, emitted: Vec::new(), usage: Usage::default() }
}

impl Sandbox for LambdaSandbox {
    async fn run(&self, invocation: &Invocation) -> Result<RunOutput, Error> {
        let limits = &self.spec.limits;
        let event = message::event(&self.spec, invocation, self.site.entropy().random());
        // What it printed since its last answer is nobody's.
        let begin = || self.environment.printed.begin(invocation.id, limits.logs);
        let answer = match self.exchange(event, limits.timeout + GRACE, begin).await {
            Fate::Answered(answer) => answer,
            Fate::Exited => return Ok(self.silent(Outcome::exited()).await),
            Fate::Late => return Ok(self.silent(Outcome::timed_out(limits.timeout)).await),
            Fate::Untaken(reason) => return Err(lost(reason)),
        };
        let output = match answer {
            Answer::Response(body) => match message::heard(&body) {
                Heard::Ran(_, reply) => RunOutput {
                    outcome: reply.outcome,
                    logs: reply.logs,
                    emitted: reply.emitted,
                    usage: Usage::default(),
                },
                Heard::Uninitialized(_, reply) => done(reply.outcome, reply.logs),
                Heard::Refused(reason) => return Err(lost(&reason)),
                Heard::Garbage(outcome) => self.silent(outcome).await,
            },
            Answer::Error(said) => self.silent(Outcome::developer_error(Failure::read(&said).text())).await,
            Answer::TooLarge => self.silent(Outcome::oversized(&[], MAX_MESSAGE + 1, MAX_RESULT)).await,
            Answer::Skipped => self.silent(Outcome::exited()).await,
        };
        self.environment.printed.end();
        Ok(output)
    }

    async fn pause(&mut self) -> Result<(), Error> {
        Ok(())
    }

    async fn resume(&mut self) -> Result<(), Error> {
        Ok(())
    }

    async fn destroy(self) {
        self.environment.end().await;
    }
}

impl Drop for LambdaSandbox {
    fn drop(&mut self) {
        self.environment.abandon();
    }
}
