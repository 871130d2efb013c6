//! One thing that a behaviour saw.

use faas_core::log::{LogLine, Stream};
use faas_core::{ActionSpec, ActivationKind, Completion, MemoryMib, Record, Status, Version, meter};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The fields of a [`Record`], of a [`Completion`] and of their parts that no entry has, because
/// they differ from run to run or from backend to backend: ids, times, the start kind, the measured usage and the
/// backend's name. Of `billed_ms` an entry keeps only what it is at least.
pub const IGNORED_FIELDS: [&str; 10] =
    ["id", "cause", "start", "end", "at", "times", "billed_ms", "start_kind", "usage", "backend"];

/// One thing that a behaviour saw: an activation's record without what may differ, or the answer to another call.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Entry {
    /// The action, or the call.
    pub of: String,
    /// Whose activation it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// What it is a run of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<ActivationKind>,
    /// The action's version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// The memory that is billed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryMib>,
    /// The class of the outcome.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    /// The text of the error, of an outcome or of a call that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The result, or what a call answered; absent where it is different each time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
    /// What was logged, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub logs: Vec<Line>,
    /// How often user code was started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// Whether time and usage are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage_known: Option<bool>,
    /// What the billed time was found to be at least.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub billed_at_least_ms: Option<u64>,
}

/// A log line without its time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Where it was logged.
    pub stream: Stream,
    /// The text.
    pub text: String,
}

impl Entry {
    /// The answer to a call that made no activation.
    #[must_use]
    pub fn answer(of: &str, answer: impl Into<Value>) -> Self {
        Self { of: of.to_owned(), result: Some(answer.into()), ..Self::default() }
    }

    /// A call that was refused with an error of this kind.
    #[must_use]
    pub fn refusal(of: &str, kind: faas_core::ErrorKind) -> Self {
        Self { of: of.to_owned(), error: Some(kind.to_string()), ..Self::default() }
    }

    /// The same entry without its result, which is different each time.
    #[must_use]
    pub fn without_result(mut self) -> Self {
        self.result = None;
        self
    }

    /// What is the same each time of a completion.
    #[must_use]
    pub fn of_completion(spec: &ActionSpec, completion: &Completion) -> Self {
        let billed = meter::billed_ms(completion.init.saturating_add(completion.run));
        Self {
            of: spec.name.to_string(),
            version: Some(spec.version),
            memory: Some(spec.limits.memory),
            status: Some(completion.outcome.status()),
            error: completion.outcome.error(),
            result: Some(completion.outcome.result().to_value()),
            logs: lines(&completion.logs),
            billed_at_least_ms: Some(billed.min(1)),
            ..Self::default()
        }
    }
}

impl From<&Record> for Entry {
    fn from(record: &Record) -> Self {
        Self {
            of: record.action().to_string(),
            namespace: Some(record.namespace().to_owned()),
            kind: Some(record.revision.kind),
            version: Some(record.revision.version),
            memory: Some(record.revision.memory),
            status: Some(record.status()),
            error: record.outcome.error(),
            result: Some(record.outcome.result().to_value()),
            logs: lines(&record.logs),
            attempts: Some(record.attempts),
            usage_known: Some(record.usage_known),
            billed_at_least_ms: Some(record.billed_ms.min(1)),
        }
    }
}

fn lines(logs: &[LogLine]) -> Vec<Line> {
    logs.iter().map(|line| Line { stream: line.stream, text: line.text.clone() }).collect()
}
