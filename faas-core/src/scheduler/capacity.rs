//! Free capacity, striped so that threads which admit at once write to no common cache line.
//!
//! Each stripe is one word: its free units, or [`SHUT`]. A thread takes from the stripe of its own and a
//! permit goes back to the stripe that it came from, so that a warm, uncontended platform touches one line
//! per thread. A stripe that is short takes from the others.
//!
//! Whoever has to wait *shuts* all stripes first, under the queue's lock, which takes what is free in them
//! into the queue's pot. Nobody is stranded by a release that comes at the same time: shutting and putting
//! back are read-modify-write operations on the same word and so have an order. Either the units were put
//! back first, and the swap that shuts finds them; or the stripe was shut first, and whoever puts back is
//! told so, keeps the units and hands them to the queue under its lock.

use std::sync::{Arc, Weak};

use super::admission::Core;
use super::sync::{AtomicU64, Ordering, STRIPES, thread_number};

/// The word of a stripe that is shut. Free units are at most `u32::MAX`.
const SHUT: u64 = u64::MAX;

/// One stripe, in an allocation and on cache lines of its own; permits keep it alive rather than the
/// scheduler, whose reference count all threads would share.
#[repr(align(128))]
pub(super) struct Stripe {
    word: AtomicU64,
    core: Weak<Core>,
}

/// Why [`Stripe::take`] gave nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refused {
    Shut,
    Short,
}

impl Stripe {
    /// Takes exactly `units`.
    fn take(&self, units: u64) -> Result<(), Refused> {
        let take = |word: u64| if word == SHUT { None } else { word.checked_sub(units) };
        match self.word.fetch_update(Ordering::Acquire, Ordering::Relaxed, take) {
            Ok(_) => Ok(()),
            Err(SHUT) => Err(Refused::Shut),
            Err(_) => Err(Refused::Short),
        }
    }

    /// Takes what is missing, or half of what is there if that is more, so that a thread which is short
    /// does not come back for every unit.
    fn take_share(&self, missing: u64) -> u64 {
        let mut taken = 0;
        let take = |free: u64| {
            taken = if free == SHUT { 0 } else { free.min(missing.max(free / 2)) };
            (taken > 0).then(|| free - taken)
        };
        match self.word.fetch_update(Ordering::Acquire, Ordering::Relaxed, take) {
            Ok(_) => taken,
            Err(_) => 0,
        }
    }

    /// Puts units back unless the stripe is shut.
    fn put(&self, units: u64) -> bool {
        let put = |free: u64| (free != SHUT).then(|| free + units);
        self.word.fetch_update(Ordering::Release, Ordering::Relaxed, put).is_ok()
    }

    /// Gives units back, to the queue if it waits for them.
    pub(super) fn give_back(&self, units: u64) {
        if units > 0 && !self.put(units) {
            // Without a scheduler there is no queue either.
            if let Some(core) = self.core.upgrade() {
                core.settle(units);
            }
        }
    }
}

/// All stripes of a scheduler.
pub(super) struct Stripes(Box<[Arc<Stripe>]>);

impl Stripes {
    /// Stripes that hold `units` in sum, which is spread evenly.
    pub(super) fn new(units: u32, core: &Weak<Core>) -> Self {
        let (count, units) = (STRIPES as u64, u64::from(units));
        let stripe = |n: u64| {
            let share = units / count + u64::from(n < units % count);
            Arc::new(Stripe { word: AtomicU64::new(share), core: Weak::clone(core) })
        };
        Self((0..count).map(stripe).collect())
    }

    /// The number of the calling thread's stripe.
    pub(super) fn home() -> usize {
        thread_number() % STRIPES
    }

    /// The stripe of that number.
    pub(super) fn stripe(&self, number: usize) -> &Arc<Stripe> {
        &self.0[number % STRIPES]
    }

    /// Takes `units` and names the stripe to give them back to; nothing when the stripes are shut or short.
    pub(super) fn take(&self, units: u64) -> Option<&Arc<Stripe>> {
        let number = Self::home();
        let home = self.stripe(number);
        match home.take(units) {
            Ok(()) => Some(home),
            Err(Refused::Shut) => None,
            Err(Refused::Short) => self.collect(number, units),
        }
    }

    /// Takes `units` from several stripes. What is too much goes to the thread's own; so does what is too
    /// little, and a queue that began to wait meanwhile gets it.
    #[cold]
    fn collect(&self, number: usize, units: u64) -> Option<&Arc<Stripe>> {
        let mut taken = 0;
        for offset in 0..STRIPES {
            taken += self.stripe(number + offset).take_share(units - taken);
            if taken >= units {
                break;
            }
        }
        let home = self.stripe(number);
        let enough = taken >= units;
        home.give_back(if enough { taken - units } else { taken });
        enough.then_some(home)
    }

    /// Shuts all stripes and takes what was free. Only under the queue's lock.
    pub(super) fn shut(&self) -> u64 {
        let swap = |stripe: &Arc<Stripe>| match stripe.word.swap(SHUT, Ordering::AcqRel) {
            SHUT => 0,
            free => free,
        };
        self.0.iter().map(swap).sum()
    }

    /// Opens all stripes again, with `units` in the calling thread's. Only under the queue's lock, and only
    /// while all are shut: then nobody else writes to them.
    pub(super) fn open(&self, units: u64) {
        let home = Self::home();
        for (number, stripe) in self.0.iter().enumerate() {
            stripe.word.store(if number == home { units } else { 0 }, Ordering::Release);
        }
    }

    /// The units that are free, while the stripes are open. Others may move units meanwhile, so that this is
    /// exact only when nobody does.
    pub(super) fn free(&self) -> u64 {
        let load = |stripe: &Arc<Stripe>| match stripe.word.load(Ordering::Relaxed) {
            SHUT => 0,
            free => free,
        };
        self.0.iter().map(load).sum()
    }
}
