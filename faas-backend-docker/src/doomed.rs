//! What is to be removed, whatever becomes of those who have it.

use bollard::errors::Error as Refusal;
use faas_core::Error;

use crate::error::refusal;
use crate::home::Shared;
use crate::reaper::{Leftover, Reaper};

/// A container that may be there. Dropping it has it removed.
pub(crate) struct Doomed {
    pub(crate) name: String,
    pub(crate) shared: Option<Shared>,
    pub(crate) reaper: Reaper,
    pub(crate) fate: Fate,
}

/// What has come of a container, as far as is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It was asked for, and may be there or come.
    Asked,
    /// It is there, or is not and will not come.
    Told,
    /// There is none.
    Gone,
}

impl Fate {
    /// What has come of a container that was asked for with this result.
    pub(crate) fn of<T>(created: &Result<T, Error>) -> Self {
        match created.as_ref().err().and_then(refusal) {
            // The engine may yet do what it was asked.
            Some(Refusal::RequestTimeoutError) => Self::Asked,
            // Nobody was asked.
            Some(Refusal::HyperLegacyError { err }) if err.is_connect() => Self::Gone,
            _ => Self::Told,
        }
    }
}

impl Drop for Doomed {
    fn drop(&mut self) {
        if self.fate != Fate::Gone {
            let (name, may_come) = (std::mem::take(&mut self.name), self.fate == Fate::Asked);
            self.reaper.take(Leftover { name, shared: self.shared.take(), may_come });
        }
    }
}
