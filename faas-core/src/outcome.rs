//! What user code did: the outcome of an activation, and the rules that map a reply to it.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::error::{BoxError, Error, ErrorKind};
use crate::payload::{self, Payload};

/// How an activation ended, as one of four classes. Source: OpenWhisk's status codes 0 to 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The action returned a result.
    Success,
    /// The action returned an error of its own.
    ApplicationError,
    /// The action misbehaved: it panicked, ran out of time or memory, or replied with garbage.
    DeveloperError,
    /// The platform failed.
    InternalError,
}

impl Status {
    /// OpenWhisk's status code, 0 to 3.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The class as words, such as `application error`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::ApplicationError => "application error",
            Self::DeveloperError => "developer error",
            Self::InternalError => "internal error",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What user code did, with its result.
///
/// Every outcome has a JSON result; of a failed one it is `{"error": …}`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    status: Status,
    result: Payload,
}

impl fmt::Debug for Outcome {
    /// With the result, which is the action's answer, unlike a payload.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.status, self.result.as_str())
    }
}

impl Outcome {
    /// The action succeeded with `result`.
    #[must_use]
    pub const fn success(result: Payload) -> Self {
        Self { status: Status::Success, result }
    }

    /// The action failed with an error of its own; `error` is any JSON.
    #[must_use]
    pub fn application_error(error: impl Into<Value>) -> Self {
        Self::failed(Status::ApplicationError, error.into())
    }

    /// The action misbehaved in the way that `error` says: a text, or any JSON that its runtime told.
    #[must_use]
    pub fn developer_error(error: impl Into<Value>) -> Self {
        Self::failed(Status::DeveloperError, error.into())
    }

    /// The platform failed in the way that `message` says.
    #[must_use]
    pub fn internal_error(message: impl Into<String>) -> Self {
        Self::failed(Status::InternalError, Value::String(message.into()))
    }

    /// The outcome that a store kept as its class and its result.
    ///
    /// # Errors
    /// `InvalidArgument` when it is a failure whose result has no field `error`.
    pub fn restored(status: Status, result: Payload) -> Result<Self, Error> {
        let is_failure = || result.to_value().get("error").is_some();
        if status == Status::Success || is_failure() {
            return Ok(Self { status, result });
        }
        let text =
            format!("the result of a failure has a field `error`, which that of a kept {status} has not");
        Err(Error::new(ErrorKind::InvalidArgument, text))
    }

    /// The class alone.
    #[cfg(feature = "host")]
    pub(crate) fn without_result(&self) -> Self {
        Self { status: self.status, result: Payload::empty() }
    }

    fn failed(status: Status, error: Value) -> Self {
        let result = Payload::from_value(&json!({ "error": error }))
            .or_else(|error| Payload::from_value(&json!({ "error": error.message() })))
            .unwrap_or_default();
        if result.len() > MAX_RESULT {
            return Self::failed(status, too_long(result.as_bytes(), result.len(), MAX_RESULT).into());
        }
        Self { status, result }
    }

    /// Maps the bytes that an action replied with, as encoded JSON.
    ///
    /// # Behavior
    /// - An object without `error`, and an array, is a success.
    /// - An object with `error` is an application error, whose other fields are dropped.
    /// - Anything else is a developer error that shows the reply.
    /// - More than `limit` bytes are an application error that shows the beginning.
    ///
    /// # Source
    /// OpenWhisk's action interface, the mapping of `/run`.
    #[must_use]
    pub fn from_reply(reply: Vec<u8>, limit: usize) -> Self {
        if reply.len() > limit {
            return Self::oversized(&reply, reply.len(), limit);
        }
        // Only a reply that spells the word can have the field; all others are spared the decoding.
        let may_have_error = contains_error(&reply);
        match Payload::from_encoded(reply) {
            Ok(result) if !may_have_error || !result.is_object() => Self::success(result),
            Ok(result) => match result.to_value() {
                Value::Object(mut fields) if fields.contains_key("error") => {
                    Self::application_error(fields.remove("error").unwrap_or_default())
                }
                _ => Self::success(result),
            },
            Err(reply) => Self::developer_error(format!("{BAD_REPLY} {}", beginning(&reply))),
        }
    }

    /// Maps the bytes that a runtime of somebody else's replied with, which need not be JSON at all, by the rules of
    /// [`from_reply`](Self::from_reply).
    #[must_use]
    pub fn from_foreign_reply(reply: Vec<u8>) -> Self {
        let reply = Bytes::from(reply);
        let Ok(result) = Payload::from_json(reply.clone()) else {
            return Self::developer_error(format!("{BAD_REPLY} {}", beginning(&reply)));
        };
        // The field may be spelt with escapes, which only decoding tells.
        let may_have_error = reply.contains(&b'\\') || contains_error(&reply);
        match may_have_error.then(|| result.to_value()) {
            Some(Value::Object(mut fields)) if fields.contains_key("error") => {
                Self::application_error(fields.remove("error").unwrap_or_default())
            }
            _ => Self::success(result),
        }
    }

