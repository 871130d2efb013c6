//! What a host and a guest tell each other, as both read and write it.

use std::borrow::Cow;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tracing::level_filters::LevelFilter;

use super::super::Reply;
use crate::action::ActionSpec;
use crate::activation::ActivationId;
use crate::context::Emitted;
use crate::error::{Error, ErrorKind};
use crate::log::{LogLine, level_of_number};
use crate::outcome::{MAX_RESULT, Outcome, Status};
use crate::payload::Payload;

/// The largest request that a guest takes, in bytes. Source: OpenWhisk's proxies.
pub const MAX_REQUEST: usize = 48 << 20;

/// The body of `POST /init`.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Init {
    /// What is to be initialised.
    pub value: InitValue,
}

/// What is to be initialised.
#[derive(Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct InitValue {
    /// The name of the action.
    pub name: String,
    /// The function that is called, which a runtime for several needs to know.
    pub main: String,
    /// The code, for a runtime that has none: text, or base64 of a zip where it is `binary`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Whether `code` is base64.
    pub binary: bool,
    /// The environment: texts, but a foreign host may say anything.
    pub env: serde_json::Map<String, serde_json::Value>,
    /// The whole specification, from a host of this library.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub faas: Option<Box<ActionSpec>>,
}

impl Default for InitValue {
    fn default() -> Self {
        Self {
            name: String::new(),
            main: "main".to_owned(),
            code: None,
            binary: false,
            env: serde_json::Map::new(),
            faas: None,
        }
    }
}

/// The body of `POST /run`, as far as a guest of this library reads it.
#[derive(Debug, Deserialize)]
pub struct Run<'a> {
    /// The input.
    #[serde(borrow, default)]
    pub value: Option<&'a RawValue>,
    /// The activation.
    #[serde(borrow, default)]
    pub activation_id: Option<Cow<'a, str>>,
    /// The deadline in milliseconds since 1970, as text.
    #[serde(borrow, default)]
    pub deadline: Option<Cow<'a, str>>,
    /// What a host of this library says besides.
    #[serde(default)]
    pub faas: Option<RunExtra>,
}

/// What a host of this library says of a run besides what OpenWhisk's interface has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunExtra {
    /// The number of the attempt, from 1.
    pub attempt: u32,
    /// The most verbose level that is recorded: 0 for none, 1 for errors, to 5 for everything.
    pub level: u8,
    /// The time that the action has, in nanoseconds.
    pub remaining: u64,
    /// What the action's random numbers are made of.
    pub seed: u64,
}

impl RunExtra {
    /// The level as `tracing` has it.
    #[must_use]
    pub const fn log_level(&self) -> LevelFilter {
        level_of_number(self.level as u32)
    }

    /// The time that the action has.
    #[must_use]
    pub const fn remaining(&self) -> Duration {
        Duration::from_nanos(self.remaining)
    }
}

/// How a reply with an envelope begins and what follows: the value of its header [`ENVELOPE`](super::ENVELOPE),
/// `<status> <length>`. The body's first `length` bytes are the result; if there are more, they are an `Extra`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The class of the outcome.
    pub status: Status,
    /// The length of the result in bytes.
    pub length: usize,
}

/// What a run left besides its result.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Extra {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    logs: Vec<LogLine>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    emitted: Vec<Emitted>,
}

impl Envelope {
    /// Packs a reply: the value of the header, and the body.
    #[must_use]
    pub fn pack(reply: Reply) -> (String, Bytes) {
        let result = reply.outcome.result().as_bytes();
        let header = format!("{} {}", reply.outcome.status().code(), result.len());
        if reply.logs.is_empty() && reply.emitted.is_empty() {
            return (header, result.clone());
        }
        let extra =
            serde_json::to_vec(&Extra { logs: reply.logs, emitted: reply.emitted }).unwrap_or_default();
        let mut body = BytesMut::with_capacity(result.len() + extra.len());
        body.put_slice(result);
        body.put_slice(&extra);
        (header, body.freeze())
    }

    /// Reads the value of the header.
    #[must_use]
    pub fn read(header: &[u8]) -> Option<Self> {
        let (status, length) = std::str::from_utf8(header).ok()?.split_once(' ')?;
        let status = match status {
            "0" => Status::Success,
            "1" => Status::ApplicationError,
            "2" => Status::DeveloperError,
            _ => return None,
        };
        Some(Self { status, length: length.parse().ok()? })
    }

    /// Unpacks a body. The guest may be anybody's, so nothing of it is taken on trust.
    ///
    /// # Errors
    /// `InvalidArgument`, saying what is wrong.
    pub fn unpack(self, body: &Bytes) -> Result<Reply, Error> {
        let bad = |text: String| Error::new(ErrorKind::InvalidArgument, text);
        if self.length > body.len() {
            return Err(bad(format!("the result has {} bytes, the reply {}", self.length, body.len())));
        }
        let (result, rest) = (body.slice(..self.length), &body[self.length..]);
        let extra = match rest {
            [] => Extra::default(),
            rest => serde_json::from_slice(rest)
                .map_err(|error| bad(format!("what follows the result cannot be read: {error}")))?,
        };
        let outcome = match self.status {
            _ if result.len() > MAX_RESULT => Outcome::oversized(&result, result.len(), MAX_RESULT),
            Status::Success => Outcome::success(Payload::from_json(result)?),
            status => Outcome::from_failure(status, result)?,
        };
        Ok(Reply { outcome, logs: extra.logs, emitted: extra.emitted })
    }
}

