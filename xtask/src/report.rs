//! What the steps found, and the summary that ends a run.

use std::fmt;
use std::time::Duration;

/// What one step found. Each test and each check that is not a test counts as one.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Tests and checks that passed.
    pub(crate) passed: u64,
    /// One line for each test or check that failed.
    pub(crate) failures: Vec<String>,
    /// One line for each test or check that did not run, with the reason.
    pub(crate) skips: Vec<String>,
    /// The same for what no machine has to have: these are counted, and never denied.
    pub(crate) optional: Vec<String>,
    /// Lines that the summary ends with.
    pub(crate) notes: Vec<String>,
}

impl Outcome {
    /// One check that passed.
    pub(crate) fn passed() -> Self {
        Self { passed: 1, ..Self::default() }
    }

    /// One check that failed.
    pub(crate) fn failed(reason: impl Into<String>) -> Self {
        Self { failures: vec![reason.into()], ..Self::default() }
    }

    /// One check that could not run; the reason names what would let it.
    pub(crate) fn skipped(reason: impl Into<String>) -> Self {
        Self { skips: vec![reason.into()], ..Self::default() }
    }

    /// One check that is judged by the exit status of `what`.
    pub(crate) fn from_status(what: &str, status: std::process::ExitStatus) -> Self {
        if status.success() { Self::passed() } else { Self::failed(format!("{what}: {status}")) }
    }

    /// Adds what another step found.
    pub(crate) fn merge(&mut self, other: Self) {
        self.passed += other.passed;
        self.failures.extend(other.failures);
        self.skips.extend(other.skips);
        self.optional.extend(other.optional);
        self.notes.extend(other.notes);
    }

    fn verdict(&self) -> &'static str {
        if !self.failures.is_empty() {
            "FAIL"
        } else if self.passed == 0 && !self.skips.is_empty() {
            "SKIP"
        } else {
            "ok"
        }
    }
}

/// `N passed, N failed, N skipped`, without what is optional.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failures.len(), self.skips.len())
    }
}

/// The outcomes of a run's steps, in the order they ran.
#[derive(Default)]
pub(crate) struct Report {
    steps: Vec<(&'static str, Duration, Outcome)>,
}

impl Report {
    /// Adds a finished step.
    pub(crate) fn push(&mut self, step: &'static str, elapsed: Duration, outcome: Outcome) {
        println!("{:>4} {step} in {:.1} s", outcome.verdict(), elapsed.as_secs_f64());
        for skip in &outcome.skips {
            println!("SKIP {step}: {skip}");
        }
        for skip in &outcome.optional {
            println!("OPTIONAL {step}: {skip}");
        }
        self.steps.push((step, elapsed, outcome));
    }

    /// Turns skips into one failure more, so that a run that must be complete cannot end well.
    pub(crate) fn deny_skips(&mut self) {
        let skips: usize = self.steps.iter().map(|(_, _, outcome)| outcome.skips.len()).sum();
        if skips > 0 {
            self.push(
                "skips",
                Duration::ZERO,
                Outcome::failed(format!("{skips} skipped, and skips are denied")),
            );
        }
    }

    /// Prints what ran, what was skipped and why, what failed, and last what tests have told and the total.
    ///
    /// Returns whether nothing failed.
    pub(crate) fn finish(self) -> bool {
        println!("\nSummary");
        let mut total = Outcome::default();
        for (step, elapsed, outcome) in self.steps {
            println!("{:>4} {step:<12} {:>7.1} s  {outcome}", outcome.verdict(), elapsed.as_secs_f64());
            for skip in &outcome.skips {
                println!("     SKIP {step}: {skip}");
            }
            for skip in &outcome.optional {
                println!("     OPTIONAL {step}: {skip}");
            }
            for failure in &outcome.failures {
                println!("     FAIL {step}: {failure}");
            }
            total.merge(outcome);
        }
        if !total.optional.is_empty() {
            println!("{} skipped that are optional", total.optional.len());
        }
        for note in &total.notes {
            println!("{note}");
        }
        println!("{total}");
        total.failures.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Outcome, Report};

    #[test]
    fn only_what_every_machine_has_to_have_is_denied_to_be_skipped() {
        let ends_well = |outcome: Outcome| {
            let mut report = Report::default();
            report.push("test", Duration::ZERO, outcome);
            report.deny_skips();
            report.finish()
        };
        assert!(ends_well(Outcome { optional: vec!["a: no compiler".to_owned()], ..Outcome::passed() }));
        assert!(!ends_well(Outcome::skipped("b: no daemon")));
    }
}
