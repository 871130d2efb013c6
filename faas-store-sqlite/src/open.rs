//! Opening a store: who may, what is found there, and whether it is what was left.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::channel;
use std::time::Instant;

use faas_core::{Error, ErrorKind};
use rusqlite::{Connection, OptionalExtension};

use crate::blobs::Blobs;
use crate::check;
use crate::config::{Durability, SqliteConfig};
use crate::connection::{self, checkpoint};
use crate::counts::Counts;
use crate::directory::{self, Lock};
use crate::error::{Failure, damaged, file, sqlite};
use crate::health::Health;
use crate::points::pass;
use crate::readers::Readers;
use crate::schema;
use crate::state::{Answered, Closed, Layout, Stamp, State, token};
use crate::store::{Shared, SqliteStore};
use crate::tender::Tender;
use crate::write::Memory;
use crate::writer::Writer;

/// The log is made so long at once: rewriting a file is faster than making it longer. Arbitrary: a thousand frames.
const WAL_BYTES: usize = 4 << 20;

/// Up to this size a database that was not closed is looked through row by row, and only page by page above. Arbitrary: a
/// second or so.
const THOROUGH: u64 = 64 << 20;

/// How a store was found.
enum Found {
    /// Nothing is there.
    New,
    /// As it was closed.
    Closed(Counts),
    /// It was not closed, or somebody has written to the database since.
    Doubtful,
}

pub(crate) fn open(folder: &Path, config: SqliteConfig) -> Result<SqliteStore, Error> {
    directory::make(folder)?;
    // Connections are opened later too, wherever the process has gone by then.
    let folder = fs::canonicalize(folder).map_err(|error| file("find", folder, error))?;
    let layout = Layout { folder };
    let lock = Lock::take(&layout)?;
    let state = State::read(&layout)?;
    let found = look(&layout, state.as_ref())?;
    let mut answered = Answered::open(&layout)?;
    let health = Arc::new(Health::default());
    let blobs = Blobs::open(layout.blobs(), Arc::clone(&health))?;
    let opened = (|| {
        let mut connection = connection::writer(&layout.database(), config.durability)?;
        let tokens = state.map(|state| state.tokens).unwrap_or_default();
        let counts = verify(&connection, &layout, &blobs, &found, &tokens)?;
        renew(&mut connection, &layout, &mut answered, &tokens, config.durability)?;
        let counts = counts.map_or_else(|| Counts::read(&connection), Ok)?;
        Ok((connection, counts))
    })();
    let (connection, counts) = opened.map_err(|failure: Failure| in_file(failure, &layout))?;
    start(Started { layout, lock, config, connection, counts, answered, health, blobs })
}

/// What files there are, before SQLite touches any of them.
fn look(layout: &Layout, state: Option<&State>) -> Result<Found, Error> {
    let (database, wal) = (layout.database(), layout.wal());
    let length = |path: &Path| match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        metadata => metadata.map(|it| Some(it.len())).map_err(|error| file("look at", path, error)),
    };
    let has_database = length(&database)?.is_some();
    let Some(state) = state else {
        if has_database {
            let text = format!(
                "{} has a database but no state.json, without which nobody knows whether it is whole; restore it from a \
                 backup",
                layout.folder.display()
            );
            return Err(damaged(text));
        }
        State { closed: None, tokens: Vec::new() }.write(layout)?;
        return Ok(Found::New);
    };
    if state.tokens.is_empty() {
        return Ok(Found::New);
    }
    if !has_database {
        return Err(damaged(format!("{} is missing; restore the store from a backup", database.display())));
    }
    let Some(Closed { stamp, counts }) = &state.closed else { return Ok(Found::Doubtful) };
    if length(&wal)?.is_some_and(|length| length > 0) {
        let text = format!(
            "{} is not of this database, which was closed without one; remove it if you know where it comes from",
            wal.display()
        );
        return Err(damaged(text));
    }
    let now = Stamp::of(&database).map_err(|error| file("look at", &database, error))?;
    Ok(if now == *stamp { Found::Closed(*counts) } else { Found::Doubtful })
}

