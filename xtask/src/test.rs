//! `cargo xtask test`: every check, each a named step; a failing step never hides the later ones.

mod compile;
mod conformance;
mod libtest;

use std::env;
use std::time::Instant;

use anyhow::Result;
use clap::{Args, ValueEnum};

use crate::report::{Outcome, Report};
use crate::workspace::Workspace;
use crate::{fuzz, rules, tools};

#[derive(Args)]
pub(crate) struct Options {
    /// First get what is missing: toolchain components by rustup, cargo-deny and the emulators of AWS
    /// Lambda into `target/tools`, compilers for Wasm by rustup or as Debian's packages, and a
    /// container engine as Debian's package, of which one is started for the tests where none runs.
    #[arg(long)]
    install: bool,
    /// Count a skip as a failure; also on when the environment says CI=true.
    #[arg(long)]
    deny_skips: bool,
    /// Run only these steps (repeat it, or separate them by commas).
    #[arg(long, value_name = "STEP", value_delimiter = ',')]
    only: Vec<Step>,
}

/// The steps, in the order they run.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Step {
    /// `cargo fmt --check`
    Format,
    /// clippy over everything, and over what guests are built of; warnings denied.
    Clippy,
    /// Unit and integration tests, UI programs and examples.
    Test,
    /// What the conformance suites ran, and where a backend differs from the local one.
    Conformance,
    /// The examples in the documentation.
    Doctest,
    /// The documentation builds without a warning.
    Docs,
    /// Each fuzz target, for ten seconds.
    Fuzz,
    /// The rules over the tree.
    Rules,
    /// cargo-deny: licences, bans, sources.
    Deny,
}

impl Step {
    fn name(self) -> &'static str {
        match self {
            Self::Format => "format",
            Self::Rules => "rules",
            Self::Deny => "deny",
            Self::Clippy => "clippy",
            Self::Test => "test",
            Self::Conformance => "conformance",
            Self::Doctest => "doctest",
            Self::Docs => "docs",
            Self::Fuzz => "fuzz",
        }
    }

    fn run(self, workspace: &Workspace, install: bool) -> Result<Outcome> {
        match self {
            Self::Format => compile::format(workspace),
            Self::Rules => rules::run(workspace),
            Self::Deny => tools::deny(workspace),
            Self::Clippy => compile::clippy(workspace),
            Self::Test => libtest::tests(workspace, install),
            Self::Conformance => conformance::run(workspace),
            Self::Doctest => libtest::doc_tests(workspace),
            Self::Docs => compile::docs(workspace),
            Self::Fuzz => fuzz::step(workspace),
        }
    }
}

/// Runs the chosen steps and prints the summary; returns whether nothing failed.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> bool {
    let mut report = Report::default();
    if options.install {
        step(&mut report, "install", || tools::install(workspace));
    }
    let chosen = |step: &Step| options.only.is_empty() || options.only.contains(step);
    for each in Step::value_variants().iter().copied().filter(chosen) {
        step(&mut report, each.name(), || each.run(workspace, options.install));
    }
    if options.deny_skips || env::var_os("CI").is_some_and(|value| value == "true") {
        report.deny_skips();
    }
    report.finish()
}

fn step(report: &mut Report, name: &'static str, run: impl FnOnce() -> Result<Outcome>) {
    println!("\n==> {name}");
    let started = Instant::now();
    let outcome = run().unwrap_or_else(|error| Outcome::failed(format!("{error:#}")));
    for failure in &outcome.failures {
        println!("FAIL {name}: {failure}");
    }
    report.push(name, started.elapsed(), outcome);
}
