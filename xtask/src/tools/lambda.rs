//! Emulators of AWS Lambda, for the tests of the Lambda backend: moto for the control plane, cargo-lambda for invocations
//! of real programs.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process;
use crate::report::Outcome;
use crate::workspace::Workspace;

/// What is installed, with its versions.
const REQUIREMENTS: &str = include_str!("../../tools/lambda.txt");

/// The programs, and the variables that lead tests to them.
const PROGRAMS: [(&str, &str); 2] =
    [("FAAS_MOTO_SERVER", "moto_server"), ("FAAS_CARGO_LAMBDA", "cargo-lambda")];

/// What is missing, if tests are led to no emulators.
pub(super) fn missing(workspace: &Workspace) -> Option<String> {
    let is_told = PROGRAMS.iter().all(|(variable, _)| env::var_os(variable).is_some());
    let is_there = is_told || is_installed(&folder(workspace));
    (!is_there).then(|| "the emulators of AWS Lambda (moto and cargo-lambda, from PyPI)".to_owned())
}

/// Tells tests where the emulators are. What the environment says already is left alone.
pub(super) fn tell(workspace: &Workspace, command: &mut Command) {
    let folder = folder(workspace);
    if !is_installed(&folder) {
        return;
    }
    for (variable, name) in PROGRAMS {
        if env::var_os(variable).is_none() {
            command.env(variable, program(&folder, name));
        }
    }
}

/// Gets the emulators unless they are there. Without Python or the network that is a skip.
pub(super) fn install(workspace: &Workspace) -> Outcome {
    if missing(workspace).is_none() {
        return Outcome::default();
    }
    println!("no emulators of AWS Lambda; trying PyPI");
    match install_by(&mut Command::new("python3"), &folder(workspace)) {
        Ok(()) => Outcome::passed(),
        Err(reason) => Outcome::skipped(format!("no emulators of AWS Lambda could be installed: {reason}")),
    }
}

/// Makes an environment of that Python's own with the requirements.
fn install_by(python: &mut Command, folder: &Path) -> Result<(), String> {
    let done = |what: &str, command: &mut Command| match process::collect(command) {
        Ok((status, _)) if status.success() => Ok(()),
        Ok((status, said)) => Err(format!("{what} ended with {status}: {}", last_line(&said))),
        Err(error) => Err(format!("{error:#}")),
    };
    // What an earlier version left is of no use.
    let _ = fs::remove_dir_all(folder);
    done("python3 -m venv", python.args(["-m", "venv"]).arg(folder))?;
    let wanted = folder.join("wanted.txt");
    fs::write(&wanted, REQUIREMENTS).map_err(|error| format!("{}: {error}", wanted.display()))?;
    let mut pip = Command::new(program(folder, "python"));
    pip.args(["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"])
        .args(["--no-cache-dir", "--no-deps", "--only-binary=:all:", "--require-hashes", "--requirement"])
        .arg(&wanted);
    done("pip install", &mut pip)?;
    // Only now it is whole.
    fs::rename(&wanted, installed(folder)).map_err(|error| format!("{}: {error}", wanted.display()))
}

fn folder(workspace: &Workspace) -> PathBuf {
    workspace.target().join("tools").join("lambda")
}

fn program(folder: &Path, name: &str) -> PathBuf {
    folder.join(if cfg!(windows) { "Scripts" } else { "bin" }).join(name)
}

/// The file that says what was installed.
fn installed(folder: &Path) -> PathBuf {
    folder.join("installed.txt")
}

fn is_installed(folder: &Path) -> bool {
    fs::read_to_string(installed(folder)).is_ok_and(|installed| installed == REQUIREMENTS)
}

fn last_line(text: &str) -> &str {
    text.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("no reason")
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::{REQUIREMENTS, install_by, installed, is_installed};
    use crate::scratch::Scratch;

    #[test]
    fn only_what_was_installed_whole_and_of_this_version_is_there() {
        let machine = Scratch::new("lambda");
        let folder = machine.path("tools/lambda");
        assert!(!is_installed(&folder));
        machine.file("tools/lambda/installed.txt");
        assert!(!is_installed(&folder), "it is another version");
        std::fs::write(installed(&folder), REQUIREMENTS).expect("a file");
        assert!(is_installed(&folder));
    }

    #[cfg(unix)]
    #[test]
    fn a_python_that_is_missing_or_fails_is_told() {
        let machine = Scratch::new("python");
        let folder = machine.path("tools/lambda");
        let reason = install_by(&mut Command::new(machine.path("bin/none")), &folder).expect_err("none");
        assert!(reason.starts_with("cannot start"), "{reason}");
        let failing = machine.program("bin/python3", false);
        let reason = install_by(&mut Command::new(failing), &folder).expect_err("it fails");
        assert!(reason.starts_with("python3 -m venv ended with exit status: 1"), "{reason}");
        assert!(!is_installed(&folder));
    }

    #[test]
    fn every_requirement_is_pinned_to_what_it_was() {
        let text = REQUIREMENTS.replace("\\\n", " ");
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let is_pinned = |line: &str| line.contains("==") && line.contains("--hash=sha256:");
        assert!(lines.clone().count() > 2 && lines.clone().all(is_pinned), "{text}");
    }
}
