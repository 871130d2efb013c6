//! A model check of admission: loom runs every interleaving (of up to two preemptions) of a few threads
//! over the scheduler's own code, with loom's atomics and lock in place of the standard library's.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use loom::thread;

use self::admission::Core;
use self::permit::Permit;
use self::ticket::Ticket;
use crate::backend::Capacity;
use crate::scheduler::{AdmitRequest, SchedulerConfig, policy};

#[path = "../admission.rs"]
mod admission;
#[path = "../capacity.rs"]
mod capacity;
#[path = "../permit.rs"]
mod permit;
#[path = "../queue.rs"]
mod queue;
#[path = "../ticket.rs"]
mod ticket;

mod sync {
    use std::cell::Cell;

    pub(super) use loom::sync::atomic::{AtomicU64, Ordering};
    pub(super) use loom::sync::{Mutex, MutexGuard};

    pub(super) const STRIPES: usize = 2;

    loom::thread_local! {
        static NUMBER: Cell<usize> = Cell::new(0);
    }

    pub(super) fn thread_number() -> usize {
        NUMBER.with(Cell::get)
    }

    /// Makes the stripe of that number the calling thread's.
    pub(super) fn be(number: usize) {
        NUMBER.with(|own| own.set(number));
    }
}

fn core(slots: u32) -> Arc<Core> {
    Core::new(Capacity::Slots(slots), &SchedulerConfig::default())
}

/// Runs every interleaving.
fn check(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(model);
}

fn spawn<T: 'static>(number: usize, work: impl FnOnce() -> T + 'static) -> thread::JoinHandle<T> {
    thread::spawn(move || {
        sync::be(number);
        work()
    })
}

fn enqueue(core: &Arc<Core>, weight: u32) -> Ticket {
    let request = AdmitRequest {
        namespace: "a",
        weight,
        deadline: None,
        expected_run: Duration::ZERO,
        accepted: false,
    };
    core.enqueue(&request).unwrap()
}

/// The permit of a ticket that must have been granted.
fn granted(ticket: Ticket) -> Permit {
    match pin!(ticket).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer.unwrap(),
        Poll::Pending => panic!("stranded"),
    }
}

/// Nothing is in use or waits, and all of it can be had.
fn whole(core: &Arc<Core>, slots: u32) {
    assert_eq!((core.in_use(), core.queued()), (0, 0));
    assert_eq!(core.try_admit(slots).unwrap().weight(), slots);
}

#[test]
fn a_release_never_misses_who_begins_to_wait() {
    check(|| {
        let core = core(1);
        let permit = core.try_admit(1).unwrap();
        let waiter = spawn(1, {
            let core = Arc::clone(&core);
            move || enqueue(&core, 1)
        });
        drop(permit);
        drop(granted(waiter.join().unwrap()));
        whole(&core, 1);
    });
}

#[test]
fn threads_that_collect_at_once_strand_no_unit() {
    check(|| {
        let core = core(2);
        let thieves = [0, 1].map(|number| {
            let core = Arc::clone(&core);
            spawn(number, move || core.try_admit(2).map(|permit| permit.weight()))
        });
        let ticket = enqueue(&core, 2);
        let _ = thieves.map(|thief| thief.join().unwrap());
        drop(granted(ticket));
        whole(&core, 2);
    });
}

#[test]
fn capacity_is_never_exceeded() {
    check(|| {
        let core = core(2);
        let others = [1, 2].map(|weight| {
            let core = Arc::clone(&core);
            spawn(1, move || core.try_admit(weight))
        });
        let own = core.try_admit(1);
        let others = others.map(|other| other.join().unwrap());
        let held = others.iter().chain([&own]).flatten().map(Permit::weight).sum::<u32>();
        assert!(held <= 2, "{held} of 2");
        drop((others, own));
        whole(&core, 2);
    });
}

#[test]
fn who_leaves_while_a_permit_comes_back_strands_nobody() {
    check(|| {
        let core = core(1);
        let permit = core.try_admit(1).unwrap();
        let (leaver, stayer) = (enqueue(&core, 1), enqueue(&core, 1));
        let leaver = spawn(1, move || drop(leaver));
        drop(permit);
        leaver.join().unwrap();
        drop(granted(stayer));
        whole(&core, 1);
    });
}

#[test]
fn nothing_is_admitted_after_idle_saw_the_closed_scheduler_empty() {
    check(|| {
        let core = core(1);
        let late = spawn(1, {
            let core = Arc::clone(&core);
            move || core.try_admit(1)
        });
        core.close();
        let idle = pin!(core.idle()).poll(&mut Context::from_waker(Waker::noop())).is_ready();
        let late = late.join().unwrap();
        assert!(!(idle && late.is_some()), "admitted after it was idle");
        drop(late);
        assert_eq!(core.in_use(), 0);
    });
}
