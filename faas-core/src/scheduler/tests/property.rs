//! Random sequences of what callers may do, and many threads that do it at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use fastrand::Rng;
use proptest::prelude::*;
use tokio::time::advance;

use super::{answer, request};
use crate::backend::Capacity;
use crate::error::ErrorKind;
use crate::scheduler::{AdmitRequest, Order, Permit, Scheduler, SchedulerConfig, Ticket};
use crate::units::MemoryMib;

const CAPACITY: u32 = 100;
const QUEUE_LIMIT: usize = 8;

#[derive(Clone, Debug)]
enum Step {
    TryAdmit { weight: u32 },
    Enqueue { namespace: u8, weight: u32, run: u64 },
    Poll(usize),
    Leave(usize),
    Release(usize),
    Share(usize),
    Advance { seconds: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    let weight = || prop_oneof![4 => 1_u32..=30, 1 => 31_u32..=CAPACITY, 1 => CAPACITY + 1..=u32::MAX];
    prop_oneof![
        2 => weight().prop_map(|weight| Step::TryAdmit { weight }),
        6 => (0_u8..3, weight(), 0_u64..50)
            .prop_map(|(namespace, weight, run)| Step::Enqueue { namespace, weight, run }),
        3 => any::<usize>().prop_map(Step::Poll),
        2 => any::<usize>().prop_map(Step::Leave),
        4 => any::<usize>().prop_map(Step::Release),
        1 => any::<usize>().prop_map(Step::Share),
        1 => (0_u64..40).prop_map(|seconds| Step::Advance { seconds }),
    ]
}

fn order() -> impl Strategy<Value = Order> {
    prop_oneof![
        Just(Order::Arrival),
        Just(Order::ShortestFirst),
        Just(Order::EarliestDeadline),
        Just(Order::FairShare)
    ]
}

/// What a caller holds.
struct World {
    scheduler: Scheduler,
    tickets: Vec<(u32, Ticket)>,
    permits: Vec<Permit>,
    answered: usize,
}

impl World {
    fn new(capacity: Capacity, policy: Order) -> Self {
        let config = SchedulerConfig { queue_limit: QUEUE_LIMIT, policy, ..SchedulerConfig::default() };
        let scheduler = Scheduler::new(capacity, config);
        Self { scheduler, tickets: Vec::new(), permits: Vec::new(), answered: 0 }
    }

    async fn act(&mut self, step: &Step) {
        match *step {
            Step::TryAdmit { weight } => self.permits.extend(self.scheduler.try_admit(weight)),
            Step::Enqueue { namespace, weight, run } => self.enqueue(namespace, weight, run),
            Step::Poll(index) if !self.tickets.is_empty() => {
                let index = index % self.tickets.len();
                self.poll(index).await;
            }
            Step::Leave(index) if !self.tickets.is_empty() => {
                drop(self.tickets.remove(index % self.tickets.len()));
            }
            Step::Release(index) if !self.permits.is_empty() => {
                drop(self.permits.swap_remove(index % self.permits.len()));
            }
            Step::Share(index) if !self.permits.is_empty() => {
                let index = index % self.permits.len();
                drop(self.permits[index].share());
            }
            Step::Advance { seconds } => advance(Duration::from_secs(seconds)).await,
            _ => {}
        }
    }

    fn enqueue(&mut self, namespace: u8, weight: u32, run: u64) {
        let namespace = format!("n{namespace}");
        let expected_run = Duration::from_millis(run);
        let queued = self.scheduler.queued();
        match self.scheduler.enqueue(AdmitRequest { weight, expected_run, ..request(&namespace) }) {
            Ok(ticket) => self.tickets.push((weight, ticket)),
            Err(error) if weight > CAPACITY => assert_eq!(error.kind(), ErrorKind::InvalidArgument),
            Err(error) => assert_eq!((error.kind(), queued), (ErrorKind::Overloaded, QUEUE_LIMIT)),
        }
    }

    async fn poll(&mut self, index: usize) {
        match answer(&mut self.tickets[index].1).await {
            None => return,
            Some(Ok(permit)) => {
                assert_eq!(permit.weight(), self.tickets[index].0);
                self.permits.push(permit);
            }
            Some(Err(kind)) => assert_eq!(kind, ErrorKind::DeadlineExceeded),
        }
        self.answered += 1;
        drop(self.tickets.remove(index));
    }

