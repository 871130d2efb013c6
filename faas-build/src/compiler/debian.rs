//! Debian's compiler: it has no target for Wasm ready, but the source of the standard library, a linker and a C
//! library, of which it builds one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Compiler, TARGET};
use crate::{environment, failure};

/// The packages that have all of it.
pub(super) const PACKAGES: &str = "rustc-web rust-web-src lld-19 wasi-libc";

/// Where these packages put things.
const RUSTC: &str = "/usr/bin/rustc";
const PROGRAMS: &str = "/usr/bin";
const SYSROOT: &str = "/usr";
const STD: &str = "/usr/lib/rustlib/src/rust/library/Cargo.lock";
const LIBC: &str = "/usr/lib/wasm32-wasi";

/// Debian's compiler, if all of it is there.
pub(super) fn find() -> Option<Compiler> {
    if !Path::new(STD).is_file() || !Path::new(LIBC).join("libc.a").is_file() {
        return None;
    }
    // On other systems rustup itself may be there; and older compilers do not know the target by this name.
    let sysroot = failure::printed(rustc().args(["--print", "sysroot"])).ok()?;
    failure::printed(rustc().args(["--print", "target-libdir", "--target", TARGET])).ok()?;
    let version = failure::printed(rustc().arg("--version")).ok()?;
    (sysroot == SYSROOT).then_some(Compiler { version, rustc: RUSTC.into(), debian: Some(linker()?) })
}

fn rustc() -> Command {
    let mut rustc = Command::new(RUSTC);
    environment::scrub(&mut rustc);
    rustc
}

/// The newest `wasm-ld-<number>`.
fn linker() -> Option<PathBuf> {
    let names = fs::read_dir(PROGRAMS).ok()?.filter_map(Result::ok).map(|entry| entry.file_name());
    let version = |name: &str| name.strip_prefix("wasm-ld-")?.parse::<u32>().ok();
    let newest = names.filter_map(|name| version(&name.to_string_lossy())).max()?;
    Some(Path::new(PROGRAMS).join(format!("wasm-ld-{newest}")))
}

/// Makes a `cargo build` for the target one by this compiler.
pub(super) fn configure(cargo: &mut Command, linker: &Path) {
    cargo.args(["-Z", "build-std=std,panic_abort"]);
    // Building the standard library is not stable, and this compiler is a stable one.
    cargo.env("RUSTC", RUSTC).env("RUSTC_BOOTSTRAP", "1");
    cargo.env("CARGO_TARGET_WASM32_WASIP1_LINKER", linker);
    cargo.env("CARGO_TARGET_WASM32_WASIP1_RUSTFLAGS", format!("-L native={LIBC}"));
}
