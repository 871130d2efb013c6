//! An image for Docker: the shim is a static Linux program that serves the interface of actions, and the image has
//! nothing but it.

use std::path::PathBuf;

use faas_core::{Error, ErrorKind};

use super::{Built, Options};
use crate::app::App;
use crate::artifact::{self, Product};
use crate::compiler::linux::Linux;
use crate::compiler::{self, linux};
use crate::output::Output;
use crate::shim::{self, APP, Recipe, Shim};
use crate::{cargo, describe, image, watch};

/// The name of the backend.
pub(super) const NAME: &str = "docker";

/// The rest of the shim's manifest. A program is started often and built seldom, so it is worth some time to make it
/// small and fast; a panic is caught, since it ends an activation and not the program.
const MANIFEST: &str = r#"
[profile.release]
opt-level = 3
lto = "fat"
codegen-units = 1
panic = "unwind"
strip = true
"#;

/// Builds the crate to an image.
pub(super) fn build(app: &App, options: &Options) -> Result<Built, Error> {
    let output = options.output;
    let compiler = linux::find(app)?;
    let shim = shim::write(
        app,
        &Recipe {
            suffix: NAME,
            features: &["guest-http"],
            dependencies: &[],
            file: "main.rs",
            code: format!("faas_core::guest_http!({APP}::{});\n", app.actions),
            manifest: MANIFEST,
        },
    )?;
    let target = compiler.target();
    let short = compiler::short(compiler.version());
    output.status("Compiling", format_args!("{} for {target} ({short})", app.name));
    let slow =
        output.when_slow(format!("building '{}' for {target}, which takes a while the first time", app.name));
    let program = compile(app, &compiler, &shim, output)?;
    let image = image::of(app, &artifact::read(&program)?, target)?;
    let product = Product {
        backend: NAME,
        extension: ".tar",
        bytes: &image.archive,
        toolchain: compiler.version(),
        image: Some(&image.reference),
    };
    let (manifest, fresh) = artifact::publish(app, &product, |_| describe::program(app, &program, output))?;
    drop(slow);
    let mut sources = watch::listed(&program.with_extension("d"));
    if !sources.is_empty() {
        sources.extend([compiler.rustc().to_owned(), shim.manifest]);
    }
    Ok(Built { manifest, fresh, sources })
}

/// Compiles the shim to a program.
fn compile(app: &App, compiler: &Linux, shim: &Shim, output: Output) -> Result<PathBuf, Error> {
    let mut cargo = app.cargo();
    cargo.args(["build", "--release", "--target-dir"]).arg(app.target.join("build"));
    compiler.configure(&mut cargo);
    let files = cargo::build(app, shim, cargo, output).map_err(|error| {
        let compiled = error.message().contains(": linking with ");
        if compiled { error.with_context("hint", compiler.hint()) } else { error }
    })?;
    files
        .into_iter()
        .find(|file| file.file_stem().is_some_and(|stem| *stem == *shim.target))
        .ok_or_else(|| Error::new(ErrorKind::Internal, format!("cargo built no program of '{}'", app.name)))
}
