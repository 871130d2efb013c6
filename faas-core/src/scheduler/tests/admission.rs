use std::time::Duration;

use tokio::time::{Instant, advance};

use super::{answer, queue, request, slots};
use crate::backend::Capacity;
use crate::error::ErrorKind;
use crate::scheduler::{AdmitRequest, Order, Permit, Scheduler, SchedulerConfig};
use crate::units::MemoryMib;

fn memory(mib: u32) -> Scheduler {
    Scheduler::new(Capacity::Memory(MemoryMib::new(mib)), SchedulerConfig::default())
}

#[test]
fn every_unit_is_admitted_whatever_stripe_holds_it() {
    for count in [1, 2, 3, 15, 16, 17, 100] {
        let scheduler = slots(count, Order::Arrival);
        let permits: Vec<_> = (0..count).map(|_| scheduler.try_admit(1).unwrap()).collect();
        assert!(scheduler.try_admit(1).is_none(), "{count}");
        assert_eq!(scheduler.in_use(), count);
        drop(permits);
        assert_eq!(scheduler.in_use(), 0);
    }
}

#[test]
fn a_weight_of_the_whole_capacity_is_admitted_from_all_stripes() {
    let scheduler = memory(1024);
    let light: Vec<_> = (0..4).map(|_| scheduler.try_admit(256).unwrap()).collect();
    assert!(scheduler.try_admit(1).is_none());
    drop(light);
    let heavy = scheduler.try_admit(1024).unwrap();
    assert_eq!((heavy.weight(), scheduler.in_use()), (1024, 1024));
}

