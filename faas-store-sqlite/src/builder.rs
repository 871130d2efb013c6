//! How a store is told where it is and what it keeps.

use std::path::{Path, PathBuf};
use std::time::Duration;

use faas_core::backend::BackendUrl;
use faas_core::{Error, ErrorKind};

use crate::config::{Durability, SqliteConfig};
use crate::store::SqliteStore;

/// Makes a [`SqliteStore`].
///
/// ```
/// use faas_store_sqlite::{Durability, SqliteStore};
/// use std::time::Duration;
/// # fn main() -> Result<(), faas_core::Error> {
/// # let folder = std::env::temp_dir().join(format!("faas-builder-{}", std::process::id()));
/// let store = SqliteStore::builder(&folder)
///     .max_records(100_000)
///     .max_age(Duration::from_secs(7 * 24 * 60 * 60))
///     .durability(Durability::Normal)
///     .open()?;
/// assert_eq!(store.config().max_records, 100_000);
/// # drop(store);
/// # let _ = std::fs::remove_dir_all(&folder);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct SqliteBuilder {
    folder: PathBuf,
    config: SqliteConfig,
}

impl SqliteBuilder {
    pub(crate) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), config: SqliteConfig::default() }
    }

    /// Reads `sqlite:DIR`, with the options `durability` (`full` or `normal`), `max_records`, `max_age` (such as `720h`),
    /// `max_jobs`, `inline_bytes` and `readers`.
    ///
    /// # Errors
    /// `InvalidArgument` for another scheme, a URL without a directory, and an option that is unknown or out of its
    /// range.
    pub fn from_url(url: &BackendUrl) -> Result<Self, Error> {
        let invalid = |text: String| Error::new(ErrorKind::InvalidArgument, text);
        if url.scheme() != "sqlite" || url.rest().is_empty() {
            return Err(invalid(format!("a store in SQLite is named sqlite:DIR, but got '{url}'")));
        }
        let allowed = ["durability", "inline_bytes", "max_age", "max_jobs", "max_records", "readers"];
        let options = url.options(&allowed)?;
        let defaults = SqliteConfig::default();
        let durability = match options.text("durability")? {
            None | Some("full") => Durability::Full,
            Some("normal") => Durability::Normal,
            Some(other) => {
                return Err(invalid(format!("option 'durability' is '{other}', not full or normal")));
            }
        };
        let config = SqliteConfig {
            durability,
            max_records: options.number("max_records", 0..=u64::MAX)?.unwrap_or(defaults.max_records),
            max_age: options.duration("max_age")?.unwrap_or(defaults.max_age),
            max_jobs: options.number("max_jobs", 0..=u64::MAX)?.unwrap_or(defaults.max_jobs),
            inline_bytes: options.number("inline_bytes", 0..=1 << 30)?.unwrap_or(defaults.inline_bytes),
            readers: options.number("readers", 1..=64)?.unwrap_or(defaults.readers),
        };
        Ok(Self { folder: PathBuf::from(url.rest()), config })
    }

    /// When a write is answered: when it is on disk, unless told.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.config.durability = durability;
        self
    }

    /// How many records and dead letters are kept; see [`SqliteConfig::max_records`].
    pub fn max_records(mut self, max_records: u64) -> Self {
        self.config.max_records = max_records;
        self
    }

    /// For how long records are kept; see [`SqliteConfig::max_age`].
    pub fn max_age(mut self, max_age: Duration) -> Self {
        self.config.max_age = max_age;
        self
    }

    /// How many jobs are accepted.
    pub fn max_jobs(mut self, max_jobs: u64) -> Self {
        self.config.max_jobs = max_jobs;
        self
    }

    /// Which parts of a row go to files: those over so many bytes.
    pub fn inline_bytes(mut self, inline_bytes: usize) -> Self {
        self.config.inline_bytes = inline_bytes;
        self
    }

    /// How many connections read at once; at least one.
    pub fn readers(mut self, readers: usize) -> Self {
        self.config.readers = readers.max(1);
        self
    }

    /// Opens the store. It waits for the disk: a moment after a close, and as long as it takes to look through the
    /// database where it was not closed.
    ///
    /// # Errors
    /// - `NotFound` when the directory is not there and neither is the one that it would be made in.
    /// - `Unavailable`, temporary, when a process has it open, which is named, when another program reads the log of a store
    ///   that was not closed, and when the disk is full.
    /// - `PermissionDenied` when it may not be read or written.
    /// - `Unsupported` when a later version of this library has written it, `InvalidArgument` when it is something else.
    /// - `Unavailable`, not temporary, when what is there is damaged, which it says.
    pub fn open(self) -> Result<SqliteStore, Error> {
        crate::open::open(&self.folder, self.config).map_err(|error| error.with_operation("open the store"))
    }
}
