//! Records, and what follows from them.

use rusqlite::params;

use super::{NewFollowUp, NewRecord, Txn, taken};
use crate::error::Failure;
use crate::rows::{key, time};

impl Txn<'_> {
    /// Keeps a record of an activation that was no job, and what follows from it.
    pub(crate) fn append(&mut self, record: &NewRecord, follow_up: &NewFollowUp) -> Result<(), Failure> {
        self.add_record(record)?;
        self.add_follow_up(follow_up)
    }

    pub(super) fn add_record(&mut self, record: &NewRecord) -> Result<(), Failure> {
        let (namespace, name) = (self.name(&record.namespace)?, self.name(&record.name)?);
        let sql = "INSERT INTO activations (id, namespace, name, start, end, files, body) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (id) DO NOTHING";
        let (start, end) = (time(record.start), time(record.end));
        let files = !record.sealed.pins.is_empty();
        let row = params![key(record.id), namespace, name, start, end, files, record.sealed.body];
        if self.execute(sql, row)? == 0 {
            return Err(taken(record.id));
        }
        self.hold_pinned(&record.sealed)?;
        let tally = &mut self.memory.tally;
        tally.appended += 1;
        tally.counts.records += 1;
        tally.counts.latest_end = tally.counts.latest_end.max(record.end.nanos());
        Ok(())
    }

    /// Takes what follows from a record that was added in the same transaction.
    pub(super) fn add_follow_up(&mut self, follow_up: &NewFollowUp) -> Result<(), Failure> {
        for record in &follow_up.records {
            if self.has_job(record.id)? {
                return Err(taken(record.id));
            }
            self.add_record(record)?;
        }
        if let Some((name, position)) = &follow_up.schedule {
            self.put_schedule(name, *position)?;
        }
        follow_up.jobs.iter().try_for_each(|job| self.add_job(job))
    }
}
