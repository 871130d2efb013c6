//! What a request does within a transaction of the writer.

mod dead_letters;
mod entities;
mod jobs;
mod purge;
mod records;

use std::collections::HashMap;

use faas_core::store::{FollowUp, IdempotencyKey, Job};
use faas_core::{Activation, ActivationId, EntityName, Error, ErrorKind, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};

use crate::blobs::{Blobs, Digest};
use crate::codec::{Kind, Parts, Sealed, checksum};
use crate::config::SqliteConfig;
use crate::counts::Counts;
use crate::error::Failure;

pub(crate) use self::dead_letters::letter_sum;
pub(crate) use self::entities::{NewEntity, entity_sum, last_revision, schedule_sum};
pub(crate) use self::jobs::{ClaimedRow, RawStanding, key_sum};

/// A record, ready to be written.
pub(crate) struct NewRecord {
    pub(crate) id: ActivationId,
    pub(crate) namespace: Box<str>,
    pub(crate) name: Box<str>,
    pub(crate) start: Timestamp,
    pub(crate) end: Timestamp,
    pub(crate) sealed: Sealed,
}

impl NewRecord {
    pub(crate) fn seal(record: &Activation, blobs: &Blobs, inline: usize) -> Result<Self, Error> {
        let sealed =
            Parts::of_record(record)?.seal(Kind::Record, &crate::rows::key(record.id), blobs, inline)?;
        Ok(Self {
            id: record.id,
            namespace: record.namespace().into(),
            name: record.action().path().into(),
            start: record.start,
            end: record.end,
            sealed,
        })
    }
}

/// A job, ready to be written.
pub(crate) struct NewJob {
    pub(crate) id: ActivationId,
    pub(crate) namespace: Box<str>,
    pub(crate) accepted: Timestamp,
    pub(crate) not_before: Timestamp,
    pub(crate) key: Option<IdempotencyKey>,
    /// Whether it follows from another activation.
    pub(crate) follows: bool,
    pub(crate) sealed: Sealed,
}

impl NewJob {
    pub(crate) fn seal(job: &Job, blobs: &Blobs, inline: usize) -> Result<Self, Error> {
        let sealed = Parts::of_job(job)?.seal(Kind::Job, &crate::rows::key(job.id), blobs, inline)?;
        Ok(Self {
            id: job.id,
            namespace: job.namespace().into(),
            accepted: job.accepted,
            not_before: job.not_before,
            key: job.key.clone(),
            follows: job.cause.is_some(),
            sealed,
        })
    }
}

/// What follows from a record, ready to be written.
#[derive(Default)]
pub(crate) struct NewFollowUp {
    pub(crate) jobs: Vec<NewJob>,
    pub(crate) records: Vec<NewRecord>,
    pub(crate) schedule: Option<(EntityName, Timestamp)>,
}

impl NewFollowUp {
    pub(crate) fn seal(follow_up: &FollowUp, blobs: &Blobs, inline: usize) -> Result<Self, Error> {
        let jobs = follow_up.jobs.iter().map(|job| NewJob::seal(job, blobs, inline));
        let records = follow_up.records.iter().map(|record| NewRecord::seal(record, blobs, inline));
        Ok(Self {
            jobs: jobs.collect::<Result<_, _>>()?,
            records: records.collect::<Result<_, _>>()?,
            schedule: follow_up.schedule.clone(),
        })
    }
}

/// What is rolled back along with the database.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) counts: Counts,
    /// The namespace that had the last turn.
    last_turn: i64,
    /// The last namespace of which jobs were let to take turns when their time had come.
    last_promoted: i64,
    /// How many records the transaction has added.
    pub(crate) appended: u64,
    /// How many files its rows refer to no more.
    freed: usize,
}

impl Tally {
    /// The tally of a transaction that begins.
    pub(crate) fn begin(&mut self) {
        (self.appended, self.freed) = (0, 0);
    }
}

/// What the writer knows beside the database.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    pub(crate) tally: Tally,
    /// The numbers of names. All of them are in the database.
    names: HashMap<Box<str>, i64>,
    /// Files that rows refer to no more once the transaction is committed.
    pub(crate) freed: Vec<Digest>,
}

impl Memory {
    /// What a writer knows that begins with a database that holds so much.
    pub(crate) fn with(counts: Counts) -> Self {
        Self { tally: Tally { counts, ..Tally::default() }, ..Self::default() }
    }

    /// Goes back to where a transaction or a part of it began.
    pub(crate) fn roll_back(&mut self, tally: Tally) {
        self.tally = tally;
        self.freed.truncate(tally.freed);
        // A name may have got its number in what was rolled back.
        self.names.clear();
    }
}

