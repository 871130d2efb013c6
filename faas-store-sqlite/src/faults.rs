//! A disk that fails, for tests.

use std::fs::File;
use std::io;
#[cfg(feature = "faults")]
use std::sync::atomic::{AtomicI32, Ordering::SeqCst};

/// What the disk can be made to fail at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[cfg_attr(not(feature = "faults"), expect(unreachable_pub, reason = "tests alone name it"))]
pub enum Fault {
    /// The start of a transaction.
    Begin,
    /// A commit, of which nothing is written.
    Commit,
    /// A commit, of which all is written.
    Written,
    /// Writing a file in `blobs/`.
    Write,
    /// The sync of a file in `blobs/`.
    Blob,
    /// The sync of the names in `blobs/`.
    Names,
    /// Noting how far the log was answered.
    Answered,
    /// Moving what is in the log to the database.
    Checkpoint,
}

/// What fails next. Without the feature `faults` it is nothing.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    /// A code by the number of what is to fail with it; 0 is none.
    #[cfg(feature = "faults")]
    codes: [AtomicI32; 8],
}

impl Faults {
    /// Has the disk fail the next time: with this code of SQLite, or of the operating system where SQLite has no part in it.
    #[cfg(feature = "faults")]
    pub(crate) fn fail_next(&self, fault: Fault, code: i32) {
        self.codes[fault as usize].store(code, SeqCst);
    }

    /// Called where SQLite may fail.
    pub(crate) fn sqlite(&self, fault: Fault) -> rusqlite::Result<()> {
        match self.take(fault) {
            0 => Ok(()),
            code => Err(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None)),
        }
    }

    /// Called where a file may fail.
    pub(crate) fn file(&self, fault: Fault) -> io::Result<()> {
        match self.take(fault) {
            0 => Ok(()),
            code => Err(io::Error::from_raw_os_error(code)),
        }
    }

    /// Syncs a file.
    pub(crate) fn sync(&self, fault: Fault, file: &File) -> io::Result<()> {
        self.file(fault)?;
        file.sync_all()
    }

    #[cfg(feature = "faults")]
    fn take(&self, fault: Fault) -> i32 {
        self.codes[fault as usize].swap(0, SeqCst)
    }

    #[cfg(not(feature = "faults"))]
    #[expect(clippy::unused_self, reason = "there is nothing to fail with")]
    fn take(&self, _: Fault) -> i32 {
        0
    }
}
