//! `cargo xtask fuzz`: the fuzz targets of the folder `fuzz`, built with libFuzzer's instruments.
//!
//! They are built as `cargo fuzz` does it without a sanitizer, for which the compiler of the workspace is enough:
//! what they look for are panics, failed assertions, hangs and memory without bound, in code that is safe but for
//! a few lines.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::Args;
use toml::Table;

use crate::process;
use crate::report::Outcome;
use crate::tools;
use crate::workspace::Workspace;

/// What makes the compiler tell the fuzzer which way the code went and what it compared.
/// Source: `cargo-fuzz` 0.13, `project.rs`.
const FLAGS: [&str; 7] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "--cfg=fuzzing",
    "-Ccodegen-units=16",
];

/// How long `cargo xtask test` runs each target.
const SHORT: u64 = 10;

/// The longest that one input may take, in seconds, and the most memory of the whole process, in MiB. Arbitrary:
/// each a hundred times of what is usual.
const SLOWEST: u64 = 10;
const MEMORY: u64 = 2048;

/// The longest input. Beyond it the fuzzer gets slower, and what there is to find is found by short ones.
const LONGEST: u64 = 8192;

#[derive(Args)]
pub(crate) struct Options {
    /// The target to run; all of them unless told.
    target: Option<String>,
    /// How long each runs.
    #[arg(long, value_name = "NUMBER", default_value = "60")]
    seconds: u64,
}

/// Runs the chosen targets; returns whether none of them found anything.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<bool> {
    if let Some(missing) = tools::missing_for_fuzzing() {
        anyhow::bail!("{missing}");
    }
    let mut targets = targets(&workspace.read("fuzz/Cargo.toml")?)?;
    if let Some(chosen) = &options.target {
        ensure!(targets.contains(chosen), "no fuzz target '{chosen}'; known: {}", targets.join(", "));
        targets.retain(|target| target == chosen);
    }
    let outcome = run_all(workspace, &targets, options.seconds)?;
    for failure in &outcome.failures {
        println!("FAIL {failure}");
    }
    Ok(outcome.failures.is_empty())
}

/// Runs each target for a short time.
pub(crate) fn step(workspace: &Workspace) -> Result<Outcome> {
    if let Some(missing) = tools::missing_for_fuzzing() {
        return Ok(Outcome::skipped(missing));
    }
    run_all(workspace, &targets(&workspace.read("fuzz/Cargo.toml")?)?, SHORT)
}

fn run_all(workspace: &Workspace, targets: &[String], seconds: u64) -> Result<Outcome> {
    let folder = workspace.target().join("fuzz");
    let host = host(workspace)?;
    let status = process::run(&mut build(workspace, &folder, &host))?;
    ensure!(
        status.success(),
        "the fuzz targets cannot be built: {status}; after a change of dependencies, \
         `cargo update --workspace --manifest-path fuzz/Cargo.toml` brings their lock file up to date"
    );
    let mut outcome = Outcome::default();
    for target in targets {
        outcome.merge(run_one(workspace, &folder, &host, target, seconds)?);
    }
    Ok(outcome)
}

fn build(workspace: &Workspace, folder: &Path, host: &str) -> Command {
    let mut cargo = workspace.cargo("build");
    cargo.args(["--release", "--bins", "--manifest-path", "fuzz/Cargo.toml", "--target-dir"]).arg(folder);
    // With a target named, what runs while building has no instruments.
    cargo.args(["--target", host]).env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\u{1f}"));
    cargo
}

