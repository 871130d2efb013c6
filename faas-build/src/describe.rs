//! What an artifact says of itself.

use std::env;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use faas_core::artifact::Description;
use faas_core::{Error, ErrorKind};

use crate::app::App;
use crate::output::Output;
use crate::{failure, native};

/// What makes a program describe its actions and end.
const FLAG: &str = "--describe";

/// How long a program may take for that. Arbitrary: a thousand times of what it takes.
const LIMIT: Duration = Duration::from_secs(10);

/// The actions of a Wasm module. It is run to tell them, by the backend that will run it later: so a module that
/// the backend would refuse is not published.
#[cfg(feature = "wasm")]
pub(crate) fn wasm(_: &App, module: &[u8], _: Output) -> Result<Description, Error> {
    faas_backend_wasm::describe(module)
}

/// The actions of a Wasm module. Without an engine to run it, a program for this machine is built to tell them.
#[cfg(not(feature = "wasm"))]
pub(crate) fn wasm(app: &App, _: &[u8], output: Output) -> Result<Description, Error> {
    native::list(app, output)
}

/// The actions of a program for Linux that was compiled for `target`. It is run to tell them where this is Linux on the
/// same architecture; elsewhere a program for this machine is built for it.
pub(crate) fn program(app: &App, program: &Path, target: &str, output: Output) -> Result<Description, Error> {
    let runs = cfg!(target_os = "linux") && target.split('-').next() == Some(env::consts::ARCH);
    if !runs {
        return native::list(app, output);
    }
    let mut command = Command::new(program);
    let text = failure::printed_within(command.arg(FLAG).env_clear(), LIMIT)?;
    read(app, &text)
}

/// Reads what a program printed.
pub(crate) fn read(app: &App, text: &str) -> Result<Description, Error> {
    serde_json::from_str(text).map_err(|error| {
        let text = format!("'{}' described its actions in a way that cannot be read", app.name);
        Error::new(ErrorKind::Internal, text).with_source(error)
    })
}
