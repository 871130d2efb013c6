//! Jobs that ended badly and are kept to be looked at.

use faas_core::{ActivationId, Error, ErrorKind, Timestamp};
use rusqlite::{Row, params};

use super::{NewJob, NewRecord, Txn};
use crate::codec::{Kind, checksum, digests};
use crate::error::Failure;
use crate::rows::{key, time};

impl Txn<'_> {
    /// Keeps a job that is gone with its record. The files of the job stay with it.
    pub(super) fn bury(
        &mut self,
        job: &[u8],
        not_before: Timestamp,
        record: &NewRecord,
    ) -> Result<(), Failure> {
        let (namespace, name) = (self.name(&record.namespace)?, self.name(&record.name)?);
        let sql = "INSERT INTO dead_letters (id, namespace, name, start, due, sum, job, record) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
        let id = key(record.id);
        let (start, due, sum) = (time(record.start), time(not_before), letter_sum(&id, not_before));
        self.execute(sql, params![id, namespace, name, start, due, sum, job, record.sealed.body])?;
        self.hold_pinned(&record.sealed)?;
        self.memory.tally.counts.dead_letters += 1;
        Ok(())
    }

    /// Drops the oldest dead letter if there are too many; tells whether it did.
    pub(super) fn drop_oldest_letter(&mut self) -> Result<bool, Failure> {
        if self.memory.tally.counts.dead_letters <= self.config.max_records {
            return Ok(false);
        }
        let sql = "SELECT id FROM dead_letters ORDER BY seq LIMIT 1";
        match self.find(sql, [], |row| row.get::<_, Vec<u8>>(0))? {
            Some(oldest) => self.remove_dead_letter(&oldest),
            None => Ok(false),
        }
    }

    pub(crate) fn redrive(&mut self, id: ActivationId, job: &NewJob) -> Result<(), Failure> {
        self.drop_dead_letter(id)?;
        self.accept(std::slice::from_ref(job))
    }

    pub(crate) fn drop_dead_letter(&mut self, id: ActivationId) -> Result<(), Failure> {
        if self.remove_dead_letter(&key(id))? {
            return Ok(());
        }
        let text = format!("there is no dead letter {id}");
        Err(Error::new(ErrorKind::NotFound, text).with_context("activation", id).into())
    }

    fn remove_dead_letter(&mut self, id: &[u8]) -> Result<bool, Failure> {
        let sql = "SELECT job, record FROM dead_letters WHERE id = ?1";
        let read = |row: &Row<'_>| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Vec<u8>>(1)?));
        let Some((job, record)) = self.find(sql, params![id], read)? else { return Ok(false) };
        let (of_job, of_record) = (digests(Kind::Job, id, &job)?, digests(Kind::Record, id, &record)?);
        self.execute("DELETE FROM dead_letters WHERE id = ?1", params![id])?;
        self.release(of_job.into_iter().chain(of_record))?;
        let letters = &mut self.memory.tally.counts.dead_letters;
        *letters = letters.saturating_sub(1);
        Ok(true)
    }
}

/// The checksum of when a dead letter was due.
pub(crate) fn letter_sum(id: &[u8], due: Timestamp) -> u32 {
    checksum(Kind::Letter, &[id, &time(due).to_le_bytes()])
}
