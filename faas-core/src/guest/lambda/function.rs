//! The function: what it makes of an event.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lambda_runtime::{Diagnostic, LambdaEvent};
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::instead::Answer;
use super::start::Origin;
use super::wire::{Ask, Event, Told, encode_answer};
use super::{ABI, SPEC};
use crate::action::{ActionSet, ActionSpec};
use crate::activation::ActivationId;
use crate::context::Host;
use crate::guest::process::{self, Output, ProcessHost, Watch};
use crate::guest::{Call, Guest, Reply};
use crate::outcome::{Outcome, Status};
use crate::payload::Payload;

/// How long before Lambda's own deadline a run ends that no host of this library asked for. Arbitrary.
const MARGIN: Duration = Duration::from_millis(100);

/// The one action of this function, initialised.
pub(super) struct Function {
    guest: Arc<Guest>,
    host: Arc<ProcessHost>,
    output: &'static Output,
    watch: &'static Watch,
    /// What answers for a run that holds this thread up, and begins anew.
    origin: Arc<Origin>,
    /// What came of the initialisation, and how long it took.
    init: (Result<(), Reply>, Duration),
    /// Whether it was initialised before anybody asked for a run.
    ahead: bool,
    /// Whether nothing was run yet.
    fresh: AtomicBool,
    /// Whose activations it runs.
    namespace: Mutex<Option<String>>,
    /// Whether something may be left that no later run may see.
    spent: AtomicBool,
}

impl Function {
    /// Binds the action that `told`, a specification in JSON, asks for; without one, the only action there is.
    pub(super) async fn init(
        actions: ActionSet,
        told: Option<&str>,
        ahead: bool,
        host: ProcessHost,
        origin: Arc<Origin>,
    ) -> io::Result<Self> {
        let output = origin.output;
        let host = Arc::new(host);
        let spec = bound(actions, told).map_err(io::Error::other)?;
        let guest = Guest::new(Arc::new(spec), Arc::clone(&host) as Arc<dyn Host>);
        let guest = Arc::new(guest.map_err(|error| io::Error::other(error.message().to_owned()))?);
        let began = Instant::now();
        let (watch, built) = process::init_aside(&guest, output).await?;
        let init = (built, began.elapsed());
        Ok(Self {
            guest,
            host,
            output,
            watch,
            origin,
            init,
            ahead,
            fresh: AtomicBool::new(true),
            namespace: Mutex::new(None),
            spent: AtomicBool::new(false),
        })
    }

    /// Whether something may be left that no later run may see.
    pub(super) fn is_spent(&self) -> bool {
        self.spent.load(Ordering::Relaxed)
    }

