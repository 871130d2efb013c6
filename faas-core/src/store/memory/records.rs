//! The activation records of a memory store: sharded, bounded by count and age.
//!
//! The appends of different threads touch different cache lines: each shard has its own lock, and what all
//! shards share is read on each append but written once per block. A block is a run of consecutive records of one
//! shard. Closed blocks queue up in the ledger, oldest first, and the oldest are dropped when there are too many:
//! so the bound holds for all shards together, however the records spread over them. A thread that closes a block
//! rather drops a block of its own shard that is nearly the oldest than another's: memory is best freed by the
//! thread that allocated it.

use std::cmp::{Ordering, Reverse};
use std::collections::hash_map::Entry;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::lock;
use crate::activation::{Activation, ActivationId};
use crate::error::{Error, ErrorKind};
use crate::store::{ActivationQuery, SHARD_BITS};
use crate::units::{self, Timestamp};

/// The number of shards.
const SHARDS: usize = 1 << SHARD_BITS;

/// By which part each bound may be missed: a 16th.
const SLACK: usize = 16;

/// The largest block. A larger one would only save more of what is already shared by 64 appends.
const MAX_BLOCK: usize = 64;

/// On cache lines of its own. 128 bytes, because x86 processors fetch lines in pairs.
#[repr(align(128))]
#[derive(Default)]
struct Padded<T>(Mutex<T>);

/// All records.
pub(super) struct Records {
    shards: Box<[Padded<Shard>]>,
    ledger: Padded<Ledger>,
    /// Records per block.
    block: usize,
    /// Closed blocks that are kept for sure.
    min_blocks: usize,
    /// Closed blocks that are kept at most.
    max_blocks: usize,
    /// In nanoseconds.
    max_age: u64,
    /// The end, in nanoseconds since the epoch, from which on a record makes the next look at the ages worthwhile.
    next_sweep: AtomicU64,
}

/// The closed blocks, oldest first.
type Ledger = VecDeque<Block>;

struct Block {
    shard: usize,
    /// The number of the first record after it.
    end: u64,
}

/// The records of one shard, numbered in order of arrival.
#[derive(Default)]
struct Shard {
    records: VecDeque<Kept>,
    /// The number of the front record.
    first: u64,
    /// The number of each record.
    index: HashMap<ActivationId, u64, BuildHasherDefault<IdHasher>>,
    /// The records in the block that is not closed yet.
    open: usize,
    /// Records numbered below this are to be dropped.
    release: u64,
}

/// A record, and what lists compare before they look at it.
struct Kept {
    start: Timestamp,
    record: Activation,
}

impl Records {
    pub(super) fn new(max: usize, max_age: Duration) -> Self {
        let block = (max / SHARDS / SLACK).clamp(1, MAX_BLOCK);
        let min_blocks = max.div_ceil(block);
        Self {
            shards: (0..SHARDS).map(|_| Padded::default()).collect(),
            ledger: Padded::default(),
            block,
            min_blocks,
            // Blocks of one record keep a small bound exact.
            max_blocks: if block == 1 { min_blocks } else { min_blocks + min_blocks / SLACK },
            max_age: units::nanos(max_age),
            next_sweep: AtomicU64::new(0),
        }
    }

    /// Keeps a record, and drops the oldest if there are too many.
    pub(super) fn append(&self, record: Activation) -> Result<(), Error> {
        let at = shard_of(record.id);
        let end = record.end.nanos();
        let (oldest, dropped) = {
            let mut shard = lock(&self.shards[at].0);
            // Under the shard's lock, so that its blocks are in the ledger in their order.
            let oldest = shard.push(record, self.block)?.and_then(|end| self.close(Block { shard: at, end }));
            let own = oldest.as_ref().filter(|oldest| oldest.shard == at).map(|oldest| oldest.end);
            shard.release = own.unwrap_or(shard.release);
            (oldest.filter(|oldest| oldest.shard != at), shard.take_released())
        };
        // Freeing is the larger part, and nobody has to wait for it.
        drop(dropped);
        if let Some(oldest) = oldest {
            let dropped = lock(&self.shards[oldest.shard].0).take_until(oldest.end);
            drop(dropped);
        }
        if end >= self.next_sweep.load(Relaxed) {
            self.sweep(end);
        }
        Ok(())
    }

    /// Adds a closed block to the ledger, and takes one out that is to be dropped, if there are too many.
    fn close(&self, block: Block) -> Option<Block> {
        let mut ledger = lock(&self.ledger.0);
        let excess = (ledger.len() + 1).saturating_sub(self.min_blocks);
        let own = ledger.iter().take(excess).position(|other| other.shard == block.shard);
        ledger.push_back(block);
        match own {
            Some(place) => ledger.remove(place),
            None if ledger.len() > self.max_blocks => ledger.pop_front(),
            None => None,
        }
    }

    /// Drops the records that are too old next to one that ended at `end`. The first of all that call it does it.
    #[cold]
    fn sweep(&self, end: u64) {
        let next = end.saturating_add(self.max_age / SLACK as u64);
        if self.next_sweep.fetch_max(next, Relaxed) > end {
            return;
        }
        let cutoff = Timestamp::from_nanos(end.saturating_sub(self.max_age));
        for shard in &self.shards {
            let dropped = lock(&shard.0).take_ended_before(cutoff);
            drop(dropped);
        }
    }

    pub(super) fn find(&self, id: ActivationId) -> Option<Activation> {
        lock(&self.shards[shard_of(id)].0).find(id)
    }

