//! Finding a compiler for static Linux programs, of this machine's architecture or another.
//!
//! The active toolchain as it is: nothing is downloaded. The target with musl, which is made for such programs, where
//! the toolchain has it; else the one with the GNU C library, which can be linked statically as well: the toolchain's
//! own on Linux, and for another architecture one that comes with its own compiler for C.

use std::path::{Path, PathBuf};
use std::process::Command;

use faas_core::{Error, ErrorKind};

use super::{c, rustup};
use crate::app::App;
use crate::arch::Arch;
use crate::environment;

/// The linker that comes with the toolchain, as the C library does for musl.
const LINKER: &str = "rust-lld";

/// A compiler for static Linux programs that is ready to be used.
pub(crate) struct Linux {
    version: String,
    rustc: PathBuf,
    target: String,
    /// Whether its programs are for the architecture that it runs on.
    is_native: bool,
    /// The linker, where the system's own makes no programs for the target.
    linker: Option<String>,
    /// The compiler for C, where it is not the system's own.
    c: Option<String>,
}

/// What a program needs of its compiler.
#[derive(Clone, Copy, Default)]
pub(crate) struct Needs {
    /// The architecture, if it is not to be the toolchain's own.
    pub(crate) arch: Option<Arch>,
    /// Whether something in it is written in C.
    pub(crate) c: bool,
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

    /// Whether its programs are for the architecture that it runs on itself.
    pub(crate) const fn is_native(&self) -> bool {
        self.is_native
    }

    /// What the user may install if it compiles but does not link.
    pub(crate) fn hint(&self) -> String {
        let musl = musl(&self.target);
        if self.target == musl {
            let which =
                if self.is_native { "as of the package musl-tools".to_owned() } else { c::suggestion(&musl) };
            return format!("linking C code for {musl} needs a C compiler for it, {which}");
        }
        let packages = match Arch::of(&self.target).filter(|_| !self.is_native) {
            Some(Arch::Arm64) => "the package libc6-dev-arm64-cross",
            Some(Arch::X86_64) => "the package libc6-dev-amd64-cross",
            None => "the packages libc6-dev and glibc-static",
        };
        format!(
            "linking {} statically needs the archive of its C library, as of {packages}; or run \
             `rustup target add {musl}`",
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
        if let Some(linker) = &self.linker {
            cargo.env(variable("LINKER"), linker);
        }
        if let Some(c) = &self.c {
            cargo.env(c::variable(&self.target), c);
        }
    }
}

/// Why a target cannot be compiled for.
enum Lack {
    /// The active toolchain does not have it.
    Target,
    /// There is no compiler for C for it.
    C,
}

/// Finds the compiler for the crate.
pub(crate) fn find(app: &App, needs: Needs) -> Result<Linux, Error> {
    let host = rustup::host(&app.folder)?;
    let targets = targets(&host, needs.arch);
    let mut lacks_c = false;
    for target in &targets {
        match ready(app, &host, target, needs) {
            Ok(compiler) => return Ok(compiler),
            Err(lack) => lacks_c |= matches!(lack, Lack::C),
        }
    }
    let musl = &targets[0];
    let text = if lacks_c {
        format!(
            "no C compiler for {musl} is installed, which HTTP requests need: install one, {}",
            c::suggestion(musl)
        )
    } else {
        let and = if needs.c && c::find(musl, &host).is_none() {
            format!(", and install a C compiler for it, {}", c::suggestion(musl))
        } else {
            String::new()
        };
        let which = needs.arch.map_or(String::new(), |arch| format!(" for {arch}"));
        format!(
            "no compiler for static Linux programs{which} is installed: run `rustup target add {musl}`{and}"
        )
    };
    Err(Error::new(ErrorKind::Unsupported, text))
}

/// What may be compiled for, the best first: the one with musl is always there.
fn targets(host: &str, arch: Option<Arch>) -> Vec<String> {
    match arch.filter(|arch| Arch::of(host) != Some(*arch)) {
        Some(arch) => {
            ["musl", "gnu"].map(|library| format!("{}-unknown-linux-{library}", arch.in_targets())).into()
        }
        None => [Some(musl(host)), is_linux(host).then(|| host.to_owned())].into_iter().flatten().collect(),
    }
}

/// The compiler for that target, if all of it is there.
fn ready(app: &App, host: &str, target: &str, needs: Needs) -> Result<Linux, Lack> {
    let (version, rustc) = rustup::active(&app.folder, target).ok_or(Lack::Target)?;
    let is_native = architecture(target) == architecture(host);
    let linker = (!is_native || !is_linux(host))
        .then(|| if target == musl(target) { LINKER.to_owned() } else { c::gnu(target) });
    let has_linker = linker.as_ref().is_none_or(|name| name == LINKER || environment::finds(name));
    let c = if target == host { None } else { c::find(target, host) };
    let has_c = !needs.c || target == host || c.is_some();
    if !has_linker || !has_c {
        return Err(Lack::C);
    }
    Ok(Linux { version, rustc, target: target.to_owned(), is_native, linker, c })
}

fn is_linux(host: &str) -> bool {
    host.contains("-linux-")
}

/// The name of the architecture in a target.
pub(super) fn architecture(target: &str) -> &str {
    target.split('-').next().unwrap_or(target)
}

/// The target with musl for the architecture of another one, and for its way to call functions if it is Linux.
fn musl(target: &str) -> String {
    let architecture = architecture(target);
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