    /// The failure of that class whose result a guest encoded: an object with the field `error`.
    #[cfg(any(feature = "guest-http", feature = "lambda-wire"))]
    pub(crate) fn from_failure(status: Status, result: Bytes) -> Result<Self, Error> {
        match Payload::from_json(result)?.to_value() {
            Value::Object(mut fields) if fields.contains_key("error") => {
                Ok(Self::failed(status, fields.remove("error").unwrap_or_default()))
            }
            _ => {
                let text = "the result of a failure has no field `error`";
                Err(Error::new(ErrorKind::InvalidArgument, text))
            }
        }
    }

    /// The outcome of an action that replied with `length` bytes, over `limit`, of which the beginning is known.
    #[must_use]
    pub fn oversized(start: &[u8], length: usize, limit: usize) -> Self {
        Self::application_error(too_long(start, length, limit))
    }

    /// The outcome of an action that returned `Err`: the text of the top error, or the JSON of an [`ActionError`].
    #[must_use]
    pub fn from_error(error: &BoxError) -> Self {
        match error.downcast_ref::<ActionError>() {
            Some(ActionError { error }) => Self::application_error(error.clone()),
            None => Self::application_error(error.to_string()),
        }
    }

    /// The outcome of an action that ran out of `limit` while it ran.
    #[must_use]
    pub fn timed_out(limit: std::time::Duration) -> Self {
        Self::developer_error(format!(
            "The action exceeded its time limits of {} milliseconds.",
            limit.as_millis()
        ))
    }

    /// The outcome of an action that ran out of `limit` while it initialised.
    #[must_use]
    pub fn init_timed_out(limit: std::time::Duration) -> Self {
        let limit = limit.as_millis();
        Self::developer_error(format!(
            "The action exceeded its time limits of {limit} milliseconds during initialization."
        ))
    }

    /// The outcome of an action whose initialisation failed for the reason given.
    #[must_use]
    pub fn init_failed(reason: &str) -> Self {
        Self::developer_error(format!("The action failed during initialization: {reason}"))
    }

    /// The outcome of an action that used more memory than its limit.
    #[must_use]
    pub fn memory_exhausted() -> Self {
        Self::developer_error("The action exhausted its memory and was aborted.")
    }

    /// The outcome of an action whose runtime ended without a reply.
    #[must_use]
    pub fn exited() -> Self {
        Self::developer_error("The action did not produce a valid response and exited unexpectedly.")
    }

    /// The outcome of an action whose runtime ended before user code was initialised.
    #[must_use]
    pub fn exited_in_init() -> Self {
        Self::developer_error("The action did not initialize and exited unexpectedly.")
    }

    /// The outcome of an action that panicked with `message`.
    #[must_use]
    pub fn panicked(message: &str) -> Self {
        Self::developer_error(format!("The action panicked: {message}"))
    }

    /// The class of the outcome.
    #[must_use]
    pub const fn status(&self) -> Status {
        self.status
    }

    /// Whether the action succeeded.
    #[must_use]
    pub const fn is_success(&self) -> bool {
        matches!(self.status, Status::Success)
    }

    /// The result; of a failed outcome `{"error": …}`.
    #[must_use]
    pub const fn result(&self) -> &Payload {
        &self.result
    }

    /// The error of a failed outcome as text: a JSON string as it is, any other JSON encoded.
    #[must_use]
    pub fn error(&self) -> Option<String> {
        if self.is_success() {
            return None;
        }
        Some(match self.result.to_value().get_mut("error").map(Value::take) {
            Some(Value::String(text)) => text,
            Some(value) => value.to_string(),
            None => String::new(),
        })
    }
}

const BAD_REPLY: &str = "The action did not produce a valid JSON or JSON Array response:";

/// The most of a refused reply that an error shows, in bytes. Arbitrary; OpenWhisk shows up to 1 MiB.
const SHOWN: usize = 1024;

fn too_long(start: &[u8], length: usize, limit: usize) -> String {
    format!(
        "The action produced a response that exceeded the allowed length: {length} > {limit} bytes. \
         The truncated response was: {}",
        beginning(start)
    )
}

fn contains_error(reply: &[u8]) -> bool {
    reply.windows(7).any(|window| window == b"\"error\"")
}

fn beginning(reply: &[u8]) -> String {
    String::from_utf8_lossy(&reply[..reply.len().min(SHOWN)]).into_owned()
}

