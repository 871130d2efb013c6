//! Shared state that cannot be built, or not at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use faas_core::backend::Pooled;
use faas_core::pool::PoolConfig;
use faas_core::{ActionSet, BoxError, ErrorKind, InitContext, LocalBackend, Platform, Status};
use faas_testkit::mock::MockFactory;
use serde_json::json;

use crate::check::Check;
use crate::probe::{Probe, local, millis, on, panic_quietly, spec};

/// What the first, second and third try to build the state do.
async fn fail_thrice(tries: Arc<AtomicUsize>, cx: InitContext) -> Result<String, BoxError> {
    match tries.fetch_add(1, Ordering::SeqCst) {
        0 => Err("no database".into()),
        1 => panic_quietly("no memory"),
        2 => std::future::pending().await,
        nth => {
            cx.sleep(millis(5)).await;
            Ok(format!("built at try {nth}"))
        }
    }
}

fn set(probe: &Probe) -> ActionSet {
    let tries = Arc::new(AtomicUsize::new(0));
    let read = probe.spec(spec("read").with_timeout(millis(50)), |cx, _| async move {
        Ok(json!({ "state": cx.state::<String>() }))
    });
    ActionSet::new().with(read).with_init(move |cx| fail_thrice(Arc::clone(&tries), cx))
}

async fn heals(app: Platform, probe: &Probe) {
    let expected = [
        "The action failed during initialization: no database",
        "The action failed during initialization: it panicked: no memory",
        "The action exceeded its time limits of 50 milliseconds during initialization.",
    ];
    for error in expected {
        let failed = app.invoke("read", ()).await.unwrap();
        assert_eq!(
            (failed.status(), failed.outcome.error().unwrap().as_str()),
            (Status::DeveloperError, error)
        );
    }
    for _ in 0..3 {
        let activation = app.invoke("read", ()).await.unwrap();
        assert_eq!(activation.outcome.result().as_str(), r#"{"state":"built at try 3"}"#);
    }
    assert_eq!(probe.count(), 3, "code never starts without its state");
    Check::successes(3).probe(probe).run(&app).await;
}

#[tokio::test(start_paused = true)]
async fn init_that_fails_panics_and_hangs_is_tried_again() {
    let probe = Probe::new();
    heals(local().actions(set(&probe)).build().await.unwrap(), &probe).await;
}

#[tokio::test(start_paused = true)]
async fn init_in_a_pool_that_fails_panics_and_hangs_is_tried_again() {
    let probe = Probe::new();
    let factory = MockFactory::default();
    let backend = Pooled::warm("mock", LocalBackend::CAPABILITY, factory.clone(), PoolConfig::default());
    heals(on(backend).actions(set(&probe)).build().await.unwrap(), &probe).await;
    assert_eq!(factory.violations(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_init_gives_up_at_its_queue_deadline() {
    let probe = Probe::new();
    let read = probe.spec(spec("read").with_timeout(millis(100)), |_, input| async { Ok(input) });
    let hangs = ActionSet::new().with(read).with_init(|_| std::future::pending::<Result<(), BoxError>>());
    let app = local().actions(hangs).build().await.unwrap();
    let start = tokio::time::Instant::now();
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let app = app.clone();
        let options = faas_core::InvokeOptions { queue_deadline: Some(millis(150)), ..Default::default() };
        calls.spawn(async move { app.invoke_with("read", (), options).await });
    }
    let mut gave_up = 0;
    for result in calls.join_all().await {
        match result {
            Ok(failed) => assert_eq!(failed.status(), Status::DeveloperError),
            Err(error) => {
                assert_eq!(
                    (error.kind(), error.is_temporary()),
                    (ErrorKind::DeadlineExceeded, true),
                    "{error}"
                );
                gave_up += 1;
            }
        }
    }
    assert_eq!(gave_up, 8, "two had their turn");
    assert!(start.elapsed() <= Duration::from_millis(205), "{:?}", start.elapsed());
    Check::successes(0).probe(&probe).run(&app).await;
}

#[tokio::test(start_paused = true)]
async fn a_destructor_that_panics_when_init_is_cut_off_is_caught() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic_quietly("while init is dropped");
        }
    }
    let probe = Probe::new();
    let read = probe.spec(spec("read").with_timeout(millis(10)), |_, input| async { Ok(input) });
    let hangs = ActionSet::new().with(read).with_init(|_| async {
        let _bomb = Bomb;
        std::future::pending::<Result<(), BoxError>>().await
    });
    let app = local().actions(hangs).build().await.unwrap();
    let failed = app.invoke("read", ()).await.unwrap();
    assert!(failed.outcome.error().unwrap().contains("during initialization"));
    Check::successes(0).run(&app).await;
}

#[tokio::test(start_paused = true)]
async fn state_of_another_type_is_a_developer_error() {
    let probe = Probe::new();
    let app = local()
        .actions(
            ActionSet::new()
                .with(probe.action("wrong", |cx, _| async move { Ok(json!({ "n": cx.state::<u32>() })) }))
                .with_init(|_| async { Ok::<_, BoxError>(7_u64) }),
        )
        .actions(ActionSet::new().with(
            probe.action("none", |cx, _| async move { Ok(json!({ "n": cx.try_state::<u64>().is_some() })) }),
        ))
        .build()
        .await
        .unwrap();
    let failed = app.invoke("wrong", ()).await.unwrap();
    assert_eq!(failed.status(), Status::DeveloperError);
    assert!(failed.outcome.error().unwrap().ends_with("init function builds no state of type u32"));
    assert_eq!(app.invoke("none", ()).await.unwrap().outcome.result().as_str(), r#"{"n":false}"#);
    Check::successes(1).probe(&probe).run(&app).await;
}
