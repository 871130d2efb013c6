//! An image for Docker: the shim is a static Linux program that serves the interface of actions, and the image has
//! nothing but it.

use faas_core::Error;

use super::{Built, Options};
use crate::app::App;
use crate::artifact::{self, Product};
use crate::compiler::linux::{self, Needs};
use crate::program::{self, PROFILE};
use crate::shim::{APP, Recipe};
use crate::{describe, image};

/// The name of the backend.
pub(super) const NAME: &str = "docker";

/// Builds the crate to an image.
pub(super) fn build(app: &App, options: &Options) -> Result<Built, Error> {
    let compiler = linux::find(app, Needs::default())?;
    let recipe = Recipe {
        suffix: NAME,
        features: &["guest-http"],
        dependencies: &[],
        file: "main.rs",
        code: format!("faas_core::guest_http!({APP}::{});\n", app.actions),
        manifest: PROFILE,
    };
    let program = program::compile(app, &recipe, &compiler, options.output)?;
    let image = image::of(app, &program.bytes, compiler.target())?;
    let folder = artifact::folder(app, NAME);
    let product = Product {
        backend: NAME,
        folder: &folder,
        extension: ".tar",
        bytes: &image.archive,
        toolchain: compiler.version(),
        image: Some(&image.reference),
        architecture: None,
    };
    let describe = |_: &[u8]| describe::program(app, &program.file, compiler.target(), options.output);
    let (manifest, fresh) = artifact::publish(app, &product, describe)?;
    Ok(Built { folder, manifest, fresh, sources: program.sources })
}
