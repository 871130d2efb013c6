//! Cold, prewarmed and warm starts.

use std::sync::Arc;
use std::time::Duration;

use faas_core::pool::{ContainerPool, Lease, Origin};
use faas_core::{MemoryMib, StartKind};
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::yard::{PoolSettings, PoolSubject, SECOND, action, settle, sized, told};
use crate::mock::{MockFactory, MockSandbox, Operation, Script};
use crate::transcript::Entry;

fn slow() -> Script {
    Script::new().with_latency(Operation::Create, 3 * SECOND).with_latency(Operation::Init, 2 * SECOND)
}

fn stems(count: usize) -> PoolSettings {
    let shape = MockFactory::shape_of(&action("any"));
    PoolSettings { stems: vec![(shape, count)], ..PoolSettings::default() }
}

/// A first start is cold, and tells what creating and initialising took.
pub async fn a_first_start_is_cold_and_tells_its_times<P>(subject: &PoolSubject<P>) -> Vec<Entry>
where
    P: ContainerPool<Lease: Lease<Sandbox = MockSandbox>>,
{
    let yard = subject.yard(slow());
    let began = Instant::now();
    let lease = yard.acquire(&action("a")).await;
    assert_eq!(began.elapsed(), 5 * SECOND);
    let expected =
        Origin { start_kind: StartKind::Cold, wait: Duration::ZERO, create: 3 * SECOND, init: 2 * SECOND };
    assert_eq!(lease.origin(), expected);
    assert!(yard.run(lease.sandbox(), json!({ "a": 1 })).await.expect("an outcome").is_success());
    lease.keep();
    yard.close().await
}

/// A sandbox that was returned is leased again, at once, as a warm start.
pub async fn a_returned_sandbox_is_leased_again_at_once<P>(subject: &PoolSubject<P>) -> Vec<Entry>
where
    P: ContainerPool<Lease: Lease<Sandbox = MockSandbox>>,
{
    let yard = subject.yard(slow());
    let spec = action("a");
    let first = yard.leave_idle(&spec).await;
    for _ in 0..3 {
        let began = Instant::now();
        let lease = yard.acquire(&spec).await;
        assert_eq!((told(&lease), began.elapsed()), ((first, StartKind::Warm), Duration::ZERO));
        let Origin { wait, create, init, .. } = lease.origin();
        assert_eq!([wait, create, init], [Duration::ZERO; 3]);
        lease.keep();
    }
    assert_eq!(yard.mock.began(Operation::Create), 1);
    yard.close().await
}

/// A lease is exclusive: a second request has another sandbox.
pub async fn two_leases_are_of_two_sandboxes<P>(subject: &PoolSubject<P>) -> Vec<Entry>
where
    P: ContainerPool<Lease: Lease<Sandbox = MockSandbox>>,
{
    let yard = subject.yard(Script::new());
    let spec = action("a");
    let (first, second) = (yard.acquire(&spec).await, yard.acquire(&spec).await);
    assert_ne!(first.sandbox().number(), second.sandbox().number());
    first.keep();
    second.keep();
    yard.close().await
}

/// Where an action allows several runs at once, a sandbox has as many places, and no more.
pub async fn a_sandbox_has_as_many_places_as_its_action_allows<P>(subject: &PoolSubject<P>) -> Vec<Entry>
where
    P: ContainerPool<Lease: Lease<Sandbox = MockSandbox>>,
{
    let yard = subject.yard(slow());
    let mut spec = (*action("a")).clone();
    spec.limits.concurrency = 3;
    let spec = Arc::new(spec);
    let mut leases = Vec::new();
    for _ in 0..4 {
        leases.push(yard.acquire(&spec).await);
    }
    let numbers: Vec<u64> = leases.iter().map(|lease| lease.sandbox().number()).collect();
    assert_eq!(numbers, [1, 1, 1, 2]);
    leases.into_iter().for_each(Lease::keep);
    yard.close().await
}

