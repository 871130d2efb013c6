//! Accepted work: jobs, claims, keys.

use faas_core::store::{Claim, JobState};
use faas_core::{ActivationId, Error, ErrorKind, Timestamp};
use rusqlite::{Row, params};

use super::{NewFollowUp, NewJob, NewRecord, Txn, taken};
use crate::codec::{Kind, checksum, digests};
use crate::error::{Failure, damaged};
use crate::read::read_key;
use crate::rows::{self, Standing, check_sum, key, number, time, timestamp};

/// A job that was claimed, as it is kept.
pub(crate) struct ClaimedRow {
    pub(crate) claim: Claim,
    /// Where it stood before, as far as that is known.
    pub(crate) before: Standing,
    pub(crate) body: Vec<u8>,
    /// Why it is not known.
    pub(crate) damage: Option<Error>,
}

/// What of a job's row is read to change it.
struct Found {
    standing: Standing,
    namespace: i64,
    phase: i64,
    has_files: bool,
}

/// How many namespaces are looked at, and jobs let to take turns whose time has come, by one call. Arbitrary: a few
/// milliseconds.
const PROMOTED: usize = 1_000;

/// How many keys whose time is over are dropped for each that comes.
const DROPPED_KEYS: i64 = 2;

/// The phases of a job, as the index over them orders it.
const CLAIMED: i64 = 0;
const WAITS: i64 = 1;
const TAKES_TURNS: i64 = 2;

