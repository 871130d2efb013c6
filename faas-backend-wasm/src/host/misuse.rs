//! Why a guest was stopped that called its host as it may not.

use std::fmt;

/// What the guest did.
#[derive(Debug)]
pub(crate) struct Misused(pub(super) String);

impl fmt::Display for Misused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Misused {}

/// Ends the guest, whose fault it is.
macro_rules! misused {
    ($($text:tt)*) => {
        return Err(wasmtime::Error::new($crate::host::misuse::Misused(format!($($text)*))))
    };
}

pub(super) use misused;
