//! More work than there is room for.

use std::time::Duration;

use faas_core::scheduler::{Order, Quota, SchedulerConfig};
use faas_core::units::parse_duration;
use faas_core::{
    ErrorKind, InvokeOptions, LocalBackend, Namespace, Platform, PlatformBuilder, SubmitOptions,
};
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};

use crate::check::Check;
use crate::probe::{Probe, local, millis, on, panic_quietly, spec};

fn one_slot(probe: &Probe, config: SchedulerConfig) -> PlatformBuilder {
    on(LocalBackend::new().with_slots(1)).scheduler(config).action(probe.sleeper("sleep"))
}

fn submitted_by(namespace: &str) -> SubmitOptions {
    SubmitOptions::new().with_namespace(Namespace::new(namespace).unwrap())
}

fn by(namespace: &str) -> InvokeOptions {
    InvokeOptions { namespace: Some(Namespace::new(namespace).unwrap()), ..InvokeOptions::default() }
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_refuses_and_keeps_what_it_has() {
    let probe = Probe::new();
    let config = SchedulerConfig { queue_limit: 3, ..SchedulerConfig::default() };
    let app = one_slot(&probe, config).build().await.unwrap();
    let mut accepted = Vec::new();
    let mut refused = 0;
    for _ in 0..100 {
        match app.submit("sleep", json!({ "ms": 10 })).await {
            Ok(id) => accepted.push(id),
            Err(error) => {
                assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Overloaded, true));
                assert!(error.to_string().contains("the queue holds 3 jobs, and its limit is 3"), "{error}");
                refused += 1;
            }
        }
        assert!(app.stats().backends[0].queued <= 3);
    }
    assert_eq!((accepted.len(), refused), (4, 96));
    let records = Check::successes(4).accepted(accepted).probe(&probe).run(&app).await;
    assert_eq!(records.len(), 4, "what is refused has no record");
}

#[tokio::test(start_paused = true)]
async fn who_waits_longer_than_the_queue_deadline_has_a_record_and_never_ran() {
    let probe = Probe::new();
    let config = SchedulerConfig { queue_deadline: millis(50), ..SchedulerConfig::default() };
    let app = one_slot(&probe, config).build().await.unwrap();
    let first = app.submit("sleep", json!({ "ms": 200 })).await.unwrap();
    let error = app.invoke("sleep", json!({ "ms": 1 })).await.unwrap_err();
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::DeadlineExceeded, true));
    assert!(error.to_string().contains("waited 50ms for 1 of 1 slots"), "{error}");
    let id = error.context("activation").unwrap().parse().unwrap();
    let record = app.activation(id).await.unwrap();
    assert_eq!((record.attempts, record.billed_ms, record.start_kind), (0, 0, None));
    let own = InvokeOptions { queue_deadline: Some(millis(500)), ..InvokeOptions::default() };
    assert!(app.invoke_with("sleep", json!({}), own).await.unwrap().outcome.is_success());
    Check::successes(2).accepted([first, id]).probe(&probe).run(&app).await;
    assert_eq!(probe.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_concurrency_quota_refuses_and_lets_in_again() {
    let probe = Probe::new();
    let quota = Quota { concurrent: Some(2), ..Quota::UNLIMITED };
    let app = local().quota(quota).action(probe.sleeper("sleep")).build().await.unwrap();
    for round in 0..3 {
        let running = [
            app.submit_with("sleep", json!({ "ms": 10 }), submitted_by("acme")).await.unwrap(),
            app.submit_with("sleep", json!({ "ms": 10 }), submitted_by("acme")).await.unwrap(),
        ];
        let error = app.invoke_with("sleep", json!({}), by("acme")).await.unwrap_err();
        assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Throttled, true));
        assert!(error.to_string().contains("2 of 2 allowed concurrent invocations"), "{round}: {error}");
        assert!(app.invoke_with("sleep", json!({}), by("other")).await.unwrap().outcome.is_success());
        for id in running {
            assert!(app.activation(id).await.unwrap().outcome.is_success());
        }
    }
    // One who leaves frees the quota too.
    for _ in 0..10 {
        let left = timeout(millis(1), app.invoke_with("sleep", json!({ "ms": 100 }), by("acme"))).await;
        assert!(left.is_err());
        sleep(millis(1)).await;
    }
    assert!(app.invoke_with("sleep", json!({}), by("acme")).await.unwrap().outcome.is_success());
    Check::successes(10).probe(&probe).run(&app).await;
}

