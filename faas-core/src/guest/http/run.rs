//! `POST /run`: runs the action once.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;

use super::server::{Answer, Server};
use super::wire::{Envelope, Run, RunExtra};
use crate::activation::ActivationId;
use crate::context::{Context, Host};
use crate::guest::{Call, Guest, Reply, Running};
use crate::outcome::{Outcome, Status};
use crate::payload::Payload;

/// The time that a run has whose host says nothing of it. Source: the longest timeout of OpenWhisk's deployments.
const LONGEST: Duration = Duration::from_secs(300);

impl Server {
    pub(super) async fn run(&self, body: &Bytes, enveloped: bool) -> Answer {
        let Some(guest) = self.guest.get() else {
            return Answer::error(StatusCode::FORBIDDEN, "System not initialized.");
        };
        let call = match self.call(body) {
            Ok(call) => call,
            Err(text) => return Answer::error(StatusCode::BAD_REQUEST, text),
        };
        let reply = self.reply(guest, call).await;
        if enveloped {
            let (header, body) = Envelope::pack(reply);
            return Answer { status: StatusCode::OK, envelope: Some(header), body };
        }
        self.output.seal();
        plain(reply)
    }

    /// What is to be run.
    fn call(&self, body: &Bytes) -> Result<Call, String> {
        let run: Run<'_> =
            serde_json::from_slice(body).map_err(|error| format!("the request is malformed: {error}"))?;
        let payload = match run.value.map(serde_json::value::RawValue::get) {
            None | Some("null") => Payload::empty(),
            Some(value) => Payload::from_json(body.slice_ref(value.as_bytes()))
                .map_err(|error| error.message().to_owned())?,
        };
        let id = run.activation_id.and_then(|id| id.parse().ok());
        let extra = run.faas.unwrap_or_else(|| RunExtra {
            attempt: 1,
            level: 3,
            remaining: self.until(run.deadline.as_deref()),
            seed: self.host.random(),
        });
        self.host.seed(extra.seed);
        Ok(Call {
            id: id.unwrap_or(ActivationId::from_u128(0)),
            attempt: extra.attempt,
            deadline: self.host.monotonic().saturating_add(extra.remaining()),
            payload,
            log_level: extra.log_level(),
        })
    }

    /// The nanoseconds until a deadline in milliseconds since 1970.
    fn until(&self, deadline: Option<&str>) -> u64 {
        let deadline = deadline.and_then(|deadline| deadline.trim().parse::<u64>().ok());
        let left = deadline.map(|deadline| deadline.saturating_sub(self.host.wall().millis()));
        let left = left.map_or(LONGEST, Duration::from_millis);
        u64::try_from(left.as_nanos()).unwrap_or(u64::MAX)
    }

    /// Runs the action until its deadline.
    async fn reply(&self, guest: &Guest, call: Call) -> Reply {
        let limit = guest.spec().limits.timeout;
        let left = call.deadline.saturating_sub(self.host.monotonic());
        let cx = guest.context(&call);
        let began = self.output.begin(Arc::clone(&cx.0));
        let deadline = tokio::time::sleep(left);
        let reply = if guest.spec().blocking {
            run_blocking(&cx, call, deadline, limit).await
        } else {
            let running = cx.0.bound.run(cx.clone(), call);
            run_here(running, deadline, limit).await
        };
        drop(began);
        reply
    }
}

async fn run_here(mut running: Running<'_>, deadline: tokio::time::Sleep, limit: Duration) -> Reply {
    tokio::select! {
        biased;
        reply = &mut running => return reply,
        () = deadline => {}
    }
    running.abandon(Outcome::timed_out(limit))
}

/// Runs on a thread of its own; what is left there after the deadline goes on unheard, and ends with the sandbox.
async fn run_blocking(cx: &Context, call: Call, deadline: tokio::time::Sleep, limit: Duration) -> Reply {
    let bound = Arc::clone(&cx.0.bound);
    let runtime = tokio::runtime::Handle::current();
    let context = cx.clone();
    let thread = tokio::task::spawn_blocking(move || runtime.block_on(bound.run(context, call)));
    tokio::select! {
        biased;
        reply = thread => reply.unwrap_or_else(|error| {
            cx.close(Outcome::internal_error(format!("the action's thread was lost: {error}")))
        }),
        () = deadline => cx.close(Outcome::timed_out(limit)),
    }
}

/// The answer to a host that knows only OpenWhisk's interface.
fn plain(reply: Reply) -> Answer {
    if !reply.emitted.is_empty() {
        let text = "the action emits events, and this host has no outbox to put them into";
        return Answer::error(StatusCode::BAD_GATEWAY, text);
    }
    let status = match reply.outcome.status() {
        Status::Success | Status::ApplicationError => StatusCode::OK,
        Status::DeveloperError | Status::InternalError => StatusCode::BAD_GATEWAY,
    };
    Answer { status, envelope: None, body: reply.outcome.result().as_bytes().clone() }
}
