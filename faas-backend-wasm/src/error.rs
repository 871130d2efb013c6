//! From wasmtime's errors to the one of this library.

use faas_core::{Error, ErrorKind};

/// An error that an error of the engine caused. Its whole chain is kept as text, since the engine's type is no part
/// of this library's interface.
pub(crate) fn caused(kind: ErrorKind, text: impl Into<String>, source: wasmtime::Error) -> Error {
    Error::new(kind, text).with_source(chain(&source))
}

/// An error of the engine as one line.
pub(crate) fn chain(error: &wasmtime::Error) -> String {
    let texts: Vec<String> = error.chain().map(ToString::to_string).collect();
    texts.join(": ")
}

/// An error of the operating system with the file that it concerns.
pub(crate) fn file(kind: ErrorKind, what: &str, path: &std::path::Path, source: std::io::Error) -> Error {
    Error::new(kind, format!("{what} {}: {source}", path.display())).with_source(source)
}
