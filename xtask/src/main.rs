//! The checks of this workspace, run as `cargo xtask <command>`.
//!
//! `test` runs everything that must hold before a change lands, `rules` only the rules over the
//! tree, `goals` the benchmarks that measure the promised speed and memory, `fuzz` the fuzz targets,
//! and `advisories` asks the security advisory database about the dependencies.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool talks to its terminal")]

mod crash;
mod engine;
mod fuzz;
mod goals;
mod markdown;
mod process;
mod report;
mod rules;
#[cfg(test)]
mod scratch;
mod test;
mod tools;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::workspace::Workspace;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The checks of this workspace")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run every check and end with one line `N passed, N failed, N skipped`.
    Test(test::Options),
    /// Run only the rules over the tree: dependencies, sources, prose.
    Rules,
    /// Run every bench target named `goals` and collect the goal lines.
    Goals(goals::Options),
    /// Run the fuzz targets, each for a minute unless told.
    Fuzz(fuzz::Options),
    /// Kill an app on the durable store again and again, and account for all that it had accepted.
    Crash(crash::Options),
    /// Check the dependencies against the security advisory database (needs the network).
    Advisories,
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Returns whether everything that ran was found in order.
fn run(cli: Cli) -> Result<bool> {
    let workspace = Workspace::load()?;
    match cli.command {
        Command::Test(options) => Ok(test::run(&workspace, &options)),
        Command::Rules => Ok(rules::run(&workspace)?.failures.is_empty()),
        Command::Goals(options) => goals::run(&workspace, &options),
        Command::Fuzz(options) => fuzz::run(&workspace, &options),
        Command::Crash(options) => crash::run(&workspace, &options),
        Command::Advisories => tools::advisories(&workspace),
    }
}
