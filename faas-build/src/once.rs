//! Answering the same question once in a process.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use faas_core::{Error, ErrorKind};

/// What was asked, each with its answer once there is one.
static ANSWERS: Mutex<BTreeMap<String, Arc<Answer>>> = Mutex::new(BTreeMap::new());

type Answer = OnceLock<Result<PathBuf, Failure>>;

/// An error that can be told again and again.
struct Failure {
    kind: ErrorKind,
    operation: &'static str,
    message: String,
    /// The context and the sources, as the error reports them.
    report: Option<String>,
}

/// The answer to the question `key`, found by `find` if nobody has found it before in this process.
pub(crate) fn answer(key: &str, find: impl FnOnce() -> Result<PathBuf, Error>) -> Result<PathBuf, Error> {
    let cell = {
        let mut answers = ANSWERS.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(answers.entry(key.to_owned()).or_default())
    };
    match cell.get_or_init(|| find().map_err(Failure::of)) {
        Ok(folder) => Ok(folder.clone()),
        Err(failure) => Err(failure.tell()),
    }
}

impl Failure {
    fn of(error: Error) -> Self {
        let report = format!("{error:?}");
        Self {
            kind: error.kind(),
            operation: error.operation(),
            message: error.message().to_owned(),
            report: report.split_once('\n').map(|(_, report)| report.to_owned()),
        }
    }

    fn tell(&self) -> Error {
        let error = Error::new(self.kind, &*self.message).with_operation(self.operation);
        match &self.report {
            Some(report) => error.with_source(report.as_str()),
            None => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use faas_core::{Error, ErrorKind};

    use super::answer;

    #[test]
    fn a_question_is_answered_once() {
        for _ in 0..2 {
            let found = answer("a test asks", || Ok("first".into()));
            assert_eq!(found.expect("an answer").to_str(), Some("first"));
        }
        let found = answer("a test asks", || Ok("second".into()));
        assert_eq!(found.expect("an answer").to_str(), Some("first"));
    }

    #[test]
    fn a_failure_is_told_to_everyone_in_full() {
        let fail =
            || Err(Error::new(ErrorKind::InvalidArgument, "no").with_context("a", 1).with_source("why"));
        for _ in 0..2 {
            let error = answer("a test fails", fail).expect_err("no answer");
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
            assert_eq!(error.message(), "no");
            let report = format!("{error:?}");
            assert!(report.contains("a: 1") && report.contains("caused by: why"), "{report}");
        }
    }
}