/// An error of an action with structure, for callers that read more than a text.
///
/// ```
/// use faas_core::{ActionError, Outcome};
/// use serde_json::json;
/// let outcome = Outcome::from_error(&ActionError::json(json!({"code": 402, "reason": "card declined"})).into());
/// assert_eq!(outcome.result().as_str(), r#"{"error":{"code":402,"reason":"card declined"}}"#);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ActionError {
    error: Value,
}

impl ActionError {
    /// An error that is this JSON.
    #[must_use]
    pub fn json(error: impl Into<Value>) -> Self {
        Self { error: error.into() }
    }

    /// An error that is this text.
    #[must_use]
    pub fn text(error: impl Into<String>) -> Self {
        Self { error: Value::String(error.into()) }
    }
}

impl fmt::Display for ActionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.error {
            Value::String(text) => f.write_str(text),
            value => write!(f, "{value}"),
        }
    }
}

impl std::error::Error for ActionError {}

/// The largest result that an activation keeps, in bytes. Source: OpenWhisk.
pub const MAX_RESULT: usize = payload::MAX_BYTES;

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(text: &str) -> Outcome {
        Outcome::from_reply(text.as_bytes().to_vec(), MAX_RESULT)
    }

    #[test]
    fn an_outcome_is_restored_byte_by_byte_and_a_failure_without_error_is_refused() {
        for text in [r#"{"b":1,"a":0.1}"#, r#"{"error":{"b":1,"a":12345678901234567890123}}"#] {
            let result = Payload::from_json(text.as_bytes().to_vec()).unwrap();
            let restored = Outcome::restored(Status::Success, result.clone()).unwrap();
            assert_eq!(restored, Outcome::success(result.clone()));
            let failure = Outcome::restored(Status::DeveloperError, result);
            assert_eq!(failure.is_ok(), text.contains("error"), "{text}");
            assert!(failure.is_err() || failure.unwrap().result().as_str() == text);
        }
    }

    #[test]
    fn replies_map_to_outcomes() {
        assert_eq!(reply("{\"a\":1}").status(), Status::Success);
        assert_eq!(reply("[1]").status(), Status::Success);
        assert_eq!(reply("{\"a\":\"error\"}").status(), Status::Success);
        assert_eq!(reply("{\"a\":{\"error\":1}}").status(), Status::Success);
        let failed = reply("{\"error\":\"no\",\"other\":1}");
        assert_eq!(
            (failed.status(), failed.result().as_str()),
            (Status::ApplicationError, "{\"error\":\"no\"}")
        );
        for bad in ["null", "3", "\"text\"", "true", ""] {
            let outcome = reply(bad);
            assert_eq!(outcome.status(), Status::DeveloperError, "{bad}");
            assert_eq!(outcome.error().unwrap(), format!("{BAD_REPLY} {bad}"));
        }
    }

    #[test]
    fn foreign_replies_map_by_the_same_rules_and_need_not_be_json() {
        let foreign = |text: &str| Outcome::from_foreign_reply(text.as_bytes().to_vec());
        for text in ["{\"a\":1}", "[1]", "{}", " {\"a\":{\"error\":1}}", "{\"error\":\"no\",\"b\":1}"] {
            assert_eq!(foreign(text), reply(text.trim_start()), "{text}");
        }
        let escaped = foreign("{\"\\u0065rror\":\"no\"}");
        assert_eq!(escaped, Outcome::application_error("no"));
        for bad in ["", "null", "1", "{", "{} {}", "{\"a\":1,}", "[1}", "\u{0}"] {
            let outcome = foreign(bad);
            assert_eq!(outcome.status(), Status::DeveloperError, "{bad}");
            assert_eq!(outcome.error().unwrap(), format!("{BAD_REPLY} {bad}"));
        }
    }

    #[test]
    fn the_limit_of_a_reply_is_exact() {
        let fits = |n: usize| Outcome::from_reply(vec![b'['; n], MAX_RESULT).error().unwrap_or_default();
        assert!(fits(MAX_RESULT).contains("valid JSON"));
        assert!(fits(MAX_RESULT + 1).contains("exceeded the allowed length: 1048577 > 1048576 bytes"));
    }

    #[test]
    fn an_error_keeps_its_structure_or_its_text() {
        let text: BoxError = "out of stock".into();
        assert_eq!(Outcome::from_error(&text).result().as_str(), "{\"error\":\"out of stock\"}");
        assert_eq!(Outcome::from_error(&text).error().as_deref(), Some("out of stock"));
        let structured: BoxError = ActionError::json(json!([1, 2])).into();
        assert_eq!(Outcome::from_error(&structured).error().as_deref(), Some("[1,2]"));
    }
}
