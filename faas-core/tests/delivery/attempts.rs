//! Attempts: each is told, paid and counted, also across restarts.

use faas_core::activation::Attempt;
use faas_core::store::{JobState, Store};
use faas_core::{RetryPolicy, RuleSpec, Status, SubmitOptions};
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};

use crate::life::{World, empty, millis, panic_quietly, seconds, spec};

fn policy(retries: u32) -> RetryPolicy {
    RetryPolicy { retries, ..RetryPolicy::default() }
}

/// An action that runs for 10 ms in each attempt, and fails in all but number `good`.
fn flaky(world: &World, retry: RetryPolicy, good: u32) -> impl faas_core::Action + use<> {
    world.action(spec("flaky").with_retry(retry), move |cx, _| async move {
        cx.sleep(millis(10)).await;
        if cx.attempt() != good {
            panic_quietly("not yet");
        }
        Ok(json!({ "attempt": cx.attempt() }))
    })
}

#[tokio::test(start_paused = true)]
async fn a_record_tells_of_every_attempt() {
    let world = World::new();
    let app = world.builder().action(flaky(&world, policy(5), 3)).build().await.unwrap();
    let invoked = app.invoke("flaky", ()).await.unwrap();
    let submitted = app.submit("flaky", ()).await.unwrap();
    let submitted = app.activation(submitted).await.unwrap();
    for record in [invoked, submitted] {
        assert_eq!((record.status(), record.attempts, record.billed_ms), (Status::Success, 3, 30));
        assert_eq!(world.starts(record.id), [1, 2, 3]);
        let [first, second] = &record.earlier[..] else { panic!("{:?}", record.earlier) };
        assert!(first.start < second.start && second.start < record.start);
        for attempt in [first, second] {
            assert_eq!((attempt.status, attempt.billed_ms), (Status::DeveloperError, 10));
            assert!(attempt.usage_known && attempt.times.run == millis(10));
            assert!(attempt.error.contains("not yet"), "{attempt:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn submitted_work_waits_for_its_next_attempt_in_the_store() {
    let world = World::new();
    let app = world
        .builder()
        .action(flaky(&world, RetryPolicy { base: seconds(3_600), max: seconds(3_600), ..policy(1) }, 2))
        .build()
        .await
        .unwrap();
    let id = app.submit("flaky", ()).await.unwrap();
    sleep(millis(20)).await;
    let status = world.disk.job(id).await.unwrap().unwrap();
    assert_eq!((status.state, status.earlier.len()), (JobState::Accepted, 1));
    let begun = Instant::now();
    assert_eq!(app.activation(id).await.unwrap().attempts, 2);
    assert!(begun.elapsed() <= seconds(3_601));
}

#[test]
fn attempts_and_their_bill_go_on_after_a_restart() {
    let world = World::new();
    let start = async |world: &World| {
        world
            .builder()
            .action(flaky(world, RetryPolicy { base: seconds(60), ..policy(5) }, 3))
            .build()
            .await
            .unwrap()
    };
    let id = world.live(async |world| {
        let app = start(&world).await;
        let id = app.submit("flaky", ()).await.unwrap();
        sleep(millis(15)).await;
        id
    });
    world.live(async |world| {
        let app = start(&world).await;
        while world.starts(id).len() < 2 {
            sleep(millis(1)).await;
        }
        sleep(millis(15)).await;
        drop(app);
    });
    world.live(async |world| {
        let app = start(&world).await;
        let record = app.activation(id).await.unwrap();
        assert_eq!((record.status(), record.attempts, record.billed_ms), (Status::Success, 3, 30));
        assert_eq!(record.earlier.iter().map(|attempt| attempt.billed_ms).sum::<u64>(), 20);
        assert_eq!(world.starts(id), [1, 2, 3]);
    });
}

#[tokio::test(start_paused = true)]
async fn a_rule_may_have_a_policy_of_its_own() {
    let world = World::new();
    let app = world
        .builder()
        .action(flaky(&world, policy(1), 99))
        .trigger("event")
        .rule(RuleSpec::new("often", "event", "flaky").unwrap().with_retry(policy(4)))
        .rule(RuleSpec::new("once", "event", "flaky").unwrap().with_retry(policy(0)))
        .rule(RuleSpec::new("usual", "event", "flaky").unwrap())
        .build()
        .await
        .unwrap();
    app.fire("event", ()).await.unwrap();
    app.drain().await;
    let mut attempts: Vec<_> = world.records_of("flaky").await.iter().map(|record| record.attempts).collect();
    attempts.sort_unstable();
    assert_eq!(attempts, [1, 2, 5]);
}

#[tokio::test(start_paused = true)]
async fn a_rule_with_too_many_retries_is_refused() {
    let world = World::new();
    let rule = RuleSpec::new("often", "event", "flaky").unwrap().with_retry(policy(101));
    let app = world.builder().action(flaky(&world, policy(1), 1)).trigger("event").rule(rule).build().await;
    assert!(app.unwrap_err().to_string().contains("retries 101 is out of range: 0 to 100"));
}

#[tokio::test(start_paused = true)]
async fn no_attempt_starts_after_the_maximum_age() {
    let world = World::new();
    let retry = RetryPolicy { base: millis(100), max: millis(100), max_age: Some(seconds(2)), ..policy(100) };
    let app = world.builder().action(flaky(&world, retry, 999)).build().await.unwrap();
    let submitted = app.submit("flaky", ()).await.unwrap();
    let (invoked, submitted) =
        (app.invoke("flaky", ()).await.unwrap(), app.activation(submitted).await.unwrap());
    for record in [invoked, submitted] {
        assert_eq!(record.status(), Status::DeveloperError);
        assert!((10..100).contains(&record.attempts), "{} attempts", record.attempts);
        assert!(record.start <= record.id.made_at().after(seconds(2)), "{record:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_first_attempt_that_comes_too_late_never_starts() {
    let world = World::new();
    let retry = RetryPolicy { max_age: Some(millis(50)), ..policy(3) };
    let app =
        world.slots(1).action(world.sleeper("sleep")).action(flaky(&world, retry, 1)).build().await.unwrap();
    app.submit("sleep", json!({ "ms": 100 })).await.unwrap();
    let late = app.submit("flaky", ()).await.unwrap();
    let record = app.activation(late).await.unwrap();
    assert_eq!((record.status(), record.attempts), (Status::InternalError, 0));
    assert!(record.outcome.error().unwrap().contains("50ms after it was accepted"), "{record:?}");
    assert!(world.starts(late).is_empty());
}

#[test]
fn the_age_of_delayed_work_counts_from_when_it_was_first_to_run() {
    let world = World::new();
    let retry = RetryPolicy { base: millis(100), max: millis(100), max_age: Some(seconds(2)), ..policy(100) };
    let start = async |world: &World| world.builder().action(flaky(world, retry, 999)).build().await.unwrap();
    let later = || SubmitOptions::new().run_after(seconds(3_600));
    let fails = world.live(async |world| {
        let app = start(&world).await;
        let fails = app.submit_with("flaky", (), later()).await.unwrap();
        sleep(millis(3_601_000)).await;
        assert!(world.starts(fails).len() > 1);
        fails
    });
    world.live(async |world| {
        let app = start(&world).await;
        let record = app.activation(fails).await.unwrap();
        assert_eq!(record.status(), Status::DeveloperError);
        assert!((10..100).contains(&record.attempts), "{} attempts", record.attempts);
        let due = fails.made_at().after(seconds(3_600));
        assert!(record.earlier[0].start >= due && record.start <= due.after(seconds(2)), "{record:?}");
    });
}

#[test]
fn delayed_work_that_a_shutdown_leaves_is_no_older_for_it() {
    let world = World::new();
    let retry = RetryPolicy { max_age: Some(seconds(2)), ..policy(0) };
    let start = async |world: &World| {
        let young = world.action(spec("young").with_retry(retry), |_, input| async { Ok(input) });
        world.slots(1).action(young).action(world.sleeper("sleep")).build().await.unwrap()
    };
    let id = world.live(async |world| {
        let app = start(&world).await;
        let later = SubmitOptions::new().run_after(seconds(3_600));
        let id = app.submit_with("young", (), later).await.unwrap();
        sleep(seconds(3_590)).await;
        app.submit("sleep", json!({ "ms": 50_000 })).await.unwrap();
        sleep(seconds(11)).await;
        assert_eq!(app.shutdown(millis(1)).await.unwrap().left, 2);
        id
    });
    world.live(async |world| {
        let app = start(&world).await;
        assert_eq!(app.activation(id).await.unwrap().status(), Status::Success);
    });
}

#[tokio::test(start_paused = true)]
async fn an_error_is_kept_up_to_its_limit() {
    let world = World::new();
    let long = world.action(
        spec("long").with_retry(RetryPolicy { on_application_error: true, ..policy(1) }),
        |cx, _| async move { if cx.attempt() == 1 { Err("ö".repeat(4_000).into()) } else { Ok(empty()) } },
    );
    let app = world.builder().action(long).build().await.unwrap();
    let record = app.invoke("long", ()).await.unwrap();
    assert!((Attempt::MAX_ERROR - 2..=Attempt::MAX_ERROR).contains(&record.earlier[0].error.len()));
}

#[tokio::test(start_paused = true)]
async fn an_invocation_waits_for_its_next_attempt_with_its_caller() {
    let world = World::new();
    let retry = RetryPolicy { base: seconds(60), max: seconds(60), ..policy(9) };
    let app = world.builder().action(flaky(&world, retry, 99)).build().await.unwrap();
    assert!(timeout(millis(20), app.invoke("flaky", ())).await.is_err());
    app.drain().await;
    let records = world.records().await;
    assert!(records.len() == 1 && records[0].outcome.error().unwrap().contains("caller left"), "{records:?}");
}
