//! The examples as cargo builds them.

use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use serde_json::Value;

/// The variable that chooses the compiler for Wasm.
const COMPILER: &str = "FAAS_WASM_COMPILER";

/// The target folder of the workspace.
pub(crate) fn target() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap()
}

/// A program that an example was built to.
pub(crate) struct Program(PathBuf);

/// The example of that name; the first call builds all of them.
pub(crate) fn example(name: &str) -> Program {
    static BUILT: OnceLock<BTreeMap<String, PathBuf>> = OnceLock::new();
    let built = BUILT.get_or_init(build);
    Program(built.get(name).unwrap_or_else(|| panic!("cargo built no example {name}, but {built:?}")).clone())
}

/// Builds the examples, with all backends. All packages are named, though only this one has examples, so that cargo
/// chooses the same features for what they share as it did for the tests, and has next to nothing to build again.
fn build() -> BTreeMap<String, PathBuf> {
    let output = Command::new(env!("CARGO"))
        .args([
            "build",
            "--locked",
            "--workspace",
            "--examples",
            "--features",
            "faas-examples/docker,faas-examples/lambda,faas-examples/wasm",
        ])
        .arg("--message-format=json-render-diagnostics")
        .arg("--target-dir")
        .arg(target())
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let messages = text(&output);
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let programs = messages.filter_map(|message| {
        let program = message["executable"].as_str()?.into();
        Some((message["target"]["name"].as_str()?.to_owned(), program))
    });
    programs.collect()
}

impl Program {
    /// The program with the backend that the arguments name and no other. It changes nobody's toolchain: unless the
    /// environment says so, what it builds for Wasm is built by a compiler that is there.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut program = Command::new(&self.0);
        if env::var_os(COMPILER).is_none() {
            program.env(COMPILER, "installed");
        }
        program.args(args).env_remove("FAAS_BACKEND");
        program.env_remove("FAAS_WASM_ARTIFACT").env_remove("FAAS_DOCKER_ARTIFACT");
        program
    }

    /// What it did.
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// What it did where the environment names the backend.
    pub(crate) fn run_on(&self, backend: &str) -> Output {
        Command::new(&self.0).env("FAAS_BACKEND", backend).output().unwrap()
    }

    /// What it prints when it ends well.
    pub(crate) fn succeeds(&self, args: &[&str]) -> String {
        text(&self.run(args))
    }
}

/// What a command that must end well printed.
pub(crate) fn text(output: &Output) -> String {
    assert!(output.status.success(), "{}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}
