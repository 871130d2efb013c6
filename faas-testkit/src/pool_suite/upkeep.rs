//! Keeping alive, pausing, warming ahead, and what the pool tells of itself.

use std::sync::Arc;

use faas_core::pool::{ContainerPool, Lease};
use faas_core::{ErrorKind, StartKind};
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::yard::{PoolSettings, PoolSubject, SECOND, action, settle, told};
use crate::fixtures::INIT;
use crate::mock::{MockFactory, MockSandbox, Operation, Script, Step};
use crate::transcript::Entry;

/// The settings under which idle sandboxes are kept for 60 s.
fn brief() -> PoolSettings {
    PoolSettings { keep_alive: 60 * SECOND, ..PoolSettings::default() }
}

/// A sandbox that is idle for too long expires.
pub async fn an_idle_sandbox_expires<P>(subject: &PoolSubject<P>) -> Vec<Entry>
where
    P: ContainerPool<Lease: Lease<Sandbox = MockSandbox>>,
{
    let yard = subject.yard_with(Script::new(), brief());
    yard.leave_idle(&action("a")).await;
    sleep(59 * SECOND).await;
    assert_eq!(yard.mock.live(), 1);
    sleep(2 * SECOND).await;
    assert_eq!((yard.mock.live(), yard.pool.stats().expirations), (0, 1));
    yard.close().await
}

/// Each use begins its time anew.
pub async fn use_keeps_a_sandbox_alive<P>(subject: &PoolSubject<P>) -> Vec<Entry>
where
    P: ContainerPool<Lease: Lease<Sandbox = MockSandbox>>,
{
    let yard = subject.yard_with(Script::new(), brief());
    let spec = action("a");
    for _ in 0..5 {
        assert_eq!(yard.leave_idle(&spec).await, 1);
        sleep(50 * SECOND).await;
    }
    assert_eq!(yard.pool.stats().expirations, 0);
    yard.close().await
}

/// A leased sandbox does not expire.
pub async fn a_leased_sandbox_does_not_expire<P>(subject: &PoolSubject<P>) -> Vec<Entry>
where
    P: ContainerPool<Lease: Lease<Sandbox = MockSandbox>>,
{
    let yard = subject.yard_with(Script::new(), brief());
    let spec = action("a");
    let lease = yard.acquire(&spec).await;
    sleep(1_000 * SECOND).await;
    assert!(yard.run(lease.sandbox(), json!({})).await.expect("an outcome").is_success());
    lease.keep();
    settle().await;
    assert_eq!(yard.leave_idle(&spec).await, 1);
    yard.close().await
}

/// An idle sandbox is paused, and resumed before it runs.
pub async fn a_paused_sandbox_is_resumed_before_it_runs<P>(subject: &PoolSubject<P>) -> Vec<Entry>
where
    P: ContainerPool<Lease: Lease<Sandbox = MockSandbox>>,
{
    let settings = PoolSettings { pause_after: Some(10 * SECOND), ..PoolSettings::default() };
    let yard = subject.yard_with(Script::new().with_latency(Operation::Resume, 2 * SECOND), settings);
    let spec = action("a");
    yard.leave_idle(&spec).await;
    sleep(9 * SECOND).await;
    assert_eq!((yard.pool.stats().idle, yard.pool.stats().paused), (1, 0));
    sleep(2 * SECOND).await;
    assert_eq!((yard.pool.stats().idle, yard.pool.stats().paused), (0, 1));
    let began = Instant::now();
    let lease = yard.acquire(&spec).await;
    assert_eq!((told(&lease), began.elapsed()), ((1, StartKind::Warm), 2 * SECOND));
    assert!(yard.run(lease.sandbox(), json!({})).await.expect("an outcome").is_success());
    lease.keep();
    let steps: Vec<Step> = yard.mock.entries().iter().map(|entry| entry.step).collect();
    assert!(steps.ends_with(&[Step::Paused, Step::Resumed, Step::RunBegan, Step::RunEnded]), "{steps:?}");
    yard.close().await
}

/// A paused sandbox expires too.
pub async fn a_paused_sandbox_expires<P>(subject: &PoolSubject<P>) -> Vec<Entry>
where
    P: ContainerPool<Lease: Lease<Sandbox = MockSandbox>>,
{
    let yard = subject.yard_with(Script::new(), PoolSettings { pause_after: Some(10 * SECOND), ..brief() });
    yard.leave_idle(&action("a")).await;
    sleep(61 * SECOND).await;
    assert_eq!((yard.mock.began(Operation::Pause), yard.mock.live()), (1, 0));
    yard.close().await
}

/// Warming makes sandboxes idle, and the next requests start warm.
pub async fn warming_makes_sandboxes_idle<P>(subject: &PoolSubject<P>) -> Vec<Entry>
where
    P: ContainerPool<Lease: Lease<Sandbox = MockSandbox>>,
{
    let yard = subject.yard(Script::new().with_latency(Operation::Create, 3 * SECOND));
    let spec = action("a");
    let began = Instant::now();
    assert_eq!(yard.pool.warm(&spec, "guest", 3).await.expect("a count"), 3);
    assert_eq!((began.elapsed(), yard.pool.stats().idle), (3 * SECOND, 3));
    let leases = [yard.acquire(&spec).await, yard.acquire(&spec).await, yard.acquire(&spec).await];
    assert!(leases.iter().all(|lease| lease.origin().start_kind == StartKind::Warm));
    leases.into_iter().for_each(Lease::keep);
    yard.close().await
}

