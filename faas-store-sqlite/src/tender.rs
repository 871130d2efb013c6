//! The thread that does what nobody waits for: checkpoints, and removing files.
//!
//! A checkpoint moves what is in the log to the database. This thread does it while others read and write, so that it is
//! never quite done: frames come while it works. Once few are left the writer moves these itself, between two
//! transactions, and its next one begins the log anew. So the log stays small, and nobody waits for more than a few pages.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use faas_core::Error;
use rusqlite::{Connection, OptionalExtension};

use crate::blobs::{Blobs, Digest};
use crate::config::Durability;
use crate::connection::checkpoint;
use crate::error::{is_full, sqlite};
use crate::faults::Fault;
use crate::health::Health;
use crate::points::{length, pass};

/// After so many frames the thread is told to move them. Arbitrary: 8 MiB.
const EVERY: u32 = 4_000;

/// From this length on the log is to begin anew. Arbitrary: 16 MiB.
const LONG: u32 = 8_000;

/// So many frames the writer moves itself. Arbitrary: a few milliseconds.
const FEW: u32 = 1_000;

/// How often the log is moved where writes are answered before they are on disk, and files are tried again that somebody
/// may have read.
const AGAIN: Duration = Duration::from_secs(1);

enum Chore {
    Checkpoint,
    Remove(Vec<Digest>),
    /// Look for files that no row refers to.
    Sweep,
}

/// The writer's end of it.
#[derive(Debug)]
pub(crate) struct Tender {
    chores: Option<Sender<Chore>>,
    thread: Option<JoinHandle<()>>,
    blobs: Blobs,
    progress: Arc<Progress>,
    health: Arc<Health>,
    /// The frames when the writer last looked.
    seen: u32,
    /// The frames when the writer last moved some itself.
    tried: u32,
}

#[derive(Debug, Default)]
struct Progress {
    /// Whether a checkpoint is under way.
    works: AtomicBool,
    /// How many frames are in the database.
    moved: AtomicU32,
}

impl Tender {
    /// Starts the thread, which looks for files that no row refers to first. `frames` is the length of the log.
    pub(crate) fn start(
        connection: Connection,
        durability: Durability,
        frames: Arc<AtomicU32>,
        blobs: Blobs,
        health: Arc<Health>,
    ) -> std::io::Result<Self> {
        let (chores, received) = channel();
        let progress = Arc::new(Progress::default());
        let mut worker = Worker {
            connection,
            durability,
            frames,
            blobs: blobs.clone(),
            health: Arc::clone(&health),
            progress: Arc::clone(&progress),
            later: BTreeSet::new(),
            due: Instant::now() + AGAIN,
        };
        let name = "faas-store-tender".to_owned();
        let thread = std::thread::Builder::new().name(name).spawn(move || worker.work(&received))?;
        let thread = Some(thread);
        let tender = Self { chores: Some(chores), thread, blobs, progress, health, seen: 0, tried: 0 };
        tender.send(Chore::Sweep);
        Ok(tender)
    }

    /// Keeps the log short: called between transactions, with its length.
    pub(crate) fn tend(&mut self, writer: &Connection, frames: u32) {
        if frames < self.seen {
            self.progress.moved.store(0, Relaxed);
            self.tried = 0;
        }
        self.seen = frames;
        if self.health.has_failed() || self.progress.works.load(SeqCst) {
            return;
        }
        let left = frames.saturating_sub(self.progress.moved.load(Relaxed));
        if left >= length(EVERY) {
            self.progress.works.store(true, SeqCst);
            self.send(Chore::Checkpoint);
        } else if frames >= length(LONG)
            && left < length(FEW)
            && frames >= self.tried.saturating_add(length(FEW))
        {
            self.tried = frames;
            move_frames(writer, &self.health, &self.progress);
        }
    }

    /// Looks for files that were written for what was refused: called between transactions.
    pub(crate) fn look_for_refused(&self) {
        self.remove(self.blobs.take_written());
    }

    /// Removes those of these files that no row refers to.
    pub(crate) fn remove(&self, digests: Vec<Digest>) {
        if !digests.is_empty() {
            self.send(Chore::Remove(digests));
        }
    }

    fn send(&self, chore: Chore) {
        if let Some(chores) = &self.chores {
            // It may have ended with a panic; the next start sweeps.
            let _ = chores.send(chore);
        }
    }

