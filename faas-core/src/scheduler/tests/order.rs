use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use tokio::time::Instant;

use super::{answer, queue, request, slots};
use crate::backend::Capacity;
use crate::name::Namespace;
use crate::scheduler::{AdmitRequest, Order, Policy, QueuedJob, Scheduler, SchedulerConfig, Ticket};

const BUILT_IN: [Order; 4] =
    [Order::Arrival, Order::ShortestFirst, Order::EarliestDeadline, Order::FairShare];

/// A job that arrived at `base`, named by its ticket.
fn job(base: Instant, ticket: u64, namespace: &str, run: u64, deadline: u64) -> QueuedJob {
    QueuedJob {
        ticket,
        namespace: Namespace::new(namespace).unwrap(),
        weight: 1,
        arrived: base,
        deadline: base + Duration::from_millis(deadline),
        expected_run: Duration::from_millis(run),
    }
}

/// Takes everything out and tells the tickets.
fn drain(policy: &mut dyn Policy, now: Instant) -> Vec<u64> {
    std::iter::from_fn(|| policy.pop(now).map(|job| job.ticket)).collect()
}

/// (namespace, run in ms, deadline in ms), and whether the job leaves again.
fn jobs() -> impl Strategy<Value = Vec<(u8, u64, u64, bool)>> {
    proptest::collection::vec((0_u8..4, 0_u64..50, 0_u64..50, any::<bool>()), 0..60)
}

proptest! {
    #[test]
    fn every_job_is_taken_once_and_peek_shows_what_pop_takes(jobs in jobs()) {
        let base = Instant::now();
        for order in BUILT_IN {
            let mut policy = order.policy();
            let (mut expected, mut seen) = (Vec::new(), Vec::new());
            for (ticket, (namespace, run, deadline, leaves)) in (0..).zip(&jobs) {
                let job = job(base, ticket, &format!("n{namespace}"), *run, *deadline);
                policy.push(job.clone());
                if *leaves {
                    policy.remove(&job);
                    policy.remove(&job);
                } else {
                    expected.push(ticket);
                }
                prop_assert_eq!(policy.len(), expected.len());
                prop_assert_eq!(policy.is_empty(), expected.is_empty());
            }
            while let Some(next) = policy.peek(base).map(|job| job.ticket) {
                prop_assert_eq!(policy.pop(base).map(|job| job.ticket), Some(next));
                seen.push(next);
            }
            prop_assert_eq!(policy.len(), 0);
            seen.sort_unstable();
            prop_assert_eq!(&seen, &expected, "{:?}", order);
        }
    }

    #[test]
    fn ordered_queues_sort_by_their_key_then_by_arrival(jobs in jobs()) {
        let base = Instant::now();
        let all: Vec<_> = (0..).zip(&jobs).map(|(ticket, (_, run, deadline, _))| (ticket, *run, *deadline)).collect();
        let key = |order: &Order, (ticket, run, deadline): (u64, u64, u64)| match order {
            Order::ShortestFirst => (run, ticket),
            Order::EarliestDeadline => (deadline, ticket),
            _ => (0, ticket),
        };
        for order in &BUILT_IN[..3] {
            let mut policy = order.policy();
            for (ticket, run, deadline) in &all {
                policy.push(job(base, *ticket, "a", *run, *deadline));
            }
            let mut sorted = all.clone();
            sorted.sort_unstable_by_key(|job| key(order, *job));
            let expected: Vec<_> = sorted.into_iter().map(|(ticket, ..)| ticket).collect();
            prop_assert_eq!(drain(policy.as_mut(), base), expected);
        }
    }

    /// The fairness bound of the paper (theorem 1): while two flows both wait, what they have been given
    /// differs by at most the largest job of either.
    #[test]
    fn waiting_namespaces_are_given_the_same_within_one_job_each(
        runs in proptest::collection::vec((0_usize..3, 1_u64..100), 3..200),
    ) {
        let base = Instant::now();
        let mut policy = Order::FairShare.policy();
        let mut waiting = [0_usize; 3];
        let mut largest = [0; 3];
        for (ticket, (namespace, run)) in (0..).zip(&runs) {
            policy.push(job(base, ticket, &format!("n{namespace}"), *run, 0));
            waiting[*namespace] += 1;
            largest[*namespace] = (*run).max(largest[*namespace]);
        }
        let mut given = [0; 3];
        while waiting.iter().all(|count| *count > 0) {
            let ticket = usize::try_from(policy.pop(base).unwrap().ticket).unwrap();
            let (namespace, run) = runs[ticket];
            waiting[namespace] -= 1;
            given[namespace] += run;
            for (a, b) in [(0, 1), (1, 2), (0, 2)] {
                prop_assert!(given[a].abs_diff(given[b]) <= largest[a] + largest[b], "{:?}", given);
            }
        }
    }

    #[test]
    fn within_a_namespace_fair_share_keeps_the_order_of_arrival(jobs in jobs()) {
        let base = Instant::now();
        let mut policy = Order::FairShare.policy();
        for (ticket, (namespace, run, deadline, _)) in (0..).zip(&jobs) {
            policy.push(job(base, ticket, &format!("n{namespace}"), *run, *deadline));
        }
        let mut last = BTreeMap::new();
        while let Some(job) = policy.pop(base) {
            prop_assert!(last.insert(job.namespace, job.ticket).is_none_or(|before| before < job.ticket));
        }
    }
}

