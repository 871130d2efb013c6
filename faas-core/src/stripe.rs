//! Striping: what threads would contend for, each has of its own.
//!
//! A counter that two threads write to costs each of them a trip between their caches, about as much as an
//! allocation. That includes the counter in an `Arc`.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// How many stripes a striped structure has; a power of two. Two threads share one only beyond that many.
pub(crate) const STRIPES: usize = 16;

/// Keeps its content on a cache line of its own (two on processors that fetch lines in pairs).
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Padded<T>(pub(crate) T);

/// The calling thread's number, given out in order of first use. It only spreads load: nothing that can be
/// observed depends on it.
pub(crate) fn thread_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static NUMBER: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    NUMBER.with(|number| {
        if number.get() == usize::MAX {
            number.set(NEXT.fetch_add(1, Ordering::Relaxed));
        }
        number.get()
    })
}

/// An `Arc` for each stripe of a value that is the same for all: threads that clone theirs share no counter.
/// Nothing is allocated before the first use.
pub(crate) struct OwnArcs<T>(OnceLock<Box<[OwnArc<T>; STRIPES]>>);

type OwnArc<T> = OnceLock<Box<Padded<Mutex<Option<Arc<T>>>>>>;

impl<T> OwnArcs<T> {
    pub(crate) const fn new() -> Self {
        Self(OnceLock::new())
    }

    /// The stripe's `Arc`; `make` gives its value the first time, and the first time after a
    /// [`clear`](Self::clear).
    pub(crate) fn get(&self, make: impl FnOnce() -> T) -> Arc<T> {
        let stripes = self.0.get_or_init(|| Box::new([const { OnceLock::new() }; STRIPES]));
        let stripe = stripes[thread_number() % STRIPES].get_or_init(Box::default);
        let mut own = stripe.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(own.get_or_insert_with(|| Arc::new(make())))
    }

    /// Forgets all of them. Change what `make` gives before: a stripe's lock is held while it is called, so that
    /// none keeps what it gave earlier.
    #[cfg(feature = "host")]
    pub(crate) fn clear(&self) {
        for stripe in self.0.get().into_iter().flat_map(|stripes| stripes.iter()) {
            if let Some(stripe) = stripe.get() {
                drop(stripe.0.lock().unwrap_or_else(PoisonError::into_inner).take());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thread_has_an_arc_of_its_own_until_all_are_cleared() {
        let (arcs, value) = (OwnArcs::new(), AtomicUsize::new(1));
        let read = || arcs.get(|| value.load(Ordering::SeqCst));
        let mine = read();
        assert!(Arc::ptr_eq(&mine, &read()));
        let other = std::thread::scope(|scope| scope.spawn(read).join().unwrap());
        assert!(!Arc::ptr_eq(&mine, &other));
        value.store(2, Ordering::SeqCst);
        assert_eq!(*read(), 1);
        arcs.clear();
        assert_eq!((*read(), *mine), (2, 1));
    }
}
