//! Factories and sandboxes that fail, hang and panic.

use std::sync::Arc;

use faas_core::pool::{ContainerPool, Lease};
use faas_core::{ErrorKind, StartKind};
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::yard::{PoolSettings, PoolSubject, SECOND, action, settle, told};
use crate::fixtures::INIT;
use crate::mock::{Fault, MockSandbox, Operation, Script};
use crate::transcript::Entry;

/// The settings under which idle sandboxes are paused after 10 s.
fn pausing() -> PoolSettings {
    PoolSettings { pause_after: Some(10 * SECOND), ..PoolSettings::default() }
}

/// A creation that fails is the request's error, and gives its room back.
pub async fn a_creation_that_fails_gives_its_room_back<P>(subject: &PoolSubject<P>) -> Vec<Entry>
where
    P: ContainerPool<Lease: Lease<Sandbox = MockSandbox>>,
{
    let fault = Fault::Fail(ErrorKind::Unavailable);
    let yard = subject.narrow(1, Script::new().with_fault(Operation::Create, 1, fault));
    let error = yard.try_acquire(&action("a")).await.map(|_| ()).expect_err("the mock fails");
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Unavailable, true));
    settle().await;
    assert_eq!((yard.pool.stats().memory, yard.mock.live()), (0, 0));
    yard.acquire(&action("b")).await.keep();
    yard.close().await
}

/// So does one that panics.
pub async fn a_creation_that_panics_gives_its_room_back<P>(subject: &PoolSubject<P>) -> Vec<Entry>
where
    P: ContainerPool<Lease: Lease<Sandbox = MockSandbox>>,
{
    let yard = subject.narrow(1, Script::new().with_fault(Operation::Create, 1, Fault::Panic));
    let error = yard.try_acquire(&action("a")).await.map(|_| ()).expect_err("the mock panics");
    assert_eq!(error.kind(), ErrorKind::Internal, "{error}");
    settle().await;
    assert_eq!((yard.pool.stats().memory, yard.mock.live()), (0, 0));
    yard.acquire(&action("b")).await.keep();
    yard.close().await
}

/// One that hangs ends its request at the deadline, and holds no other action up.
pub async fn a_creation_that_hangs_holds_up_its_own_request_alone<P>(subject: &PoolSubject<P>) -> Vec<Entry>
where
    P: ContainerPool<Lease: Lease<Sandbox = MockSandbox>>,
{
    let yard = subject.narrow(2, Script::new().with_fault(Operation::Create, 1, Fault::Hang));
    let began = Instant::now();
    let (hung, other) = (action("a"), action("b"));
    let (refused, lease) =
        tokio::join!(yard.acquire_for(&hung, "guest", 5 * SECOND), yard.try_acquire(&other));
    assert_eq!(refused.map(|_| ()).expect_err("it hangs").kind(), ErrorKind::DeadlineExceeded);
    assert_eq!(began.elapsed().as_secs(), 5);
    lease.expect("the other action has its sandbox").keep();
    yard.abandon()
}

/// User code that fails to initialise is `InitFailed` with its text, and leaves no sandbox.
pub async fn an_init_that_fails_tells_the_actions_text<P>(subject: &PoolSubject<P>) -> Vec<Entry>
where
    P: ContainerPool<Lease: Lease<Sandbox = MockSandbox>>,
{
    let yard = subject.narrow(1, Script::new());
    let mut spec = (*action("a")).clone();
    spec.env.insert(INIT.to_owned(), "fail:no database".to_owned());
    let spec = Arc::new(spec);
    for _ in 0..2 {
        let error = yard.try_acquire(&spec).await.map(|_| ()).expect_err("init fails");
        assert_eq!(error.kind(), ErrorKind::InitFailed);
        assert_eq!(error.message(), "The action failed during initialization: no database");
        settle().await;
        assert_eq!((yard.pool.stats().memory, yard.mock.live()), (0, 0));
    }
    yard.acquire(&action("b")).await.keep();
    yard.close().await
}

