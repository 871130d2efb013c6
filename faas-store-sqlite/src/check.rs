//! Looks through a whole store.

use std::collections::HashMap;

use faas_core::Activation;
use faas_core::store::JobState;
use rusqlite::{Connection, Row};

use crate::blobs::{Blobs, Digest};
use crate::codec::{self, Kind};
use crate::error::{Failure, damaged};
use crate::read::{fits, read_dead_letter, read_key, read_record, read_schedule};
use crate::readers::Reader;
use crate::rows::{self, check_sum, key, kind_number, time};
use crate::write::{RawStanding, last_revision, refs_sum};

/// Looks at the structure of all pages.
pub(crate) fn quick(connection: &Connection) -> Result<(), Failure> {
    ask(connection, "PRAGMA quick_check(1)")
}

/// Looks at all pages, whether indexes have what tables have, and at every row; at files only whether they are there.
pub(crate) fn thorough(connection: &Connection, blobs: &Blobs) -> Result<(), Failure> {
    ask(connection, "PRAGMA integrity_check(1)")?;
    let reader = Reader { connection, blobs };
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
    each(&reader, "SELECT name, kind, revision, sum, body FROM entities", |row| {
        reader.read_entity(row).map(drop)
    })?;
    each(&reader, "SELECT key, id, until, sum FROM keys", |row| read_key(row, &blob(row, 0)?, 1).map(drop))?;
    each(&reader, "SELECT name, position, sum FROM schedules", |row| read_schedule(row).map(drop))?;
    each(&reader, "SELECT digest, refs, sum FROM blobs", |row| {
        let digest = digest(row)?;
        check_sum("a count of references", refs_sum(digest, row.get(1)?), row.get(2)?)
    })?;
    last_revision(connection).map(drop)
}

/// The same, reads every row and every file, and compares what is kept twice.
pub(crate) fn complete(reader: &Reader<'_>) -> Result<(), Failure> {
    thorough(reader.connection, reader.blobs)?;
    // One look at the database for all of it: others write meanwhile.
    let _snapshot = reader.connection.unchecked_transaction()?;
    let mut refs = HashMap::new();
    records(reader, &mut refs)?;
    jobs(reader, &mut refs)?;
    dead_letters(reader, &mut refs)?;
    entities(reader, &mut refs)?;
    each(reader, "SELECT digest, refs FROM blobs", |row| {
        let digest = digest(row)?;
        same(refs.remove(&digest) == Some(row.get(1)?), || {
            format!("how many rows refer to the file {digest}")
        })
    })?;
    same(refs.is_empty(), || "a file to which rows refer".to_owned())
}

/// How many times rows refer to each file.
type Refs = HashMap<Digest, i64>;

fn records(reader: &Reader<'_>, refs: &mut Refs) -> Result<(), Failure> {
    let sql = "SELECT id, body, (SELECT text FROM names WHERE id = namespace), \
               (SELECT text FROM names WHERE id = name), start, end, files FROM activations";
    each(reader, sql, |row| {
        let record = read_record(row, 0, reader.blobs)?;
        let has_files = count(refs, Kind::Record, &blob(row, 0)?, &blob(row, 1)?)?;
        let is_over = row.get::<_, i64>(5)? == time(record.end) && row.get::<_, bool>(6)? == has_files;
        fits(&record, is_about(row, 2, &record)? && is_over)
    })
}

fn jobs(reader: &Reader<'_>, refs: &mut Refs) -> Result<(), Failure> {
    let sql = "SELECT state, attempt, due, accepted, earlier, sum, id, body, phase, turn, namespace, files, \
               (SELECT text FROM names WHERE id = namespace) FROM jobs";
    each(reader, sql, |row| {
        let (id, body) = (blob(row, 6)?, blob(row, 7)?);
        let standing = RawStanding::read(row)?.checked(rows::id(&id)?)?;
        let job = codec::job(&id, standing.not_before, &body, reader.blobs)?;
        let (phase, turn, namespace): (i64, i64, i64) = (row.get(8)?, row.get(9)?, row.get(10)?);
        let is_claimed = matches!(standing.state, JobState::Claimed | JobState::Started);
        let has_turn = turn == if phase == 2 { namespace } else { 0 };
        let is_its_own = row.get::<_, Option<String>>(12)?.as_deref() == Some(job.namespace());
        let has_files = count(refs, Kind::Job, &id, &body)? == row.get::<_, bool>(11)?;
        let fits = (phase == 0) == is_claimed && has_turn && is_its_own && has_files;
        same(fits, || format!("a column of job {}", job.id))
    })
}

fn dead_letters(reader: &Reader<'_>, refs: &mut Refs) -> Result<(), Failure> {
    let sql = "SELECT id, due, sum, job, record, (SELECT text FROM names WHERE id = namespace), \
               (SELECT text FROM names WHERE id = name), start FROM dead_letters";
    each(reader, sql, |row| {
        let letter = read_dead_letter(row, reader.blobs)?;
        count(refs, Kind::Job, &blob(row, 0)?, &blob(row, 3)?)?;
        count(refs, Kind::Record, &blob(row, 0)?, &blob(row, 4)?)?;
        fits(&letter.record, is_about(row, 5, &letter.record)?)
    })
}

fn entities(reader: &Reader<'_>, refs: &mut Refs) -> Result<(), Failure> {
    let last = last_revision(reader.connection)?;
    each(reader, "SELECT name, kind, revision, sum, body FROM entities", |row| {
        let entity = reader.read_entity(row)?;
        count(refs, Kind::Entity, entity.name.as_str().as_bytes(), &blob(row, 4)?)?;
        let fits = entity.revision <= last && row.get::<_, i64>(1)? == kind_number(entity.kind);
        same(fits, || format!("a column of the entity '{}'", entity.name))
    })
}

/// Whether `namespace, name, start` from column `at` on are those of a record.
fn is_about(row: &Row<'_>, at: usize, record: &Activation) -> Result<bool, Failure> {
    let text = |at| row.get::<_, Option<String>>(at);
    Ok(text(at)?.as_deref() == Some(record.namespace())
        && text(at + 1)?.as_deref() == Some(record.action().path())
        && row.get::<_, i64>(at + 2)? == time(record.start))
}

/// Counts the files to which a body refers; tells whether there are any.
fn count(refs: &mut Refs, kind: Kind, id: &[u8], body: &[u8]) -> Result<bool, Failure> {
    let digests = codec::digests(kind, id, body)?;
    let has_files = !digests.is_empty();
    digests.into_iter().for_each(|digest| *refs.entry(digest).or_default() += 1);
    Ok(has_files)
}

fn same(is_same: bool, what: impl FnOnce() -> String) -> Result<(), Failure> {
    if is_same {
        return Ok(());
    }
    Err(damaged(format!("the database is damaged: {} is not what other rows say", what())).into())
}

/// The files that rows refer to.
pub(crate) fn referred(reader: &Reader<'_>) -> Result<Vec<Digest>, Failure> {
    reader.list("SELECT digest FROM blobs", [], digest)
}

/// Reads `digest`.
fn digest(row: &Row<'_>) -> Result<Digest, Failure> {
    Digest::from_slice(&blob(row, 0)?)
        .ok_or_else(|| damaged("the database is damaged: a digest in it has not 32 bytes").into())
}

fn blob(row: &Row<'_>, at: usize) -> Result<Vec<u8>, Failure> {
    Ok(row.get_ref(at)?.as_blob().unwrap_or_default().to_vec())
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