#[tokio::test(start_paused = true)]
async fn a_rate_quota_tells_when_to_come_again() {
    let probe = Probe::new();
    let quota = Quota { invocations_per_minute: Some(6), fires_per_minute: Some(3), ..Quota::UNLIMITED };
    let app = local().quota(quota).action(probe.echo("echo")).trigger("event").build().await.unwrap();
    for _ in 0..6 {
        assert!(app.invoke("echo", ()).await.unwrap().outcome.is_success());
    }
    for _ in 0..3 {
        app.fire("event", ()).await.unwrap();
    }
    let refused = [
        (app.invoke("echo", ()).await.unwrap_err(), "6 of 6 allowed invocations per minute", 10),
        (app.fire("event", ()).await.unwrap_err(), "3 of 3 allowed fired triggers per minute", 20),
    ];
    for (error, words, seconds) in refused {
        assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Throttled, true));
        assert!(error.to_string().contains(words), "{error}");
        let after = parse_duration(error.context("retry_after").unwrap()).unwrap();
        assert_eq!(after, Duration::from_secs(seconds));
    }
    sleep(Duration::from_secs(10)).await;
    assert!(app.invoke("echo", ()).await.unwrap().outcome.is_success());
    Check::successes(10).probe(&probe).run(&app).await;
}

async fn flood(app: &Platform, count: usize) -> Vec<faas_core::ActivationId> {
    let mut ids = Vec::with_capacity(count);
    for _ in 0..count {
        ids.push(app.submit_with("sleep", json!({ "ms": 10 }), submitted_by("greedy")).await.unwrap());
    }
    ids
}

#[tokio::test(start_paused = true)]
async fn a_tenant_who_floods_the_queue_holds_up_no_other() {
    let probe = Probe::new();
    let config =
        SchedulerConfig { queue_limit: 20_000, queue_deadline: Duration::MAX, policy: Order::FairShare };
    let app = one_slot(&probe, config).action(probe.sleeper("short")).build().await.unwrap();
    let ids = flood(&app, 5_000).await;
    for _ in 0..20 {
        let start = Instant::now();
        let polite = app.invoke_with("short", json!({ "ms": 1 }), by("polite")).await.unwrap();
        assert!(polite.outcome.is_success());
        assert!(start.elapsed() <= millis(22), "{:?}: one job of the other and its own", start.elapsed());
    }
    Check::successes(5_020).accepted(ids).probe(&probe).run(&app).await;
}

#[tokio::test(start_paused = true)]
async fn a_storm_of_retries_spreads_and_ends() {
    let probe = Probe::new();
    let fails = probe.spec(spec("fails").with_retries(4), |_, _| async { panic_quietly("always") });
    let app = on(LocalBackend::new().with_slots(10))
        .action(fails)
        .action(probe.echo("echo"))
        .build()
        .await
        .unwrap();
    let mut ids = Vec::new();
    for _ in 0..500 {
        ids.push(app.submit("fails", ()).await.unwrap());
    }
    for _ in 0..50 {
        let start = Instant::now();
        assert!(app.invoke("echo", ()).await.unwrap().outcome.is_success());
        assert!(start.elapsed() < millis(50), "{:?}", start.elapsed());
        sleep(millis(20)).await;
    }
    let records = Check::successes(50).accepted(ids).probe(&probe).retries(4).run(&app).await;
    let failed: Vec<_> = records.iter().filter(|record| !record.outcome.is_success()).collect();
    assert!(failed.len() == 500 && failed.iter().all(|record| record.attempts == 5));
    assert_eq!(probe.count(), 500 * 5 + 50);
}

#[tokio::test(start_paused = true)]
async fn work_that_follows_is_taken_however_long_the_queue_is() {
    let probe = Probe::new();
    let config = SchedulerConfig { queue_limit: 1, ..SchedulerConfig::default() };
    let emits = probe.action("emits", |cx, _| async move {
        for _ in 0..50 {
            cx.emit("event", json!({ "ms": 1 }))?;
        }
        Ok(json!({}))
    });
    let app = one_slot(&probe, config)
        .action(emits)
        .trigger("event")
        .rule(faas_core::RuleSpec::new("r", "event", "sleep").unwrap())
        .sequence("five", ["sleep"; 5])
        .build()
        .await
        .unwrap();
    assert!(app.invoke("emits", ()).await.unwrap().outcome.is_success());
    let five = app.invoke("five", json!({ "ms": 1 })).await.unwrap();
    assert!(five.outcome.is_success());
    Check::successes(107).probe(&probe).run(&app).await;
    assert_eq!(probe.count(), 56);
}
