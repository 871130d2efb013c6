//! The Rust compiler for Wasm, found as `faas-build` finds it.
//!
//! It is looked for here once more, so that xtask does not depend on what it checks.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::apt;
use crate::process;
use crate::report::Outcome;
use crate::workspace::Workspace;

const TARGET: &str = "wasm32-wasip1";

/// Debian's packages that have all of it.
const PACKAGES: [&str; 4] = ["rustc-web", "rust-web-src", "lld-19", "wasi-libc"];

/// The longest that rustup may take. It downloads some 20 MB, and waits long where it has no way out. Arbitrary.
const PATIENCE: Duration = Duration::from_secs(180);

/// What is missing, if there is no compiler.
pub(super) fn missing(workspace: &Workspace) -> Option<String> {
    (!is_there(workspace)).then(|| format!("the Rust compiler for {TARGET}"))
}

/// Gets a compiler unless there is one: by rustup, else as packages.
pub(super) fn install(workspace: &Workspace) -> Outcome {
    if is_there(workspace) {
        return Outcome::default();
    }
    let mut rustup = Command::new("rustup");
    rustup.args(["target", "add", TARGET]).current_dir(workspace.root());
    rustup.env("RUSTUP_DOWNLOAD_TIMEOUT", "15").env("RUSTUP_MAX_RETRIES", "0");
    if process::succeeds_within(&mut rustup, PATIENCE) && toolchain_has_it(workspace) {
        return Outcome::passed();
    }
    println!("rustup cannot add {TARGET}; trying the packages {}", PACKAGES.join(" "));
    let installed = apt::install(&PACKAGES);
    if is_there(workspace) {
        return Outcome::passed();
    }
    let reason = installed.err().unwrap_or_else(|| "the packages have no compiler for it".to_owned());
    Outcome::failed(sentence(&reason))
}

fn sentence(reason: &str) -> String {
    let packages = PACKAGES.join(" ");
    format!(
        "no compiler for {TARGET} could be installed ({reason}): run `rustup target add {TARGET}`, or on Debian as root `apt-get install {packages}`"
    )
}

fn is_there(workspace: &Workspace) -> bool {
    toolchain_has_it(workspace) || debian_has_it(Path::new("/"))
}

/// Whether the active toolchain has the standard library of the target.
fn toolchain_has_it(workspace: &Workspace) -> bool {
    let mut rustc = Command::new("rustc");
    rustc.args(["--print", "target-libdir", "--target", TARGET]).current_dir(workspace.root());
    process::capture(&mut rustc).is_ok_and(|folder| has_std(Path::new(folder.trim())))
}

fn has_std(folder: &Path) -> bool {
    names(folder).iter().any(|name| name.starts_with("libstd-") && name.ends_with(".rlib"))
}

/// Whether Debian's compiler is there, with the source of the standard library, a linker and a C library.
fn debian_has_it(root: &Path) -> bool {
    let there = |path: &str| root.join(path).is_file();
    let rustc: PathBuf = root.join("usr/bin/rustc");
    there("usr/lib/rustlib/src/rust/library/Cargo.lock")
        && there("usr/lib/wasm32-wasi/libc.a")
        && names(&root.join("usr/bin")).iter().any(|name| is_linker(name))
        // Older ones know the target by another name.
        && process::succeeds(Command::new(rustc).args(["--print", "target-libdir", "--target", TARGET]))
}

/// Whether the name is `wasm-ld-<number>`.
fn is_linker(name: &str) -> bool {
    name.strip_prefix("wasm-ld-").is_some_and(|version| version.parse::<u32>().is_ok())
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::{debian_has_it, has_std, is_linker, sentence};
    use crate::scratch::Scratch;

    #[test]
    fn a_toolchain_has_the_target_with_its_standard_library() {
        let machine = Scratch::new("target");
        assert!(!has_std(&machine.path("lib")));
        machine.file("lib/libcore-1.rlib");
        machine.file("lib/libstd-1.rmeta");
        assert!(!has_std(&machine.path("lib")));
        machine.file("lib/libstd-1.rlib");
        assert!(has_std(&machine.path("lib")));
    }

    #[cfg(unix)]
    #[test]
    fn debians_compiler_is_there_when_all_of_its_parts_are() {
        let machine = Scratch::new("debian");
        let root = machine.path("");
        machine.program("usr/bin/rustc", true);
        machine.file("usr/lib/rustlib/src/rust/library/Cargo.lock");
        machine.file("usr/bin/wasm-ld");
        machine.file("usr/lib/wasm32-wasi/libc.a");
        assert!(!debian_has_it(&root), "a linker without a version is another package's");
        machine.file("usr/bin/wasm-ld-19");
        assert!(debian_has_it(&root));
        machine.program("usr/bin/rustc", false);
        assert!(!debian_has_it(&root), "it does not know the target");
    }

    #[test]
    fn linkers_are_known_by_their_version() {
        assert!(is_linker("wasm-ld-19") && !is_linker("wasm-ld-") && !is_linker("ld.lld-19"));
    }

    #[test]
    fn a_failure_is_one_sentence_with_what_to_install() {
        let text = sentence("there is no apt-get");
        assert!(text.contains("(there is no apt-get)") && text.contains("rustup target add wasm32-wasip1"));
        assert!(text.contains("apt-get install rustc-web rust-web-src lld-19 wasi-libc"));
    }
}
