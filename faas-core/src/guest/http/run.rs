//! `POST /run`: runs the action once.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use serde_json::value::RawValue;

use super::server::{Answer, Server};
use super::wire::{Envelope, Run, RunExtra};
use crate::activation::ActivationId;
use crate::context::Host;
use crate::guest::{Call, Reply, process};
use crate::outcome::Status;
use crate::payload::Payload;

/// The time that a run has whose host says nothing of it. Source: the longest timeout of OpenWhisk's deployments.
const LONGEST: Duration = Duration::from_secs(300);

/// Variables of an environment.
type Variables = BTreeMap<String, String>;

impl Server {
    pub(super) async fn run(&self, body: &Bytes, enveloped: bool) -> Answer {
        let Some(guest) = self.guest.get() else {
            return Answer::error(StatusCode::FORBIDDEN, "System not initialized.");
        };
        let call = match self.call(body) {
            Ok(call) => call,
            Err(text) => return Answer::error(StatusCode::BAD_REQUEST, text),
        };
        let told = if enveloped { Variables::new() } else { told(body) };
        let reply = process::run(guest, call, told, &self.host, self.output).await;
        if enveloped {
            let (header, body) = Envelope::pack(reply);
            return Answer { status: StatusCode::OK, envelope: Some(header), body };
        }
        self.seal();
        plain(reply)
    }

    /// What is to be run.
    fn call(&self, body: &Bytes) -> Result<Call, String> {
        let run: Run<'_> =
            serde_json::from_slice(body).map_err(|error| format!("the request is malformed: {error}"))?;
        let payload = match run.value.map(RawValue::get) {
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
}

/// The variables that OpenWhisk's proxies make of a request: of each text beside the input.
fn told(body: &[u8]) -> Variables {
    let fields: BTreeMap<String, &RawValue> = serde_json::from_slice(body).unwrap_or_default();
    let beside = fields.into_iter().filter(|(key, _)| key != "value");
    let variable = |(key, value): (String, &RawValue)| {
        let text = serde_json::from_str::<String>(value.get()).ok()?;
        Some((format!("__OW_{}", key.to_uppercase()), text))
    };
    beside.filter_map(variable).collect()
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
