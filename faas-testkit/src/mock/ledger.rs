//! What happened to the sandboxes of a mock: counts, peaks, an ordered list, and violations.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use faas_core::MemoryMib;
use tokio::time::Instant;

use super::{Operation, Shared};

/// Something that happened to a sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// Its making began: from here on it counts as live and its memory as used.
    Creating,
    /// It is up, as a stem.
    Created,
    /// It is bound to an action.
    Initialised,
    /// A run began.
    RunBegan,
    /// A run ended, or was dropped.
    RunEnded,
    /// It was paused.
    Paused,
    /// It was resumed.
    Resumed,
    /// Its destruction began.
    Ending,
    /// It is gone: destroyed, or never finished.
    Gone,
}

/// A step of one sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When, counted from the making of the factory.
    pub at: Duration,
    /// Which sandbox, from 1 in the order of making.
    pub sandbox: u64,
    /// What happened.
    pub step: Step,
}

#[derive(Default)]
pub(super) struct Books {
    pub(super) live: BTreeMap<u64, MemoryMib>,
    pub(super) peak_live: usize,
    pub(super) memory: u64,
    pub(super) peak_memory: u64,
    pub(super) counts: BTreeMap<Operation, u64>,
    pub(super) entries: Vec<Entry>,
    pub(super) violations: Vec<String>,
    made: u64,
}

pub(super) struct Ledger {
    since: Instant,
    books: Mutex<Books>,
}

impl Ledger {
    pub(super) fn new() -> Self {
        Self { since: Instant::now(), books: Mutex::default() }
    }

    pub(super) fn read<T>(&self, f: impl FnOnce(&Books) -> T) -> T {
        f(&self.books.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, f: impl FnOnce(&mut Books) -> T) -> T {
        f(&mut self.books.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Counts an operation and tells its number.
    pub(super) fn count(&self, operation: Operation) -> u64 {
        self.write(|books| {
            let count = books.counts.entry(operation).or_default();
            *count += 1;
            *count
        })
    }

    pub(super) fn note(&self, sandbox: u64, step: Step) {
        let at = self.since.elapsed();
        self.write(|books| books.entries.push(Entry { at, sandbox, step }));
    }

    pub(super) fn accuse(&self, sandbox: u64, violation: &str) {
        self.write(|books| books.violations.push(format!("sandbox {sandbox}: {violation}")));
    }
}

/// A sandbox's place among the living; it leaves when this is dropped.
pub(super) struct Presence {
    pub(super) shared: Arc<Shared>,
    pub(super) id: u64,
    memory: MemoryMib,
    /// Whether it may leave without having been destroyed: while it is made, and once it is destroyed.
    may_leave: bool,
}

impl Presence {
    pub(super) fn enter(shared: &Arc<Shared>, memory: MemoryMib) -> Self {
        let id = shared.ledger.write(|books| {
            books.made += 1;
            books.live.insert(books.made, memory);
            books.memory += u64::from(memory.mib());
            books.peak_live = books.peak_live.max(books.live.len());
            books.peak_memory = books.peak_memory.max(books.memory);
            books.made
        });
        let presence = Self { shared: Arc::clone(shared), id, memory, may_leave: true };
        presence.note(Step::Creating);
        presence
    }

    pub(super) fn note(&self, step: Step) {
        self.shared.ledger.note(self.id, step);
    }

    /// From now on it has to be destroyed, or not.
    pub(super) fn set_may_leave(&mut self, may_leave: bool) {
        self.may_leave = may_leave;
    }

    /// Destroys it as the script tells.
    pub(super) async fn end(mut self, operation: Operation) {
        self.note(Step::Ending);
        // Only the time that it takes, and a hang or a panic, can be told of a destruction.
        let _ = self.shared.perform(operation).await;
        self.may_leave = true;
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.note(Step::Gone);
        self.shared.ledger.write(|books| {
            books.live.remove(&self.id);
            books.memory -= u64::from(self.memory.mib());
        });
        if !self.may_leave && !std::thread::panicking() {
            self.shared.ledger.accuse(self.id, "dropped without being destroyed");
        }
    }
}