/// Runs one target over its seeds and what earlier runs found worth keeping.
fn run_one(workspace: &Workspace, folder: &Path, host: &str, target: &str, seconds: u64) -> Result<Outcome> {
    println!("fuzzing {target} for {seconds} s");
    let corpus = folder.join("corpus").join(target);
    let found = folder.join("found");
    fs::create_dir_all(&corpus)?;
    fs::create_dir_all(&found)?;
    let mut fuzzer = Command::new(folder.join(host).join("release").join(target));
    fuzzer.current_dir(workspace.root()).arg(&corpus).arg(Path::new("fuzz/seeds").join(target));
    fuzzer.args([
        format!("-max_total_time={seconds}"),
        format!("-timeout={SLOWEST}"),
        format!("-rss_limit_mb={MEMORY}"),
        format!("-max_len={LONGEST}"),
        format!("-artifact_prefix={}", found.join(target).display()) + "-",
        "-print_final_stats=1".to_owned(),
        "-verbosity=0".to_owned(),
    ]);
    let (status, said) = process::collect(&mut fuzzer)?;
    match executed(&said) {
        Some(runs) if status.success() => {
            println!("fuzzed {target} with {runs} inputs");
            Ok(Outcome::passed())
        }
        _ => {
            println!("{said}");
            Ok(Outcome::failed(format!("{target}: {}", problem(&said, &status.to_string()))))
        }
    }
}

/// The target that this machine's programs are built for.
fn host(workspace: &Workspace) -> Result<String> {
    let mut rustc = Command::new("rustc");
    let told = process::capture(rustc.arg("-vV").current_dir(workspace.root()))?;
    let host = told.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc -vV names no host")?.to_owned())
}

/// The names of the targets: the programs of the manifest.
fn targets(manifest: &str) -> Result<Vec<String>> {
    let manifest: Table = manifest.parse().context("fuzz/Cargo.toml")?;
    let bins = manifest.get("bin").and_then(|bins| bins.as_array()).into_iter().flatten();
    let names = bins.filter_map(|bin| bin.get("name")?.as_str()).map(str::to_owned);
    let names: Vec<String> = names.collect();
    ensure!(!names.is_empty(), "fuzz/Cargo.toml names no targets");
    Ok(names)
}

/// How many inputs a fuzzer tried that came to its end.
fn executed(said: &str) -> Option<u64> {
    let told = said.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"))?;
    told.trim().parse().ok().filter(|runs| *runs > 0)
}

/// What a fuzzer found, and in which file the input is.
fn problem(said: &str, status: &str) -> String {
    let panic = said.lines().position(|line| line.contains("panicked at"));
    let what = panic.map(|at| said.lines().skip(at).take(2).collect::<Vec<_>>().join(" "));
    let error = || said.lines().find(|line| line.contains("ERROR: libFuzzer")).map(str::to_owned);
    let what = what.or_else(error).unwrap_or_else(|| status.to_owned());
    let file = said.lines().find_map(|line| line.split_once("Test unit written to ").map(|(_, file)| file));
    match file {
        Some(file) => format!("{what} (the input is {})", PathBuf::from(file).display()),
        None => what,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{executed, problem, targets};

    #[test]
    fn every_target_has_its_program_and_its_seeds() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
        let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).expect("a manifest");
        for target in targets(&manifest).expect("targets") {
            assert!(folder.join("fuzz_targets").join(format!("{target}.rs")).is_file(), "{target}");
            assert!(folder.join("seeds").join(&target).is_dir(), "{target} has no seeds");
        }
        assert!(targets("[package]\nname = \"x\"").is_err());
    }

    #[test]
    fn a_fuzzer_that_tried_nothing_has_not_passed() {
        assert_eq!(executed("Done\nstat::number_of_executed_units: 310526\nx"), Some(310_526));
        assert_eq!(executed("stat::number_of_executed_units: 0"), None);
        assert_eq!(executed("INFO: Seed: 1"), None);
    }

    #[test]
    fn a_finding_is_told_with_its_input() {
        let said = "thread '<unnamed>' panicked at src/a.rs:1:2:\nno\n==1== ERROR: libFuzzer: deadly signal\n\
                    artifact_prefix='f/module-'; Test unit written to f/module-crash-1\n";
        let told = problem(said, "exit status: 77");
        assert!(told.ends_with("src/a.rs:1:2: no (the input is f/module-crash-1)"), "{told}");
        assert_eq!(
            problem("==1== ERROR: libFuzzer: timeout after 10 s", "x"),
            "==1== ERROR: libFuzzer: timeout after 10 s"
        );
        assert_eq!(problem("", "exit status: 1"), "exit status: 1");
    }
}