impl Txn<'_> {
    /// Accepts jobs, all or none.
    pub(crate) fn accept(&mut self, jobs: &[NewJob]) -> Result<(), Failure> {
        let held = self.memory.tally.counts.jobs;
        jobs.iter().try_for_each(|job| self.add_job(job))?;
        self.check_room(held, jobs.len())
    }

    /// Accepts a job that its caller runs.
    pub(crate) fn begin(&mut self, job: &NewJob, started: bool) -> Result<Claim, Failure> {
        let held = self.memory.tally.counts.jobs;
        let state = if started { JobState::Started } else { JobState::Claimed };
        self.insert_job(job, state, 1)?;
        // What follows from accepted work has to go on for that to end, and to make room.
        if !job.follows {
            self.check_room(held, 1)?;
        }
        Ok(Claim { id: job.id, attempt: 1 })
    }

    /// Keeps the record of an event from outside, and accepts its jobs if they fit.
    pub(crate) fn fire(&mut self, record: &NewRecord, follow_up: &NewFollowUp) -> Result<(), Failure> {
        let held = self.memory.tally.counts.jobs;
        self.append(record, follow_up)?;
        match follow_up.jobs.len() {
            0 => Ok(()),
            more => self.check_room(held, more),
        }
    }

    pub(super) fn add_job(&mut self, job: &NewJob) -> Result<(), Failure> {
        self.insert_job(job, JobState::Accepted, 0)
    }

    fn check_room(&self, held: u64, more: usize) -> Result<(), Failure> {
        let max = self.config.max_jobs;
        if self.memory.tally.counts.jobs <= max {
            return Ok(());
        }
        let text = format!("the queue holds {held} of {max} jobs, {more} more do not fit");
        Err(Error::new(ErrorKind::Overloaded, text).into())
    }

    fn insert_job(&mut self, job: &NewJob, state: JobState, attempt: u32) -> Result<(), Failure> {
        if self.has_record(job.id)? {
            return Err(taken(job.id));
        }
        self.take_key(job)?;
        let namespace = self.name(&job.namespace)?;
        let standing = Standing {
            state,
            attempt,
            not_before: job.not_before,
            accepted: job.accepted,
            earlier: Vec::new(),
        };
        let (phase, turn) = match state {
            JobState::Accepted if job.not_before > job.accepted => (WAITS, 0),
            JobState::Accepted => (TAKES_TURNS, namespace),
            _ => (CLAIMED, 0),
        };
        let sql = "INSERT INTO jobs (id, phase, turn, due, accepted, state, attempt, namespace, files, sum, earlier, \
                   body) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, x'', ?11) ON CONFLICT (id) DO NOTHING";
        let (due, accepted) = (time(job.not_before), time(job.accepted));
        let files = !job.sealed.pins.is_empty();
        let (state, sum) = (rows::state_number(state), standing.sum(job.id));
        let row = params![
            key(job.id),
            phase,
            turn,
            due,
            accepted,
            state,
            attempt,
            namespace,
            files,
            sum,
            job.sealed.body
        ];
        if self.execute(sql, row)? == 0 {
            return Err(taken(job.id));
        }
        self.hold_pinned(&job.sealed)?;
        let counts = &mut self.memory.tally.counts;
        counts.jobs += 1;
        counts.claimed += u64::from(phase == CLAIMED);
        Ok(())
    }

    /// Takes the key of a job, and drops a few whose time is over.
    fn take_key(&mut self, job: &NewJob) -> Result<(), Failure> {
        let Some(taken) = &job.key else { return Ok(()) };
        let bytes = taken.key.as_bytes();
        let sql = "SELECT id, until, sum FROM keys WHERE key = ?1";
        let found = self.find(sql, [bytes], |row| Ok(read_key(row, bytes, 0)))?.transpose()?;
        if found.is_some_and(|(_, until)| until > job.accepted) {
            let text = format!("the key '{}' is taken", taken.key);
            return Err(Error::new(ErrorKind::AlreadyExists, text).into());
        }
        let sql = "DELETE FROM keys WHERE until <= ?1 AND key IN \
                   (SELECT key FROM keys WHERE until <= ?1 ORDER BY until LIMIT ?2)";
        self.execute(sql, params![time(job.accepted), DROPPED_KEYS])?;
        let sum = key_sum(bytes, job.id, taken.until);
        let sql = "INSERT OR REPLACE INTO keys (key, id, until, sum) VALUES (?1, ?2, ?3, ?4)";
        self.execute(sql, params![bytes, key(job.id), time(taken.until), sum])?;
        Ok(())
    }

    pub(crate) fn claim(&mut self, id: ActivationId) -> Result<Claim, Failure> {
        let Some(Found { standing, namespace, phase, .. }) = self.job(id)? else {
            let text = format!("no job {id} waits or runs");
            return Err(Error::new(ErrorKind::NotFound, text).with_context("activation", id).into());
        };
        let standing = standing.claimed();
        self.put_standing(id, &standing, namespace, phase, CLAIMED)?;
        Ok(Claim { id, attempt: standing.attempt })
    }

    pub(crate) fn claim_next(&mut self, now: Timestamp, limit: usize) -> Result<Vec<ClaimedRow>, Failure> {
        self.promote(now, limit)?;
        let mut claimed = Vec::new();
        while claimed.len() < limit {
            let Some((turn, id)) = self.next_turn()? else { break };
            self.memory.tally.last_turn = turn;
            match self.claim_waiting(id) {
                Ok(row) => claimed.push(row),
                Err(failure) => self.set_aside(id, failure)?,
            }
        }
        Ok(claimed)
    }

    /// Claims a job that the index over jobs says is waiting.
    fn claim_waiting(&mut self, id: ActivationId) -> Result<ClaimedRow, Failure> {
        let Some((raw, namespace, phase, _)) = self.row(id)?.filter(|(_, _, phase, _)| *phase != CLAIMED)
        else {
            let text = format!("the database is damaged: its index has job {id} wait, which does not");
            return Err(damaged(text).into());
        };
        let doubtful = raw.doubtful();
        let (before, damage) = match raw.checked(id) {
            Ok(standing) => (standing, None),
            Err(Failure::Refused(error)) => (doubtful, Some(error)),
            Err(failure) => return Err(failure),
        };
        let body = self.body(id)?.unwrap_or_default();
        let standing = before.claimed();
        self.put_standing(id, &standing, namespace, phase, CLAIMED)?;
        Ok(ClaimedRow { claim: Claim { id, attempt: standing.attempt }, before, body, damage })
    }

    /// Takes a job out of the turns whose row holds what was never written there, so that it stands in nobody's way. Who
    /// asks for it is told.
    fn set_aside(&mut self, id: ActivationId, failure: Failure) -> Result<(), Failure> {
        match failure {
            Failure::Sqlite(error) if error.sqlite_error_code().is_none() => {
                tracing::error!(%id, %error, "a job cannot be read");
            }
            failure => return Err(failure),
        }
        self.execute("UPDATE jobs SET phase = 0, turn = 0 WHERE id = ?1", params![key(id)])?;
        self.memory.tally.counts.claimed += 1;
        Ok(())
    }

    /// Lets jobs take turns whose time has come: of one namespace after the other, going on where the last call ended,
    /// and of each no more than can be claimed now. So however many of one namespace are due, they hold up no other's.
    fn promote(&mut self, now: Timestamp, limit: usize) -> Result<(), Failure> {
        let first = "SELECT due FROM jobs INDEXED BY jobs_turn WHERE phase > 0 AND phase = 1 AND turn = 0 \
                     ORDER BY due LIMIT 1";
        if self.find(first, [], |row| row.get(0))?.is_none_or(|due: i64| due > time(now)) {
            return Ok(());
        }
        let next = "SELECT namespace FROM jobs INDEXED BY jobs_delayed WHERE phase = 1 AND namespace > ?1 \
                    ORDER BY namespace LIMIT 1";
        let promote = "UPDATE jobs SET phase = 2, turn = namespace WHERE id IN \
                       (SELECT id FROM jobs INDEXED BY jobs_delayed WHERE phase = 1 AND namespace = ?1 AND due <= ?2 \
                       ORDER BY due, accepted, id LIMIT ?3)";
        let last = self.memory.tally.last_promoted;
        let (mut at, mut is_around, mut steps) = (last, false, 0);
        while steps < PROMOTED {
            match self.find(next, [at], |row| row.get::<_, i64>(0))? {
                Some(namespace) if !is_around || namespace <= last => {
                    steps += 1 + self.execute(promote, params![namespace, time(now), number(limit)])?;
                    at = namespace;
                }
                None if !is_around => (at, is_around) = (0, true),
                _ => break,
            }
        }
        self.memory.tally.last_promoted = at;
        Ok(())
    }

    /// The first job of the namespace whose turn it is, with the namespace.
    ///
    /// Each step looks up one place in an index, however many namespaces there are and jobs they have.
    fn next_turn(&self) -> Result<Option<(i64, ActivationId)>, Failure> {
        let sql = "SELECT turn, id FROM jobs INDEXED BY jobs_turn WHERE phase > 0 AND phase = 2 AND turn > ?1 \
                   ORDER BY turn, due, accepted, id LIMIT 1";
        let read = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?));
        let mut found = self.find(sql, [self.memory.tally.last_turn], read)?;
        if found.is_none() {
            found = self.find(sql, [0], read)?;
        }
        found.map(|(turn, id)| Ok((turn, rows::id(&id)?))).transpose()
    }

    /// Ends all claims; tells how many there were.
    pub(crate) fn take_over(&mut self) -> Result<u64, Failure> {
        if self.memory.tally.counts.claimed == 0 {
            return Ok(0);
        }
        let mut ids = Vec::new();
        let mut statement = self.connection.prepare("SELECT id FROM jobs WHERE phase = 0")?;
        let mut found = statement.query([])?;
        while let Some(row) = found.next()? {
            ids.push(rows::id(row.get_ref(0)?.as_blob().unwrap_or_default())?);
        }
        for id in &ids {
            let Found { mut standing, namespace, phase, .. } = match self.job(*id) {
                Ok(Some(found)) => found,
                Ok(None) => continue,
                Err(failure) => {
                    self.take_over_damaged(*id, failure)?;
                    continue;
                }
            };
            standing.state = match standing.state {
                JobState::Started | JobState::Lost => JobState::Lost,
                JobState::Accepted | JobState::Claimed => JobState::Accepted,
            };
            self.put_standing(*id, &standing, namespace, phase, TAKES_TURNS)?;
        }
        Ok(ids.len() as u64)
    }

    /// Leaves a job whose row is damaged to whoever claims it.
    fn take_over_damaged(&mut self, id: ActivationId, failure: Failure) -> Result<(), Failure> {
        if let Failure::Sqlite(error) = &failure
            && error.sqlite_error_code().is_some()
        {
            return Err(failure);
        }
        self.execute("UPDATE jobs SET phase = 2, turn = namespace WHERE id = ?1", params![key(id)])?;
        let claimed = &mut self.memory.tally.counts.claimed;
        *claimed = claimed.saturating_sub(1);
        Ok(())
    }

    pub(crate) fn start(&mut self, claim: Claim, earlier: Vec<u8>) -> Result<(), Failure> {
        let Found { mut standing, namespace, phase, .. } = self.held(claim)?;
        standing.state = JobState::Started;
        standing.earlier = earlier;
        self.put_standing(claim.id, &standing, namespace, phase, CLAIMED)
    }

    pub(crate) fn retry(
        &mut self,
        claim: Claim,
        not_before: Timestamp,
        earlier: Vec<u8>,
    ) -> Result<(), Failure> {
        let Found { mut standing, namespace, phase, .. } = self.held(claim)?;
        standing.state = JobState::Accepted;
        standing.not_before = not_before;
        standing.earlier = earlier;
        let to = if not_before == standing.accepted { TAKES_TURNS } else { WAITS };
        self.put_standing(claim.id, &standing, namespace, phase, to)
    }

    /// Ends a job with its record; keeps it as a dead letter if `bury` says so.
    pub(crate) fn end(
        &mut self,
        claim: Claim,
        record: &NewRecord,
        follow_up: &NewFollowUp,
        bury: bool,
    ) -> Result<(), Failure> {
        let Found { standing, has_files, .. } = self.held(claim)?;
        if record.id != claim.id {
            let text = format!("the record is of activation {}, not of job {}", record.id, claim.id);
            return Err(Error::new(ErrorKind::InvalidArgument, text).into());
        }
        let body: Option<Vec<u8>> = if bury || has_files { self.body(claim.id)? } else { None };
        self.execute("DELETE FROM jobs WHERE id = ?1", params![key(claim.id)])?;
        let counts = &mut self.memory.tally.counts;
        counts.jobs = counts.jobs.saturating_sub(1);
        counts.claimed = counts.claimed.saturating_sub(1);
        self.add_record(record)?;
        self.add_follow_up(follow_up)?;
        match body {
            Some(body) if bury => self.bury(&body, standing.not_before, record),
            Some(body) => self.release(digests(Kind::Job, &key(claim.id), &body)?),
            None => Ok(()),
        }
    }

    fn body(&self, id: ActivationId) -> Result<Option<Vec<u8>>, Failure> {
        self.find("SELECT body FROM jobs WHERE id = ?1", params![key(id)], |row| row.get(0))
    }

    /// The job of a claim that still holds.
    fn held(&self, claim: Claim) -> Result<Found, Failure> {
        let refuse = |text: String| {
            Err(Error::new(ErrorKind::Conflict, text).with_context("activation", claim.id).into())
        };
        let Claim { id, attempt } = claim;
        match self.job(id)? {
            None => refuse(format!("job {id} is finished")),
            Some(Found { standing, .. }) if standing.attempt != attempt => {
                refuse(format!("attempt {attempt} of job {id} has lost it to attempt {}", standing.attempt))
            }
            Some(found) => match found.standing.state {
                JobState::Accepted => refuse(format!("attempt {attempt} of job {id} has given it back")),
                JobState::Lost => refuse(format!("attempt {attempt} of job {id} was given up as lost")),
                JobState::Claimed | JobState::Started => Ok(found),
            },
        }
    }

    fn job(&self, id: ActivationId) -> Result<Option<Found>, Failure> {
        let Some((raw, namespace, phase, has_files)) = self.row(id)? else { return Ok(None) };
        Ok(Some(Found { standing: raw.checked(id)?, namespace, phase, has_files }))
    }

    /// Where a job stands, unchecked, its namespace, its phase, and whether it has files.
    fn row(&self, id: ActivationId) -> Result<Option<(RawStanding, i64, i64, bool)>, Failure> {
        let sql = "SELECT state, attempt, due, accepted, earlier, sum, namespace, phase, files FROM jobs WHERE id = ?1";
        let read = |row: &Row<'_>| {
            let raw = RawStanding::read(row)?;
            Ok((raw, row.get(6)?, row.get(7)?, row.get(8)?))
        };
        self.find(sql, params![key(id)], read)
    }

    /// Writes where a job stands, and moves it from phase `from` to phase `to`.
    fn put_standing(
        &mut self,
        id: ActivationId,
        standing: &Standing,
        namespace: i64,
        from: i64,
        to: i64,
    ) -> Result<(), Failure> {
        let sql = "UPDATE jobs SET phase = ?2, turn = ?3, due = ?4, state = ?5, attempt = ?6, earlier = ?7, sum = ?8 \
                   WHERE id = ?1";
        let turn = if to == TAKES_TURNS { namespace } else { 0 };
        let state = rows::state_number(standing.state);
        let (due, sum) = (time(standing.not_before), standing.sum(id));
        self.execute(sql, params![key(id), to, turn, due, state, standing.attempt, standing.earlier, sum])?;
        let claimed = &mut self.memory.tally.counts.claimed;
        *claimed = claimed.saturating_sub(u64::from(from == CLAIMED)) + u64::from(to == CLAIMED);
        Ok(())
    }
}

