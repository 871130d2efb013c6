//! Whether a store still writes.

use std::sync::OnceLock;

use faas_core::{Error, ErrorKind};

use crate::faults::Faults;

/// A store writes until the disk fails, above all a sync: what it then holds is known to nobody, and a second sync that
/// succeeds would prove nothing. So the store never writes again, and says so.
///
/// # Source
/// Rebello et al., "Can Applications Recover from fsync Failures?", USENIX ATC 2020.
#[derive(Debug, Default)]
pub(crate) struct Health {
    reason: OnceLock<String>,
    pub(crate) faults: Faults,
}

impl Health {
    /// The store writes no more, for the reason given.
    pub(crate) fn fail(&self, reason: &str) {
        if self.reason.set(reason.to_owned()).is_ok() {
            tracing::error!(reason, "the store writes no more");
        }
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.reason.get().is_some()
    }

    /// The error of every write after a failure.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let Some(reason) = self.reason.get() else { return Ok(()) };
        let text = format!(
            "the store writes no more, since {reason}; open it again, and whether the last writes are there will tell"
        );
        Err(Error::new(ErrorKind::Unavailable, text).temporary(false))
    }
}
