//! Commits that fail, for tests.

#[cfg(feature = "faults")]
use std::sync::atomic::{AtomicI32, Ordering::SeqCst};

/// What the next commit fails with. Without the feature `faults` it is nothing.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    #[cfg(feature = "faults")]
    code: AtomicI32,
}

impl Faults {
    /// Has the next commit fail with this code of SQLite.
    #[cfg(feature = "faults")]
    pub(crate) fn fail_next_commit(&self, code: i32) {
        self.code.store(code, SeqCst);
    }

    /// Called in place of each commit, and before it.
    #[cfg_attr(
        not(feature = "faults"),
        expect(clippy::unused_self, reason = "there is nothing to fail with")
    )]
    pub(crate) fn commit(&self) -> rusqlite::Result<()> {
        #[cfg(feature = "faults")]
        match self.code.swap(0, SeqCst) {
            0 => {}
            code => return Err(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None)),
        }
        Ok(())
    }
}
