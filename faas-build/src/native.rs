//! Listing a crate's actions by a small program for this machine.

use std::path::PathBuf;
use std::process::Command;

use faas_core::artifact::Description;
use faas_core::{Error, ErrorKind};

use crate::app::App;
use crate::output::Output;
use crate::shim::{self, APP, Recipe};
use crate::{cargo, describe, failure, lock};

/// The version of the interface between host and guest that the program claims. It has none; a reader of the
/// description expects one.
const ABI: u32 = 1;

/// The program is run once, so that the time to build it is what counts.
const MANIFEST: &str = r#"
[profile.dev]
opt-level = 0
debug = false
incremental = false
"#;

/// What the crate exports.
pub(crate) fn list(app: &App, output: Output) -> Result<Description, Error> {
    let purpose = format!("listing the actions of '{}'", app.name);
    let _lock = lock::acquire(&app.target.join("native.lock"), &purpose, output)?;
    let shim = shim::write(
        app,
        &Recipe {
            suffix: "native",
            features: &[],
            dependencies: &[("serde_json", "1")],
            file: "main.rs",
            code: code(&app.actions),
            manifest: MANIFEST,
        },
    )?;
    output.status("Listing", format_args!("the actions of {}", app.name));
    let mut cargo = app.cargo();
    cargo.args(["build", "--target-dir"]).arg(app.target.join("native"));
    let slow = output.when_slow(format!("building '{}' to list its actions", app.name));
    let files = cargo::build(app, &shim, cargo, output)?;
    drop(slow);
    let is_program = |file: &&PathBuf| file.file_stem().is_some_and(|stem| *stem == *shim.target);
    let program = files.iter().find(is_program);
    let program = program.ok_or_else(|| {
        Error::new(ErrorKind::Internal, format!("cargo built no program of '{}'", app.name))
    })?;
    describe::read(app, &failure::printed(&mut Command::new(program))?)
}

fn code(actions: &str) -> String {
    format!(
        "fn main() -> Result<(), serde_json::Error> {{
    let description = faas_core::artifact::Description::of({APP}::{actions}(), {ABI});
    serde_json::to_writer(std::io::stdout(), &description)
}}
"
    )
}