/// An initialisation that takes longer than the timeout says so.
pub async fn an_init_over_the_timeout_tells_so<P>(subject: &PoolSubject<P>) -> Vec<Entry>
where
    P: ContainerPool<Lease: Lease<Sandbox = MockSandbox>>,
{
    let yard = subject.narrow(1, Script::new());
    let mut spec = (*action("a")).clone().with_timeout(2 * SECOND);
    spec.env.insert(INIT.to_owned(), "sleep:60000".to_owned());
    let began = Instant::now();
    let error = yard.try_acquire(&Arc::new(spec)).await.map(|_| ()).expect_err("init is too slow");
    assert_eq!((error.kind(), began.elapsed().as_secs()), (ErrorKind::InitFailed, 2));
    let text = "The action exceeded its time limits of 2000 milliseconds during initialization.";
    assert_eq!(error.message(), text);
    yard.close().await
}

/// A factory that panics while it initialises leaves no sandbox.
pub async fn an_init_that_panics_gives_its_room_back<P>(subject: &PoolSubject<P>) -> Vec<Entry>
where
    P: ContainerPool<Lease: Lease<Sandbox = MockSandbox>>,
{
    let yard = subject.narrow(1, Script::new().with_fault(Operation::Init, 1, Fault::Panic));
    let error = yard.try_acquire(&action("a")).await.map(|_| ()).expect_err("the mock panics");
    assert_eq!(error.kind(), ErrorKind::Internal, "{error}");
    settle().await;
    assert_eq!((yard.pool.stats().memory, yard.mock.live()), (0, 0));
    yard.acquire(&action("b")).await.keep();
    yard.close().await
}

/// A stem that is lost when it is needed is the request's error or costs it time, and gives its room back.
pub async fn a_lost_stem_gives_its_room_back<P>(subject: &PoolSubject<P>) -> Vec<Entry>
where
    P: ContainerPool<Lease: Lease<Sandbox = MockSandbox>>,
{
    let yard = subject.narrow(1, Script::new().with_fault(Operation::Init, 1, Fault::Lose));
    let error = yard.try_acquire(&action("a")).await.map(|_| ());
    if let Err(error) = error {
        assert_eq!(error.kind(), ErrorKind::SandboxLost, "{error}");
    }
    settle().await;
    yard.acquire(&action("b")).await.keep();
    assert_eq!(yard.mock.peak_live(), 1);
    yard.close().await
}

/// A lease that is dropped is dirty: its sandbox is destroyed, and never leased again.
pub async fn a_dropped_lease_ends_its_sandbox<P>(subject: &PoolSubject<P>) -> Vec<Entry>
where
    P: ContainerPool<Lease: Lease<Sandbox = MockSandbox>>,
{
    let yard = subject.narrow(1, Script::new().with_fault(Operation::Run, 1, Fault::Lose));
    let spec = action("a");
    let lease = yard.acquire(&spec).await;
    let error = yard.run(lease.sandbox(), json!({})).await.expect_err("the mock is lost");
    assert_eq!(error.kind(), ErrorKind::SandboxLost);
    drop(lease);
    settle().await;
    assert_eq!((yard.mock.live(), yard.mock.began(Operation::Destroy)), (0, 1));
    let lease = yard.acquire(&spec).await;
    assert_eq!(told(&lease), (2, StartKind::Cold));
    lease.keep();
    yard.close().await
}

/// Where a sandbox has several places, one dropped lease ends it once the others are returned.
pub async fn one_dropped_lease_ends_a_shared_sandbox<P>(subject: &PoolSubject<P>) -> Vec<Entry>
where
    P: ContainerPool<Lease: Lease<Sandbox = MockSandbox>>,
{
    let yard = subject.yard(Script::new());
    let mut spec = (*action("a")).clone();
    spec.limits.concurrency = 2;
    let spec = Arc::new(spec);
    let (bad, good) = (yard.acquire(&spec).await, yard.acquire(&spec).await);
    assert_eq!(bad.sandbox().number(), good.sandbox().number());
    drop(bad);
    settle().await;
    assert_eq!(yard.mock.live(), 1, "it is still leased");
    let lease = yard.acquire(&spec).await;
    assert_eq!(told(&lease), (2, StartKind::Cold));
    good.keep();
    lease.keep();
    settle().await;
    assert_eq!(yard.mock.live(), 1);
    yard.close().await
}