    /// Ends the thread when it has done what it was told.
    pub(crate) fn stop(&mut self) {
        self.chores = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Moves what is in the log to the database, as far as nobody reads or writes it. Tells whether that was all.
fn move_frames(connection: &Connection, health: &Health, progress: &Progress) -> bool {
    pass("checkpoint.before");
    let moved = health.faults.sqlite(Fault::Checkpoint).and_then(|()| checkpoint(connection, "PASSIVE"));
    pass("checkpoint.after");
    match moved {
        Ok(checkpointed) => {
            progress.moved.store(checkpointed.moved, Relaxed);
            return checkpointed.is_complete();
        }
        // The log keeps what the database has no room for.
        Err(error) if is_full(&error) => tracing::warn!(%error, "the log is not moved to the database now"),
        Err(error) => health.fail(&format!("a checkpoint failed: {error}")),
    }
    false
}

struct Worker {
    connection: Connection,
    durability: Durability,
    frames: Arc<AtomicU32>,
    blobs: Blobs,
    health: Arc<Health>,
    progress: Arc<Progress>,
    /// Files that were to be removed while somebody might have read them.
    later: BTreeSet<Digest>,
    /// When it does what it is not told.
    due: Instant,
}

impl Worker {
    fn work(&mut self, chores: &Receiver<Chore>) {
        while let Some(chore) = self.next(chores) {
            match chore {
                Chore::Checkpoint => {
                    self.checkpoint();
                    self.progress.works.store(false, SeqCst);
                }
                Chore::Remove(digests) => self.remove(digests),
                Chore::Sweep => match self.blobs.list() {
                    Ok(digests) => self.remove(digests),
                    Err(error) => tracing::warn!(%error, "files that nothing refers to are not looked for"),
                },
            }
        }
        self.try_again();
    }

    fn next(&mut self, chores: &Receiver<Chore>) -> Option<Chore> {
        loop {
            if self.durability == Durability::Full && self.later.is_empty() {
                return chores.recv().ok();
            }
            // However many chores there are.
            if self.due <= Instant::now() {
                let has_more = self.frames.load(Relaxed) != self.progress.moved.load(Relaxed);
                if has_more || !self.later.is_empty() {
                    self.try_again();
                }
                self.due = Instant::now() + AGAIN;
            }
            match chores.recv_timeout(self.due.saturating_duration_since(Instant::now())) {
                Ok(chore) => return Some(chore),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    fn checkpoint(&self) -> bool {
        !self.health.has_failed() && move_frames(&self.connection, &self.health, &self.progress)
    }

    /// Moves the log where it is not synced with each write, and removes files that had to wait.
    fn try_again(&mut self) {
        let mut later = std::mem::take(&mut self.later);
        if self.durability == Durability::Normal {
            if !self.checkpoint() {
                self.later = later;
                return;
            }
            later.retain(|digest| !self.is_removed(*digest));
        }
        self.remove(later);
    }

    fn is_removed(&self, digest: Digest) -> bool {
        self.blobs.remove_unused(digest).unwrap_or_else(|error| {
            tracing::warn!(%error, "a file that nothing refers to is left");
            true
        })
    }

    /// Removes files that no row refers to, or notes to do so later.
    fn remove(&mut self, digests: impl IntoIterator<Item = Digest>) {
        // Before a checkpoint a loss of power may bring the rows back.
        let at_once = self.durability == Durability::Full;
        for digest in digests {
            // A write whose commit failed may be there at the next start, and refer to what no row does now.
            let may_be_used = || Ok(self.health.has_failed() || is_used(&self.connection, digest)?);
            match self.blobs.find_unused(digest, may_be_used) {
                Ok(true) if !(at_once && self.is_removed(digest)) => drop(self.later.insert(digest)),
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "a file that nothing refers to is left"),
            }
        }
    }
}

fn is_used(connection: &Connection, digest: Digest) -> Result<bool, Error> {
    let look = || {
        let mut statement = connection.prepare_cached("SELECT 1 FROM blobs WHERE digest = ?1")?;
        statement.query_row([digest.as_bytes()], |_| Ok(())).optional()
    };
    look().map(|found| found.is_some()).map_err(|error| sqlite(&error))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;
    use std::sync::Arc;
    use std::time::Duration;

    use rusqlite::Connection;

    use super::{Durability, Health, Tender};
    use crate::blobs::Blobs;

    /// A folder by the name of a test, its files, and a tender of them that no row refers to.
    fn tender(test: &str) -> (PathBuf, Blobs, Tender, Arc<Health>) {
        let folder = std::env::temp_dir().join(format!("faas-store-{test}-{}", std::process::id()));
        let health = Arc::new(Health::default());
        let blobs = Blobs::open(folder.clone(), Arc::clone(&health)).unwrap();
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE blobs (digest BLOB PRIMARY KEY)").unwrap();
        let tender =
            Tender::start(connection, Durability::Full, Arc::default(), blobs.clone(), Arc::clone(&health));
        (folder, blobs, tender.unwrap(), health)
    }

    #[test]
    fn a_store_that_writes_no_more_removes_no_file() {
        let (folder, blobs, mut tender, health) = tender("failed");
        let pin = blobs.put(b"one").unwrap();
        tender.remove(vec![pin.digest()]);
        health.fail("a commit failed");
        let digest = pin.digest();
        drop(pin);
        tender.stop();
        assert_eq!(blobs.list().unwrap(), [digest]);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_file_that_was_pinned_goes_though_nothing_else_happens() {
        let (folder, blobs, mut tender, _) = tender("again");
        let until_left = |count| {
            for _ in 0..1_000 {
                if blobs.list().unwrap().len() == count {
                    return;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            panic!("{count} are not left");
        };
        let pin = blobs.put(b"one").unwrap();
        let other = blobs.put(b"other").unwrap().digest();
        tender.remove(vec![pin.digest(), other]);
        until_left(1);
        drop(pin);
        until_left(0);
        tender.stop();
        fs::remove_dir_all(folder).unwrap();
    }
}
