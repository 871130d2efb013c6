//! A zip for AWS Lambda: the shim is a static Linux program that asks for the function's events, and the zip has nothing
//! but it.

use faas_core::Error;

use super::{Built, Options};
use crate::app::App;
use crate::artifact::{self, Product};
use crate::compiler::linux;
use crate::program::{self, PROFILE};
use crate::shim::{APP, Recipe};
use crate::{bootstrap, describe};

/// The name of the backend.
pub(super) const NAME: &str = "lambda";

/// Builds the crate to a zip.
pub(super) fn build(app: &App, options: &Options) -> Result<Built, Error> {
    let compiler = linux::find(app)?;
    let recipe = Recipe {
        suffix: NAME,
        features: &["guest-lambda"],
        dependencies: &[],
        file: "main.rs",
        code: format!("faas_core::guest_lambda!({APP}::{});\n", app.actions),
        manifest: PROFILE,
    };
    let program = program::compile(app, &recipe, &compiler, options.output)?;
    let zip = bootstrap::zip(&program.bytes)?;
    let folder = artifact::folder(app, NAME);
    let product = Product {
        backend: NAME,
        folder: &folder,
        extension: ".zip",
        bytes: &zip,
        toolchain: compiler.version(),
        image: None,
        architecture: Some(if compiler.target().starts_with("aarch64") { "arm64" } else { "x86_64" }),
    };
    let describe = |_: &[u8]| describe::program(app, &program.file, options.output);
    let (manifest, fresh) = artifact::publish(app, &product, describe)?;
    Ok(Built { folder, manifest, fresh, sources: program.sources })
}
