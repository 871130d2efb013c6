//! Looks through a whole store.

use rusqlite::{Connection, Row};

use crate::blobs::{Blobs, Digest};
use crate::codec::{self, Kind};
use crate::error::{Failure, damaged};
use crate::read::{read_dead_letter, read_key, read_record, read_schedule};
use crate::readers::Reader;
use crate::rows::{self, key};
use crate::write::RawStanding;

/// Looks at the structure of all pages.
pub(crate) fn quick(connection: &Connection) -> Result<(), Failure> {
    ask(connection, "PRAGMA quick_check(1)")
}

/// Looks at all pages, whether indexes have what tables have, and at every row; at files only whether they are there.
pub(crate) fn thorough(connection: &Connection, blobs: &Blobs) -> Result<(), Failure> {
    ask(connection, "PRAGMA integrity_check(1)")?;
    let reader = Reader { connection, blobs };
    let blob = |row: &Row<'_>, at| Ok::<_, Failure>(row.get_ref(at)?.as_blob().unwrap_or_default().to_vec());
    each(&reader, "SELECT id, body FROM activations", |row| {
        present(blobs, codec::digests(Kind::Record, &blob(row, 0)?, &blob(row, 1)?)?)
    })?;
    each(&reader, "SELECT state, attempt, due, accepted, earlier, sum, id, body FROM jobs", |row| {
        let id = rows::id(&blob(row, 6)?)?;
        RawStanding::read(row)?.checked(id)?;
        present(blobs, codec::digests(Kind::Job, &key(id), &blob(row, 7)?)?)
    })?;
    each(&reader, "SELECT id, job, record FROM dead_letters", |row| {
        present(blobs, codec::digests(Kind::Job, &blob(row, 0)?, &blob(row, 1)?)?)?;
        present(blobs, codec::digests(Kind::Record, &blob(row, 0)?, &blob(row, 2)?)?)
    })?;
    each(&reader, "SELECT name, revision, sum, body FROM entities", |row| reader.read_entity(row).map(drop))?;
    each(&reader, "SELECT key, id, until, sum FROM keys", |row| read_key(row, &blob(row, 0)?, 1).map(drop))?;
    each(&reader, "SELECT name, position, sum FROM schedules", |row| read_schedule(row).map(drop))
}

/// The same, and reads every row and every file.
pub(crate) fn complete(reader: &Reader<'_>) -> Result<(), Failure> {
    thorough(reader.connection, reader.blobs)?;
    let blobs = reader.blobs;
    each(reader, "SELECT id, body FROM activations", |row| read_record(row, 0, blobs).map(drop))?;
    each(reader, "SELECT id, due, job, record FROM dead_letters", |row| {
        read_dead_letter(row, blobs).map(drop)
    })?;
    each(reader, "SELECT id, body FROM jobs", |row| {
        let (id, body): (Vec<u8>, Vec<u8>) = (row.get(0)?, row.get(1)?);
        codec::job(&id, faas_core::Timestamp::default(), &body, blobs)?;
        Ok(())
    })
}

/// The files that rows refer to.
pub(crate) fn referred(reader: &Reader<'_>) -> Result<Vec<Digest>, Failure> {
    reader.list("SELECT digest FROM blobs", [], |row| {
        let bytes: Vec<u8> = row.get(0)?;
        Digest::from_slice(&bytes)
            .ok_or_else(|| damaged("the database is damaged: a digest in it has not 32 bytes").into())
    })
}

fn ask(connection: &Connection, pragma: &str) -> Result<(), Failure> {
    let said: String = connection.query_row(pragma, [], |row| row.get(0))?;
    if said == "ok" {
        return Ok(());
    }
    Err(damaged(format!("the database is damaged: {said}; restore the store from a backup")).into())
}

fn each(
    reader: &Reader<'_>,
    sql: &str,
    mut look: impl FnMut(&Row<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut statement = reader.connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        look(row)?;
    }
    Ok(())
}

fn present(blobs: &Blobs, digests: Vec<Digest>) -> Result<(), Failure> {
    for path in digests.into_iter().map(|digest| blobs.path(digest)) {
        if !path.is_file() {
            let text = format!("the file {} is missing, which a row refers to", path.display());
            return Err(damaged(text).into());
        }
    }
    Ok(())
}
