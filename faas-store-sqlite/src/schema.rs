//! The tables, and how a file of an earlier version becomes one of this.
//!
//! Names of namespaces and actions are numbers in indexes, so that these stay small. Times are kept in the order of
//! signed numbers, see [`time`](crate::rows::time).

use faas_core::{Error, ErrorKind};
use rusqlite::Connection;

use crate::error::{Failure, damaged};

/// Marks a file as one of this store: the bytes of `FaaS`.
const APPLICATION: i32 = 0x4661_6153;

/// What makes a file of version `n` one of version `n + 1`. Never change one that was released.
const MIGRATIONS: [&str; 1] = [FIRST];

/// `jobs.phase` is 0 while somebody has a claim, 1 while the job waits for its time, 2 when it may be claimed. Only the
/// last take turns: `turn` is then the namespace, and 0 before, where jobs are ordered by time alone. What is asked for by
/// phase says `phase > 0` too: SQLite does not conclude it, and would look at all jobs.
const FIRST: &str = "
CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE names (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);
CREATE TABLE activations (
    seq INTEGER PRIMARY KEY, id BLOB NOT NULL, namespace INTEGER NOT NULL, name INTEGER NOT NULL,
    start INTEGER NOT NULL, end INTEGER NOT NULL, files INTEGER NOT NULL, body BLOB NOT NULL
);
CREATE UNIQUE INDEX activations_id ON activations (id);
CREATE INDEX activations_start ON activations (start, id);
CREATE INDEX activations_namespace ON activations (namespace, start, id);
CREATE INDEX activations_name ON activations (name, start, id);
CREATE INDEX activations_both ON activations (namespace, name, start, id);
CREATE TABLE jobs (
    id BLOB PRIMARY KEY, phase INTEGER NOT NULL, turn INTEGER NOT NULL, due INTEGER NOT NULL,
    accepted INTEGER NOT NULL, state INTEGER NOT NULL, attempt INTEGER NOT NULL, namespace INTEGER NOT NULL,
    files INTEGER NOT NULL, sum INTEGER NOT NULL, earlier BLOB NOT NULL, body BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX jobs_turn ON jobs (phase, turn, due, accepted, id) WHERE phase > 0;
CREATE INDEX jobs_delayed ON jobs (namespace, due, accepted, id) WHERE phase = 1;
CREATE TABLE keys (
    key BLOB PRIMARY KEY, id BLOB NOT NULL, until INTEGER NOT NULL, sum INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX keys_until ON keys (until);
CREATE TABLE dead_letters (
    seq INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, namespace INTEGER NOT NULL, name INTEGER NOT NULL,
    start INTEGER NOT NULL, due INTEGER NOT NULL, sum INTEGER NOT NULL, job BLOB NOT NULL, record BLOB NOT NULL
);
CREATE TABLE entities (
    name TEXT PRIMARY KEY, kind INTEGER NOT NULL, revision INTEGER NOT NULL, sum INTEGER NOT NULL,
    body BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE schedules (
    name TEXT PRIMARY KEY, position INTEGER NOT NULL, sum INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE blobs (digest BLOB PRIMARY KEY, refs INTEGER NOT NULL, sum INTEGER NOT NULL) WITHOUT ROWID;
";

/// What the number of a schema tells.
pub(crate) const VERSION: usize = MIGRATIONS.len();

/// Whether the file is empty: SQLite makes one before anything is written to it.
pub(crate) fn is_empty(connection: &Connection) -> Result<bool, Failure> {
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok(tables == 0)
}

/// Refuses a file of something else, or of a later version of this store.
pub(crate) fn check(connection: &Connection, path: &std::path::Path) -> Result<(), Failure> {
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0));
    let (application, version) = (number("application_id")?, number("user_version")?);
    let path = path.display();
    if application != APPLICATION {
        let text = format!("{path} is a database of something else: its application_id is {application:#x}");
        return Err(Error::new(ErrorKind::InvalidArgument, text).into());
    }
    let version = usize::try_from(version).unwrap_or(usize::MAX);
    if version > VERSION {
        let text = format!(
            "{path} was written by a later version of this library: its schema is number {version}, and this one knows \
             those up to {VERSION}"
        );
        return Err(Error::new(ErrorKind::Unsupported, text).into());
    }
    if version == 0 {
        return Err(damaged(format!("{path} has no schema")).into());
    }
    Ok(())
}

/// Brings the tables to this version, in one step.
pub(crate) fn migrate(connection: &mut Connection) -> Result<(), Failure> {
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let version = usize::try_from(version).unwrap_or_default();
    if version == VERSION {
        return Ok(());
    }
    let transaction = connection.transaction()?;
    for migration in MIGRATIONS.iter().skip(version) {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION)?;
    transaction.pragma_update(None, "user_version", i64::try_from(VERSION).unwrap_or_default())?;
    transaction.commit()?;
    Ok(())
}