/// Warming counts what is idle already.
pub async fn warming_counts_what_is_idle_already<P>(subject: &PoolSubject<P>) -> Vec<Entry>
where
    P: ContainerPool<Lease: Lease<Sandbox = MockSandbox>>,
{
    let yard = subject.yard(Script::new());
    let spec = action("a");
    yard.leave_idle(&spec).await;
    for _ in 0..2 {
        assert_eq!(yard.pool.warm(&spec, "guest", 2).await.expect("a count"), 2);
    }
    assert_eq!(yard.pool.warm(&spec, "guest", 0).await.expect("a count"), 0);
    assert_eq!(yard.mock.began(Operation::Create), 2);
    yard.close().await
}

/// Warming is for one namespace.
pub async fn warming_is_for_one_namespace<P>(subject: &PoolSubject<P>) -> Vec<Entry>
where
    P: ContainerPool<Lease: Lease<Sandbox = MockSandbox>>,
{
    let yard = subject.yard(Script::new());
    let spec = action("a");
    assert_eq!(yard.pool.warm(&spec, "acme", 1).await.expect("a count"), 1);
    let lease = yard.acquire_for(&spec, "globex", SECOND).await.expect("a lease");
    assert_eq!(told(&lease), (2, StartKind::Cold));
    lease.keep();
    yard.close().await
}

/// Warming evicts nobody: it makes as many as there is free room for.
pub async fn warming_evicts_nobody<P>(subject: &PoolSubject<P>) -> Vec<Entry>
where
    P: ContainerPool<Lease: Lease<Sandbox = MockSandbox>>,
{
    let yard = subject.narrow(2, Script::new());
    let spec = action("a");
    yard.leave_idle(&spec).await;
    assert_eq!(yard.pool.warm(&action("b"), "guest", 2).await.expect("a count"), 1);
    assert_eq!(yard.pool.stats().evictions, 0);
    assert_eq!(yard.leave_idle(&spec).await, 1);
    yard.close().await
}

/// Warming an action that does not initialise says so.
pub async fn warming_tells_that_init_fails<P>(subject: &PoolSubject<P>) -> Vec<Entry>
where
    P: ContainerPool<Lease: Lease<Sandbox = MockSandbox>>,
{
    let yard = subject.yard(Script::new());
    let mut spec = (*action("a")).clone();
    spec.env.insert(INIT.to_owned(), "fail:no database".to_owned());
    let error = yard.pool.warm(&Arc::new(spec), "guest", 1).await.expect_err("init fails");
    assert_eq!(error.kind(), ErrorKind::InitFailed);
    yard.note(Entry::refusal("warm", error.kind()));
    settle().await;
    assert_eq!(yard.mock.live(), 0);
    yard.close().await
}

/// Each sandbox is counted in the state that it is in, with its memory.
pub async fn stats_tell_every_state<P>(subject: &PoolSubject<P>) -> Vec<Entry>
where
    P: ContainerPool<Lease: Lease<Sandbox = MockSandbox>>,
{
    let script = Script::new()
        .with_latency(Operation::Create, 3 * SECOND)
        .with_latency(Operation::Destroy, 3 * SECOND);
    let yard = subject.yard(script);
    let spec = action("a");
    let held = |stats: faas_core::pool::PoolStats| {
        ([stats.creating, stats.leased, stats.idle, stats.destroying], stats.memory)
    };
    let watch = async {
        sleep(SECOND).await;
        assert_eq!(held(yard.pool.stats()), ([1, 0, 0, 0], 256));
    };
    let (lease, ()) = tokio::join!(yard.acquire(&spec), watch);
    assert_eq!(held(yard.pool.stats()), ([0, 1, 0, 0], 256));
    lease.keep();
    settle().await;
    assert_eq!(held(yard.pool.stats()), ([0, 0, 1, 0], 256));
    drop(yard.acquire(&spec).await);
    sleep(SECOND).await;
    assert_eq!(held(yard.pool.stats()), ([0, 0, 0, 1], 256));
    sleep(3 * SECOND).await;
    assert_eq!(held(yard.pool.stats()), ([0; 4], 0));
    yard.close().await
}

/// Starts are counted by their kind.
pub async fn stats_count_starts_by_kind<P>(subject: &PoolSubject<P>) -> Vec<Entry>
where
    P: ContainerPool<Lease: Lease<Sandbox = MockSandbox>>,
{
    let shape = MockFactory::shape_of(&action("any"));
    let settings = PoolSettings { stems: vec![(shape, 1)], ..PoolSettings::default() };
    let yard = subject.yard_with(Script::new().with_latency(Operation::Create, SECOND), settings);
    sleep(2 * SECOND).await;
    let spec = action("a");
    let prewarmed = yard.acquire(&spec).await;
    let cold = yard.acquire(&action("b")).await;
    prewarmed.keep();
    cold.keep();
    settle().await;
    for _ in 0..3 {
        yard.leave_idle(&spec).await;
    }
    let stats = yard.pool.stats();
    assert_eq!((stats.cold_starts, stats.prewarmed_starts, stats.warm_starts), (1, 1, 3), "{stats:?}");
    yard.close().await
}
