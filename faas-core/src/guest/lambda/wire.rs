//! What a host and a function tell each other within events and answers, as both read and write it.
//!
//! An event is `{"value": <the input>, "faas": <an Ask>}`, an answer `{"faas": <a Told>, "result": <the result>}`.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tracing::level_filters::LevelFilter;

use super::super::Reply;
use crate::activation::ActivationId;
use crate::context::Emitted;
use crate::error::{Error, ErrorKind};
use crate::log::{LogLine, Stream, level_of_number};
use crate::outcome::{MAX_RESULT, Outcome, Status};
use crate::payload::Payload;

/// The largest event and the largest answer, in bytes. Source: Lambda's quota for synchronous invocations.
pub const MAX_MESSAGE: usize = 6 << 20;

/// The most bytes of log that fit into an answer whatever else is in it: the rest of an answer with the largest result,
/// where each byte may become six in JSON. Arbitrary, below that.
pub const MAX_LOGS: u64 = 512 << 10;

/// What a host of this library says of a run besides the input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// The version of this, [`ABI`](super::ABI).
    pub abi: u32,
    /// The activation.
    pub activation: ActivationId,
    /// Whose activation it is.
    pub namespace: String,
    /// The number of the attempt, from 1.
    pub attempt: u32,
    /// The most verbose level that is recorded: 0 for none, 1 for errors, to 5 for everything.
    pub level: u8,
    /// The time that the action has, in nanoseconds.
    pub remaining: u64,
    /// What the action's random numbers are made of.
    pub seed: u64,
    /// Whether only the initialisation is asked about, and nothing is to be run.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub probe: bool,
}

impl Ask {
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

/// An event that a host of this library sent.
#[derive(Debug, Deserialize)]
pub struct Event<'a> {
    /// The input.
    #[serde(borrow)]
    pub value: &'a RawValue,
    /// What is asked.
    pub faas: Ask,
}

/// Writes an event.
#[must_use]
pub fn encode_event(payload: &Payload, ask: &Ask) -> Bytes {
    let ask = serde_json::to_vec(ask).unwrap_or_default();
    let mut event = BytesMut::with_capacity(payload.len() + ask.len() + 32);
    event.put_slice(b"{\"value\":");
    event.put_slice(payload.as_bytes());
    event.put_slice(b",\"faas\":");
    event.put_slice(&ask);
    event.put_u8(b'}');
    event.freeze()
}

/// What a function says of a run besides the result.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// The number of the outcome's class; 0, 1 or 2.
    pub status: u8,
    /// Whether it is the first run since the action was initialised, and the initialisation was not done ahead.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cold: bool,
    /// How long initialising took, in nanoseconds.
    #[serde(default)]
    pub init: u64,
    /// How long the run took, in nanoseconds.
    #[serde(default)]
    pub run: u64,
    /// Whether nothing was run, since initialising failed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub uninitialized: bool,
    /// Why nothing was run and somebody else is to be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// What the action logged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub logs: Vec<LogLine>,
    /// What it put into the outbox.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub emitted: Vec<Emitted>,
}

/// An answer as it is read.
#[derive(Debug, Deserialize)]
struct Answer<'a> {
    faas: Told,
    #[serde(borrow)]
    result: &'a RawValue,
}

/// Writes an answer. If the logs are too much for one, their end is left out, and a line says so; a run whose events are
/// too much becomes a developer error.
#[must_use]
pub fn encode_answer(mut told: Told, result: &Payload) -> Bytes {
    let most = MAX_MESSAGE - b"{\"faas\":,\"result\":}".len();
    let logs = std::mem::take(&mut told.logs);
    let bare = encoded(&told).len() + result.len();
    if bare > most {
        let text = format!(
            "The action's result and events take {bare} bytes, and AWS Lambda takes answers of at most {MAX_MESSAGE}."
        );
        let outcome = Outcome::developer_error(text);
        told.emitted = Vec::new();
        told.status = outcome.status().code();
        return encode_answer(Told { logs, ..told }, outcome.result());
    }
    told.logs = fitting(logs, most - bare);
    let told = encoded(&told);
    let mut answer = BytesMut::with_capacity(told.len() + result.len() + 32);
    answer.put_slice(b"{\"faas\":");
    answer.put_slice(&told);
    answer.put_slice(b",\"result\":");
    answer.put_slice(result.as_bytes());
    answer.put_u8(b'}');
    answer.freeze()
}