/// A destruction that hangs holds up its own memory alone.
pub async fn a_destruction_that_hangs_holds_up_its_own_memory_alone<P>(subject: &PoolSubject<P>) -> Vec<Entry>
where
    P: ContainerPool<Lease: Lease<Sandbox = MockSandbox>>,
{
    let yard = subject.narrow(2, Script::new().with_fault(Operation::Destroy, 1, Fault::Hang));
    drop(yard.acquire(&action("a")).await);
    settle().await;
    for _ in 0..3 {
        drop(yard.acquire(&action("b")).await);
        settle().await;
    }
    assert!(yard.mock.peak_memory() <= 512);
    yard.abandon()
}

/// One that panics gives its memory back.
pub async fn a_destruction_that_panics_gives_its_memory_back<P>(subject: &PoolSubject<P>) -> Vec<Entry>
where
    P: ContainerPool<Lease: Lease<Sandbox = MockSandbox>>,
{
    let yard = subject.narrow(1, Script::new().with_fault(Operation::Destroy, 1, Fault::Panic));
    drop(yard.acquire(&action("a")).await);
    settle().await;
    assert_eq!(yard.pool.stats().memory, 0);
    yard.acquire(&action("b")).await.keep();
    yard.close().await
}

/// A sandbox that does not resume is destroyed, and its request has another.
pub async fn a_sandbox_that_does_not_resume_is_replaced<P>(subject: &PoolSubject<P>) -> Vec<Entry>
where
    P: ContainerPool<Lease: Lease<Sandbox = MockSandbox>>,
{
    let yard = subject.yard_with(Script::new().with_fault(Operation::Resume, 1, Fault::Lose), pausing());
    let spec = action("a");
    yard.leave_idle(&spec).await;
    sleep(11 * SECOND).await;
    let lease = yard.acquire(&spec).await;
    assert_eq!(told(&lease), (2, StartKind::Cold));
    assert!(yard.run(lease.sandbox(), json!({})).await.expect("an outcome").is_success());
    lease.keep();
    settle().await;
    assert_eq!(yard.mock.live(), 1);
    yard.close().await
}

/// A sandbox that cannot be paused is destroyed.
pub async fn a_sandbox_that_does_not_pause_is_destroyed<P>(subject: &PoolSubject<P>) -> Vec<Entry>
where
    P: ContainerPool<Lease: Lease<Sandbox = MockSandbox>>,
{
    let yard = subject.yard_with(Script::new().with_fault(Operation::Pause, 1, Fault::Lose), pausing());
    yard.leave_idle(&action("a")).await;
    sleep(11 * SECOND).await;
    assert_eq!((yard.mock.live(), yard.pool.stats().memory), (0, 0));
    yard.close().await
}

/// Stem cells that cannot be made do not keep requests from being served.
pub async fn failing_stems_hold_no_request_up<P>(subject: &PoolSubject<P>) -> Vec<Entry>
where
    P: ContainerPool<Lease: Lease<Sandbox = MockSandbox>>,
{
    let shape = crate::mock::MockFactory::shape_of(&action("any"));
    let settings = PoolSettings { stems: vec![(shape, 2)], ..PoolSettings::default() };
    let script = Script::new()
        .with_fault(Operation::Create, 1, Fault::Fail(ErrorKind::Unavailable))
        .with_fault(Operation::Create, 2, Fault::Panic);
    let yard = subject.yard_with(script, settings);
    settle().await;
    let lease = yard.acquire(&action("a")).await;
    lease.keep();
    sleep(60 * SECOND).await;
    assert_eq!(yard.pool.stats().stems, 2, "they are tried again");
    yard.close().await
}