/// Checks that the database is the one that was left, as far as there is doubt. Gives the counts that it was closed with.
fn verify(
    connection: &Connection,
    layout: &Layout,
    blobs: &Blobs,
    found: &Found,
    tokens: &[String],
) -> Result<Option<Counts>, Failure> {
    if schema::is_empty(connection)? {
        return match found {
            Found::New => Ok(Some(Counts::default())),
            _ => Err(damaged(format!("{} is empty", layout.database().display())).into()),
        };
    }
    schema::check(connection, &layout.database())?;
    let held = read_token(connection)?;
    // Without any token it was left after the database was made and before that was noted.
    if !tokens.is_empty() && !held.is_some_and(|held| tokens.contains(&held)) {
        let text = format!(
            "{} is not the database that this store was left with, but an older one or another store's; restore the whole \
             directory from a backup",
            layout.database().display()
        );
        return Err(damaged(text).into());
    }
    match found {
        Found::Closed(counts) => return Ok(Some(*counts)),
        Found::New | Found::Doubtful => {}
    }
    let size = Stamp::of(&layout.database()).map_or(0, |stamp| stamp.bytes());
    if size <= THOROUGH {
        check::thorough(connection, blobs)?
    } else {
        check::quick(connection)?
    }
    Ok(None)
}

/// Makes the store that was left one that is open: no log, a new token, and a log to come.
fn renew(
    connection: &mut Connection,
    layout: &Layout,
    answered: &mut Answered,
    tokens: &[String],
    durability: Durability,
) -> Result<(), Failure> {
    let token = token();
    let mut accepted = tokens.to_vec();
    if !accepted.is_empty() {
        accepted.push(token.clone());
        State { closed: None, tokens: accepted }.write(layout)?;
        pass("open.claimed");
    }
    empty_log(connection, layout, Some(answered))?;
    pass("open.emptied");
    make_log(&layout.wal());
    pass("open.logged");
    schema::migrate(connection)?;
    write_token(connection, &token)?;
    pass("open.written");
    if durability == Durability::Normal {
        // The state names this token alone, so it must not be in a log that a loss of power may take along.
        moved(connection, layout, "FULL")?;
    }
    State { closed: None, tokens: vec![token] }.write(layout)?;
    pass("open.after");
    Ok(())
}

/// Moves all that is in the log to the database, and cuts it to nothing.
fn empty_log(
    connection: &Connection,
    layout: &Layout,
    answered: Option<&mut Answered>,
) -> Result<(), Failure> {
    // Nobody may be left who reads it before it claims nothing any more, and it may not go while it claims something.
    moved(connection, layout, "RESTART")?;
    pass("log.restarted");
    if let Some(answered) = answered {
        answered.clear().map_err(|error| file("write", &layout.folder, error))?;
    }
    pass("log.cleared");
    moved(connection, layout, "TRUNCATE")
}

/// A checkpoint of all that is in the log. Another program that reads the database may be in its way.
fn moved(connection: &Connection, layout: &Layout, mode: &str) -> Result<(), Failure> {
    if checkpoint(connection, mode)?.is_complete() {
        return Ok(());
    }
    let text = format!(
        "{} is in use by another program, such as a shell that has not ended a transaction; end it, and try again",
        layout.wal().display()
    );
    Err(Error::new(ErrorKind::Unavailable, text).into())
}

/// Makes the log long, where there is room and nothing is in it. SQLite takes zeros for none.
fn make_log(path: &Path) {
    if fs::metadata(path).is_ok_and(|log| log.len() > 0) {
        return;
    }
    let make = |file: &mut File| file.write_all(&vec![0; WAL_BYTES]).and_then(|()| file.sync_all());
    let Ok(mut file) = OpenOptions::new().write(true).create(true).truncate(false).open(path) else { return };
    if make(&mut file).is_err() {
        let _ = file.set_len(0);
    }
}

fn read_token(connection: &Connection) -> rusqlite::Result<Option<String>> {
    let sql = "SELECT value FROM meta WHERE key = 'token'";
    connection.query_row(sql, [], |row| row.get(0)).optional()
}

