//! What the conformance suites ran, read from the transcripts that the step `test` left behind.
//!
//! There is one file per behaviour, `<suite>/<subject>/<behaviour>.json`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::process;
use crate::report::Outcome;
use crate::workspace::Workspace;

/// The suites of the testkit; each must have run on at least one subject.
const SUITES: [&str; 3] = ["backend", "pool", "store"];

/// The testkit's example that knows all behaviours, and how to compare two backends.
const CHECK: &str = "check_transcripts";

/// The part of a transcript that the summary reads.
#[derive(Deserialize)]
struct Transcript {
    behaviour: String,
    status: Status,
    #[serde(default)]
    reason: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Ran,
    Skipped,
}

/// The transcripts of one subject.
struct Subject {
    /// As it is printed: the bare name for a backend, else after its suite.
    title: String,
    transcripts: Vec<Transcript>,
}

/// The folder that the tests are told to write their transcripts to.
pub(crate) fn folder(workspace: &Workspace) -> PathBuf {
    workspace.target().join("transcripts")
}

/// Prints one line per subject, and its skips; then checks that no transcript is absent and that
/// every backend saw what the local one did. Each subject counts as one check, and so does the rest.
pub(crate) fn run(workspace: &Workspace) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    for suite in SUITES {
        for (name, folder) in entries(&folder(workspace).join(suite))? {
            let title = if suite == "backend" { name } else { format!("{suite}/{name}") };
            let transcripts = entries(&folder)?.values().map(|file| read(file)).collect::<Result<_>>()?;
            let subject = Subject { title, transcripts };
            subject.print();
            outcome.merge(subject.judge());
        }
    }
    outcome.merge(check(workspace)?);
    Ok(outcome)
}

/// Runs the testkit's own check.
///
/// It is a program of its own so that xtask does not depend on the crates that it checks: where one
/// of them does not compile, the other steps still run.
fn check(workspace: &Workspace) -> Result<Outcome> {
    let mut build = workspace.cargo("build");
    // All examples are named, with all backends, as the tests of the examples do it, so that their build is reused.
    build.args([
        "--quiet",
        "--workspace",
        "--examples",
        "--features",
        "faas-examples/docker,faas-examples/lambda,faas-examples/wasm",
    ]);
    let status = process::run(&mut build)?;
    if !status.success() {
        return Ok(Outcome::from_status("build of the examples", status));
    }
    let program = workspace.target().join("debug").join("examples").join(CHECK);
    let status = process::run(Command::new(program).arg(folder(workspace)))?;
    Ok(Outcome::from_status(CHECK, status))
}

/// The entries of a folder by name, sorted.
fn entries(folder: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let listing = fs::read_dir(folder)
        .with_context(|| format!("no transcripts in {}: the step `test` writes them", folder.display()))?;
    listing
        .map(|entry| {
            let entry = entry?;
            Ok((entry.file_name().to_string_lossy().into_owned(), entry.path()))
        })
        .collect()
}

fn read(file: &Path) -> Result<Transcript> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is no transcript", file.display()))
}

impl Subject {
    fn skipped(&self) -> impl Iterator<Item = &Transcript> {
        self.transcripts.iter().filter(|transcript| transcript.status == Status::Skipped)
    }

    fn ran(&self) -> usize {
        self.transcripts.len() - self.skipped().count()
    }

    fn print(&self) {
        println!("CONFORMANCE {} ran={} skipped={}", self.title, self.ran(), self.skipped().count());
        for transcript in self.skipped() {
            println!("       skipped {}: {}", transcript.behaviour, transcript.reason);
        }
    }

    /// Single behaviours are skipped for what a subject says it cannot do, which is no fault; a
    /// subject that skips all of them lacks what it runs on, and that is a skip of the check.
    fn judge(&self) -> Outcome {
        if let Some(skip) = self.skipped().find(|transcript| transcript.reason.is_empty()) {
            return Outcome::failed(format!("{} skipped {} without a reason", self.title, skip.behaviour));
        }
        match self.skipped().next() {
            Some(skip) if self.ran() == 0 => Outcome::skipped(format!("{}: {}", self.title, skip.reason)),
            _ => Outcome::passed(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Subject, Transcript};

    const RAN: &str = r#"{"behaviour": "a", "status": "ran", "entries": [1]}"#;
    const SKIPPED: &str = r#"{"behaviour": "b", "status": "skipped", "reason": "no pause", "entries": []}"#;
    const UNEXPLAINED: &str = r#"{"behaviour": "c", "status": "skipped", "entries": []}"#;

    fn subject(transcripts: &[&str]) -> Subject {
        let parse = |text: &&str| serde_json::from_str::<Transcript>(text).expect("a transcript");
        Subject { title: "local".to_owned(), transcripts: transcripts.iter().map(parse).collect() }
    }

    #[test]
    fn skips_with_a_reason_are_no_fault() {
        let subject = subject(&[RAN, SKIPPED]);
        let outcome = subject.judge();
        assert_eq!((subject.ran(), outcome.passed, outcome.failures.len()), (1, 1, 0));
    }

    #[test]
    fn a_subject_that_ran_nothing_is_skipped() {
        assert_eq!(subject(&[SKIPPED]).judge().skips, ["local: no pause"]);
    }

    #[test]
    fn a_skip_without_a_reason_fails() {
        assert_eq!(subject(&[RAN, UNEXPLAINED]).judge().failures, ["local skipped c without a reason"]);
    }
}