/// Columns that tell where a job stands, as they are.
pub(crate) struct RawStanding {
    state: i64,
    attempt: u32,
    due: i64,
    accepted: i64,
    earlier: Vec<u8>,
    sum: u32,
}

impl RawStanding {
    /// Reads `state, attempt, due, accepted, earlier, sum`.
    pub(crate) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            state: row.get(0)?,
            attempt: row.get(1)?,
            due: row.get(2)?,
            accepted: row.get(3)?,
            earlier: row.get(4)?,
            sum: row.get(5)?,
        })
    }

    /// What is assumed where its checksum is wrong: that its code may have run.
    fn doubtful(&self) -> Standing {
        Standing {
            state: JobState::Lost,
            attempt: self.attempt,
            not_before: timestamp(self.due),
            accepted: timestamp(self.accepted),
            earlier: Vec::new(),
        }
    }

    /// What it says, once its checksum is found to be right.
    pub(crate) fn checked(self, id: ActivationId) -> Result<Standing, Failure> {
        let standing = Standing {
            state: rows::state(self.state)?,
            attempt: self.attempt,
            not_before: timestamp(self.due),
            accepted: timestamp(self.accepted),
            earlier: self.earlier,
        };
        check_sum(&format!("the standing of job {id}"), standing.sum(id), self.sum)?;
        Ok(standing)
    }
}

/// The checksum of a key's row.
pub(crate) fn key_sum(bytes: &[u8], id: ActivationId, until: Timestamp) -> u32 {
    checksum(Kind::Key, &[bytes, &key(id), &time(until).to_le_bytes()])
}
