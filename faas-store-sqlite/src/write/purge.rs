//! Dropping the records that are too many or too old, and dead letters that are too many.

use faas_core::Timestamp;
use rusqlite::Row;

use super::Txn;
use crate::codec::{Kind, digests};
use crate::error::Failure;
use crate::rows::time;

impl Txn<'_> {
    /// Drops up to `most` records and as many dead letters, oldest first by when they were kept; tells whether there are
    /// more to drop.
    pub(crate) fn purge(&mut self, most: u64) -> Result<bool, Failure> {
        for _ in 0..most {
            // One dead letter at most comes with each record, so that none is left over where no bound was lowered.
            let dropped = [self.drop_oldest()?, self.drop_oldest_letter()?];
            if dropped == [false; 2] {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Drops the oldest record if it is to be dropped.
    fn drop_oldest(&mut self) -> Result<bool, Failure> {
        let counts = self.memory.tally.counts;
        let age = u64::try_from(self.config.max_age.as_nanos()).unwrap_or(u64::MAX);
        let cutoff = Timestamp::from_nanos(counts.latest_end.saturating_sub(age));
        let is_over = counts.records > self.config.max_records;
        if !is_over && cutoff == Timestamp::default() {
            return Ok(false);
        }
        let sql = "SELECT seq, end, files FROM activations ORDER BY seq LIMIT 1";
        let read = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, bool>(2)?));
        let oldest = self.find(sql, [], read)?;
        let Some((seq, _, has_files)) = oldest.filter(|(_, end, _)| is_over || *end < time(cutoff)) else {
            return Ok(false);
        };
        if has_files {
            let sql = "SELECT id, body FROM activations WHERE seq = ?1";
            let read = |row: &Row<'_>| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Vec<u8>>(1)?));
            let Some((id, body)) = self.find(sql, [seq], read)? else { return Ok(false) };
            self.release(digests(Kind::Record, &id, &body)?)?;
        }
        self.execute("DELETE FROM activations WHERE seq = ?1", [seq])?;
        self.memory.tally.counts.records = counts.records.saturating_sub(1);
        Ok(true)
    }
}