/// How many names the writer remembers. Arbitrary; it forgets all when there are more.
const MAX_NAMES: usize = 10_000;

/// A transaction: all that requests may do.
pub(crate) struct Txn<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) memory: &'a mut Memory,
    pub(crate) config: &'a SqliteConfig,
}

impl Txn<'_> {
    /// Runs a statement that is kept prepared; tells how many rows it changed.
    fn execute(&self, sql: &str, params: impl rusqlite::Params) -> Result<usize, Failure> {
        Ok(self.connection.prepare_cached(sql)?.execute(params)?)
    }

    /// The only row of a statement that is kept prepared, if there is one.
    fn find<T>(
        &self,
        sql: &str,
        params: impl rusqlite::Params,
        read: impl FnOnce(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, Failure> {
        Ok(self.connection.prepare_cached(sql)?.query_row(params, read).optional()?)
    }

    /// The number of a name.
    fn name(&mut self, text: &str) -> Result<i64, Failure> {
        if let Some(number) = self.memory.names.get(text) {
            return Ok(*number);
        }
        let sql = "SELECT id FROM names WHERE text = ?1";
        let number = match self.find(sql, [text], |row| row.get(0))? {
            Some(number) => number,
            None => {
                self.execute("INSERT INTO names (text) VALUES (?1)", [text])?;
                self.connection.last_insert_rowid()
            }
        };
        if self.memory.names.len() >= MAX_NAMES {
            self.memory.names.clear();
        }
        self.memory.names.insert(text.into(), number);
        Ok(number)
    }

    /// Notes that a row refers to files.
    fn hold(&self, digests: impl IntoIterator<Item = Digest>) -> Result<(), Failure> {
        digests.into_iter().try_for_each(|digest| {
            let refs = self.refs(digest)?.unwrap_or(0);
            self.put_refs(digest, refs + 1)
        })
    }

    fn hold_pinned(&self, sealed: &Sealed) -> Result<(), Failure> {
        self.hold(sealed.pins.iter().map(crate::blobs::Pin::digest))
    }

    /// Notes that a row is gone which referred to files.
    fn release(&mut self, digests: impl IntoIterator<Item = Digest>) -> Result<(), Failure> {
        for digest in digests {
            match self.refs(digest)? {
                Some(refs) if refs > 1 => self.put_refs(digest, refs - 1)?,
                Some(_) => {
                    self.execute("DELETE FROM blobs WHERE digest = ?1", [digest.as_bytes()])?;
                    self.memory.freed.push(digest);
                    self.memory.tally.freed += 1;
                }
                None => {}
            }
        }
        Ok(())
    }

    /// How many times rows refer to a file. Where that is damaged, so many that the file stays.
    fn refs(&self, digest: Digest) -> Result<Option<i64>, Failure> {
        let sql = "SELECT refs, sum FROM blobs WHERE digest = ?1";
        let found = self.find(sql, [digest.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(found.map(|(refs, sum): (i64, u32)| {
            if refs_sum(digest, refs) == sum {
                return refs;
            }
            tracing::error!(%digest, "the database is damaged: a file is kept, since it is not known who needs it");
            MANY
        }))
    }

    fn put_refs(&self, digest: Digest, refs: i64) -> Result<(), Failure> {
        let sql = "INSERT OR REPLACE INTO blobs (digest, refs, sum) VALUES (?1, ?2, ?3)";
        self.execute(sql, params![digest.as_bytes(), refs, refs_sum(digest, refs)]).map(drop)
    }

    fn has_record(&self, id: ActivationId) -> Result<bool, Failure> {
        let sql = "SELECT 1 FROM activations WHERE id = ?1";
        Ok(self.find(sql, params![crate::rows::key(id)], |_| Ok(()))?.is_some())
    }

    fn has_job(&self, id: ActivationId) -> Result<bool, Failure> {
        let sql = "SELECT 1 FROM jobs WHERE id = ?1";
        Ok(self.find(sql, params![crate::rows::key(id)], |_| Ok(()))?.is_some())
    }
}

/// More references to a file than there can be.
const MANY: i64 = 1 << 62;

/// The checksum of how many times rows refer to a file.
pub(crate) fn refs_sum(digest: Digest, refs: i64) -> u32 {
    checksum(Kind::Refs, &[digest.as_bytes(), &refs.to_le_bytes()])
}

/// The error of an id that is not new.
fn taken(id: ActivationId) -> Failure {
    let text = format!("activation {id} is queued or has a record already");
    Error::new(ErrorKind::AlreadyExists, text).with_context("activation", id).into()
}
