//! Removing actions, and draining.

use faas_core::ErrorKind;
use faas_core::pool::{ContainerPool, Lease};
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::yard::{PoolSettings, PoolSubject, SECOND, action, settle};
use crate::mock::{MockFactory, MockSandbox, Operation, Script};
use crate::transcript::Entry;

/// Removing an action destroys its idle sandboxes, of every namespace, and no others.
pub async fn removing_destroys_the_idle_sandboxes_of_the_action_alone<P>(
    subject: &PoolSubject<P>,
) -> Vec<Entry>
where
    P: ContainerPool<Lease: Lease<Sandbox = MockSandbox>>,
{
    let yard = subject.yard(Script::new().with_latency(Operation::Destroy, SECOND));
    let (gone, stays) = (action("a"), action("b"));
    for namespace in ["guest", "acme"] {
        yard.acquire_for(&gone, namespace, SECOND).await.expect("a lease").keep();
    }
    let kept = yard.leave_idle(&stays).await;
    yard.pool.remove(&gone).await;
    assert_eq!((yard.mock.live(), yard.pool.stats().idle), (1, 1));
    assert_eq!(yard.leave_idle(&stays).await, kept);
    yard.close().await
}

/// A leased sandbox of a removed action is destroyed when it is returned.
pub async fn removing_destroys_a_leased_sandbox_when_it_is_returned<P>(subject: &PoolSubject<P>) -> Vec<Entry>
where
    P: ContainerPool<Lease: Lease<Sandbox = MockSandbox>>,
{
    let yard = subject.yard(Script::new());
    let spec = action("a");
    let lease = yard.acquire(&spec).await;
    yard.pool.remove(&spec).await;
    assert!(yard.run(lease.sandbox(), json!({})).await.expect("an outcome").is_success());
    lease.keep();
    settle().await;
    assert_eq!((yard.mock.live(), yard.pool.stats().memory), (0, 0));
    yard.close().await
}

/// A drained pool is closed.
pub async fn a_drained_pool_is_closed<P>(subject: &PoolSubject<P>) -> Vec<Entry>
where
    P: ContainerPool<Lease: Lease<Sandbox = MockSandbox>>,
{
    let yard = subject.yard(Script::new());
    let spec = action("a");
    yard.leave_idle(&spec).await;
    yard.pool.drain().await;
    let refused = yard.try_acquire(&spec).await.map(|_| ()).expect_err("a refusal");
    let not_warmed = yard.pool.warm(&spec, "guest", 1).await.expect_err("a refusal");
    assert_eq!([refused.kind(), not_warmed.kind()], [ErrorKind::Closed; 2]);
    assert!(!refused.is_temporary());
    yard.pool.remove(&spec).await;
    yard.close().await
}

/// Draining destroys idle sandboxes and stem cells, and waits for it.
pub async fn draining_waits_until_all_is_destroyed<P>(subject: &PoolSubject<P>) -> Vec<Entry>
where
    P: ContainerPool<Lease: Lease<Sandbox = MockSandbox>>,
{
    let shape = MockFactory::shape_of(&action("any"));
    let settings = PoolSettings { stems: vec![(shape, 2)], ..PoolSettings::default() };
    let script = Script::new()
        .with_latency(Operation::Destroy, 3 * SECOND)
        .with_latency(Operation::Discard, 5 * SECOND);
    let yard = subject.yard_with(script, settings);
    settle().await;
    yard.leave_idle(&action("a")).await;
    sleep(SECOND).await;
    let began = Instant::now();
    yard.pool.drain().await;
    assert_eq!((began.elapsed(), yard.mock.live()), (5 * SECOND, 0));
    yard.close().await
}

/// Draining waits for leases, which work until they are returned.
pub async fn draining_waits_for_leases<P>(subject: &PoolSubject<P>) -> Vec<Entry>
where
    P: ContainerPool<Lease: Lease<Sandbox = MockSandbox>>,
{
    let yard = subject.yard(Script::new().with_latency(Operation::Destroy, 2 * SECOND));
    let lease = yard.acquire(&action("a")).await;
    let began = Instant::now();
    let work = async {
        sleep(5 * SECOND).await;
        assert!(yard.run(lease.sandbox(), json!({})).await.expect("an outcome").is_success());
        lease.keep();
    };
    tokio::join!(yard.pool.drain(), work);
    assert_eq!((began.elapsed(), yard.mock.live()), (7 * SECOND, 0));
    yard.close().await
}

/// Draining ends requests that wait, and destroys what was made for them.
pub async fn draining_ends_waiting_requests<P>(subject: &PoolSubject<P>) -> Vec<Entry>
where
    P: ContainerPool<Lease: Lease<Sandbox = MockSandbox>>,
{
    let yard = subject.yard(Script::new().with_latency(Operation::Create, 10 * SECOND));
    let (began, spec) = (Instant::now(), action("a"));
    let request = async {
        let error = yard.try_acquire(&spec).await.map(|_| ()).expect_err("a refusal");
        (error.kind(), began.elapsed())
    };
    let drain = async {
        sleep(SECOND).await;
        yard.pool.drain().await;
    };
    let (refused, ()) = tokio::join!(request, drain);
    assert_eq!(refused, (ErrorKind::Closed, SECOND));
    assert_eq!(yard.mock.live(), 0);
    yard.close().await
}

/// Draining wakes those who wait for room, so that they learn of it.
pub async fn draining_ends_the_wait_for_room<P>(subject: &PoolSubject<P>) -> Vec<Entry>
where
    P: ContainerPool<Lease: Lease<Sandbox = MockSandbox>>,
{
    let yard = subject.narrow(1, Script::new());
    let lease = yard.acquire(&action("a")).await;
    assert!(yard.try_acquire(&action("b")).await.is_err());
    let drain = async {
        sleep(SECOND).await;
        tokio::join!(yard.pool.drain(), async { lease.keep() });
    };
    tokio::join!(yard.pool.ready(), drain);
    let error = yard.try_acquire(&action("b")).await.map(|_| ()).expect_err("a refusal");
    assert_eq!(error.kind(), ErrorKind::Closed);
    yard.close().await
}
