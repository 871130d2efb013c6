//! What replies mean.
//!
//! # Source
//! Apache OpenWhisk's action interface: the mapping of `/init` and `/run`.

use faas_core::activation::Usage;
use faas_core::log::LogLine;
use faas_core::outcome::MAX_RESULT;
use faas_core::{Outcome, RunOutput};
use http::StatusCode;
use serde_json::Value;

use crate::connection::Received;

/// The most that is shown of a reply that is none, in bytes. Arbitrary.
const SHOWN: usize = 1024;

/// What a container of another image replied to `/run`; `None` where it is about to end and takes no work.
pub(crate) fn of_run(reply: &Received) -> Option<Outcome> {
    if reply.status == StatusCode::SERVICE_UNAVAILABLE {
        return None;
    }
    let Some(length) = reply.length.and_then(|length| usize::try_from(length).ok()) else {
        return Some(Outcome::exited());
    };
    if length > MAX_RESULT {
        return Some(Outcome::oversized(&reply.body, length, MAX_RESULT));
    }
    if reply.body.len() < length {
        return Some(Outcome::exited());
    }
    if reply.status == StatusCode::OK {
        return Some(Outcome::from_foreign_reply(reply.body.to_vec()));
    }
    Some(Outcome::developer_error(error_field(&reply.body).unwrap_or_else(|| {
        let shown = shown(&reply.body);
        format!("The action did not produce a valid JSON or JSON Array response: {shown}").into()
    })))
}

/// What a container of another image replied to `/init`.
#[derive(Debug, PartialEq)]
pub(crate) enum Replied {
    /// It is ready.
    Done,
    /// It is about to end and takes no work.
    Ending,
    /// It failed, in this way.
    Outcome(Outcome),
}

/// What is made of a reply to `/init`.
pub(crate) fn of_init(reply: &Received) -> Replied {
    match reply.status {
        StatusCode::SERVICE_UNAVAILABLE => Replied::Ending,
        _ if reply.length.is_none() => Replied::Outcome(Outcome::exited_in_init()),
        StatusCode::OK => Replied::Done,
        _ => Replied::Outcome(init_error(&reply.body)),
    }
}

/// The outcome of an initialisation that failed, of which a container replied this.
pub(crate) fn init_error(body: &[u8]) -> Outcome {
    match error_field(body) {
        Some(error) => Outcome::developer_error(error),
        None => Outcome::init_failed(&shown(body)),
    }
}

/// The output of a run that has nothing but an outcome and logs.
pub(crate) fn done(outcome: Outcome, logs: Vec<LogLine>) -> RunOutput {
    RunOutput { outcome, logs, emitted: Vec::new(), usage: Usage::default() }
}

/// The field `error` of an object.
fn error_field(body: &[u8]) -> Option<Value> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(mut fields)) => fields.remove("error"),
        _ => None,
    }
}

fn shown(body: &[u8]) -> String {
    String::from_utf8_lossy(&body[..body.len().min(SHOWN)]).into_owned()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::HeaderMap;

    use super::*;

    fn received(status: u16, body: &str) -> Received {
        Received {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::new(),
            body: Bytes::copy_from_slice(body.as_bytes()),
            length: Some(body.len() as u64),
        }
    }

    fn outcome(status: u16, body: &str) -> Outcome {
        of_run(&received(status, body)).unwrap()
    }

    #[test]
    fn replies_to_run_map_as_in_openwhisk() {
        assert_eq!(outcome(200, "{\"a\":1}").result().as_str(), "{\"a\":1}");
        assert_eq!(outcome(200, "[1]").result().as_str(), "[1]");
        assert_eq!(outcome(200, "{\"error\":\"no\",\"b\":1}"), Outcome::application_error("no"));
        assert_eq!(outcome(502, "{\"error\":\"boom\"}"), Outcome::developer_error("boom"));
        assert_eq!(outcome(502, "{\"error\":[7]}"), Outcome::developer_error(serde_json::json!([7])));
        let invalid = "The action did not produce a valid JSON or JSON Array response:";
        assert_eq!(outcome(502, "oops"), Outcome::developer_error(format!("{invalid} oops")));
        assert_eq!(outcome(200, "3"), Outcome::developer_error(format!("{invalid} 3")));
        assert_eq!(outcome(200, ""), Outcome::developer_error(format!("{invalid} ")));
        assert_eq!(of_run(&received(503, "{}")), None);
    }

    #[test]
    fn a_reply_without_its_length_or_of_less_is_none() {
        let chunked = Received { length: None, ..received(200, "{}") };
        assert_eq!(of_run(&chunked), Some(Outcome::exited()));
        let partial = Received { length: Some(9), ..received(200, "{}") };
        assert_eq!(of_run(&partial), Some(Outcome::exited()));
        let large = Received { length: Some(MAX_RESULT as u64 + 1), ..received(200, "{\"a\":") };
        let error = of_run(&large).and_then(|outcome| outcome.error()).unwrap();
        assert!(error.contains("exceeded the allowed length: 1048577 > 1048576 bytes"), "{error}");
        assert!(error.ends_with("The truncated response was: {\"a\":"), "{error}");
    }

    #[test]
    fn replies_to_init_map_as_in_openwhisk() {
        assert_eq!(of_init(&received(200, "OK!")), Replied::Done);
        assert_eq!(of_init(&received(503, "{}")), Replied::Ending);
        assert_eq!(of_init(&received(502, "oops")), Replied::Outcome(Outcome::init_failed("oops")));
        let chunked = Received { length: None, ..received(200, "{}") };
        assert_eq!(of_init(&chunked), Replied::Outcome(Outcome::exited_in_init()));
    }

    #[test]
    fn a_failed_init_says_why() {
        assert_eq!(init_error(b"{\"error\":\"no such file\"}"), Outcome::developer_error("no such file"));
        let structured = serde_json::json!({ "code": 1 });
        assert_eq!(init_error(b"{\"error\":{\"code\":1}}"), Outcome::developer_error(structured));
        let shown = "The action failed during initialization: oops";
        assert_eq!(init_error(b"oops"), Outcome::developer_error(shown));
    }
}
