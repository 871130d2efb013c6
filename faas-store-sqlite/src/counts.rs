//! What is counted so that nobody has to count it again.

use serde::{Deserialize, Serialize};

/// How much a database holds. Kept by whoever writes, and across a close in the state of the directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counts {
    pub(crate) records: u64,
    pub(crate) jobs: u64,
    /// Jobs that somebody has a claim on.
    pub(crate) claimed: u64,
    pub(crate) dead_letters: u64,
    /// The latest end of a record, in nanoseconds since the epoch.
    pub(crate) latest_end: u64,
}

impl Counts {
    /// Counts what is there.
    pub(crate) fn read(connection: &rusqlite::Connection) -> rusqlite::Result<Self> {
        let count = |sql| -> rusqlite::Result<_> {
            let count: i64 = connection.query_row(sql, [], |row| row.get(0))?;
            Ok(u64::try_from(count).unwrap_or_default())
        };
        let latest = "SELECT max(end) FROM activations";
        let latest: Option<i64> = connection.query_row(latest, [], |row| row.get(0))?;
        Ok(Self {
            records: count("SELECT count(*) FROM activations")?,
            jobs: count("SELECT count(*) FROM jobs")?,
            claimed: count("SELECT count(*) FROM jobs WHERE phase = 0")?,
            dead_letters: count("SELECT count(*) FROM dead_letters")?,
            latest_end: latest.map_or(0, |end| crate::rows::timestamp(end).nanos()),
        })
    }
}