    /// Answers an event.
    ///
    /// # Errors
    /// What Lambda is told of a failure that no host of this library asked about.
    pub(super) async fn answer(
        &self,
        event: LambdaEvent<Box<RawValue>>,
    ) -> Result<Box<RawValue>, Diagnostic> {
        let LambdaEvent { payload, context } = event;
        match serde_json::from_str::<Event<'_>>(payload.get()) {
            Ok(event) => {
                self.output.label();
                raw(self.told(event, &context.request_id).await?)
            }
            Err(_) => self.plain(&payload, &context).await,
        }
    }

    /// Does what a host of this library asks.
    async fn told(&self, event: Event<'_>, request: &str) -> Answer {
        let Event { value, faas: ask } = event;
        let empty = Payload::empty();
        if let Some(refused) = self.refusal(&ask) {
            let told = Told { refused: Some(refused), ..Told::default() };
            return Ok(encode_answer(told, &empty).into());
        }
        let init = u64::try_from(self.init.1.as_nanos()).unwrap_or(u64::MAX);
        let cold = self.fresh.swap(false, Ordering::Relaxed) && !self.ahead;
        let told = Told { cold, init, ..Told::default() };
        if let Err(Reply { outcome, logs, .. }) = &self.init.0 {
            self.spent.store(true, Ordering::Relaxed);
            let (status, logs) = (outcome.status().code(), logs.clone());
            let told = Told { status, logs, uninitialized: true, ..told };
            return Ok(encode_answer(told, outcome.result()).into());
        }
        if ask.probe {
            return Ok(encode_answer(told, &empty).into());
        }
        let began = Instant::now();
        let answer = move |reply: Reply| -> Answer {
            let run = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
            let Reply { outcome, logs, emitted } = reply;
            let told =
                Told { status: outcome.status().code(), cold, init, run, logs, emitted, ..Told::default() };
            Ok(encode_answer(told, outcome.result()).into())
        };
        match Payload::from_json(value.get().to_owned()) {
            Ok(payload) => self.run(call(&ask, payload, &self.host), request, answer).await,
            Err(error) => answer(Reply::of(Outcome::developer_error(error.message()))),
        }
    }

    /// Why this program cannot do what is asked, though a new one may.
    fn refusal(&self, ask: &Ask) -> Option<String> {
        if ask.abi != ABI {
            return Some(format!("the host speaks version {} of the interface, the function {ABI}", ask.abi));
        }
        if ask.probe {
            return None;
        }
        let mut namespace = self.namespace.lock().unwrap_or_else(PoisonError::into_inner);
        if namespace.as_ref().is_none_or(|namespace| *namespace == ask.namespace) {
            *namespace = Some(ask.namespace.clone());
            return None;
        }
        self.spent.store(true, Ordering::Relaxed);
        Some("activations of another namespace have run here".to_owned())
    }

    /// Runs the action with an event of somebody else's as its input.
    async fn plain(
        &self,
        payload: &RawValue,
        context: &lambda_runtime::Context,
    ) -> Result<Box<RawValue>, Diagnostic> {
        if let Err(reply) = &self.init.0 {
            self.spent.store(true, Ordering::Relaxed);
            return Err(diagnostic(&reply.outcome));
        }
        self.fresh.store(false, Ordering::Relaxed);
        let input = Payload::from_json(payload.get().to_owned())
            .map_err(|error| diagnostic(&Outcome::application_error(error.message())))?;
        let seed = self.host.random();
        self.host.seed(seed);
        let id = context.request_id.replace('-', "").parse().unwrap_or(ActivationId::from_u128(0));
        let limit = self.guest.spec().limits.timeout;
        let left = Duration::from_millis(context.deadline.saturating_sub(self.host.wall().millis()));
        let remaining = left.checked_sub(MARGIN).map_or(limit, |left| left.min(limit));
        let call = Call {
            id,
            attempt: 1,
            deadline: self.host.monotonic().saturating_add(remaining),
            payload: input,
            log_level: tracing::level_filters::LevelFilter::INFO,
        };
        raw(self.run(call, &context.request_id, plainly).await?)
    }

    /// Runs the action, whose reply is answered with what `answer` makes of it. Where it holds this thread up, that is done
    /// by another one.
    async fn run(
        &self,
        call: Call,
        request: &str,
        answer: impl Fn(Reply) -> Answer + Copy + Send + 'static,
    ) -> Answer {
        let (origin, request) = (Arc::clone(&self.origin), request.to_owned());
        let late = move |reply| origin.renew_after(&request, answer(reply));
        let reply = process::run_watched(&self.guest, call, &self.host, self.output, self.watch, late).await;
        let clean = matches!(reply.outcome.status(), Status::Success | Status::ApplicationError);
        if !clean || self.guest.spec().needs_fresh_sandbox() {
            self.spent.store(true, Ordering::Relaxed);
        }
        answer(reply)
    }
}

/// What an event of somebody else's is answered with.
fn plainly(reply: Reply) -> Answer {
    if !reply.emitted.is_empty() {
        let text = "the action emits events, and whoever sent this event has no outbox to put them into";
        return Err(diagnostic(&Outcome::developer_error(text)));
    }
    match reply.outcome.status() {
        Status::Success => Ok(reply.outcome.result().as_bytes().to_vec()),
        _ => Err(diagnostic(&reply.outcome)),
    }
}

/// The action that is asked for, with its code.
fn bound(actions: ActionSet, told: Option<&str>) -> Result<ActionSpec, String> {
    let mut own = actions.into_specs();
    let known = own.iter().map(|spec| spec.name.path()).collect::<Vec<_>>().join(", ");
    let Some(told) = told else {
        return match own.pop() {
            Some(only) if own.is_empty() => Ok(only),
            _ => Err(format!("the variable {SPEC} does not say which action this is; there are: {known}")),
        };
    };
    let told: ActionSpec = serde_json::from_str(told)
        .map_err(|error| format!("the variable {SPEC} has no specification of an action: {error}"))?;
    let code = own.into_iter().find(|spec| spec.name.path() == told.name.path()).map(|spec| spec.code);
    let code = code.ok_or_else(|| {
        format!("this program has no action called '{}'; it has: {known}", told.name.path())
    })?;
    Ok(ActionSpec { code, ..told })
}

fn call(ask: &Ask, payload: Payload, host: &ProcessHost) -> Call {
    host.seed(ask.seed);
    Call {
        id: ask.activation,
        attempt: ask.attempt,
        deadline: host.monotonic().saturating_add(ask.remaining()),
        payload,
        log_level: ask.log_level(),
    }
}

/// JSON as Lambda's client takes it.
fn raw(json: Vec<u8>) -> Result<Box<RawValue>, Diagnostic> {
    let text = String::from_utf8(json)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
    RawValue::from_string(text)
        .map_err(|error| diagnostic(&Outcome::internal_error(format!("the answer is no JSON: {error}"))))
}

/// What Lambda is told of a failure.
fn diagnostic(outcome: &Outcome) -> Diagnostic {
    let error_type = match outcome.status() {
        Status::ApplicationError => "ApplicationError",
        Status::DeveloperError => "DeveloperError",
        Status::Success | Status::InternalError => "InternalError",
    };
    let error_message = outcome.error().unwrap_or_default();
    Diagnostic { error_type: error_type.to_owned(), error_message }
}
