//! Running the cargo that builds a shim.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;

use cargo_metadata::diagnostic::DiagnosticLevel;
use cargo_metadata::{CompilerMessage, Message};
use faas_core::{Error, ErrorKind};

use crate::app::App;
use crate::failure;
use crate::output::{self, Output};
use crate::shim::Shim;

/// What rustc says when a path leads nowhere: to a function, a module, an import or something private.
const UNKNOWN: [&str; 4] = ["E0425", "E0433", "E0432", "E0603"];

/// What the compiler said.
#[derive(Default)]
struct Said {
    /// The text of its errors.
    errors: String,
    /// The first error in one line.
    first: Option<String>,
    /// Whether the shim did not find the crate's list of actions.
    no_actions: bool,
    /// The files that the shim became.
    files: Vec<PathBuf>,
}

/// Builds the shim by the command, which is told all but how to report; returns the files it became.
pub(crate) fn build(
    app: &App,
    shim: &Shim,
    mut cargo: Command,
    output: Output,
) -> Result<Vec<PathBuf>, Error> {
    cargo.arg("--manifest-path").arg(&shim.manifest).stdin(Stdio::null()).stdout(Stdio::piped());
    if output == Output::Full {
        let format = if output::colored() { "json-diagnostic-rendered-ansi" } else { "json" };
        cargo.arg(format!("--message-format={format}")).stderr(Stdio::inherit());
    } else {
        cargo.args(["--message-format=json", "--quiet"]).stderr(Stdio::piped());
    }
    let mut child = cargo
        .spawn()
        .map_err(|error| Error::new(ErrorKind::NotFound, "cannot start cargo").with_source(error))?;
    let stderr = child.stderr.take().map(|mut pipe| {
        thread::spawn(move || {
            let mut bytes = Vec::new();
            // What could be read is worth showing whatever came then.
            let _ = pipe.read_to_end(&mut bytes);
            String::from_utf8_lossy(&bytes).into_owned()
        })
    });
    let said = listen(&mut child, shim, output);
    let status = child.wait();
    let stderr = stderr.and_then(|reader| reader.join().ok()).unwrap_or_default();
    let broken = |error| Error::new(ErrorKind::Internal, "lost the connection to cargo").with_source(error);
    let said = said.map_err(broken)?;
    if status.map_err(broken)?.success() { Ok(said.files) } else { Err(failed(app, &said, &stderr, output)) }
}

/// Reads cargo's messages until there are no more, and passes on what the compiler says.
fn listen(child: &mut Child, shim: &Shim, output: Output) -> std::io::Result<Said> {
    let mut said = Said::default();
    let Some(stdout) = child.stdout.take() else { return Ok(said) };
    for line in BufReader::new(stdout).lines() {
        match serde_json::from_str::<Message>(&line?) {
            Ok(Message::CompilerMessage(message)) => hear(&mut said, &message, shim, output),
            Ok(Message::CompilerArtifact(built)) if built.target.name == shim.target => {
                said.files = built.filenames.into_iter().map(Into::into).collect();
            }
            _ => {}
        }
    }
    Ok(said)
}

fn hear(said: &mut Said, message: &CompilerMessage, shim: &Shim, output: Output) {
    let diagnostic = &message.message;
    let rendered = diagnostic.rendered.as_deref().unwrap_or(&diagnostic.message);
    output.diagnostic(rendered);
    if !matches!(diagnostic.level, DiagnosticLevel::Error | DiagnosticLevel::Ice) {
        return;
    }
    said.errors.push_str(rendered);
    said.first.get_or_insert_with(|| diagnostic.message.clone());
    let unknown = diagnostic.code.as_ref().is_some_and(|code| UNKNOWN.contains(&code.code.as_str()));
    said.no_actions |= unknown && message.target.name == shim.target;
}

/// Why the build failed. What was not printed as it came is the source of the error.
fn failed(app: &App, said: &Said, stderr: &str, output: Output) -> Error {
    let name = &app.name;
    let text = if said.no_actions {
        let actions = &app.actions;
        format!(
            "'{name}' has no public function `{actions}`: put `faas_core::actions![…]` with all its actions at \
             the root of src/lib.rs, or name the path of the function as `actions` in [package.metadata.faas]"
        )
    } else {
        match said.first.as_deref().or_else(|| failure::first_error(stderr)) {
            Some(first) => format!("'{name}' does not build: {first}"),
            None => format!("'{name}' does not build: cargo said why"),
        }
    };
    let error = Error::new(ErrorKind::InvalidArgument, text)
        .with_context("manifest", app.folder.join("Cargo.toml").display());
    match output {
        Output::Full => error,
        Output::Quiet | Output::Brief => error.with_source(format!("{}{stderr}", said.errors)),
    }
}
