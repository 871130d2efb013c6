//! The steps that run tests, counted by reading what the test harness prints.

use std::fs;
use std::process::Command;

use anyhow::Result;

use super::conformance;
use crate::crash;
use crate::engine;
use crate::process;
use crate::report::Outcome;
use crate::tools;
use crate::workspace::Workspace;

/// What is off unless asked for, and has tests.
const OPTIONAL: &str = "faas-backend-lambda/s3,faas-core/guest-lambda";

/// Runs unit tests and integration tests of every crate. Tests of `faas-examples` run the examples;
/// benches are the matter of `goals`.
///
/// The conformance suites leave their transcripts in a fresh folder, for the step that reads them.
/// Where no container engine runs, one is started for them if `start`.
pub(crate) fn tests(workspace: &Workspace, start: bool) -> Result<Outcome> {
    tools::announce(workspace);
    let engine = engine::ready(workspace, start);
    let transcripts = conformance::folder(workspace);
    if transcripts.exists() {
        fs::remove_dir_all(&transcripts)?;
    }
    let mut command = cargo_test(workspace, &["--lib", "--bins", "--tests"]);
    command.env("FAAS_TRANSCRIPTS", transcripts);
    tools::tell(workspace, &mut command);
    match engine {
        Ok(engine) => {
            engine.tell(&mut command);
            run(&mut command)
        }
        // The tests that need none are run all the same.
        Err(error) => {
            let mut outcome = run(&mut command)?;
            outcome.failures.push(format!("{error:#}"));
            Ok(outcome)
        }
    }
}

/// Runs the examples in the documentation of every crate.
pub(crate) fn doc_tests(workspace: &Workspace) -> Result<Outcome> {
    run(&mut cargo_test(workspace, &["--doc"]))
}

fn cargo_test(workspace: &Workspace, targets: &[&str]) -> Command {
    let mut command = workspace.cargo("test");
    command.args(["--workspace", "--no-fail-fast", "--features", OPTIONAL]).args(targets);
    command
}

fn run(command: &mut Command) -> Result<Outcome> {
    let mut harness = Harness::default();
    let status = process::stream(command, |line| harness.read(line))?;
    let mut outcome = harness.into_outcome();
    // A crate that does not compile, or a test binary that dies, prints no result line.
    if !status.success() && outcome.failures.is_empty() {
        outcome.failures.push(format!("cargo test ended with {status} before all tests were counted"));
    }
    if outcome.passed == 0 && outcome.failures.is_empty() {
        outcome.failures.push("no test ran".to_owned());
    }
    Ok(outcome)
}

/// Reads the lines of libtest: `test <name> ... <verdict>` and `test result: ...`; and those of tests that lack
/// something: `SKIP <name>: <reason>`, or `OPTIONAL <name>: <reason>` where no machine has to have it. They write these
/// past the harness, for which they pass.
#[derive(Debug, Default)]
struct Harness {
    passed: u64,
    failed: usize,
    failures: Vec<String>,
    skips: Vec<String>,
    optional: Vec<String>,
    passes_that_skipped: u64,
    /// What the crash harness has told.
    crash: Option<String>,
}

impl Harness {
    fn read(&mut self, line: &str) {
        if let Some(counts) = line.strip_prefix("test result: ") {
            self.passed += count(counts, "passed").unwrap_or(0);
            let failed = count(counts, "failed").unwrap_or(0);
            self.failed += usize::try_from(failed).unwrap_or(usize::MAX);
        } else if let Some(at) = line.find(crash::LINE) {
            self.crash = Some(line[at..].to_owned());
        } else if let Some(skip) = skip(line, "SKIP ") {
            self.skips.push(skip.to_owned());
            self.passes_that_skipped += 1;
        } else if let Some(skip) = skip(line, "OPTIONAL ") {
            self.optional.push(skip.to_owned());
            self.passes_that_skipped += 1;
        } else if let Some((name, verdict)) =
            line.strip_prefix("test ").and_then(|rest| rest.rsplit_once(" ... "))
        {
            if verdict == "FAILED" {
                self.failures.push(name.to_owned());
            } else if verdict.starts_with("ignored") {
                self.skips.push(format!("{name} is {verdict}"));
            }
        }
    }