    fn check(&self) {
        let held: u32 = self.permits.iter().map(Permit::weight).sum();
        let granted = |count: &(u32, Ticket)| if count.1.is_granted() { count.0 } else { 0 };
        let untaken: u32 = self.tickets.iter().map(granted).sum();
        let in_use = self.scheduler.in_use();
        assert!(
            held + untaken <= in_use && in_use <= CAPACITY,
            "{held} held, {untaken} granted, {in_use} in use"
        );
        if self.scheduler.queued() > 0 {
            let heaviest = self.tickets.iter().map(|(weight, _)| *weight).max().unwrap_or(0);
            assert!(in_use + heaviest > CAPACITY, "all that wait would fit");
        }
    }

    /// Lets everything that waits have its turn.
    async fn finish(mut self) {
        while !self.tickets.is_empty() {
            let before = self.answered;
            for index in (0..self.tickets.len()).rev() {
                self.poll(index).await;
            }
            assert!(self.answered > before || !self.permits.is_empty(), "stranded");
            self.permits.clear();
        }
        self.permits.clear();
        assert_eq!((self.scheduler.in_use(), self.scheduler.queued()), (0, 0));
        let whole = self.scheduler.try_admit(CAPACITY).unwrap();
        assert_eq!(whole.weight(), CAPACITY);
        drop(whole);
        self.scheduler.idle().await;
    }
}

proptest! {
    #[test]
    fn capacity_holds_and_comes_back_whatever_callers_do(
        steps in proptest::collection::vec(step(), 0..120),
        policy in order(),
        by_memory: bool,
    ) {
        let capacity =
            if by_memory { Capacity::Memory(MemoryMib::new(CAPACITY)) } else { Capacity::Slots(CAPACITY) };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.unwrap().block_on(async {
            let mut world = World::new(capacity, policy);
            for step in &steps {
                world.act(step).await;
                world.check();
            }
            world.finish().await;
        });
    }
}

/// Units that are in use as the tasks themselves count them.
struct Counted<'a>(&'a AtomicU32, Permit);

impl<'a> Counted<'a> {
    fn new(in_use: &'a AtomicU32, permit: Permit) -> Self {
        let now = in_use.fetch_add(permit.weight(), Ordering::SeqCst) + permit.weight();
        assert!(now <= CAPACITY, "{now} of {CAPACITY} in use");
        Self(in_use, permit)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(self.1.weight(), Ordering::SeqCst);
    }
}

async fn work(scheduler: Arc<Scheduler>, in_use: Arc<AtomicU32>, seed: u64) -> u32 {
    let mut rng = Rng::with_seed(seed);
    let mut admitted = 0;
    for _ in 0..500 {
        let weight = if rng.u8(..) < 16 { CAPACITY } else { rng.u32(1..=20) };
        let namespace = ["a", "b", "c"][rng.usize(..3)];
        let request = AdmitRequest { weight, accepted: true, ..request(namespace) };
        let permit = match rng.u8(..4) {
            0 => scheduler.try_admit(weight),
            1 => {
                // A cancelled one: it may be granted meanwhile or not.
                let ticket = scheduler.enqueue(request).unwrap();
                tokio::task::yield_now().await;
                drop(ticket);
                None
            }
            _ => Some(scheduler.admit(request).await.unwrap()),
        };
        if let Some(permit) = permit {
            let _counted = Counted::new(&in_use, permit);
            admitted += 1;
            if rng.bool() {
                tokio::task::yield_now().await;
            }
        }
    }
    admitted
}

#[test]
fn many_threads_strand_nobody_and_never_exceed_the_capacity() {
    const TASKS: u64 = 32;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_time().build().unwrap();
    for policy in [Order::Arrival, Order::FairShare] {
        let config = SchedulerConfig { policy, ..SchedulerConfig::default() };
        let scheduler = Arc::new(Scheduler::new(Capacity::Slots(CAPACITY), config));
        let in_use = Arc::new(AtomicU32::new(0));
        let tasks: Vec<_> = (0..TASKS)
            .map(|seed| runtime.spawn(work(Arc::clone(&scheduler), Arc::clone(&in_use), seed)))
            .collect();
        let mut admitted = 0;
        for task in tasks {
            admitted += runtime.block_on(task).unwrap();
        }
        assert!(admitted > 32 * 500 / 2, "{admitted} were admitted");
        assert_eq!((scheduler.in_use(), scheduler.queued()), (0, 0));
        assert_eq!(scheduler.try_admit(CAPACITY).unwrap().weight(), CAPACITY);
    }
}
