//! Connections to the database, and how they are set up.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::config::Durability;

/// The bytes of a page. A commit writes some eight of them for a record, so that small ones are written sooner. It is taken
/// when a database is made.
const PAGE: i64 = 2 << 10;

/// How much of the database a reader and the writer remember, in KiB. Arbitrary.
const READER_CACHE: i64 = 4 << 10;
const WRITER_CACHE: i64 = 32 << 10;

/// Up to this size the log is kept for reuse, in bytes: rewriting a file is faster than making it longer.
const WAL_LIMIT: i64 = 64 << 20;

/// For the case of another connection that looks at the log this very moment.
const BUSY: Duration = Duration::from_secs(10);

/// The connection that writes; it makes the database where there is none.
pub(crate) fn writer(path: &Path, durability: Durability) -> rusqlite::Result<Connection> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.pragma_update(None, "page_size", PAGE)?;
    set_up(&connection, WRITER_CACHE)?;
    let synchronous = match durability {
        Durability::Full => "FULL",
        Durability::Normal => "NORMAL",
    };
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", synchronous)?;
    connection.pragma_update(None, "journal_size_limit", WAL_LIMIT)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// A connection that moves what is in the log to the database, and looks.
pub(crate) fn tender(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    set_up(&connection, READER_CACHE)?;
    // A checkpoint is synced whatever the durability.
    connection.pragma_update(None, "synchronous", "FULL")?;
    Ok(connection)
}

/// A connection that reads.
pub(crate) fn reader(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    set_up(&connection, READER_CACHE)?;
    connection.pragma_update(None, "query_only", true)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

fn set_up(connection: &Connection, cache: i64) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY)?;
    // What a statement may have to roll back would go to temporary files.
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "cache_size", -cache)?;
    // Checkpoints have a thread of their own.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "cell_size_check", true)
}

/// What a checkpoint came to, in frames of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Checkpointed {
    /// Whether somebody was in its way.
    is_hindered: bool,
    frames: u32,
    pub(crate) moved: u32,
}

impl Checkpointed {
    pub(crate) fn is_complete(self) -> bool {
        !self.is_hindered && self.frames == self.moved
    }
}

/// Moves what is in the log to the database, and syncs that: `PASSIVE` keeps nobody from reading or writing, `FULL` waits
/// for those who write, `RESTART` for those who read as well, and `TRUNCATE` empties the log then.
pub(crate) fn checkpoint(connection: &Connection, mode: &str) -> rusqlite::Result<Checkpointed> {
    connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| {
        let number = |at| row.get(at).map(|number: i64| u32::try_from(number).unwrap_or_default());
        Ok(Checkpointed { is_hindered: row.get(0)?, frames: number(1)?, moved: number(2)? })
    })
}
