//! Compiling a shim to a static Linux program, for the backends that run such.

use std::path::PathBuf;

use faas_core::{Error, ErrorKind};

use crate::app::App;
use crate::compiler::linux::Linux;
use crate::output::Output;
use crate::shim::{self, Recipe};
use crate::{artifact, cargo, compiler, watch};

/// The profile that programs are compiled by. One is started often and built seldom, so it is worth some time to make
/// it small and fast; a panic is caught, since it ends an activation and not the program.
pub(crate) const PROFILE: &str = r#"
[profile.release]
opt-level = 3
lto = "fat"
codegen-units = 1
panic = "unwind"
strip = true
"#;

/// A static Linux program.
pub(crate) struct Program {
    /// Where cargo left it.
    pub(crate) file: PathBuf,
    /// Its content.
    pub(crate) bytes: Vec<u8>,
    /// The files that it was made of, besides the crate's manifests; none if nobody can tell.
    pub(crate) sources: Vec<PathBuf>,
}

/// Compiles the program whose shim the recipe makes.
pub(crate) fn compile(
    app: &App,
    recipe: &Recipe<'_>,
    compiler: &Linux,
    output: Output,
) -> Result<Program, Error> {
    let shim = shim::write(app, recipe)?;
    let target = compiler.target();
    let short = compiler::short(compiler.version());
    output.status("Compiling", format_args!("{} for {target} ({short})", app.name));
    let _slow =
        output.when_slow(format!("building '{}' for {target}, which takes a while the first time", app.name));
    let mut cargo = app.cargo();
    cargo.args(["build", "--release", "--target-dir"]).arg(app.target.join("build"));
    compiler.configure(&mut cargo);
    let files = cargo::build(app, &shim, cargo, output).map_err(|error| {
        let compiled = error.message().contains(": linking with ");
        if compiled { error.with_context("hint", compiler.hint()) } else { error }
    })?;
    let is_program = |file: &PathBuf| file.file_stem().is_some_and(|stem| *stem == *shim.target);
    let file = files.into_iter().find(is_program).ok_or_else(|| {
        Error::new(ErrorKind::Internal, format!("cargo built no program of '{}'", app.name))
    })?;
    let mut sources = watch::listed(&file.with_extension("d"));
    if !sources.is_empty() {
        sources.extend([compiler.rustc().to_owned(), shim.manifest]);
    }
    Ok(Program { bytes: artifact::read(&file)?, file, sources })
}
