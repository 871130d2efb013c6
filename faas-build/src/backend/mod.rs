//! What a crate can be built for. Each backend is a file beside this one, and a line in [`BACKENDS`].

mod docker;
mod lambda;
mod wasm;

use std::path::PathBuf;

use faas_core::artifact::Manifest;
use faas_core::{Error, ErrorKind};

use crate::app::App;
use crate::arch::Arch;
use crate::compiler::CompilerChoice;
use crate::output::Output;

/// Builds the crate for one backend. It is called with the lock of the target folder.
pub(crate) type BuildFn = fn(&App, &Options) -> Result<Built, Error>;

/// The backends by name.
const BACKENDS: [(&str, BuildFn); 3] =
    [(docker::NAME, docker::build), (lambda::NAME, lambda::build), (wasm::NAME, wasm::build)];

/// How the caller wants it built.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    /// Which compilers for Wasm may be used.
    pub(crate) compiler: CompilerChoice,
    /// The architecture, if it is not to be this machine's; only where the backend has several.
    pub(crate) arch: Option<Arch>,
    /// What is told of the progress.
    pub(crate) output: Output,
}

/// What was built.
pub(crate) struct Built {
    /// The folder of the artifact.
    pub(crate) folder: PathBuf,
    /// The manifest of the artifact.
    pub(crate) manifest: Manifest,
    /// Whether it was there before.
    pub(crate) fresh: bool,
    /// The files that it was made of, besides the crate's manifests; none if nobody can tell.
    pub(crate) sources: Vec<PathBuf>,
}

/// Refuses an architecture where the backend has none to choose from.
pub(crate) fn check_arch(backend: &str, arch: Option<Arch>) -> Result<(), Error> {
    if arch.is_none() || backend == lambda::NAME {
        return Ok(());
    }
    let text = format!("an architecture can be chosen for {} only, not for '{backend}'", lambda::NAME);
    Err(Error::new(ErrorKind::InvalidArgument, text))
}

/// The backend of that name.
pub(crate) fn named(name: &str) -> Result<(&'static str, BuildFn), Error> {
    let found = BACKENDS.iter().find(|(known, _)| *known == name);
    found
        .copied()
        .ok_or_else(|| Error::unknown("backend to build for", name, BACKENDS.map(|(known, _)| known)))
}