    pub(super) fn contains(&self, id: ActivationId) -> bool {
        lock(&self.shards[shard_of(id)].0).index.contains_key(&id)
    }

    /// The matching records, newest first.
    pub(super) fn list(&self, query: &ActivationQuery) -> Vec<Activation> {
        let wanted = query.limit.map_or(usize::MAX, |limit| limit.saturating_add(query.skip));
        if query.limit == Some(0) {
            return Vec::new();
        }
        // The newest so far, with the oldest of them on top.
        let mut newest: BinaryHeap<Reverse<Kept>> = BinaryHeap::new();
        for shard in &self.shards {
            for kept in lock(&shard.0).records.iter().rev() {
                let full = newest.len() >= wanted;
                if full && newest.peek().is_some_and(|Reverse(oldest)| kept < oldest) {
                    continue;
                }
                if matches(kept, query) {
                    newest.push(Reverse(Kept { start: kept.start, record: kept.record.clone() }));
                    if full {
                        newest.pop();
                    }
                }
            }
        }
        newest.into_sorted_vec().into_iter().skip(query.skip).map(|Reverse(kept)| kept.record).collect()
    }

    pub(super) fn count(&self, query: &ActivationQuery) -> usize {
        let count =
            |shard: &Padded<Shard>| lock(&shard.0).records.iter().filter(|kept| matches(kept, query)).count();
        self.shards.iter().map(count).sum()
    }
}

impl Shard {
    /// Adds a record; tells the end of the block that it closed, if it did.
    fn push(&mut self, record: Activation, block: usize) -> Result<Option<u64>, Error> {
        let number = self.first + self.records.len() as u64;
        match self.index.entry(record.id) {
            Entry::Occupied(_) => return Err(taken(record.id)),
            Entry::Vacant(entry) => entry.insert(number),
        };
        self.records.push_back(Kept { start: record.start, record });
        self.open += 1;
        if self.open < block {
            return Ok(None);
        }
        self.open = 0;
        Ok(Some(number + 1))
    }

    fn find(&self, id: ActivationId) -> Option<Activation> {
        let number = *self.index.get(&id)?;
        let place = usize::try_from(number - self.first).ok()?;
        Some(self.records[place].record.clone())
    }

    /// Takes out the oldest record that is to be dropped, and a second one to catch up: a record that goes for
    /// each that comes lets the allocator use the same memory again, at a third of what a whole block at once
    /// costs.
    fn take_released(&mut self) -> [Option<Kept>; 2] {
        [self.take_one_released(), self.take_one_released()]
    }

    fn take_one_released(&mut self) -> Option<Kept> {
        if self.first >= self.release {
            return None;
        }
        let kept = self.records.pop_front()?;
        self.first += 1;
        self.index.remove(&kept.record.id);
        Some(kept)
    }

    /// Takes out the records numbered below `end`.
    fn take_until(&mut self, end: u64) -> Vec<Kept> {
        let count = usize::try_from(end.saturating_sub(self.first)).unwrap_or(usize::MAX);
        self.take_front(count.min(self.records.len()))
    }

    /// Takes out the oldest records as far as they ended before `cutoff`.
    fn take_ended_before(&mut self, cutoff: Timestamp) -> Vec<Kept> {
        let count = self.records.iter().take_while(|kept| kept.record.end < cutoff).count();
        self.take_front(count)
    }

    fn take_front(&mut self, count: usize) -> Vec<Kept> {
        let taken: Vec<Kept> = self.records.drain(..count).collect();
        self.first += count as u64;
        // Nobody has looked at these records for long. Their ids are read in a loop of its own, so that the
        // processor waits for all of them at once.
        let ids: Vec<ActivationId> = taken.iter().map(|kept| kept.record.id).collect();
        for id in ids {
            self.index.remove(&id);
        }
        taken
    }
}

impl PartialEq for Kept {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Kept {}

impl PartialOrd for Kept {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Kept {
    /// By start, then by id, as lists are ordered.
    fn cmp(&self, other: &Self) -> Ordering {
        self.start.cmp(&other.start).then_with(|| self.record.id.cmp(&other.record.id))
    }
}

fn matches(kept: &Kept, query: &ActivationQuery) -> bool {
    query.is_within(kept.start) && query.is_about(&kept.record)
}

fn shard_of(id: ActivationId) -> usize {
    usize::try_from(id.as_u128() % SHARDS as u128).unwrap_or_default()
}

pub(super) fn taken(id: ActivationId) -> Error {
    let text = format!("activation {id} is queued or has a record already");
    Error::new(ErrorKind::AlreadyExists, text).with_context("activation", id)
}

/// Ids are random already, but for their upper bits (the time) and their lowest (the shard), and they come from
/// no outsider: one multiplication spreads them.
#[derive(Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        let folded = bytes.iter().fold(u128::from(self.0), |n, byte| n.rotate_left(8) ^ u128::from(*byte));
        self.write_u128(folded);
    }

    fn write_u128(&mut self, number: u128) {
        #[expect(clippy::cast_possible_truncation, reason = "both halves go in")]
        let folded = number as u64 ^ (number >> 64) as u64;
        // 2^64 divided by the golden ratio (Knuth, "The Art of Computer Programming", volume 3, 6.4). The map takes
        // its tag from the upper bits and its bucket from the lower ones, which depend on fewer: so swap them.
        self.0 = folded.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32);
    }
}
