//! What functions are asked, and what their answers mean.

use bytes::Bytes;
use faas_core::guest::Reply;
use faas_core::guest::lambda::ABI;
use faas_core::guest::lambda::wire::{Ask, Told, decode_answer, encode_event};
use faas_core::log::number_of_level;
use faas_core::{ActionSpec, ActivationId, Invocation, Outcome, Payload};
use serde::Deserialize;

/// The event that has a function run an invocation.
pub(crate) fn event(spec: &ActionSpec, invocation: &Invocation, seed: u64) -> Bytes {
    let ask = Ask {
        abi: ABI,
        activation: invocation.id,
        namespace: invocation.namespace(spec).to_owned(),
        attempt: invocation.attempt,
        level: number_of_level(invocation.log_level),
        remaining: u64::try_from(spec.limits.timeout.as_nanos()).unwrap_or(u64::MAX),
        seed,
        probe: false,
    };
    encode_event(&invocation.payload, &ask)
}

/// The event that has a function tell what came of its initialisation.
pub(crate) fn probe() -> Bytes {
    let ask = Ask {
        abi: ABI,
        activation: ActivationId::from_u128(0),
        namespace: String::new(),
        attempt: 1,
        level: 0,
        remaining: 0,
        seed: 0,
        probe: true,
    };
    encode_event(&Payload::empty(), &ask)
}

/// What a function of this library answered.
#[derive(Debug)]
#[cfg_attr(
    not(feature = "aws"),
    expect(dead_code, reason = "who has the program beside them measures what it tells")
)]
pub(crate) enum Heard {
    /// It ran the action, or was only probed.
    Ran(Told, Reply),
    /// It ran nothing, since it could not initialise.
    Uninitialized(Told, Reply),
    /// It ran nothing, and another environment is to be asked.
    Refused(String),
    /// It answered something else.
    Garbage(Outcome),
}

/// Reads an answer.
pub(crate) fn heard(body: &Bytes) -> Heard {
    match decode_answer(body) {
        Ok((Told { refused: Some(reason), .. }, _)) => Heard::Refused(reason),
        Ok((told, reply)) if told.uninitialized => Heard::Uninitialized(told, reply),
        Ok((told, reply)) => Heard::Ran(told, reply),
        Err(error) => {
            tracing::debug!(%error, "the answer of a function cannot be read");
            Heard::Garbage(Outcome::from_foreign_reply(body.to_vec()))
        }
    }
}

/// What Lambda tells of a function that failed.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Failure {
    pub(crate) error_type: String,
    pub(crate) error_message: String,
}

impl Failure {
    /// Reads it; what is no such object is the message itself.
    pub(crate) fn read(body: &[u8]) -> Self {
        serde_json::from_slice(body).unwrap_or_else(|_| Self {
            error_type: String::new(),
            error_message: String::from_utf8_lossy(body).into_owned(),
        })
    }

    /// The text for people: what happened, and of which kind it is.
    pub(crate) fn text(&self) -> String {
        match (self.error_type.as_str(), self.error_message.as_str()) {
            ("", "") => "the function failed without a reason".to_owned(),
            ("", message) => message.to_owned(),
            (kind, "") => kind.to_owned(),
            (kind, message) => format!("{kind}: {message}"),
        }
    }
}