    /// The result lines decide how many failed; the names only tell which.
    fn into_outcome(mut self) -> Outcome {
        let unnamed = self.failed.saturating_sub(self.failures.len());
        self.failures.extend((0..unnamed).map(|_| "a test whose name was not seen".to_owned()));
        let passed = self.passed.saturating_sub(self.passes_that_skipped);
        let Self { failures, skips, optional, .. } = self;
        Outcome { passed, failures, skips, optional, notes: self.crash.into_iter().collect() }
    }
}

/// What follows the word that a skip begins with. Where tests run one by one, the harness has begun the line with the name of the test.
fn skip<'a>(line: &'a str, word: &str) -> Option<&'a str> {
    let said = match line.strip_prefix("test ").and_then(|rest| rest.split_once(" ... ")) {
        Some((_, rest)) => rest,
        None => line,
    };
    said.strip_prefix(word).filter(|skip| skip.contains(": "))
}

/// The number before `word` in `ok. 3 passed; 0 failed; ...`.
fn count(counts: &str, word: &str) -> Option<u64> {
    let part = counts.split([';', '.']).map(str::trim).find(|part| part.ends_with(word))?;
    part.strip_suffix(word)?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::Harness;

    fn read(output: &str) -> crate::report::Outcome {
        let mut harness = Harness::default();
        output.lines().for_each(|line| harness.read(line));
        harness.into_outcome()
    }

    #[test]
    fn adds_up_the_result_lines_of_several_binaries() {
        let outcome = read(
            "running 2 tests\n\
             test a ... ok\n\
             test b::c ... FAILED\n\
             test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\
             running 2 tests\n\
             test src/lib.rs - x (line 3) ... ignored\n\
             test slow ... ignored, needs a daemon\n\
             test result: ok. 40 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out; finished in 1.25s\n",
        );
        assert_eq!(outcome.passed, 41);
        assert_eq!(outcome.failures, ["b::c"]);
        assert_eq!(outcome.skips, ["src/lib.rs - x (line 3) is ignored", "slow is ignored, needs a daemon"]);
    }

    #[test]
    fn counts_a_failure_whose_line_was_garbled_by_other_output() {
        let outcome = read("test a ... noiseFAILED\ntest result: FAILED. 0 passed; 1 failed; 0 ignored\n");
        assert_eq!(outcome.failures, ["a test whose name was not seen"]);
    }

    #[test]
    fn a_test_that_skips_itself_has_not_passed() {
        let outcome = read(
            "running 3 tests\n\
             SKIP a: no compiler for Wasm\n\
             test a ... ok\n\
             test b ... SKIP b: no daemon\n\
             ok\n\
             test c ... ok\n\
             test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n",
        );
        assert_eq!((outcome.passed, outcome.failures.len()), (1, 0));
        assert_eq!(outcome.skips, ["a: no compiler for Wasm", "b: no daemon"]);
    }

    #[test]
    fn a_skip_that_is_optional_is_counted_apart() {
        let outcome = read(
            "running 2 tests\n\
             OPTIONAL a: no compiler for arm64\n\
             test a ... ok\n\
             test b ... OPTIONAL b: none either\n\
             ok\n\
             test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n",
        );
        assert_eq!((outcome.passed, outcome.failures.len(), outcome.skips.len()), (1, 0, 0));
        assert_eq!(outcome.optional, ["a: no compiler for arm64", "b: none either"]);
    }

    #[test]
    fn ignores_what_tests_print() {
        let outcome = read("test results are good\n3 passed; 4 failed\n");
        assert_eq!((outcome.passed, outcome.failures.len(), outcome.skips.len()), (0, 0, 0));
    }
}
