//! The mock itself: what it counts, how it fails, and what it accuses of.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use faas_core::sandbox::{Sandbox, SandboxFactory};
use faas_core::{ActionSpec, ActivationId, ErrorKind, Invocation, Namespace, Payload, Status};
use tokio::time::{Instant, timeout};

use super::{Fault, MockFactory, MockSandbox, Operation, Script, Step};
use crate::fixtures;

const SECOND: Duration = Duration::from_secs(1);

fn echo() -> Arc<ActionSpec> {
    Arc::new(fixtures::spec("echo"))
}

fn invocation() -> Invocation {
    Invocation::detached(ActivationId::from_u128(1), Payload::empty())
}

async fn sandbox(mock: &MockFactory, spec: &Arc<ActionSpec>) -> MockSandbox {
    let stem = mock.create(&mock.shape(spec)).await.unwrap();
    mock.init(stem, spec).await.unwrap()
}

fn in_paused_time(test: impl Future<Output = ()>) {
    crate::suite::in_paused_time(test);
}

#[test]
fn every_operation_takes_its_time_and_is_written_down() {
    in_paused_time(async {
        let script = [
            (Operation::Create, 1),
            (Operation::Init, 2),
            (Operation::Run, 3),
            (Operation::Pause, 4),
            (Operation::Resume, 5),
            (Operation::Destroy, 6),
        ]
        .into_iter()
        .fold(Script::new(), |script, (operation, seconds)| script.with_latency(operation, seconds * SECOND));
        let mock = MockFactory::new(script);
        let mut one = sandbox(&mock, &echo()).await;
        assert!(one.run(&invocation()).await.unwrap().outcome.is_success());
        one.pause().await.unwrap();
        one.resume().await.unwrap();
        assert_eq!((mock.live(), mock.memory()), (1, 256));
        one.destroy().await;
        let steps: Vec<(u64, Step)> =
            mock.entries().iter().map(|entry| (entry.at.as_secs(), entry.step)).collect();
        let expected = [
            (0, Step::Creating),
            (1, Step::Created),
            (3, Step::Initialised),
            (3, Step::RunBegan),
            (6, Step::RunEnded),
            (10, Step::Paused),
            (15, Step::Resumed),
            (15, Step::Ending),
            (21, Step::Gone),
        ];
        assert_eq!(steps, expected);
        assert_eq!((mock.live(), mock.memory(), mock.peak_live(), mock.peak_memory()), (0, 0, 1, 256));
        assert!(mock.violations().is_empty(), "{:?}", mock.violations());
    });
}

#[test]
fn a_fault_hits_the_call_that_the_script_names() {
    in_paused_time(async {
        let script = Script::new()
            .with_fault(Operation::Create, 2, Fault::Fail(ErrorKind::Unavailable))
            .with_every(Operation::Pause, Fault::Fail(ErrorKind::Internal));
        let mock = MockFactory::new(script);
        let mut first = sandbox(&mock, &echo()).await;
        let failed = mock.create(&mock.shape(&echo())).await.map(drop).unwrap_err();
        assert_eq!((failed.kind(), failed.is_temporary()), (ErrorKind::Unavailable, true));
        for _ in 0..2 {
            assert_eq!(first.pause().await.unwrap_err().kind(), ErrorKind::Internal);
        }
        first.destroy().await;
        sandbox(&mock, &echo()).await.destroy().await;
        assert_eq!((mock.began(Operation::Create), mock.live()), (3, 0));
        assert!(mock.violations().is_empty());
    });
}

#[test]
fn a_lost_sandbox_stays_lost() {
    in_paused_time(async {
        let mock = MockFactory::new(Script::new().with_fault(Operation::Run, 2, Fault::Lose));
        let mut one = sandbox(&mock, &echo()).await;
        assert!(one.run(&invocation()).await.is_ok());
        for _ in 0..2 {
            assert_eq!(one.run(&invocation()).await.unwrap_err().kind(), ErrorKind::SandboxLost);
        }
        assert_eq!(one.pause().await.unwrap_err().kind(), ErrorKind::SandboxLost);
        one.destroy().await;
        assert_eq!(mock.live(), 0);
    });
}

#[test]
fn what_hangs_can_be_dropped_and_leaves_nothing() {
    in_paused_time(async {
        let mock = MockFactory::new(Script::new().with_fault(Operation::Create, 1, Fault::Hang));
        let creating = timeout(SECOND, mock.create(&mock.shape(&echo()))).await;
        assert!(creating.is_err());
        assert_eq!((mock.live(), mock.memory()), (0, 0));
        assert!(mock.violations().is_empty(), "a factory's future may be dropped");
    });
}

#[test]
fn a_run_ends_at_the_timeout_exactly() {
    in_paused_time(async {
        let mock = MockFactory::default();
        let spec = Arc::new(fixtures::spec("sleep").with_timeout(2 * SECOND));
        let one = sandbox(&mock, &spec).await;
        let payload = Payload::from_json(r#"{"await":60000}"#).unwrap();
        let began = Instant::now();
        let output = one.run(&Invocation::detached(ActivationId::from_u128(1), payload)).await.unwrap();
        assert_eq!((output.outcome.status(), began.elapsed().as_millis()), (Status::DeveloperError, 2000));
        one.destroy().await;
    });
}

#[test]
fn what_no_pool_may_do_is_a_violation() {
    in_paused_time(async {
        let accused = |mock: &MockFactory| mock.violations().join("; ");

        let mock = MockFactory::default();
        drop(sandbox(&mock, &echo()).await);
        assert_eq!(accused(&mock), "sandbox 1: dropped without being destroyed");

        let mock = MockFactory::default();
        let stem = mock.create(&mock.shape(&echo())).await.unwrap();
        drop(stem);
        assert_eq!(accused(&mock), "sandbox 1: dropped without being destroyed");

        let mock = MockFactory::default();
        let mut one = sandbox(&mock, &echo()).await;
        one.pause().await.unwrap();
        one.run(&invocation()).await.unwrap();
        assert_eq!(accused(&mock), "sandbox 1: run while it was paused");
        one.destroy().await;

        let mock = MockFactory::default();
        let one = sandbox(&mock, &echo()).await;
        one.run(&invocation()).await.unwrap();
        let mut foreign = invocation();
        foreign.invoker = Some(Namespace::new("acme").unwrap());
        one.run(&foreign).await.unwrap();
        assert_eq!(accused(&mock), "sandbox 1: run for namespace acme after _");
        one.destroy().await;

        let mock = MockFactory::new(Script::new().with_latency(Operation::Run, SECOND));
        let one = sandbox(&mock, &echo()).await;
        let (first, second) = (invocation(), invocation());
        let (_, _) = tokio::join!(one.run(&first), one.run(&second));
        assert_eq!(accused(&mock), "sandbox 1: 2 runs at once where 1 are allowed");
        one.destroy().await;

        let mock = MockFactory::new(Script::new().with_fault(Operation::Destroy, 1, Fault::Hang));
        let one = sandbox(&mock, &echo()).await;
        assert!(timeout(SECOND, one.destroy()).await.is_err());
        assert_eq!(accused(&mock), "sandbox 1: dropped without being destroyed");
    });
}