fn encoded(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

/// As many lines as fit into so many bytes of JSON, with a notice if that is not all.
fn fitting(mut logs: Vec<LogLine>, room: usize) -> Vec<LogLine> {
    /// The name of the field and its brackets.
    const FIELD: usize = 16;
    /// A line for the notice.
    const NOTICE: usize = 256;
    let sizes: Vec<usize> = logs.iter().map(|line| encoded(line).len() + 1).collect();
    if sizes.iter().sum::<usize>() + FIELD <= room {
        return logs;
    }
    let mut left = room.saturating_sub(FIELD + NOTICE);
    let fits = |size: &&usize| match left.checked_sub(**size) {
        Some(less) => {
            left = less;
            true
        }
        None => false,
    };
    let keep = sizes.iter().take_while(fits).count();
    let at = logs[keep].at;
    logs.truncate(keep);
    let bytes: usize = logs.iter().map(|line| line.text.len() + 1).sum();
    let text =
        format!("Logs were truncated because the total bytes size exceeds the limit of {bytes} bytes.");
    logs.push(LogLine { at, stream: Stream::Stderr, text });
    logs
}

/// Reads an answer: what was told, without logs and events, and the reply. The function may be anybody's, so nothing of
/// it is taken on trust.
///
/// # Errors
/// `InvalidArgument`, saying what is wrong.
pub fn decode_answer(body: &Bytes) -> Result<(Told, Reply), Error> {
    let bad = |text: String| Error::new(ErrorKind::InvalidArgument, text);
    let answer: Answer<'_> =
        serde_json::from_slice(body).map_err(|error| bad(format!("the answer cannot be read: {error}")))?;
    let result = body.slice_ref(answer.result.get().as_bytes());
    let mut told = answer.faas;
    let outcome = match told.status {
        0..=2 if result.len() > MAX_RESULT => Outcome::oversized(&result, result.len(), MAX_RESULT),
        0 => Outcome::success(Payload::from_json(result)?),
        1 => Outcome::from_failure(Status::ApplicationError, result)?,
        2 => Outcome::from_failure(Status::DeveloperError, result)?,
        other => return Err(bad(format!("the status is {other}, which is none of 0, 1 and 2"))),
    };
    let (logs, emitted) = (std::mem::take(&mut told.logs), std::mem::take(&mut told.emitted));
    Ok((told, Reply { outcome, logs, emitted }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::units::Timestamp;

    fn line(text: &str) -> LogLine {
        LogLine { at: Timestamp::from_millis(5), stream: Stream::Stdout, text: text.to_owned() }
    }

    fn payload(value: &serde_json::Value) -> Payload {
        Payload::from_value(value).unwrap()
    }

    #[test]
    fn an_event_passes_whole() {
        let ask = Ask {
            abi: 1,
            activation: ActivationId::from_u128(255),
            namespace: "ns".to_owned(),
            attempt: 2,
            level: 3,
            remaining: 1_000_000,
            seed: u64::MAX,
            probe: false,
        };
        let event = encode_event(&payload(&json!({ "n": "}{" })), &ask);
        let read: Event<'_> = serde_json::from_slice(&event).unwrap();
        assert_eq!((read.value.get(), read.faas), ("{\"n\":\"}{\"}", ask));
    }

    #[test]
    fn an_answer_passes_whole() {
        let event = Emitted { trigger: "placed".parse().unwrap(), payload: Payload::empty() };
        let result = payload(&json!({ "a": [1, "}{"] }));
        let told = Told { cold: true, init: 7, run: 9, ..Told::default() };
        let whole = Told { logs: vec![line("hi")], emitted: vec![event.clone()], ..told.clone() };
        let (read, reply) = decode_answer(&encode_answer(whole, &result)).unwrap();
        assert_eq!(read, told);
        assert_eq!((reply.outcome, reply.logs), (Outcome::success(result), vec![line("hi")]));
        assert_eq!(reply.emitted, [event]);
        let failed = Outcome::application_error(json!({ "code": 7 }));
        let (_, reply) =
            decode_answer(&encode_answer(Told { status: 1, ..Told::default() }, failed.result())).unwrap();
        assert_eq!(reply.outcome, failed);
    }

    #[test]
    fn an_answer_that_is_wrong_says_how() {
        let refusal = |text: &'static str| {
            decode_answer(&Bytes::from_static(text.as_bytes())).unwrap_err().message().to_owned()
        };
        assert!(refusal("oops").starts_with("the answer cannot be read"));
        assert!(refusal("{\"result\":{}}").contains("missing field `faas`"));
        assert!(refusal("{\"faas\":{\"status\":0},\"result\":7}").starts_with("the payload must be"));
        assert!(refusal("{\"faas\":{\"status\":1},\"result\":{}}").contains("no field `error`"));
        assert!(refusal("{\"faas\":{\"status\":3},\"result\":{}}").starts_with("the status is 3"));
    }

    #[test]
    fn logs_that_are_too_much_are_cut_with_a_notice() {
        let logs = vec![line(&"\u{1}".repeat(1 << 10)); 4 << 10];
        let answer = encode_answer(Told { logs: logs.clone(), ..Told::default() }, &Payload::empty());
        assert!(answer.len() <= MAX_MESSAGE, "{}", answer.len());
        let (_, reply) = decode_answer(&answer).unwrap();
        let (notice, kept) = reply.logs.split_last().unwrap();
        let bytes = kept.len() * ((1 << 10) + 1);
        assert!(bytes as u64 > MAX_LOGS && kept.len() < logs.len(), "{bytes}");
        let text =
            format!("Logs were truncated because the total bytes size exceeds the limit of {bytes} bytes.");
        assert_eq!((notice.text.as_str(), notice.stream), (text.as_str(), Stream::Stderr));
    }

    #[test]
    fn events_that_are_too_much_are_a_developer_error() {
        let event = Emitted {
            trigger: "placed".parse().unwrap(),
            payload: payload(&json!({ "x": "x".repeat(900 << 10) })),
        };
        let told = Told { emitted: vec![event; 8], logs: vec![line("hi")], ..Told::default() };
        let (_, reply) = decode_answer(&encode_answer(told, &Payload::empty())).unwrap();
        assert_eq!(reply.outcome.status(), Status::DeveloperError);
        assert!(reply.outcome.error().unwrap().ends_with("at most 6291456."), "{:?}", reply.outcome);
        assert_eq!((reply.emitted.len(), reply.logs.len()), (0, 1));
    }
}