#[test]
fn a_weight_over_the_capacity_is_refused_at_once_naming_both() {
    for (scheduler, weight) in [(memory(256), 257), (memory(256), u32::MAX), (memory(0), 1)] {
        assert!(scheduler.try_admit(weight).is_none());
        let error = scheduler.enqueue(AdmitRequest { weight, ..request("a") }).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(!error.is_temporary());
        let Capacity::Memory(capacity) = scheduler.capacity() else { unreachable!() };
        for number in [weight, capacity.mib()] {
            assert!(error.to_string().contains(&format!("{number} MiB")), "{error}");
        }
        assert_eq!(scheduler.queued(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn the_largest_weights_do_not_overflow() {
    let scheduler = memory(u32::MAX);
    let whole = scheduler.try_admit(u32::MAX).unwrap();
    assert_eq!(scheduler.in_use(), u32::MAX);
    let heavy = AdmitRequest { weight: u32::MAX, expected_run: Duration::MAX, ..request("a") };
    let (first, second) = (queue(&scheduler, heavy), queue(&scheduler, heavy));
    drop(whole);
    drop(first.await.unwrap());
    assert_eq!(second.await.unwrap().weight(), u32::MAX);
    assert_eq!(scheduler.in_use(), 0);
}

#[test]
fn weights_follow_the_kind_of_capacity() {
    assert_eq!(slots(4, Order::Arrival).weight(MemoryMib::new(512)), 1);
    assert_eq!(memory(1024).weight(MemoryMib::new(512)), 512);
    assert_eq!(memory(1024).weight(MemoryMib::new(0)), 1);
    let free = memory(2);
    let permits: Vec<_> = std::iter::from_fn(|| free.try_admit(0)).collect();
    assert_eq!(permits.len(), 2, "a weight of 0 counts as 1");
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_is_admitted_when_a_permit_comes_back() {
    let scheduler = slots(1, Order::Arrival);
    let permit = scheduler.try_admit(1).unwrap();
    let (mut first, mut second) = (queue(&scheduler, request("a")), queue(&scheduler, request("a")));
    assert_eq!(scheduler.queued(), 2);
    assert!(answer(&mut first).await.is_none());
    drop(permit);
    let permit = answer(&mut first).await.unwrap().unwrap();
    assert!(answer(&mut second).await.is_none());
    assert_eq!((scheduler.queued(), scheduler.in_use()), (1, 1));
    drop(permit);
    drop(answer(&mut second).await.unwrap().unwrap());
    assert_eq!((scheduler.queued(), scheduler.in_use()), (0, 0));
    assert!(scheduler.try_admit(1).is_some());
}

#[tokio::test(start_paused = true)]
async fn nobody_overtakes_the_queue() {
    let scheduler = memory(1024);
    let permit = scheduler.try_admit(600).unwrap();
    let mut heavy = queue(&scheduler, AdmitRequest { weight: 1000, ..request("a") });
    assert!(scheduler.try_admit(1).is_none(), "somebody waits");
    let mut light = queue(&scheduler, AdmitRequest { weight: 24, ..request("a") });
    assert!(answer(&mut light).await.is_none(), "the heavy job is first");
    drop(permit);
    let heavy = answer(&mut heavy).await.unwrap().unwrap();
    assert_eq!(answer(&mut light).await.unwrap().unwrap().weight() + heavy.weight(), 1024);
}

#[tokio::test(start_paused = true)]
async fn who_leaves_lets_the_next_one_in_if_it_fits() {
    let scheduler = memory(1024);
    let _permit = scheduler.try_admit(600).unwrap();
    let heavy = queue(&scheduler, AdmitRequest { weight: 1000, ..request("a") });
    let mut light = queue(&scheduler, AdmitRequest { weight: 24, ..request("a") });
    drop(heavy);
    assert_eq!(answer(&mut light).await.unwrap().unwrap().weight(), 24);
    assert_eq!(scheduler.queued(), 0);
    assert!(scheduler.try_admit(424).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_refuses_at_its_exact_bound_naming_it() {
    let config = SchedulerConfig { queue_limit: 3, ..SchedulerConfig::default() };
    let scheduler = Scheduler::new(Capacity::Slots(1), config);
    let _permit = scheduler.try_admit(1).unwrap();
    let waiting: Vec<_> = (0..3).map(|_| queue(&scheduler, request("a"))).collect();
    let error = scheduler.enqueue(request("a")).unwrap_err();
    assert_eq!(error.to_string(), "overloaded: the queue holds 3 jobs, and its limit is 3");
    assert!(error.is_temporary());
    assert_eq!(error.context("namespace"), Some("a"));
    let late = scheduler.enqueue(AdmitRequest { accepted: true, ..request("a") }).unwrap();
    assert_eq!(scheduler.queued(), 4, "what was accepted before is queued");
    drop((late, waiting));
    assert_eq!(scheduler.queued(), 0);
    drop(queue(&scheduler, request("a")));
}

#[tokio::test(start_paused = true)]
async fn a_queue_limit_of_zero_queues_nothing() {
    let config = SchedulerConfig { queue_limit: 0, ..SchedulerConfig::default() };
    let scheduler = Scheduler::new(Capacity::Slots(1), config);
    let permit = scheduler.admit(request("a")).await.unwrap();
    assert_eq!(scheduler.admit(request("a")).await.unwrap_err().kind(), ErrorKind::Overloaded);
    drop(permit);
    assert!(scheduler.admit(request("a")).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_place_that_nobody_polls_is_free_after_its_deadline() {
    let config = SchedulerConfig { queue_limit: 1, ..SchedulerConfig::default() };
    let scheduler = Scheduler::new(Capacity::Slots(1), config);
    let _permit = scheduler.try_admit(1).unwrap();
    let forgotten = queue(&scheduler, request("a"));
    advance(Duration::from_secs(59)).await;
    assert_eq!(scheduler.enqueue(request("a")).unwrap_err().kind(), ErrorKind::Overloaded);
    advance(Duration::from_secs(1)).await;
    let _next = queue(&scheduler, request("a"));
    assert_eq!(scheduler.queued(), 1);
    assert_eq!(forgotten.await.unwrap_err().kind(), ErrorKind::DeadlineExceeded);
}

#[tokio::test(start_paused = true)]
async fn the_queue_deadline_is_exact_and_names_the_time_waited() {
    let scheduler = slots(1, Order::Arrival);
    let _permit = scheduler.try_admit(1).unwrap();
    let start = Instant::now();
    let error = scheduler.admit(request("a")).await.unwrap_err();
    assert_eq!(start.elapsed().as_secs(), 60);
    assert_eq!(
        error.to_string(),
        format!("deadline exceeded: waited {:?} for 1 of 1 slots", start.elapsed())
    );
    assert!(error.is_temporary());
    let soon = AdmitRequest { deadline: Some(Instant::now() + Duration::from_secs(2)), ..request("a") };
    let long = AdmitRequest { deadline: Some(Instant::now() + Duration::from_secs(200)), ..request("a") };
    let past = AdmitRequest { deadline: Some(start), ..request("a") };
    for (request, seconds) in [(soon, 2), (long, 198), (past, 0)] {
        let start = Instant::now();
        assert_eq!(scheduler.admit(request).await.unwrap_err().kind(), ErrorKind::DeadlineExceeded);
        assert_eq!(start.elapsed().as_secs(), seconds);
    }
    assert_eq!(scheduler.queued(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_out_of_reach_is_none() {
    let config = SchedulerConfig { queue_deadline: Duration::MAX, ..SchedulerConfig::default() };
    let scheduler = Scheduler::new(Capacity::Slots(1), config);
    let permit = scheduler.try_admit(1).unwrap();
    let mut ticket = queue(&scheduler, request("a"));
    assert!(answer(&mut ticket).await.is_none());
    advance(Duration::from_secs(86_400 * 300)).await;
    drop(permit);
    assert!(answer(&mut ticket).await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn an_expired_job_is_not_admitted() {
    let scheduler = slots(1, Order::Arrival);
    let permit = scheduler.try_admit(1).unwrap();
    let expired = queue(&scheduler, request("a"));
    let in_time = AdmitRequest { deadline: Some(Instant::now() + Duration::from_secs(90)), ..request("a") };
    let mut in_time = queue(&scheduler, in_time);
    advance(Duration::from_secs(60)).await;
    drop(permit);
    assert!(answer(&mut in_time).await.unwrap().is_ok());
    assert_eq!(expired.await.unwrap_err().kind(), ErrorKind::DeadlineExceeded);
}

#[tokio::test(start_paused = true)]
async fn a_permit_that_came_in_time_is_used_however_late() {
    let scheduler = slots(1, Order::Arrival);
    let permit = scheduler.try_admit(1).unwrap();
    let ticket = queue(&scheduler, request("a"));
    drop(permit);
    advance(Duration::from_secs(61)).await;
    assert!(ticket.await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_thousand_cancelled_waiters_leave_nothing() {
    for order in [Order::Arrival, Order::ShortestFirst, Order::EarliestDeadline, Order::FairShare] {
        let scheduler = slots(2, order);
        let permits = (scheduler.try_admit(1).unwrap(), scheduler.try_admit(1).unwrap());
        let mut waiting: Vec<_> = (0..1_000).map(|_| queue(&scheduler, request("a"))).collect();
        for ticket in waiting.iter_mut().step_by(2) {
            assert!(answer(ticket).await.is_none());
        }
        drop(permits.0);
        drop(waiting);
        assert_eq!((scheduler.queued(), scheduler.in_use()), (0, 1));
        drop(permits.1);
        assert!(scheduler.try_admit(2).is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn a_granted_permit_that_nobody_takes_goes_on() {
    let scheduler = slots(1, Order::Arrival);
    let permit = scheduler.try_admit(1).unwrap();
    let (first, mut second) = (queue(&scheduler, request("a")), queue(&scheduler, request("a")));
    drop(permit);
    assert!(answer(&mut second).await.is_none());
    drop(first);
    assert!(answer(&mut second).await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn closing_ends_who_waits_and_leaves_who_runs() {
    let scheduler = slots(2, Order::FairShare);
    let permits = (scheduler.try_admit(1).unwrap(), scheduler.try_admit(1).unwrap());
    let waiting = [queue(&scheduler, request("a")), queue(&scheduler, request("b"))];
    scheduler.close();
    scheduler.close();
    for ticket in waiting {
        let error = ticket.await.unwrap_err();
        assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Closed, false));
    }
    assert_eq!(scheduler.in_use(), 2);
    drop(permits.0);
    assert_eq!(scheduler.in_use(), 1);
    assert!(scheduler.try_admit(1).is_none());
    let error = scheduler.admit(AdmitRequest { accepted: true, ..request("a") }).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
}

#[tokio::test(start_paused = true)]
async fn idle_completes_when_every_permit_is_back() {
    let scheduler = slots(2, Order::Arrival);
    scheduler.idle().await;
    let permits = (scheduler.try_admit(1).unwrap(), scheduler.try_admit(1).unwrap());
    let mut idle = std::pin::pin!(scheduler.idle());
    let mut other = Box::pin(scheduler.idle());
    let mut ticket = queue(&scheduler, request("a"));
    assert!(tokio::time::timeout(Duration::from_secs(1), &mut idle).await.is_err());
    assert!(tokio::time::timeout(Duration::from_secs(1), &mut other).await.is_err());
    drop(other);
    drop(permits);
    assert!(tokio::time::timeout(Duration::from_secs(1), &mut idle).await.is_err(), "one was waiting");
    drop(answer(&mut ticket).await);
    idle.await;
    assert!(scheduler.try_admit(2).is_some(), "admission goes on");
}

#[tokio::test(start_paused = true)]
async fn permits_outlive_their_scheduler() {
    let scheduler = slots(1, Order::Arrival);
    let permit = scheduler.try_admit(1).unwrap();
    let ticket = queue(&scheduler, request("a"));
    drop(scheduler);
    drop(permit);
    drop(ticket.await.unwrap());
}

#[test]
fn a_shared_permit_ends_with_its_last_handle() {
    let scheduler = slots(1, Order::Arrival);
    let mut permit = scheduler.try_admit(1).unwrap();
    let mut second = permit.share();
    let third = second.share();
    assert_eq!((permit.weight(), third.weight()), (1, 1));
    drop(permit);
    drop(third);
    assert!(scheduler.try_admit(1).is_none());
    drop(second);
    assert!(scheduler.try_admit(1).is_some());
    assert_eq!(Permit::unlimited().share().weight(), 0);
}

#[test]
fn a_namespace_that_is_no_name_is_refused() {
    let scheduler = slots(1, Order::Arrival);
    let _permit = scheduler.try_admit(1).unwrap();
    let error = scheduler.enqueue(request("a/b")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
}
