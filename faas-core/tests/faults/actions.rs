//! What an action does to the platform that runs it.

use std::panic::panic_any;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use faas_core::action::BoxFuture;
use faas_core::{ActionSpec, LocalBackend, Status};
use serde_json::json;
use tokio::sync::Notify;

use crate::check::Check;
use crate::probe::{Probe, empty, local, millis, on, panic_quietly, spec};

/// A value whose destructor panics.
struct Bomb(&'static str);

impl Drop for Bomb {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic_quietly(self.0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn every_kind_of_panic_is_a_developer_error() {
    let probe = Probe::new();
    let app = local()
        .action(probe.action("text", |_, _| async { std::panic::resume_unwind(Box::new("boom")) }))
        .action(probe.action("string", |_, _| async { std::panic::resume_unwind(Box::new("b".to_owned())) }))
        .action(probe.action("number", |_, _| async { std::panic::resume_unwind(Box::new(7_u8)) }))
        .action(probe.action("hooked", |_, _| async { panic_any("through the hook") }))
        .action(probe.action("awaiting", |cx, _| async move {
            cx.sleep(millis(5)).await;
            panic_quietly("after an await")
        }))
        .action(probe.action("early", |_, _| {
            if true {
                panic_quietly("before the future");
            }
            async { Ok(empty()) }
        }))
        .action(probe.action("holding", |_, _| async {
            let _bomb = Bomb("in a destructor");
            Ok(empty())
        }))
        .action(probe.echo("echo"))
        .build()
        .await
        .unwrap();
    let expected = [
        ("text", "boom"),
        ("string", "b"),
        ("number", "(no message)"),
        ("hooked", "through the hook"),
        ("awaiting", "after an await"),
        ("early", "before the future"),
        ("holding", "in a destructor"),
    ];
    for (name, message) in expected {
        let failed = app.invoke(name, ()).await.unwrap();
        assert_eq!(failed.status(), Status::DeveloperError, "{name}");
        assert_eq!(failed.outcome.error().unwrap(), format!("The action panicked: {message}"), "{name}");
        let healed = app.invoke("echo", json!({ "after": name })).await.unwrap();
        assert!(healed.outcome.is_success());
    }
    Check::successes(7).probe(&probe).run(&app).await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_whose_payload_panics_when_it_is_dropped_is_caught() {
    let probe = Probe::new();
    let app = local()
        .action(probe.action("bomb", |_, _| async { std::panic::resume_unwind(Box::new(Bomb("again"))) }))
        .build()
        .await
        .unwrap();
    let id = app.submit("bomb", ()).await.unwrap();
    assert_eq!(app.activation(id).await.unwrap().status(), Status::DeveloperError);
    assert_eq!(app.invoke("bomb", ()).await.unwrap().status(), Status::DeveloperError);
    Check::successes(0).probe(&probe).run(&app).await;
}

#[tokio::test(start_paused = true)]
async fn a_destructor_that_panics_at_the_timeout_or_when_the_caller_leaves_is_caught() {
    let probe = Probe::new();
    let hold = |cx: faas_core::Context, _| async move {
        let _bomb = Bomb("too late");
        cx.sleep(Duration::from_secs(60)).await;
        Ok(empty())
    };
    let app = local()
        .action(probe.spec(spec("hold").with_timeout(millis(20)), hold))
        .action(probe.echo("echo"))
        .build()
        .await
        .unwrap();
    let failed = app.invoke("hold", ()).await.unwrap();
    assert_eq!(failed.outcome.error().unwrap(), "The action exceeded its time limits of 20 milliseconds.");
    let left = tokio::time::timeout(millis(5), app.invoke("hold", ())).await;
    assert!(left.is_err());
    assert!(app.invoke("echo", ()).await.unwrap().outcome.is_success());
    let records = Check::successes(1).probe(&probe).run(&app).await;
    assert_eq!(records.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_future_that_never_wakes_ends_at_its_limit() {
    let probe = Probe::new();
    let forever = probe.spec(spec("forever").with_timeout(millis(70)), |_, _| std::future::pending());
    let app = local().action(forever).build().await.unwrap();
    let failed = app.invoke("forever", ()).await.unwrap();
    assert_eq!((failed.status(), failed.billed_ms), (Status::DeveloperError, 70));
    Check::successes(0).probe(&probe).run(&app).await;
}

fn dive(depth: u32) -> BoxFuture<'static, u32> {
    Box::pin(async move {
        tokio::task::yield_now().await;
        if depth == 0 { 0 } else { dive(depth - 1).await + 1 }
    })
}

#[tokio::test(start_paused = true)]
async fn futures_in_futures_run_and_are_dropped() {
    let probe = Probe::new();
    let deep = probe.action("deep", |_, _| async { Ok(json!({ "depth": dive(500).await })) });
    let app = local().action(deep).build().await.unwrap();
    assert_eq!(app.invoke("deep", ()).await.unwrap().outcome.result().as_str(), r#"{"depth":500}"#);
    drop(tokio::time::timeout(Duration::ZERO, app.invoke("deep", ())).await);
    Check::successes(1).probe(&probe).run(&app).await;
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_an_action_leaks_stops_only_those_who_take_it() {
    let probe = Probe::new();
    let lock = Arc::new(tokio::sync::Mutex::new(()));
    let leak = probe.spec(spec("leak").with_timeout(millis(50)), move |_, _| {
        let lock = Arc::clone(&lock);
        async move {
            std::mem::forget(lock.lock_owned().await);
            Ok(empty())
        }
    });
    let app = on(LocalBackend::new().with_slots(2)).action(leak).action(probe.echo("echo")).build();
    let app = app.await.unwrap();
    assert!(app.invoke("leak", ()).await.unwrap().outcome.is_success());
    for _ in 0..5 {
        assert_eq!(app.invoke("leak", ()).await.unwrap().status(), Status::DeveloperError);
        assert!(app.invoke("echo", ()).await.unwrap().outcome.is_success());
    }
    Check::successes(6).probe(&probe).run(&app).await;
}

/// Real time: a paused clock does not move within a poll.
#[tokio::test]
async fn an_action_that_blocks_its_thread_past_its_limit_is_too_late() {
    let probe = Probe::new();
    let block = probe.spec(spec("block").with_timeout(millis(5)), |cx, _| async move {
        cx.emit("late", empty())?;
        while !cx.remaining().is_zero() {
            std::hint::spin_loop();
        }
        // Beyond the resolution of the clocks.
        let until = tokio::time::Instant::now() + millis(2);
        while tokio::time::Instant::now() < until {
            std::hint::spin_loop();
        }
        Ok(json!({ "late": true }))
    });
    let app = local().action(block).trigger("late").build().await.unwrap();
    let failed = app.invoke("block", ()).await.unwrap();
    assert_eq!(failed.outcome.error().unwrap(), "The action exceeded its time limits of 5 milliseconds.");
    let records = Check::successes(0).probe(&probe).run(&app).await;
    assert_eq!(records.len(), 1, "a late result fires nothing");
}

/// A gate that threads wait at without a clock.
#[derive(Clone, Default)]
struct Gate(Arc<(std::sync::Mutex<bool>, std::sync::Condvar)>);

impl Gate {
    fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    fn wait(&self) {
        drop(self.0.1.wait_while(self.0.0.lock().unwrap(), |open| !*open).unwrap());
    }
}

fn blocking(name: &str, timeout: u64) -> ActionSpec {
    let mut spec = spec(name).with_timeout(millis(timeout));
    spec.blocking = true;
    spec
}

/// Real time: a clock that is paused does not move while a blocking thread runs.
#[tokio::test]
async fn a_blocking_action_past_its_limit_keeps_its_slot_until_its_thread_ends() {
    let (probe, gate) = (Probe::new(), Gate::default());
    let (held, ended) = (gate.clone(), Arc::new(Notify::new()));
    let telling = Arc::clone(&ended);
    let stuck = probe.spec(blocking("stuck", 20), move |cx, _| {
        held.wait();
        let _ = cx.emit("late", empty());
        tracing::info!("too late");
        telling.notify_one();
        async { Ok(json!({ "late": true })) }
    });
    let app = on(LocalBackend::new().with_slots(2))
        .action(stuck)
        .action(probe.echo("echo"))
        .trigger("late")
        .build()
        .await
        .unwrap();
    let failed = app.invoke("stuck", ()).await.unwrap();
    assert_eq!(failed.outcome.error().unwrap(), "The action exceeded its time limits of 20 milliseconds.");
    assert_eq!(app.stats().backends[0].in_use, 1, "its thread still runs");
    assert!(app.invoke("echo", ()).await.unwrap().outcome.is_success());
    gate.open();
    ended.notified().await;
    let records = Check::successes(1).probe(&probe).run(&app).await;
    assert_eq!(records.len(), 2, "a result after the timeout makes no record and fires nothing");
    assert!(records.iter().all(|record| record.logs.iter().all(|line| !line.text.contains("too late"))));
}

#[test]
fn a_blocking_action_that_never_got_a_thread_does_not_run_after_its_record() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().max_blocking_threads(1).build();
    runtime.unwrap().block_on(async {
        let (probe, gate) = (Probe::new(), Gate::default());
        let (held, ran) = (gate.clone(), Arc::new(AtomicUsize::new(0)));
        let count = Arc::clone(&ran);
        let stuck = probe.spec(blocking("stuck", 60_000), move |_, _| {
            held.wait();
            async { Ok(empty()) }
        });
        let late = probe.spec(blocking("late", 20), move |_, _| {
            count.fetch_add(1, Ordering::SeqCst);
            async { Ok(empty()) }
        });
        let app = local().action(stuck).action(late).build().await.unwrap();
        let first = app.submit("stuck", ()).await.unwrap();
        tokio::task::yield_now().await;
        assert_eq!(app.invoke("late", ()).await.unwrap().status(), Status::DeveloperError);
        assert!(tokio::time::timeout(millis(5), app.invoke("late", ())).await.is_err());
        gate.open();
        assert!(app.activation(first).await.unwrap().outcome.is_success());
        Check::successes(1).run(&app).await;
        assert_eq!(ran.load(Ordering::SeqCst), 0, "it has its record: it may not start any more");
    });
}

#[tokio::test]
async fn a_blocking_action_that_panics_is_a_developer_error() {
    let probe = Probe::new();
    let panics = probe.spec(blocking("panics", 1_000), |_, _| async { panic_quietly("on a thread") });
    let app = local().action(panics).build().await.unwrap();
    for _ in 0..20 {
        let failed = app.invoke("panics", ()).await.unwrap();
        assert_eq!(failed.outcome.error().unwrap(), "The action panicked: on a thread");
    }
    Check::successes(0).probe(&probe).run(&app).await;
}
