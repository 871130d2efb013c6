//! Turns a crate of `#[action]`s into what a backend runs: from tests and examples by one macro, from a shell by
//! `cargo faas`.
//!
//! # The crate
//!
//! A crate of actions is a library with a list of them, `faas_core::actions![greet, farewell]`, at its root. It
//! depends on `faas-core` without default features, so that what is built for a sandbox has no platform and no
//! runtime in it; its program and its tests turn these on by a feature that is a default. `examples/app-template`
//! of this repository is one to copy. Where the list is elsewhere, the crate's manifest says so:
//!
//! ```toml
//! [package.metadata.faas]
//! actions = "fixtures::actions"
//! ```
//!
//! # From a shell
//!
//! ```text
//! $ cargo install faas-build
//! $ cargo faas list -p greet
//! $ cargo faas build --backend wasm -p greet
//!    Compiling greet for wasm32-wasip1 (rustc 1.96.0)
//!     Finished greet in 6.5 s: 3 actions, 446 KiB, target/faas/greet/wasm
//! $ cargo faas build --backend docker -p greet
//!    Compiling greet for x86_64-unknown-linux-musl (rustc 1.96.0)
//!     Finished greet in 9.1 s: 3 actions, 1502 KiB, target/faas/greet/docker
//!       Loaded faas/greet:0f9c2e17b6a84d35a1f04c7be2d86913
//! $ cargo faas build --backend lambda --arch arm64 -p greet
//!    Compiling greet for aarch64-unknown-linux-musl (rustc 1.96.0)
//!     Finished greet in 14.2 s: 3 actions, 1821 KiB, target/faas/greet/lambda-arm64
//! ```
//!
//! Without an engine for containers the image is loaded when its actions are deployed; `--output greet.tar` writes
//! it there, for an engine elsewhere.
//!
//! # From tests
//!
//! With this crate as a dev-dependency, [`wasm!`], [`docker!`] and [`lambda!`] build the crate that is tested, or another one:
//!
//! ```no_run
//! # fn main() -> Result<(), faas_core::Error> {
//! let own = faas_build::wasm!()?;
//! let other = faas_build::docker!("../greet")?;
//! # Ok(())
//! # }
//! ```
//!
//! They answer with the folder of the artifact: the module, the image or the zip, and the manifest that says what is in it
//! ([`faas_core::artifact`]). Asking is cheap: a process builds a crate once, and if no source has changed since
//! an earlier process did, the answer takes milliseconds. [`Build`] has the options.
//!
//! A test that can do without tells a machine that has no compiler for it by the kind of the error:
//!
//! ```no_run
//! # fn main() -> Result<(), faas_core::Error> {
//! use faas_core::ErrorKind;
//!
//! let folder = match faas_build::wasm!() {
//!     Err(error) if error.kind() == ErrorKind::Unsupported => {
//!         println!("SKIP greets_on_wasm: {}", error.message());
//!         return Ok(());
//!     }
//!     built => built?,
//! };
//! # Ok(())
//! # }
//! ```
//!
//! # How it builds
//!
//! It writes a *shim package* around the crate, below `target/faas/shim`: a workspace of its own, that depends on
//! the crate's library without default features and on the very `faas-core` that the crate was resolved to, with
//! the versions and the `[patch]` sections of the crate's workspace, and a release profile of its own. Exports
//! exist only there. The shims share a target folder, `target/faas/build`, so that dependencies are built once.
//!
//! The cargo that builds it runs in the crate's folder, so that its `rust-toolchain.toml` and `.cargo/config.toml`
//! count, and without what an outer cargo says of its own build: all variables that start with `CARGO`, `RUSTC`,
//! `RUSTDOC`, `RUSTFLAGS`, `DEP_`, `OUT_DIR` or `MAKEFLAGS` are removed, except those that tell where cargo keeps
//! things, how it reaches registries, how it talks and how many jobs it runs (`CARGO_HOME`, `CARGO_HTTP_*`,
//! `CARGO_NET_*`, `CARGO_REGISTRY_*`, `CARGO_REGISTRIES_*`, `CARGO_RESOLVER_*`, `CARGO_TERM_*`,
//! `CARGO_BUILD_JOBS`). A toolchain that was asked for by name, as by `cargo +nightly`, stays.
//!
//! # Which compiler
//!
//! For `wasm32-wasip1`, the first of these that is there:
//!
//! 1. the target in the toolchain that is active in the crate's folder;
//! 2. the same, after `rustup target add wasm32-wasip1`. Where that fails, it is not tried again for a day;
//! 3. Debian's compiler, which builds the standard library from its source: the packages `rustc-web`,
//!    `rust-web-src`, `lld-19` and `wasi-libc`.
//!
//! [`CompilerChoice`], `--compiler` and the variable `FAAS_WASM_COMPILER` choose among them; `installed` never
//! downloads anything.
//!
//! For an image, the active toolchain as it is: with the target `<architecture>-unknown-linux-musl` if it has that,
//! else, on Linux, with its own C library linked statically (`-C target-feature=+crt-static`), which needs the
//! archive of that, as Debian's `libc6-dev` has it. Elsewhere `rustup target add` is up to the user.
//!
//! For AWS Lambda the same, of this machine's architecture or, by [`Build::arch`] and `--arch`, of another: with the
//! target `<architecture>-unknown-linux-musl`, linked by the `rust-lld` of the toolchain, else with
//! `<architecture>-unknown-linux-gnu`, linked by `<architecture>-linux-gnu-gcc`. The client for the actions' HTTP
//! requests has C in it, which for any target but this machine's own needs a compiler: what the variable `CC_<target>`
//! or `TARGET_CC` names, else the first on the search path of `<architecture>-linux-musl-gcc`, `musl-gcc` (for this
//! machine's architecture), `<architecture>-linux-gnu-gcc`, and `clang` (not for x86_64). Without one for musl, this
//! machine's own target is taken.
//!
//! musl is the better choice there: a GNU C library that is linked statically may ask the one of Lambda's system, which
//! is of another version, how to look up the name of a host.
//!
//! # What is in an image
//!
//! The program `/guest` and the folder `/tmp`, and no file else; it runs as user 65534, and its labels
//! `io.faas.package`, `io.faas.version` and `io.faas.abi` say what it is. The archive has the form of `docker save`,
//! which `podman load` reads as well. Its tag is `faas/<crate>:<digits>` with the first half of the image's id: the
//! same sources and the same compiler in the same place give the same bytes, and so the same tag.
//!
//! # What is in a zip
//!
//! The program `bootstrap`, and no file else, for the runtime `provided.al2023`; the manifest says for which
//! architecture. For this machine's architecture it is in the folder `lambda`, for another one in `lambda-<architecture>`.
//! The zip tells nothing of times and users, so that what was said of the bytes of an image holds here, too, and an
//! unchanged function is told by the digest. A program that takes more than Lambda's 250 MiB is refused; of a zip that
//! takes more than the 50 MiB of a direct upload it is said that a bucket is needed.