#[test]
fn jobs_that_leave_cost_their_namespace_nothing() {
    let base = Instant::now();
    let mut policy = Order::FairShare.policy();
    let left: Vec<_> = (0..100).map(|ticket| job(base, ticket, "a", 1_000, 0)).collect();
    left.iter().for_each(|job| policy.push(job.clone()));
    left.iter().for_each(|job| policy.remove(job));
    for ticket in [200, 201, 202, 203] {
        policy.push(job(base, ticket, if ticket % 2 == 0 { "b" } else { "a" }, 10, 0));
    }
    assert_eq!(drain(policy.as_mut(), base), [200, 201, 202, 203]);
}

#[test]
fn a_namespace_that_was_away_gains_nothing_and_loses_nothing() {
    let base = Instant::now();
    let mut policy = Order::FairShare.policy();
    for ticket in 0..10 {
        policy.push(job(base, ticket, "busy", 10, 0));
    }
    for ticket in 0..5 {
        assert_eq!(policy.pop(base).map(|job| job.ticket), Some(ticket));
    }
    for ticket in 10..13 {
        policy.push(job(base, ticket, "back", 10, 0));
    }
    assert_eq!(drain(policy.as_mut(), base), [10, 5, 11, 6, 12, 7, 8, 9]);
}

#[test]
fn a_cost_is_weight_times_time_and_forgotten_with_the_busy_period() {
    let base = Instant::now();
    let mut policy = Order::FairShare.policy();
    policy.push(QueuedJob { weight: 100, ..job(base, 0, "heavy", 1_000, 0) });
    assert_eq!(drain(policy.as_mut(), base), [0]);
    // While it runs, the next one of its namespace is behind 100 s of others' work.
    policy.push(job(base, 1, "heavy", 1, 0));
    (2..100).for_each(|ticket| policy.push(job(base, ticket, "light", 1_000, 0)));
    assert_eq!(drain(policy.as_mut(), base), (2..100).chain([1]).collect::<Vec<_>>());
    // Afterwards it is not.
    let later = base + Duration::from_millis(1_000);
    policy.push(QueuedJob { arrived: later, ..job(base, 100, "heavy", 1, 0) });
    policy.push(QueuedJob { arrived: later, ..job(base, 101, "light", 1, 0) });
    assert_eq!(drain(policy.as_mut(), later), [100, 101]);
}

#[test]
fn the_largest_costs_do_not_overflow() {
    let base = Instant::now();
    let mut policy = Order::FairShare.policy();
    let largest = |ticket| QueuedJob {
        weight: u32::MAX,
        expected_run: Duration::MAX,
        ..job(base, ticket, if ticket % 2 == 0 { "a" } else { "b" }, 0, 0)
    };
    (0..1_000).for_each(|ticket| policy.push(largest(ticket)));
    assert_eq!(drain(policy.as_mut(), base), (0..1_000).collect::<Vec<_>>());
}

