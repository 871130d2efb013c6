//! The budget: eviction, exhaustion, and the way back.

use std::sync::Arc;
use std::time::Duration;

use faas_core::pool::{ContainerPool, Lease};
use faas_core::{ErrorKind, MemoryMib, StartKind};
use fastrand::Rng;
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};

use super::yard::{PoolSettings, PoolSubject, SECOND, action, settle, sized, told};
use crate::mock::{MockFactory, MockSandbox, Operation, Script};
use crate::transcript::Entry;

/// To make room, an idle sandbox is evicted.
pub async fn an_idle_sandbox_makes_room<P>(subject: &PoolSubject<P>) -> Vec<Entry>
where
    P: ContainerPool<Lease: Lease<Sandbox = MockSandbox>>,
{
    let yard = subject.narrow(1, Script::new());
    yard.leave_idle(&action("a")).await;
    let lease = yard.acquire(&action("b")).await;
    assert_eq!(told(&lease), (2, StartKind::Cold));
    assert_eq!((yard.pool.stats().evictions, yard.mock.peak_live()), (1, 1));
    lease.keep();
    yard.close().await
}

/// The request waits until the victim is destroyed: the budget holds at every moment.
pub async fn a_request_waits_until_its_victim_is_gone<P>(subject: &PoolSubject<P>) -> Vec<Entry>
where
    P: ContainerPool<Lease: Lease<Sandbox = MockSandbox>>,
{
    let script = Script::new()
        .with_latency(Operation::Destroy, 5 * SECOND)
        .with_latency(Operation::Create, 3 * SECOND);
    let yard = subject.narrow(1, script);
    yard.leave_idle(&action("a")).await;
    let began = Instant::now();
    let lease = yard.acquire(&action("b")).await;
    assert_eq!(began.elapsed(), 8 * SECOND);
    assert_eq!((lease.origin().wait, lease.origin().create), (5 * SECOND, 3 * SECOND));
    assert_eq!(yard.mock.peak_memory(), u64::from(MemoryMib::DEFAULT.mib()));
    lease.keep();
    yard.close().await
}

/// Several small ones make room for a large one.
pub async fn several_victims_make_room_for_one_request<P>(subject: &PoolSubject<P>) -> Vec<Entry>
where
    P: ContainerPool<Lease: Lease<Sandbox = MockSandbox>>,
{
    let yard = subject.narrow(2, Script::new().with_latency(Operation::Destroy, SECOND));
    for n in 0..4 {
        yard.leave_idle(&sized(&format!("small-{n}"), MemoryMib::new(128))).await;
    }
    let lease = yard.acquire(&sized("large", MemoryMib::new(512))).await;
    assert_eq!((yard.pool.stats().evictions, yard.mock.peak_memory()), (4, 512));
    lease.keep();
    yard.close().await
}

/// A request may not wait longer for its victim than its deadline.
pub async fn a_deadline_ends_the_wait_for_a_victim<P>(subject: &PoolSubject<P>) -> Vec<Entry>
where
    P: ContainerPool<Lease: Lease<Sandbox = MockSandbox>>,
{
    let yard = subject.narrow(1, Script::new().with_latency(Operation::Destroy, 60 * SECOND));
    yard.leave_idle(&action("a")).await;
    let began = Instant::now();
    let refused = yard.acquire_for(&action("b"), "guest", 5 * SECOND).await.map(|_| ());
    assert_eq!(refused.expect_err("no room in time").kind(), ErrorKind::DeadlineExceeded);
    assert_eq!(began.elapsed().as_secs(), 5);
    yard.close().await
}

/// A leased sandbox is never evicted: without room the request is refused at once, and may come again.
pub async fn a_request_without_room_is_refused_at_once<P>(subject: &PoolSubject<P>) -> Vec<Entry>
where
    P: ContainerPool<Lease: Lease<Sandbox = MockSandbox>>,
{
    let yard = subject.narrow(1, Script::new());
    let held = yard.acquire(&action("a")).await;
    let began = Instant::now();
    let error = yard.try_acquire(&action("b")).await.map(|_| ()).expect_err("no room");
    assert_eq!((error.kind(), began.elapsed()), (ErrorKind::Exhausted, Duration::ZERO));
    assert!(error.is_temporary());
    assert!(yard.run(held.sandbox(), json!({})).await.expect("an outcome").is_success());
    held.keep();
    yard.close().await
}

