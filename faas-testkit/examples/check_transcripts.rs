//! Checks what the conformance suites left in a folder: `check_transcripts <folder>`.
//!
//! The folder is the one that the environment variable `FAAS_TRANSCRIPTS` named when the tests ran.
//! Every subject must have a transcript of each behaviour of its suite, and every two backends must have
//! seen the same. Ends with a failure where that is not so.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool talks to its terminal")]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs};

use faas_testkit::transcript::{IGNORED_FIELDS, Transcripts, compare, load};
use faas_testkit::{backend_suite, pool_suite, store_suite};

/// The backends of this workspace: none of them may be missing.
const BACKENDS: &[&str] = match cfg!(target_os = "linux") {
    true => &["local", "wasm", "docker", "lambda", "lambda-local"],
    // Programs of Lambda functions are Linux's.
    false => &["local", "wasm", "docker", "lambda"],
};

fn main() -> ExitCode {
    let Some(folder) = env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: check_transcripts <folder>");
        return ExitCode::FAILURE;
    };
    match check(&folder) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(problems) => {
            println!("{problems} problems");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints each problem, and returns how many there are.
fn check(folder: &Path) -> Result<usize, Box<dyn Error>> {
    let backends: Vec<&str> = backend_suite::BEHAVIOURS.iter().map(|behaviour| behaviour.name).collect();
    let stores: Vec<&str> = store_suite::BEHAVIOURS.iter().map(|behaviour| behaviour.name).collect();
    let mut problems = absent(folder, pool_suite::SUITE, pool_suite::BEHAVIOURS)?;
    problems += absent(folder, store_suite::SUITE, &stores)?;
    problems += absent(folder, backend_suite::SUITE, &backends)?;
    let folder = folder.join(backend_suite::SUITE);
    let subjects = subjects(&folder)?;
    for missing in BACKENDS.iter().filter(|backend| !subjects.iter().any(|(name, _)| name == *backend)) {
        println!("no transcript is of {missing}");
        problems += 1;
    }
    println!("compared without {IGNORED_FIELDS:?}");
    for (at, (name, transcripts)) in subjects.iter().enumerate() {
        for (other, seen) in &subjects[at + 1..] {
            let differences = compare(transcripts, seen);
            println!("{name} and {other} have {} differences", differences.len());
            differences.iter().for_each(|difference| println!("  {difference}"));
            problems += differences.len();
        }
    }
    Ok(problems)
}

/// How many transcripts are absent, of all subjects of a suite.
fn absent(folder: &Path, suite: &str, behaviours: &[&str]) -> Result<usize, Box<dyn Error>> {
    let mut count = 0;
    for (name, transcripts) in subjects(&folder.join(suite))? {
        for behaviour in behaviours.iter().filter(|behaviour| !transcripts.contains_key(**behaviour)) {
            println!("{suite}/{name} left no transcript of {behaviour}");
            count += 1;
        }
    }
    Ok(count)
}

/// The transcripts of each subject of a suite; an error where there is none.
fn subjects(folder: &Path) -> Result<Vec<(String, Transcripts)>, Box<dyn Error>> {
    let mut subjects = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))? {
        let entry = entry?;
        subjects.push((entry.file_name().to_string_lossy().into_owned(), load(&entry.path())?));
    }
    subjects.sort_by(|(left, _), (right, _)| left.cmp(right));
    if subjects.is_empty() {
        Err(format!("{} has no subject", folder.display()).into())
    } else {
        Ok(subjects)
    }
}
