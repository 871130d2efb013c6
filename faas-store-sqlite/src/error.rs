//! From the errors of SQLite and of files to the one of this library.

use std::io;
use std::path::Path;

use faas_core::{Error, ErrorKind};
use rusqlite::ErrorCode;
use rusqlite::ffi::SQLITE_IOERR_SHMSIZE;

/// Why a step of a request was not done.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The request cannot be met: this is its answer.
    Refused(Error),
    /// SQLite failed.
    Sqlite(rusqlite::Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(error) => error,
            Failure::Sqlite(error) => sqlite(&error),
        }
    }
}

/// What an error of SQLite means to whoever called the store.
pub(crate) fn sqlite(error: &rusqlite::Error) -> Error {
    let code = error.sqlite_error_code();
    if is_full(error) {
        return full("the database").with_source(error.to_string());
    }
    match code {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            damaged(format!("the database is damaged: {error}"))
        }
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
            let text = format!("the database may not be written to: {error}");
            Error::new(ErrorKind::PermissionDenied, text)
        }
        // A column that holds what was never written there.
        None => damaged(format!("the database is damaged: {error}")),
        _ => Error::new(ErrorKind::Unavailable, format!("the database failed: {error}")).temporary(false),
    }
}

/// Whether there was no room: what was not written can be written again once there is.
pub(crate) fn is_full(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DiskFull)
        || error.sqlite_extended_error_code() == Some(SQLITE_IOERR_SHMSIZE)
}

/// Whether the disk has failed, rather than been full.
pub(crate) fn is_io(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::SystemIoFailure) && !is_full(error)
}

pub(crate) fn full(what: &str) -> Error {
    let text = format!("the disk is full: {what} cannot grow, and nothing of this call was written");
    Error::new(ErrorKind::Unavailable, text)
}

/// What is on disk is not what was written there.
pub(crate) fn damaged(text: impl Into<String>) -> Error {
    Error::new(ErrorKind::Unavailable, text).temporary(false)
}

/// The error of a file operation, with the file.
pub(crate) fn file(what: &str, path: &Path, error: io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::NotFound => ErrorKind::NotFound,
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => ErrorKind::PermissionDenied,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            return full(&path.display().to_string()).with_source(error);
        }
        io::ErrorKind::NotADirectory => ErrorKind::InvalidArgument,
        _ => ErrorKind::Unavailable,
    };
    let text = format!("cannot {what} {}: {error}", path.display());
    Error::new(kind, text).temporary(false).with_source(error)
}