/// So is one for the same action.
pub async fn a_second_request_of_the_same_action_is_refused_without_room<P>(
    subject: &PoolSubject<P>,
) -> Vec<Entry>
where
    P: ContainerPool<Lease: Lease<Sandbox = MockSandbox>>,
{
    let yard = subject.narrow(1, Script::new());
    let spec = action("a");
    let held = yard.acquire(&spec).await;
    let error = yard.try_acquire(&spec).await.map(|_| ()).expect_err("no room");
    assert_eq!(error.kind(), ErrorKind::Exhausted);
    held.keep();
    settle().await;
    assert_eq!(yard.leave_idle(&spec).await, 1);
    yard.close().await
}

/// A request that the whole budget is too small for is refused for good.
pub async fn a_request_larger_than_the_budget_is_refused_for_good<P>(subject: &PoolSubject<P>) -> Vec<Entry>
where
    P: ContainerPool<Lease: Lease<Sandbox = MockSandbox>>,
{
    let yard = subject.narrow(2, Script::new());
    yard.leave_idle(&action("a")).await;
    let error =
        yard.try_acquire(&sized("giant", MemoryMib::new(1024))).await.map(|_| ()).expect_err("no room");
    assert!(!error.is_temporary(), "{error:?}");
    assert_eq!(yard.pool.stats().evictions, 0);
    yard.close().await
}

/// Whoever was refused learns when a lease is returned.
pub async fn a_returned_lease_ends_the_wait_for_room<P>(subject: &PoolSubject<P>) -> Vec<Entry>
where
    P: ContainerPool<Lease: Lease<Sandbox = MockSandbox>>,
{
    let yard = subject.narrow(1, Script::new());
    let held = yard.acquire(&action("a")).await;
    let spec = action("b");
    assert!(yard.try_acquire(&spec).await.is_err());
    let began = Instant::now();
    let release = async {
        sleep(3 * SECOND).await;
        held.keep();
    };
    tokio::join!(yard.pool.ready(), release);
    assert_eq!(began.elapsed(), 3 * SECOND);
    yard.acquire(&spec).await.keep();
    yard.close().await
}

/// And when a lease is dropped.
pub async fn a_dropped_lease_ends_the_wait_for_room<P>(subject: &PoolSubject<P>) -> Vec<Entry>
where
    P: ContainerPool<Lease: Lease<Sandbox = MockSandbox>>,
{
    let yard = subject.narrow(1, Script::new().with_latency(Operation::Destroy, SECOND));
    let held = yard.acquire(&action("a")).await;
    let spec = action("b");
    assert!(yard.try_acquire(&spec).await.is_err());
    let release = async {
        sleep(3 * SECOND).await;
        drop(held);
    };
    tokio::join!(yard.pool.ready(), release);
    yard.acquire(&spec).await.keep();
    assert_eq!(yard.mock.peak_live(), 1);
    yard.close().await
}

/// A request that left while it waited for room gives it back.
pub async fn a_request_that_left_gives_its_room_back<P>(subject: &PoolSubject<P>) -> Vec<Entry>
where
    P: ContainerPool<Lease: Lease<Sandbox = MockSandbox>>,
{
    let yard = subject.narrow(1, Script::new().with_latency(Operation::Destroy, 5 * SECOND));
    yard.leave_idle(&action("a")).await;
    assert!(timeout(SECOND, yard.try_acquire(&action("b"))).await.is_err());
    sleep(20 * SECOND).await;
    yard.acquire(&action("c")).await.keep();
    yard.close().await
}

/// Stem cells make room for requests.
pub async fn stems_make_room_for_requests<P>(subject: &PoolSubject<P>) -> Vec<Entry>
where
    P: ContainerPool<Lease: Lease<Sandbox = MockSandbox>>,
{
    let shape = MockFactory::shape_of(&action("any"));
    let settings =
        PoolSettings { memory: MemoryMib::DEFAULT, stems: vec![(shape, 1)], ..PoolSettings::default() };
    let yard = subject.yard_with(Script::new(), settings);
    sleep(SECOND).await;
    assert_eq!(yard.pool.stats().stems, 1);
    let lease = yard.acquire(&sized("other", MemoryMib::new(128))).await;
    assert_eq!(lease.origin().start_kind, StartKind::Cold);
    assert_eq!(yard.mock.began(Operation::Discard), 1);
    lease.keep();
    yard.close().await
}