/// A stem cell is taken before a new sandbox is made: it only has to be initialised.
pub async fn a_stem_is_taken_before_a_new_sandbox<P>(subject: &PoolSubject<P>) -> Vec<Entry>
where
    P: ContainerPool<Lease: Lease<Sandbox = MockSandbox>>,
{
    let yard = subject.yard_with(slow(), stems(2));
    sleep(4 * SECOND).await;
    assert_eq!(yard.pool.stats().stems, 2);
    let began = Instant::now();
    let lease = yard.acquire(&action("a")).await;
    assert_eq!(began.elapsed(), 2 * SECOND);
    let expected = Origin {
        start_kind: StartKind::Prewarmed,
        wait: Duration::ZERO,
        create: Duration::ZERO,
        init: 2 * SECOND,
    };
    assert_eq!(lease.origin(), expected);
    lease.keep();
    yard.close().await
}

/// A stem cell that was used is replaced.
pub async fn a_used_stem_is_replaced<P>(subject: &PoolSubject<P>) -> Vec<Entry>
where
    P: ContainerPool<Lease: Lease<Sandbox = MockSandbox>>,
{
    let yard = subject.yard_with(slow(), stems(2));
    sleep(4 * SECOND).await;
    for name in ["a", "b", "c"] {
        let lease = yard.acquire(&action(name)).await;
        assert_eq!(lease.origin().start_kind, StartKind::Prewarmed, "{name}");
        lease.keep();
        sleep(4 * SECOND).await;
        assert_eq!(yard.pool.stats().stems, 2);
    }
    yard.close().await
}

/// A stem cell of another shape is of no use.
pub async fn a_stem_of_another_shape_is_not_taken<P>(subject: &PoolSubject<P>) -> Vec<Entry>
where
    P: ContainerPool<Lease: Lease<Sandbox = MockSandbox>>,
{
    let yard = subject.yard_with(slow(), stems(1));
    sleep(4 * SECOND).await;
    let lease = yard.acquire(&sized("small", MemoryMib::new(128))).await;
    assert_eq!(lease.origin().start_kind, StartKind::Cold);
    assert_eq!(yard.pool.stats().stems, 1);
    lease.keep();
    yard.close().await
}

/// A warm sandbox is taken before a stem cell.
pub async fn a_warm_sandbox_is_taken_before_a_stem<P>(subject: &PoolSubject<P>) -> Vec<Entry>
where
    P: ContainerPool<Lease: Lease<Sandbox = MockSandbox>>,
{
    let yard = subject.yard_with(slow(), stems(1));
    sleep(4 * SECOND).await;
    let spec = action("a");
    let first = yard.leave_idle(&spec).await;
    sleep(4 * SECOND).await;
    let lease = yard.acquire(&spec).await;
    assert_eq!(told(&lease), (first, StartKind::Warm));
    assert_eq!(yard.pool.stats().stems, 1);
    lease.keep();
    yard.close().await
}

/// A sandbox never serves another namespace.
pub async fn a_lease_is_of_the_namespace_asked_for<P>(subject: &PoolSubject<P>) -> Vec<Entry>
where
    P: ContainerPool<Lease: Lease<Sandbox = MockSandbox>>,
{
    let yard = subject.yard(Script::new());
    let spec = action("a");
    let mut numbers = Vec::new();
    for namespace in ["guest", "acme", "globex", "acme", "guest"] {
        let lease = yard.acquire_for(&spec, namespace, SECOND).await.expect("a lease");
        numbers.push(lease.sandbox().number());
        lease.keep();
        settle().await;
    }
    assert_eq!(numbers, [1, 2, 3, 2, 1]);
    yard.close().await
}

/// A sandbox never serves another revision, nor another action.
pub async fn a_lease_is_of_the_revision_asked_for<P>(subject: &PoolSubject<P>) -> Vec<Entry>
where
    P: ContainerPool<Lease: Lease<Sandbox = MockSandbox>>,
{
    let yard = subject.yard(Script::new());
    let old = action("a");
    let mut updated = (*old).clone();
    updated.version = updated.version.next();
    let (new, other) = (Arc::new(updated), action("b"));
    let mut numbers = Vec::new();
    for spec in [&old, &new, &other, &new, &old] {
        numbers.push(yard.leave_idle(spec).await);
    }
    assert_eq!(numbers, [1, 2, 3, 2, 1]);
    yard.close().await
}
