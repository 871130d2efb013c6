//! The C++ compiler of the system, which builds libFuzzer.

use std::env;
use std::process::Command;

use super::apt;
use crate::process;
use crate::report::Outcome;

/// Why nothing can be fuzzed here, if so.
pub(super) fn missing() -> Option<String> {
    if !cfg!(target_os = "linux") {
        return Some("fuzzing is for Linux".to_owned());
    }
    (!is_there()).then(|| "a C++ compiler, which builds libFuzzer, is missing; --install gets it".to_owned())
}

/// Gets the compiler unless it is there, or of no use.
pub(super) fn install() -> Outcome {
    if missing().is_none() || !cfg!(target_os = "linux") {
        return Outcome::default();
    }
    let installed = apt::install(&["g++"]);
    if is_there() {
        return Outcome::passed();
    }
    let reason = installed.err().unwrap_or_else(|| "the package has none".to_owned());
    Outcome::failed(format!(
        "no C++ compiler could be installed ({reason}): on Debian, run as root `apt-get install g++`"
    ))
}

fn is_there() -> bool {
    let compiler = env::var_os("CXX").unwrap_or_else(|| "c++".into());
    process::succeeds(Command::new(compiler).arg("--version"))
}
