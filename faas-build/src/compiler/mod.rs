//! Finding a compiler: for `wasm32-wasip1`, and in [`linux`] for static programs, with [`c`] for what in them is not Rust.
//!
//! For Wasm in this order: the target in the toolchain that the crate's folder makes active; the same after
//! `rustup target add`; Debian's compiler, which is given the standard library as source. Else one sentence says
//! what to install.

mod c;
mod debian;
pub(crate) mod linux;
mod rustup;

use std::env;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;

use faas_core::{Error, ErrorKind};

use crate::app::App;
use crate::output::Output;

/// What guests are compiled for.
pub(crate) const TARGET: &str = "wasm32-wasip1";

/// The variable that names a [`CompilerChoice`] where the caller names none.
pub const COMPILER_VARIABLE: &str = "FAAS_WASM_COMPILER";

/// Which compilers a build may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CompilerChoice {
    /// `auto`: the active toolchain, which rustup may add the target to; else Debian's.
    #[default]
    Auto,
    /// `installed`: the active toolchain, else Debian's, as they are: nothing is downloaded or installed.
    Installed,
    /// `rustup`: the active toolchain, which rustup may add the target to.
    Rustup,
    /// `debian`: Debian's.
    Debian,
}

impl CompilerChoice {
    const ALL: [(&str, Self); 4] = [
        ("auto", Self::Auto),
        ("installed", Self::Installed),
        ("rustup", Self::Rustup),
        ("debian", Self::Debian),
    ];

    /// The choice of the environment: [`COMPILER_VARIABLE`], or `Auto` where it is unset or empty.
    ///
    /// # Errors
    /// `NotFound` when it names no choice.
    pub fn from_env() -> Result<Self, Error> {
        match env::var(COMPILER_VARIABLE) {
            Ok(name) if !name.is_empty() => name.parse(),
            _ => Ok(Self::Auto),
        }
    }
}

impl FromStr for CompilerChoice {
    type Err = Error;

    /// Reads `auto`, `installed`, `rustup` or `debian`.
    ///
    /// # Errors
    /// `NotFound` for any other name, listing these.
    fn from_str(name: &str) -> Result<Self, Error> {
        let found = Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, choice)| *choice);
        found.ok_or_else(|| Error::unknown("compiler for Wasm", name, Self::ALL.map(|(known, _)| known)))
    }
}

impl fmt::Display for CompilerChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::ALL.iter().find(|(_, choice)| choice == self).map_or("auto", |(name, _)| name))
    }
}

/// A compiler for Wasm that is ready to be used.
#[derive(Clone, Debug)]
pub struct Compiler {
    version: String,
    rustc: PathBuf,
    /// The linker of Debian's, which has no target ready and builds the standard library itself.
    debian: Option<PathBuf>,
}

impl Compiler {
    /// The version as the compiler prints it, such as `rustc 1.96.0 (ac68faa20 2026-05-25)`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The program, by whose last change an update is told.
    pub(crate) fn rustc(&self) -> &Path {
        &self.rustc
    }

    /// Makes a `cargo build` one for Wasm by this compiler.
    pub(crate) fn configure(&self, cargo: &mut Command) {
        cargo.args(["--target", TARGET]);
        if let Some(linker) = &self.debian {
            debian::configure(cargo, linker);
        }
    }
}

/// The name and the number of a version alone, such as `rustc 1.96.0`.
pub(crate) fn short(version: &str) -> String {
    version.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

impl fmt::Display for Compiler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.version)?;
        if self.debian.is_some() { f.write_str(", Debian's") } else { Ok(()) }
    }
}

/// Finds the compiler for the crate.
pub(crate) fn find(app: &App, choice: CompilerChoice, output: Output) -> Result<Compiler, Error> {
    let mut refused = None;
    if choice != CompilerChoice::Debian {
        if let Some(compiler) = rustup::wasm(&app.folder) {
            return Ok(compiler);
        }
        if choice != CompilerChoice::Installed {
            match rustup::add(app, output) {
                Ok(compiler) => return Ok(compiler),
                Err(reason) => refused = Some(reason),
            }
        }
    }
    if choice != CompilerChoice::Rustup
        && let Some(compiler) = debian::find()
    {
        return Ok(compiler);
    }
    let text = format!(
        "no compiler for {TARGET} is installed: run `rustup target add {TARGET}`, or on Debian `apt-get install {}`",
        debian::PACKAGES
    );
    let error = Error::new(ErrorKind::Unsupported, text).with_context("compiler", choice);
    Err(match refused {
        Some(reason) => error.with_context("rustup", reason),
        None => error,
    })
}

#[cfg(test)]
mod tests {
    use super::CompilerChoice;

    #[test]
    fn choices_are_read_as_they_are_shown() {
        for (name, choice) in CompilerChoice::ALL {
            assert_eq!(name.parse::<CompilerChoice>().expect("a choice"), choice);
            assert_eq!(choice.to_string(), name);
        }
        let error = "clang".parse::<CompilerChoice>().expect_err("no such choice").to_string();
        assert!(error.contains("known: ") && error.contains("installed"), "{error}");
    }
}