/// Whatever comes, in whatever order, memory stays within the budget and nothing is lost.
pub async fn memory_stays_within_the_budget_under_any_load<P>(subject: &PoolSubject<P>) -> Vec<Entry>
where
    P: ContainerPool<Lease: Lease<Sandbox = MockSandbox>>,
{
    let mut served = 0;
    for seed in 0..8 {
        let script = Script::new()
            .with_latency(Operation::Create, Duration::from_millis(120))
            .with_latency(Operation::Init, Duration::from_millis(30))
            .with_latency(Operation::Destroy, Duration::from_millis(200));
        let settings = PoolSettings { memory: MemoryMib::new(1024), ..PoolSettings::default() };
        let yard = Arc::new(subject.yard_with(script, settings));
        let specs: Vec<_> =
            (0..6).map(|n| sized(&format!("a{n}"), MemoryMib::new([128, 256, 512][n % 3]))).collect();
        let clients: Vec<_> = (0..8)
            .map(|client| {
                let (yard, specs) = (Arc::clone(&yard), specs.clone());
                let mut rng = Rng::with_seed(seed * 100 + client);
                tokio::spawn(async move {
                    let mut served = 0;
                    for _ in 0..40 {
                        let (spec, namespace) =
                            (&specs[rng.usize(..specs.len())], ["x", "y"][rng.usize(..2)]);
                        let patience = Duration::from_millis(rng.u64(300..3_000));
                        let leased = loop {
                            match yard.acquire_for(spec, namespace, patience).await {
                                Err(error) if error.kind() == ErrorKind::Exhausted => yard.pool.ready().await,
                                done => break done,
                            }
                        };
                        match leased {
                            Ok(lease) => {
                                sleep(Duration::from_millis(rng.u64(1..200))).await;
                                if rng.u8(..10) > 0 {
                                    lease.keep()
                                } else {
                                    drop(lease)
                                }
                                served += 1;
                            }
                            Err(error) => {
                                assert_eq!(error.kind(), ErrorKind::DeadlineExceeded, "seed {seed}")
                            }
                        }
                    }
                    served
                })
            })
            .collect();
        for client in clients {
            served += client.await.expect("no panic");
        }
        assert!(yard.mock.peak_memory() <= 1024, "seed {seed}: {} MiB", yard.mock.peak_memory());
        Arc::into_inner(yard).expect("no client is left").close().await;
    }
    assert!(served > 1_000, "only {served} of 2560 requests were served");
    vec![Entry::answer("load", "within the budget")]
}

/// A thousand requests for one cold action make no more sandboxes than there is room for, and all are served.
pub async fn a_stampede_makes_no_more_sandboxes_than_fit<P>(subject: &PoolSubject<P>) -> Vec<Entry>
where
    P: ContainerPool<Lease: Lease<Sandbox = MockSandbox>>,
{
    let yard = Arc::new(subject.narrow(16, Script::new().with_latency(Operation::Create, SECOND)));
    let spec = action("a");
    let requests: Vec<_> = (0..1_000)
        .map(|_| {
            let (yard, spec) = (Arc::clone(&yard), Arc::clone(&spec));
            tokio::spawn(async move {
                loop {
                    match yard.try_acquire(&spec).await {
                        Ok(lease) => {
                            sleep(Duration::from_millis(10)).await;
                            return lease.keep();
                        }
                        Err(error) => assert_eq!(error.kind(), ErrorKind::Exhausted),
                    }
                    yard.pool.ready().await;
                }
            })
        })
        .collect();
    for request in requests {
        request.await.expect("every request is served");
    }
    assert!(yard.mock.began(Operation::Create) <= 16, "{} were made", yard.mock.began(Operation::Create));
    assert!(yard.mock.peak_live() <= 16);
    Arc::into_inner(yard).expect("no request is left").close().await;
    vec![Entry::answer("stampede", "1000 served by 16")]
}
