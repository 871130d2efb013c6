//! The thread that writes, with group commit.
//!
//! It takes all requests that wait, runs and commits them together, and answers them all. If one of them is refused, they are
//! run once more, each in a savepoint, so that it takes nothing along but itself. While nobody waits it purges.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

use faas_core::Error;
use rusqlite::Connection;

use crate::config::SqliteConfig;
use crate::error::{Failure, is_full, is_io, sqlite};
use crate::faults::Fault;
use crate::health::Health;
use crate::points::pass;
use crate::request::{Request, copied};
use crate::state::Answered;
use crate::tender::Tender;
use crate::write::{Memory, Tally, Txn};

/// How many requests share a commit at most. Arbitrary: a few milliseconds of work.
const MAX_BATCH: usize = 512;

/// How long the thread looks for the next request of a lone caller before it sleeps. Arbitrary: about what a caller takes
/// from an answer to the next request, and waking both.
const AWAKE: Duration = Duration::from_micros(150);

/// How many records are purged in one step while nobody waits: who comes then waits for no more than these.
const PURGED_AT_ONCE: u64 = 200;

/// How many records are purged for each that comes, so that the bound is caught up with while others write.
const PURGED_PER_RECORD: u64 = 2;

/// All that the thread has.
pub(crate) struct Writer {
    pub(crate) connection: Connection,
    pub(crate) memory: Memory,
    pub(crate) config: SqliteConfig,
    pub(crate) health: Arc<Health>,
    pub(crate) tender: Tender,
    /// How far the log was answered; `None` where it is not synced with each write.
    pub(crate) answered: Option<Answered>,
    /// The frames of the log after the last commit.
    pub(crate) frames: Arc<AtomicU32>,
    /// The number of jobs, for those who ask.
    pub(crate) pending: Arc<AtomicU64>,
    /// Whether there may be records to purge.
    pub(crate) has_excess: bool,
    /// When more is purged if nobody waits then.
    pub(crate) next_purge: Instant,
}

impl Writer {
    /// Serves requests until nobody can send any more.
    pub(crate) fn serve(&mut self, requests: &Receiver<Request>) {
        let mut is_alone = false;
        while let Some(first) = Self::at_once(requests, is_alone).or_else(|| self.next(requests)) {
            let mut batch = vec![first];
            batch.extend(requests.try_iter().take(MAX_BATCH - 1));
            is_alone = batch.len() == 1;
            self.run(batch);
            self.tender.look_for_refused();
            self.tender.tend(&self.connection, self.frames.load(Relaxed));
        }
    }

    /// The next request, where it comes at once: a caller who `is_alone` often has one more when it is answered. Of many
    /// callers more come together while the thread sleeps.
    fn at_once(requests: &Receiver<Request>, is_alone: bool) -> Option<Request> {
        let start = Instant::now();
        loop {
            if !is_alone {
                return None;
            }
            match requests.try_recv() {
                Ok(request) => return Some(request),
                Err(TryRecvError::Empty) if start.elapsed() < AWAKE => std::hint::spin_loop(),
                Err(_) => return None,
            }
        }
    }

    fn next(&mut self, requests: &Receiver<Request>) -> Option<Request> {
        while self.has_excess && !self.health.has_failed() {
            match requests.recv_timeout(self.next_purge.saturating_duration_since(Instant::now())) {
                Ok(request) => return Some(request),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => {
                    let start = Instant::now();
                    self.purge_some();
                    // Half of the disk's time is left to others.
                    self.next_purge = Instant::now() + start.elapsed();
                }
            }
        }
        requests.recv().ok()
    }

    /// Runs requests, and answers them.
    fn run(&mut self, batch: Vec<Request>) {
        let mut waiting = batch.into_iter();
        while waiting.len() > 0 {
            let begun = self.health.check().and_then(|()| self.begin());
            let (served, lost) = match begun {
                Ok(()) => self.run_until_lost(&mut waiting),
                Err(error) => (waiting.by_ref().collect(), Some(error)),
            };
            self.pending.store(self.memory.tally.counts.jobs, Relaxed);
            for request in served {
                request.answer(lost.as_ref().map(copied));
            }
        }
    }

    fn begin(&mut self) -> Result<(), Error> {
        self.memory.tally.begin();
        self.memory.freed.clear();
        self.health.faults.sqlite(Fault::Begin).map_err(|error| self.failed(&error))?;
        self.execute("BEGIN IMMEDIATE")
    }

    /// Runs requests in the transaction that has begun and commits it, or until SQLite has rolled it back, as it does
    /// when the disk is full. Gives back those that it ran, with the reason why they have come to nothing, if they have.
    fn run_until_lost(&mut self, waiting: &mut std::vec::IntoIter<Request>) -> (Vec<Request>, Option<Error>) {
        let start = self.memory.tally;
        let is_alone = waiting.len() == 1;
        let mut served = Vec::with_capacity(waiting.len());
        match self.run_all(start, waiting.as_slice()) {
            Ok(true) => served.extend(waiting.by_ref()),
            Ok(false) => {}
            Err(error) => return (waiting.by_ref().collect(), Some(self.roll_back(start, error))),
        }
        for request in waiting.by_ref() {
            let run = self.run_one(&request, is_alone);
            served.push(request);
            if let Err(error) = run {
                let lost = self.roll_back(start, error);
                return (served, Some(lost));
            }
        }
        let lost = self.purge_along().and_then(|()| self.commit()).err();
        (served, lost.map(|error| self.roll_back(start, error)))
    }

