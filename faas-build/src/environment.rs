//! What a nested cargo sees of the environment.
//!
//! A build that a test starts runs below another cargo, which tells its children about *its* package, profile,
//! flags and wrappers. None of that is meant for the nested build: it would change what is built, or build all
//! of it again whenever the outer command is another one.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::process::Command;

/// What is removed: all that configures a cargo, a rustc or a rustdoc, and what a build script is told.
const REMOVED: [&str; 7] = ["CARGO", "RUSTC", "RUSTDOC", "RUSTFLAGS", "DEP_", "OUT_DIR", "MAKEFLAGS"];

/// What is kept of that: where cargo keeps things, how it reaches its registries, how it talks and how many
/// cores it may use. It is the same for every build on the machine, and says nothing of what is built.
const KEPT: [&str; 8] = [
    "CARGO_HOME",
    "CARGO_HTTP_",
    "CARGO_NET_",
    "CARGO_REGISTRY_",
    "CARGO_REGISTRIES_",
    "CARGO_TERM_",
    "CARGO_BUILD_JOBS",
    "CARGO_RESOLVER_",
];

/// Where the outer cargo builds to. Only the question where the workspace builds to may see it.
const TARGET_DIRS: [&str; 2] = ["CARGO_TARGET_DIR", "CARGO_BUILD_TARGET_DIR"];

/// The toolchain that rustup chose, and how it came to choose it.
const TOOLCHAIN: [&str; 2] = ["RUSTUP_TOOLCHAIN", "RUSTUP_TOOLCHAIN_SOURCE"];

/// Removes from the command's environment what is not meant for a nested build.
pub(crate) fn scrub(command: &mut Command) {
    for (name, _) in env::vars_os() {
        if leaks(&name.to_string_lossy()) {
            command.env_remove(&name);
        }
    }
    if toolchain().is_none() {
        // The folder that the command runs in decides, by its `rust-toolchain.toml`.
        for name in TOOLCHAIN {
            command.env_remove(name);
        }
    }
}

/// Tells the command where the workspace builds to, if the environment says so.
pub(crate) fn pass_target_dir(command: &mut Command) {
    if let Some(folder) = target_dir() {
        command.env(TARGET_DIRS[0], folder);
    }
}

/// Where the environment says that the workspace builds to.
///
/// A relative path counts from the current folder, as it does for cargo.
pub(crate) fn target_dir() -> Option<PathBuf> {
    let named = TARGET_DIRS.iter().find_map(env::var_os).filter(|folder| !folder.is_empty())?;
    std::path::absolute(named).ok()
}

/// The toolchain that somebody asked for by name, as `cargo +nightly` does. One that rustup found in a file or
/// in its settings is none: the folder of the crate may have a file of its own.
pub(crate) fn toolchain() -> Option<String> {
    let source = env::var(TOOLCHAIN[1]).ok();
    let chosen = asked_for(source.as_deref());
    env::var(TOOLCHAIN[0]).ok().filter(|_| chosen)
}

/// Whether a choice from that source was asked for. A rustup that does not tell the source gets the benefit of
/// the doubt.
fn asked_for(source: Option<&str>) -> bool {
    source.is_none_or(|source| matches!(source, "cli" | "env"))
}

fn leaks(name: &str) -> bool {
    let starts_with = |parts: &[&str]| parts.iter().any(|part| name.starts_with(part));
    starts_with(&REMOVED) && !starts_with(&KEPT)
}

/// Whether the program is found on the search path.
pub(crate) fn finds(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder| {
        let file = folder.join(program);
        file.is_file() || file.with_extension(env::consts::EXE_EXTENSION).is_file()
    })
}

/// The name of cargo: the one on the search path, which rustup may have put there and which then heeds the
/// toolchain file of the folder it runs in; else the one that started this process.
pub(crate) fn cargo() -> OsString {
    let outer = || env::var_os("CARGO").filter(|cargo| !cargo.is_empty());
    if finds("cargo") { OsStr::new("cargo").to_owned() } else { outer().unwrap_or_else(|| "cargo".into()) }
}

#[cfg(test)]
mod tests {
    use super::{asked_for, leaks};

    #[test]
    fn what_an_outer_cargo_says_of_its_own_build_is_removed() {
        for name in [
            "CARGO",
            "CARGO_MANIFEST_DIR",
            "CARGO_PKG_NAME",
            "CARGO_FEATURE_HOST",
            "CARGO_CFG_UNIX",
            "CARGO_TARGET_DIR",
            "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER",
            "CARGO_BUILD_TARGET",
            "CARGO_BUILD_RUSTFLAGS",
            "CARGO_ENCODED_RUSTFLAGS",
            "CARGO_PROFILE_RELEASE_LTO",
            "CARGO_INCREMENTAL",
            "CARGO_MAKEFLAGS",
            "RUSTC",
            "RUSTC_WRAPPER",
            "RUSTC_WORKSPACE_WRAPPER",
            "RUSTC_BOOTSTRAP",
            "RUSTFLAGS",
            "RUSTDOCFLAGS",
            "DEP_Z_ROOT",
            "OUT_DIR",
        ] {
            assert!(leaks(name), "{name}");
        }
    }

    #[test]
    fn what_belongs_to_the_machine_is_kept() {
        for name in [
            "PATH",
            "HOME",
            "CARGO_HOME",
            "RUSTUP_HOME",
            "CARGO_NET_OFFLINE",
            "CARGO_HTTP_PROXY",
            "CARGO_REGISTRIES_OURS_INDEX",
            "CARGO_REGISTRY_DEFAULT",
            "CARGO_TERM_COLOR",
            "CARGO_BUILD_JOBS",
            "HTTPS_PROXY",
            "RUST_BACKTRACE",
            "CC",
        ] {
            assert!(!leaks(name), "{name}");
        }
    }

    #[test]
    fn only_a_toolchain_that_was_asked_for_outlives_a_toolchain_file() {
        assert!(asked_for(Some("cli")) && asked_for(Some("env")) && asked_for(None));
        assert!(!asked_for(Some("default")) && !asked_for(Some("path")));
    }
}
