//! What a store keeps, and how safely.

use std::time::Duration;

/// When a write is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// When it is on disk: it survives the loss of power.
    #[default]
    Full,
    /// When the operating system has it: it survives the end of the process, however that ends, but a loss of power
    /// or a crash of the operating system takes along what was written since the last checkpoint. There is one after
    /// 8 MiB of the log, which is some hundreds of activations, and after a second if there is anything to do. What
    /// is left is whole, and older.
    Normal,
}

/// What a [`SqliteStore`](crate::SqliteStore) keeps, and how safely. [`SqliteBuilder`](crate::SqliteBuilder) sets it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SqliteConfig {
    /// When a write is answered.
    pub durability: Durability,
    /// How many records are kept, and how many dead letters: the newest, by when they were written.
    pub max_records: u64,
    /// For how long records are kept. It counts back from the latest end of a record rather than from a clock, so that
    /// a store that nothing happens to keeps what it has.
    pub max_age: Duration,
    /// How many jobs are accepted, those that follow from a record apart.
    pub max_jobs: u64,
    /// Parts of a row over so many bytes, such as payloads and results, go to files.
    pub inline_bytes: usize,
    /// How many connections read at once.
    pub readers: usize,
}

impl SqliteConfig {
    /// The number of records that are kept unless told. Arbitrary: about 1 GiB without large results.
    pub const DEFAULT_MAX_RECORDS: u64 = 1_000_000;
    /// The age up to which records are kept unless told. Arbitrary.
    pub const DEFAULT_MAX_AGE: Duration = Duration::from_secs(30 * 24 * 60 * 60);
    /// The number of jobs that are accepted unless told. Arbitrary: they take no memory.
    pub const DEFAULT_MAX_JOBS: u64 = 10_000_000;
    /// What goes to files unless told: over four pages of the database. Arbitrary.
    pub const DEFAULT_INLINE_BYTES: usize = 16 << 10;
    /// How many connections read at once unless told. Arbitrary; each has a cache of 4 MiB.
    pub const DEFAULT_READERS: usize = 4;
}

impl Default for SqliteConfig {
    fn default() -> Self {
        Self {
            durability: Durability::Full,
            max_records: Self::DEFAULT_MAX_RECORDS,
            max_age: Self::DEFAULT_MAX_AGE,
            max_jobs: Self::DEFAULT_MAX_JOBS,
            inline_bytes: Self::DEFAULT_INLINE_BYTES,
            readers: Self::DEFAULT_READERS,
        }
    }
}
