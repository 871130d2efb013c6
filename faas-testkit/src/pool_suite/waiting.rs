//! Requests that wait for a sandbox in the making.

use std::sync::Arc;
use std::time::Duration;

use faas_core::pool::{ContainerPool, Lease};
use faas_core::{ErrorKind, StartKind};
use tokio::time::{Instant, sleep, timeout};

use super::yard::{PoolSettings, PoolSubject, SECOND, action, settle, told};
use crate::mock::{MockSandbox, Operation, Script, Step};
use crate::transcript::Entry;

fn slow() -> Script {
    Script::new().with_latency(Operation::Create, 10 * SECOND)
}

/// A request takes a sandbox that frees up, if that is before its own is made.
pub async fn a_request_takes_what_frees_up_first<P>(subject: &PoolSubject<P>) -> Vec<Entry>
where
    P: ContainerPool<Lease: Lease<Sandbox = MockSandbox>>,
{
    let yard = subject.yard(slow());
    let spec = action("a");
    let held = yard.acquire(&spec).await;
    let number = held.sandbox().number();
    let began = Instant::now();
    let release = async {
        sleep(SECOND).await;
        held.keep();
    };
    let (lease, ()) = tokio::join!(yard.acquire(&spec), release);
    assert_eq!((told(&lease), began.elapsed()), ((number, StartKind::Warm), SECOND));
    assert_eq!(lease.origin().wait, SECOND);
    lease.keep();
    yard.close().await
}

/// The sandbox that was made for it all the same becomes idle.
pub async fn a_sandbox_that_nobody_waits_for_any_more_becomes_idle<P>(subject: &PoolSubject<P>) -> Vec<Entry>
where
    P: ContainerPool<Lease: Lease<Sandbox = MockSandbox>>,
{
    let yard = subject.yard(slow());
    let spec = action("a");
    let held = yard.acquire(&spec).await;
    let release = async {
        sleep(SECOND).await;
        held.keep();
    };
    let (lease, ()) = tokio::join!(yard.acquire(&spec), release);
    sleep(10 * SECOND).await;
    let stats = yard.pool.stats();
    assert_eq!((stats.leased, stats.idle, stats.creating), (1, 1, 0), "{stats:?}");
    let other = yard.acquire(&spec).await;
    assert_eq!(told(&other), (2, StartKind::Warm));
    lease.keep();
    other.keep();
    yard.close().await
}

/// A request takes its own sandbox, if that is made before another frees up.
pub async fn a_request_takes_its_own_when_that_is_first<P>(subject: &PoolSubject<P>) -> Vec<Entry>
where
    P: ContainerPool<Lease: Lease<Sandbox = MockSandbox>>,
{
    let yard = subject.yard(slow());
    let spec = action("a");
    let held = yard.acquire(&spec).await;
    let began = Instant::now();
    let lease = yard.acquire(&spec).await;
    assert_eq!((told(&lease), began.elapsed()), ((2, StartKind::Cold), 10 * SECOND));
    lease.keep();
    held.keep();
    yard.close().await
}

/// A cold start goes on when its request has left, and its sandbox becomes idle.
pub async fn a_cold_start_whose_request_left_becomes_idle<P>(subject: &PoolSubject<P>) -> Vec<Entry>
where
    P: ContainerPool<Lease: Lease<Sandbox = MockSandbox>>,
{
    let yard = subject.yard(slow());
    let spec = action("a");
    assert!(timeout(SECOND, yard.try_acquire(&spec)).await.is_err());
    sleep(10 * SECOND).await;
    let stats = yard.pool.stats();
    assert_eq!((stats.idle, stats.leased, stats.creating), (1, 0, 0), "{stats:?}");
    let lease = yard.acquire(&spec).await;
    assert_eq!(told(&lease), (1, StartKind::Warm));
    lease.keep();
    yard.close().await
}

/// A request gives up at its deadline, exactly; its sandbox becomes idle later.
pub async fn a_request_gives_up_at_its_deadline<P>(subject: &PoolSubject<P>) -> Vec<Entry>
where
    P: ContainerPool<Lease: Lease<Sandbox = MockSandbox>>,
{
    let yard = subject.yard(slow());
    let (spec, patience) = (action("a"), Duration::from_millis(2_500));
    let began = Instant::now();
    let error = yard.acquire_for(&spec, "guest", patience).await.map(|_| ()).expect_err("no sandbox in time");
    assert_eq!((error.kind(), began.elapsed().as_millis()), (ErrorKind::DeadlineExceeded, 2_500));
    sleep(10 * SECOND).await;
    assert_eq!(yard.pool.stats().idle, 1);
    yard.close().await
}

/// Only so many sandboxes of one action are created at once; requests are served in the order of arrival.
pub async fn creations_of_one_action_are_bounded_and_in_order<P>(subject: &PoolSubject<P>) -> Vec<Entry>
where
    P: ContainerPool<Lease: Lease<Sandbox = MockSandbox>>,
{
    let settings = PoolSettings { cold_starts_per_action: 2, ..PoolSettings::default() };
    let yard = Arc::new(subject.yard_with(slow(), settings));
    let spec = action("a");
    let began = Instant::now();
    let mut requests = Vec::new();
    for _ in 0..6 {
        let (yard, spec) = (Arc::clone(&yard), Arc::clone(&spec));
        requests.push(tokio::spawn(async move { (yard.acquire(&spec).await, began.elapsed().as_secs()) }));
        settle().await;
    }
    let mut served = Vec::new();
    let mut leases = Vec::new();
    for request in requests {
        let (lease, at) = request.await.expect("no panic");
        served.push(at);
        leases.push(lease);
    }
    assert_eq!(served, [10, 10, 20, 20, 30, 30]);
    let begun: Vec<u64> = yard.mock.times_of(Step::Creating).iter().map(Duration::as_secs).collect();
    assert_eq!(begun, [0, 0, 10, 10, 20, 20]);
    leases.into_iter().for_each(Lease::keep);
    Arc::into_inner(yard).expect("no request is left").close().await
}

/// Creations of other actions are not held up by that bound.
pub async fn the_bound_of_one_action_holds_no_other_up<P>(subject: &PoolSubject<P>) -> Vec<Entry>
where
    P: ContainerPool<Lease: Lease<Sandbox = MockSandbox>>,
{
    let settings = PoolSettings { cold_starts_per_action: 1, ..PoolSettings::default() };
    let yard = subject.yard_with(slow(), settings);
    let (a, b) = (action("a"), action("b"));
    let began = Instant::now();
    let (first, second, other) = tokio::join!(yard.acquire(&a), yard.acquire(&a), async {
        let lease = yard.acquire(&b).await;
        assert_eq!(began.elapsed(), 10 * SECOND);
        lease
    });
    for lease in [first, second, other] {
        lease.keep();
    }
    yard.close().await
}