/// One slot, one job at a time of `run` each, in the order in which the tickets are granted.
async fn start_times(tickets: Vec<(&'static str, Ticket)>, run: Duration) -> Vec<(&'static str, Duration)> {
    let start = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for (namespace, ticket) in tickets {
        tasks.spawn(async move {
            let permit = ticket.await.unwrap();
            let started = start.elapsed();
            tokio::time::sleep(run).await;
            drop(permit);
            (namespace, started)
        });
    }
    let mut started = tasks.join_all().await;
    started.sort_by_key(|(_, at)| *at);
    started
}

#[tokio::test(start_paused = true)]
async fn a_tenant_with_100_000_jobs_delays_the_first_start_of_another_by_one_job() {
    let config = SchedulerConfig { queue_limit: 100_001, policy: Order::FairShare, ..Default::default() };
    let scheduler = Scheduler::new(Capacity::Slots(1), config);
    let mut permit = scheduler.try_admit(1).unwrap();
    let job = |namespace| AdmitRequest { expected_run: Duration::from_millis(10), ..request(namespace) };
    let mut flood: VecDeque<_> = (0..100_000).map(|_| queue(&scheduler, job("flood"))).collect();
    for _ in 0..50 {
        drop(permit);
        permit = flood.pop_front().unwrap().await.unwrap();
    }
    for namespace in ["other", "third"] {
        let mut ticket = queue(&scheduler, job(namespace));
        let mut ahead = 0;
        permit = loop {
            drop(permit);
            if let Some(granted) = answer(&mut ticket).await {
                break granted.unwrap();
            }
            permit = flood.pop_front().unwrap().await.unwrap();
            ahead += 1;
        };
        assert!(ahead <= 1, "{ahead} jobs of the flood were ahead");
    }
}

#[tokio::test(start_paused = true)]
async fn fair_share_alternates_between_namespaces_however_many_jobs_they_have() {
    let scheduler = slots(1, Order::FairShare);
    let permit = scheduler.try_admit(1).unwrap();
    let mut tickets: Vec<_> = (0..20).map(|_| ("flood", queue(&scheduler, request("flood")))).collect();
    tickets.extend((0..4).map(|_| ("other", queue(&scheduler, request("other")))));
    drop(permit);
    let order: Vec<_> =
        start_times(tickets, Duration::from_millis(10)).await.into_iter().map(|(n, _)| n).collect();
    let expected: Vec<_> = ["flood", "other"].repeat(4).into_iter().chain(["flood"; 16]).collect();
    assert_eq!(order, expected);
}

#[tokio::test(start_paused = true)]
async fn the_shortest_and_the_nearest_deadline_go_first() {
    for order in [Order::ShortestFirst, Order::EarliestDeadline] {
        let scheduler = slots(1, order);
        let permit = scheduler.try_admit(1).unwrap();
        let timed = |millis| AdmitRequest {
            deadline: Some(Instant::now() + Duration::from_secs(millis)),
            expected_run: Duration::from_millis(millis),
            ..request("a")
        };
        let names = [("300", 300), ("100", 100), ("200", 200), ("100 again", 100)];
        let tickets = names.map(|(name, millis)| (name, queue(&scheduler, timed(millis))));
        drop(permit);
        let order = start_times(tickets.into(), Duration::from_millis(10)).await;
        assert_eq!(
            order.into_iter().map(|(name, _)| name).collect::<Vec<_>>(),
            ["100", "100 again", "200", "300"]
        );
    }
}

/// The youngest first.
#[derive(Default)]
struct Stack(Vec<QueuedJob>);

impl Policy for Stack {
    fn push(&mut self, job: QueuedJob) {
        self.0.push(job);
    }

    fn peek(&self, _now: Instant) -> Option<&QueuedJob> {
        self.0.last()
    }

    fn pop(&mut self, _now: Instant) -> Option<QueuedJob> {
        self.0.pop()
    }

    fn remove(&mut self, job: &QueuedJob) {
        self.0.retain(|held| held.ticket != job.ticket);
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

#[tokio::test(start_paused = true)]
async fn an_application_brings_its_own_order() {
    let scheduler = slots(1, Order::Custom(Arc::new(|| Box::new(Stack::default()))));
    let permit = scheduler.try_admit(1).unwrap();
    let tickets = ["1", "2", "3"].map(|name| (name, queue(&scheduler, request("a"))));
    drop(permit);
    let mut order = start_times(tickets.into(), Duration::from_millis(10)).await;
    order.sort_by_key(|(name, _)| Reverse(*name));
    assert!(order.is_sorted_by_key(|(_, started)| *started), "{order:?}");
}

/// Shows the same job for ever and admits it to everybody.
struct Broken(Option<QueuedJob>);

impl Policy for Broken {
    fn push(&mut self, job: QueuedJob) {
        self.0.get_or_insert(job);
    }

    fn peek(&self, _now: Instant) -> Option<&QueuedJob> {
        self.0.as_ref()
    }

    fn pop(&mut self, _now: Instant) -> Option<QueuedJob> {
        self.0.take()
    }

    fn remove(&mut self, _job: &QueuedJob) {}

    fn len(&self) -> usize {
        7
    }
}

#[tokio::test(start_paused = true)]
async fn a_broken_order_loses_no_capacity_and_keeps_nobody_beyond_the_deadline() {
    let scheduler = slots(1, Order::Custom(Arc::new(|| Box::new(Broken(None)))));
    let permit = scheduler.try_admit(1).unwrap();
    let tickets: Vec<_> = (0..3).map(|_| queue(&scheduler, request("a"))).collect();
    drop(permit);
    let mut admitted = 0;
    for ticket in tickets {
        admitted += u32::from(ticket.await.is_ok());
    }
    assert_eq!((admitted, scheduler.queued(), scheduler.in_use()), (1, 0, 0));
    assert!(scheduler.try_admit(1).is_some());
}