/// Writes the body of `POST /run`; `extra` is for guests of this library alone. Other runtimes make an environment
/// variable of each field, and some of them end when one is no text.
#[must_use]
pub fn encode_run(
    payload: &Payload,
    id: ActivationId,
    action: &RunAction<'_>,
    extra: Option<&RunExtra>,
) -> Bytes {
    let mut body = BytesMut::with_capacity(payload.len() + 384);
    body.put_slice(b"{\"value\":");
    body.put_slice(payload.as_bytes());
    let rest = RunRest {
        namespace: action.namespace,
        action_name: action.name,
        action_version: action.version,
        activation_id: id,
        transaction_id: id,
        deadline: action.deadline,
        faas: extra,
    };
    // The rest is encoded as an object, whose opening bracket becomes the comma between the two.
    let rest = serde_json::to_vec(&rest).unwrap_or_else(|_| b"{}".to_vec());
    body.put_u8(b',');
    body.put_slice(&rest[1..]);
    body.freeze()
}

/// What a run is told of its action.
#[derive(Clone, Copy, Debug)]
pub struct RunAction<'a> {
    /// Whose invocation it is.
    pub namespace: &'a str,
    /// The action's name with a slash before it.
    pub name: &'a str,
    /// Its version.
    pub version: &'a str,
    /// The deadline in milliseconds since 1970, as text.
    pub deadline: &'a str,
}

#[derive(Serialize)]
struct RunRest<'a> {
    namespace: &'a str,
    action_name: &'a str,
    action_version: &'a str,
    activation_id: ActivationId,
    transaction_id: ActivationId,
    deadline: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    faas: Option<&'a RunExtra>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::log::Stream;
    use crate::units::Timestamp;

    fn passed(reply: &Reply) -> Result<Reply, Error> {
        let (header, body) = Envelope::pack(reply.clone());
        Envelope::read(header.as_bytes()).expect("an envelope").unpack(&body)
    }

    #[test]
    fn a_reply_passes_through_its_envelope() {
        let result = Payload::from_value(&json!({ "a": [1, "}{"] })).unwrap();
        let line = LogLine { at: Timestamp::from_millis(5), stream: Stream::Stderr, text: "ouch".to_owned() };
        let event = Emitted { trigger: "placed".parse().unwrap(), payload: Payload::empty() };
        for outcome in [
            Outcome::success(result),
            Outcome::application_error(json!({ "code": 7 })),
            Outcome::developer_error("The action panicked: x"),
        ] {
            for (logs, emitted) in
                [(vec![], vec![]), (vec![line.clone()], vec![]), (vec![line.clone()], vec![event.clone()])]
            {
                let reply = Reply { outcome: outcome.clone(), logs, emitted };
                let got = passed(&reply).unwrap();
                assert_eq!((&got.outcome, &got.logs), (&reply.outcome, &reply.logs));
                assert_eq!(got.emitted, reply.emitted);
            }
        }
    }

    #[test]
    fn an_envelope_that_is_wrong_says_how() {
        for header in ["", "0", "3 2", "0 -1", "0 x", "00 2"] {
            assert_eq!(Envelope::read(header.as_bytes()), None, "{header}");
        }
        let refusal = |status, length, body: &'static [u8]| {
            let envelope = Envelope { status, length };
            envelope.unpack(&Bytes::from_static(body)).unwrap_err().message().to_owned()
        };
        assert_eq!(refusal(Status::Success, 9, b"{}"), "the result has 9 bytes, the reply 2");
        assert!(refusal(Status::Success, 2, b"{}{").starts_with("what follows the result cannot be read"));
        assert!(refusal(Status::Success, 1, b"7").starts_with("the payload must be a JSON object"));
        assert!(refusal(Status::ApplicationError, 2, b"{}").contains("no field `error`"));
    }

    #[test]
    fn a_run_is_one_object_that_other_runtimes_read_as_well() {
        let payload = Payload::from_value(&json!({ "n": 1 })).unwrap();
        let extra = RunExtra { attempt: 2, level: 3, remaining: 1_000_000, seed: u64::MAX };
        let action = RunAction { namespace: "ns", name: "/ns/a", version: "0.0.1", deadline: "17" };
        let id = ActivationId::from_u128(255);
        let body = encode_run(&payload, id, &action, Some(&extra));
        let run: Run<'_> = serde_json::from_slice(&body).unwrap();
        assert_eq!(run.value.unwrap().get(), "{\"n\":1}");
        assert_eq!((run.deadline.as_deref(), run.faas), (Some("17"), Some(extra)));
        assert_eq!(run.activation_id.unwrap().parse::<ActivationId>().unwrap(), id);
        let all: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(all["action_name"], "/ns/a");
        let foreign: serde_json::Map<_, _> =
            serde_json::from_slice(&encode_run(&payload, id, &action, None)).unwrap();
        assert!(foreign.iter().all(|(key, value)| key == "value" || value.is_string()), "{foreign:?}");
    }
}
