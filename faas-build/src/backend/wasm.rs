//! A Wasm module: the shim exports what `ABI.md` of `faas-backend-wasm` asks for.

use faas_core::{Error, ErrorKind};

use super::{Built, Options};
use crate::app::App;
use crate::artifact::{self, Product};
use crate::compiler::{self, TARGET};
use crate::shim::{self, APP, Recipe};
use crate::{cargo, describe, watch};

/// The name of the backend.
pub(super) const NAME: &str = "wasm";

/// The rest of the shim's manifest. A module is loaded often and built seldom, so it is worth some time to make it
/// small and fast; a panic ends the instance, after its message was handed to the host.
const MANIFEST: &str = r#"
[lib]
crate-type = ["cdylib"]

[profile.release]
opt-level = 3
lto = "fat"
codegen-units = 1
panic = "abort"
strip = true
"#;

/// Builds the crate to a module.
pub(super) fn build(app: &App, options: &Options) -> Result<Built, Error> {
    let output = options.output;
    let compiler = compiler::find(app, options.compiler, output)?;
    let shim = shim::write(
        app,
        &Recipe {
            suffix: NAME,
            features: &["guest-wasi"],
            dependencies: &[],
            file: "lib.rs",
            code: format!("faas_core::guest_wasi!({APP}::{});\n", app.actions),
            manifest: MANIFEST,
        },
    )?;
    output.status(
        "Compiling",
        format_args!("{} for {TARGET} ({})", app.name, compiler::short(compiler.version())),
    );
    let mut cargo = app.cargo();
    cargo.args(["build", "--release", "--target-dir"]).arg(app.target.join("build"));
    compiler.configure(&mut cargo);
    let slow =
        output.when_slow(format!("building '{}' for {TARGET}, which takes a while the first time", app.name));
    let files = cargo::build(app, &shim, cargo, output)?;
    let module = files.into_iter().find(|file| file.extension().is_some_and(|extension| extension == NAME));
    let module = module
        .ok_or_else(|| Error::new(ErrorKind::Internal, format!("cargo built no module of '{}'", app.name)))?;
    let bytes = artifact::read(&module)?;
    let folder = artifact::folder(app, NAME);
    let product = Product {
        backend: NAME,
        folder: &folder,
        extension: ".wasm",
        bytes: &bytes,
        toolchain: compiler.version(),
        image: None,
        architecture: None,
    };
    let (manifest, fresh) = artifact::publish(app, &product, |module| describe::wasm(app, module, output))?;
    drop(slow);
    let mut sources = watch::listed(&module.with_extension("d"));
    if !sources.is_empty() {
        sources.extend([compiler.rustc().to_owned(), shim.manifest]);
    }
    Ok(Built { folder, manifest, fresh, sources })
}