pub(crate) fn write_token(connection: &Connection, token: &str) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO meta (key, value) VALUES ('token', ?1)";
    connection.execute(sql, [token]).map(drop)
}

/// The error of a database that cannot be opened, with its path.
fn in_file(failure: Failure, layout: &Layout) -> Error {
    match failure {
        Failure::Refused(error) => error,
        Failure::Sqlite(error) => {
            let error = sqlite(&error);
            let text = format!("{}: {}", layout.database().display(), error.message());
            Error::new(error.kind(), text).temporary(error.is_temporary()).with_source(error)
        }
    }
}

/// What the threads of a store are started with.
struct Started {
    layout: Layout,
    lock: Lock,
    config: SqliteConfig,
    connection: Connection,
    counts: Counts,
    answered: Answered,
    health: Arc<Health>,
    blobs: Blobs,
}

fn start(started: Started) -> Result<SqliteStore, Error> {
    let Started { layout, lock, config, mut connection, counts, answered, health, blobs } = started;
    let frames = Arc::new(AtomicU32::new(0));
    let seen = Arc::clone(&frames);
    let hook = move |_: &mut rusqlite::hooks::Wal, frames| {
        seen.store(u32::try_from(frames).unwrap_or_default(), Relaxed);
        Ok(())
    };
    connection.wal_hook(Some(hook)).map_err(|error| sqlite(&error))?;
    let tender = connection::tender(&layout.database()).map_err(|error| sqlite(&error))?;
    let unstarted = |error: io::Error| {
        Error::new(ErrorKind::Unavailable, format!("a thread of the store cannot be started: {error}"))
    };
    let tender =
        Tender::start(tender, config.durability, Arc::clone(&frames), blobs.clone(), Arc::clone(&health))
            .map_err(unstarted)?;
    let readers = Readers::new(layout.database(), config.readers);
    let pending = Arc::new(AtomicU64::new(counts.jobs));
    let shared = Arc::new(Shared {
        readers,
        blobs,
        config: config.clone(),
        layout,
        pending: Arc::clone(&pending),
        health: Arc::clone(&health),
    });
    let mut writer = Writer {
        connection,
        memory: Memory::with(counts),
        answered: (config.durability == Durability::Full).then_some(answered),
        config,
        health,
        tender,
        frames,
        pending,
        has_excess: true,
        next_purge: Instant::now(),
    };
    let (requests, received) = channel();
    let closing = Arc::clone(&shared);
    let name = "faas-store-writer".to_owned();
    let thread = std::thread::Builder::new().name(name).spawn(move || {
        writer.serve(&received);
        if let Err(error) = close(writer, &closing) {
            tracing::warn!(%error, "the store is left without being closed; the next start looks through it");
        }
        drop(lock);
    });
    Ok(SqliteStore::new(requests, thread.map_err(unstarted)?, shared))
}

/// Leaves the store so that the next start finds it whole: everything in the database, no log, a new token.
fn close(mut writer: Writer, shared: &Shared) -> Result<(), Error> {
    shared.readers.close();
    writer.tender.stop();
    let Writer { connection, memory, mut answered, health, .. } = writer;
    let layout = &shared.layout;
    let mut close = || {
        if let Err(failed) = health.check() {
            // What the log holds is known to nobody, and must not get into the database.
            let setting = rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
            connection.set_db_config(setting, true)?;
            return Err(failed.into());
        }
        pass("close.before");
        let (old, new) = (read_token(&connection)?, token());
        let tokens: Vec<String> = old.into_iter().chain([new.clone()]).collect();
        State { closed: None, tokens }.write(layout)?;
        pass("close.claimed");
        write_token(&connection, &new)?;
        pass("close.written");
        empty_log(&connection, layout, answered.as_mut())?;
        pass("close.emptied");
        Ok::<_, Failure>(new)
    };
    let token = close()?;
    drop(connection);
    let database = layout.database();
    let stamp = Stamp::of(&database).map_err(|error| file("look at", &database, error))?;
    State { closed: Some(Closed { stamp, counts: memory.tally.counts }), tokens: vec![token] }
        .write(layout)?;
    pass("close.after");
    Ok(())
}