    /// Runs several requests as one, which is most of the time what they come to. If one of them is refused, nothing has
    /// been done.
    fn run_all(&mut self, start: Tally, requests: &[Request]) -> Result<bool, Error> {
        if requests.len() < 2 {
            return Ok(false);
        }
        let Self { connection, memory, config, .. } = self;
        let mut txn = Txn { connection, memory, config };
        let Some(refused) = requests.iter().find_map(|request| request.run(&mut txn).err()) else {
            return Ok(true);
        };
        if !self.is_given_up(&refused) {
            self.execute("ROLLBACK")?;
        }
        self.health.check()?;
        self.memory.roll_back(start);
        self.begin().map(|()| false)
    }

    /// Runs a request so that nothing is left of it if it is refused. Fails when the whole transaction is gone.
    fn run_one(&mut self, request: &Request, is_alone: bool) -> Result<(), Error> {
        let before = self.memory.tally;
        if !is_alone {
            self.execute("SAVEPOINT request")?;
        }
        let Self { connection, memory, config, .. } = self;
        let met = request.run(&mut Txn { connection, memory, config });
        let Err(refused) = met else {
            return if is_alone { Ok(()) } else { self.execute("RELEASE request") };
        };
        if self.is_given_up(&refused) {
            return Err(refused);
        }
        self.memory.roll_back(before);
        if is_alone {
            self.execute("ROLLBACK")?;
            return self.execute("BEGIN");
        }
        self.execute("ROLLBACK TO request")?;
        self.execute("RELEASE request")
    }

    /// Whether SQLite has rolled the transaction back by itself for the error of a request. It does so where there is no
    /// room, which the next one may have, and where the disk fails, after which nobody knows what it holds.
    fn is_given_up(&self, error: &Error) -> bool {
        let is_given_up = self.connection.is_autocommit();
        if is_given_up && !error.is_temporary() {
            self.health.fail(&format!("a transaction was given up: {}", error.message()));
        }
        is_given_up
    }

    /// Makes sure that nothing is left of a transaction, and tells why.
    fn roll_back(&mut self, start: Tally, error: Error) -> Error {
        if !self.connection.is_autocommit()
            && let Err(error) = self.execute("ROLLBACK")
        {
            self.health.fail(&format!("a transaction could not be rolled back: {error}"));
        }
        self.memory.roll_back(start);
        self.health.check().err().unwrap_or(error)
    }

    /// Commits; when it returns, all is on disk.
    fn commit(&mut self) -> Result<(), Error> {
        let faults = &self.health.faults;
        pass("commit.before");
        let committed = faults
            .sqlite(Fault::Commit)
            .and_then(|()| self.try_execute("COMMIT"))
            .and_then(|()| faults.sqlite(Fault::Written));
        if let Err(error) = committed {
            // Out of room, nothing has happened. After anything else nobody knows what the disk holds.
            if !is_full(&error) {
                self.health.fail(&format!("a commit failed: {error}"));
            }
            return Err(sqlite(&error));
        }
        pass("commit.after");
        if let Some(answered) = &mut self.answered
            && let Err(error) =
                faults.file(Fault::Answered).and_then(|()| answered.note(self.frames.load(Relaxed)))
        {
            self.health.fail(&format!("how far the log was answered could not be noted: {error}"));
        }
        pass("commit.noted");
        self.tender.remove(std::mem::take(&mut self.memory.freed));
        Ok(())
    }

    /// Purges along with what was added, so that it costs no commit of its own.
    fn purge_along(&mut self) -> Result<(), Error> {
        let appended = self.memory.tally.appended;
        if appended > 0 {
            self.purge(appended.saturating_mul(PURGED_PER_RECORD))?;
        }
        Ok(())
    }

    fn purge(&mut self, most: u64) -> Result<(), Error> {
        let Self { connection, memory, config, .. } = self;
        match (Txn { connection, memory, config }).purge(most) {
            Ok(has_excess) => self.has_excess = has_excess,
            Err(Failure::Sqlite(error)) => return Err(self.failed(&error)),
            // A record that cannot be read cannot be purged. Nobody who writes is to blame.
            Err(Failure::Refused(error)) => {
                tracing::error!(%error, "records are not purged");
                self.has_excess = false;
            }
        }
        Ok(())
    }

    /// Purges in a transaction of its own.
    fn purge_some(&mut self) {
        let purged = self.begin().and_then(|()| {
            let start = self.memory.tally;
            let purged = self.purge(PURGED_AT_ONCE).and_then(|()| {
                let has_purged = self.memory.tally.counts != start.counts;
                if has_purged { self.commit() } else { self.execute("ROLLBACK") }
            });
            purged.map_err(|error| self.roll_back(start, error))
        });
        if let Err(error) = purged {
            tracing::warn!(%error, "records are not purged now");
            self.has_excess = false;
        }
        self.tender.tend(&self.connection, self.frames.load(Relaxed));
    }

    fn execute(&self, sql: &str) -> Result<(), Error> {
        self.try_execute(sql).map_err(|error| self.failed(&error))
    }

    /// The error of a statement. None is written any more once the disk fails.
    fn failed(&self, error: &rusqlite::Error) -> Error {
        if is_io(error) {
            self.health.fail(&format!("a statement failed: {error}"));
        }
        sqlite(error)
    }

    fn try_execute(&self, sql: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(sql)?.execute([]).map(drop)
    }
}
