//! Finding a compiler for static Linux programs of this machine's architecture.
//!
//! The active toolchain as it is: nothing is downloaded. The target with musl, which is made for such programs, where
//! the toolchain has it; else, on Linux, the toolchain's own, whose C library can be linked statically as well.

use std::path::{Path, PathBuf};
use std::process::Command;

use faas_core::{Error, ErrorKind};

use super::rustup;
use crate::app::App;

/// A compiler for static Linux programs that is ready to be used.
pub(crate) struct Linux {
    version: String,
    rustc: PathBuf,
    target: String,
    /// Whether it runs on another system, whose own linker makes no programs for Linux.
    foreign: bool,
}

impl Linux {
    /// The version as the compiler prints it.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// The program, by whose last change an update is told.
    pub(crate) fn rustc(&self) -> &Path {
        &self.rustc
    }

    /// What it compiles for, such as `x86_64-unknown-linux-musl`.
    pub(crate) fn target(&self) -> &str {
        &self.target
    }

    /// What the user may install if it compiles but does not link.
    pub(crate) fn hint(&self) -> String {
        let musl = musl(&self.target);
        if self.target == musl {
            return format!(
                "linking C code for {musl} needs a C compiler for it, as of the package musl-tools"
            );
        }
        format!(
            "linking {} statically needs the archive of its C library, as of the packages libc6-dev and \
             glibc-static; or run `rustup target add {musl}`",
            self.target
        )
    }

    /// Makes a `cargo build` one for the target.
    ///
    /// With the target named, the flags are for it alone: neither build scripts nor macros see them.
    pub(crate) fn configure(&self, cargo: &mut Command) {
        cargo.args(["--target", &self.target]);
        let variable = |what: &str| {
            let target = self.target.replace(['-', '.'], "_").to_uppercase();
            format!("CARGO_TARGET_{target}_{what}")
        };
        cargo.env(variable("RUSTFLAGS"), "-C target-feature=+crt-static");
        if self.foreign {
            // It comes with the toolchain, as the C library does for musl.
            cargo.env(variable("LINKER"), "rust-lld");
        }
    }
}

/// Finds the compiler for the crate.
pub(crate) fn find(app: &App) -> Result<Linux, Error> {
    let host = rustup::host(&app.folder)?;
    let foreign = !host.contains("-linux-");
    let musl = musl(&host);
    let targets = [Some(musl.as_str()), (!foreign).then_some(host.as_str())];
    let found = targets.into_iter().flatten().find_map(|target| {
        let (version, rustc) = rustup::active(&app.folder, target)?;
        Some(Linux { version, rustc, target: target.to_owned(), foreign })
    });
    found.ok_or_else(|| {
        let text =
            format!("no compiler for static Linux programs is installed: run `rustup target add {musl}`");
        Error::new(ErrorKind::Unsupported, text)
    })
}

/// The target with musl for the architecture of another one, and for its way to call functions if it is Linux.
fn musl(target: &str) -> String {
    let architecture = target.split('-').next().unwrap_or(target);
    let library = target.split_once("-linux-").map_or("", |(_, library)| library);
    let suffix = library.trim_start_matches("gnu").trim_start_matches("musl");
    format!("{architecture}-unknown-linux-musl{suffix}")
}

#[cfg(test)]
mod tests {
    use super::musl;

    #[test]
    fn the_target_with_musl_has_the_same_architecture() {
        for (host, expected) in [
            ("x86_64-unknown-linux-gnu", "x86_64-unknown-linux-musl"),
            ("x86_64-unknown-linux-musl", "x86_64-unknown-linux-musl"),
            ("armv7-unknown-linux-gnueabihf", "armv7-unknown-linux-musleabihf"),
            ("armv7-unknown-linux-musleabihf", "armv7-unknown-linux-musleabihf"),
            ("aarch64-apple-darwin", "aarch64-unknown-linux-musl"),
            ("x86_64-pc-windows-msvc", "x86_64-unknown-linux-musl"),
            ("x86_64-pc-windows-gnu", "x86_64-unknown-linux-musl"),
        ] {
            assert_eq!(musl(host), expected);
        }
    }
}