mod app;
mod arch;
mod artifact;
mod backend;
mod bootstrap;
mod build;
mod cargo;
mod compiler;
mod describe;
mod environment;
mod failure;
mod files;
mod image;
mod lock;
mod native;
mod once;
mod output;
mod patience;
mod program;
#[cfg(test)]
mod scratch;
mod shim;
mod source;
mod watch;

pub use arch::Arch;
pub use artifact::Artifact;
pub use build::{Build, wasm_compiler};
pub use compiler::{COMPILER_VARIABLE, Compiler, CompilerChoice};
pub use output::Output;

/// Builds a crate to a Wasm module, if it is not built already: the crate that calls it, or the one in the folder
/// that is named relative to it.
///
/// It answers with the folder of the artifact, `Result<PathBuf, faas_core::Error>`; see [`Build::wasm`] for how
/// often it builds, and for its errors.
///
/// ```no_run
/// let folder = faas_build::wasm!().expect("a module");
/// let folder = faas_build::wasm!("../greet").expect("a module");
/// ```
#[macro_export]
macro_rules! wasm {
    () => {
        $crate::Build::new(::core::env!("CARGO_MANIFEST_DIR")).wasm()
    };
    ($folder:expr $(,)?) => {
        $crate::Build::new(::std::path::Path::new(::core::env!("CARGO_MANIFEST_DIR")).join($folder)).wasm()
    };
}

/// Builds a crate to an image for Docker, if it is not built already: the crate that calls it, or the one in the
/// folder that is named relative to it.
///
/// It answers with the folder of the artifact, `Result<PathBuf, faas_core::Error>`, and needs no engine; see
/// [`Build::docker`] for how often it builds, and for its errors.
///
/// ```no_run
/// let folder = faas_build::docker!().expect("an image");
/// let folder = faas_build::docker!("../greet").expect("an image");
/// ```
#[macro_export]
macro_rules! docker {
    () => {
        $crate::Build::new(::core::env!("CARGO_MANIFEST_DIR")).docker()
    };
    ($folder:expr $(,)?) => {
        $crate::Build::new(::std::path::Path::new(::core::env!("CARGO_MANIFEST_DIR")).join($folder)).docker()
    };
}

/// Builds a crate to a zip for AWS Lambda, if it is not built already: the crate that calls it, or the one in the
/// folder that is named relative to it.
///
/// It answers with the folder of the artifact, `Result<PathBuf, faas_core::Error>`, and asks nothing of AWS; see
/// [`Build::lambda`] for how often it builds, and for its errors.
///
/// ```no_run
/// let folder = faas_build::lambda!().expect("a zip");
/// let folder = faas_build::lambda!("../greet").expect("a zip");
/// ```
#[macro_export]
macro_rules! lambda {
    () => {
        $crate::Build::new(::core::env!("CARGO_MANIFEST_DIR")).lambda()
    };
    ($folder:expr $(,)?) => {
        $crate::Build::new(::std::path::Path::new(::core::env!("CARGO_MANIFEST_DIR")).join($folder)).lambda()
    };
}
