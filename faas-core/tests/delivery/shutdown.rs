//! Shutting down, and what is left for the next start.

use faas_core::backend::Pooled;
use faas_core::pool::{PoolConfig, WarmPool};
use faas_core::store::{JobState, Store};
use faas_core::{ErrorKind, LocalBackend, PlatformBuilder, Status, SubmitOptions};
use faas_testkit::mock::{MockFactory, Operation, Script};
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};

use crate::life::{World, millis, panic_quietly, seconds, spec};
use crate::store::Disk;

fn one_slot(world: &World) -> PlatformBuilder {
    let fails = world.action(spec("fails").with_retries(3), |cx, input| async move {
        if cx.attempt() < 3 {
            panic_quietly("not yet");
        }
        Ok(input)
    });
    world.slots(1).action(world.sleeper("sleep")).action(fails).sequence("two", ["sleep", "sleep"])
}

#[test]
fn what_waits_is_left_and_has_cost_no_attempt() {
    let world = World::new();
    let (running, waiting) = world.live(async |world| {
        let app = one_slot(&world).build().await.unwrap();
        let running = app.submit("sleep", json!({ "ms": 500 })).await.unwrap();
        let mut waiting = Vec::new();
        for _ in 0..300 {
            waiting.push(app.submit("sleep", json!({ "ms": 1 })).await.unwrap());
        }
        sleep(millis(10)).await;
        let begun = Instant::now();
        let shut = app.shutdown(seconds(10)).await.unwrap();
        assert!(begun.elapsed() <= seconds(11));
        assert!(app.find(running).await.unwrap().is_some(), "what ran could end");
        // What was claimed by then could run too, and what was not is left.
        assert!(shut.left > 0, "{shut:?}");
        let pending = world.disk.pending().await.unwrap();
        assert_eq!(shut.left, pending);
        assert_eq!(app.submit("sleep", ()).await.unwrap_err().kind(), ErrorKind::Closed);
        (running, waiting)
    });
    assert_eq!(world.starts(running), [1]);
    world.live(async |world| {
        let app = one_slot(&world).build().await.unwrap();
        for id in &waiting {
            let record = app.activation(*id).await.unwrap();
            assert_eq!((record.status(), record.attempts), (Status::Success, 1));
            assert_eq!(world.starts(*id), [1]);
        }
    });
}

#[test]
fn at_the_deadline_what_waits_is_put_back_and_what_runs_is_left() {
    let world = World::new();
    let ids = world.live(async |world| {
        let app = one_slot(&world).build().await.unwrap();
        let mut ids = vec![app.submit("sleep", json!({ "ms": 60_000 })).await.unwrap()];
        for name in ["sleep", "two", "sleep"] {
            ids.push(app.submit(name, json!({ "ms": 1 })).await.unwrap());
        }
        sleep(millis(10)).await;
        let begun = Instant::now();
        assert_eq!(app.shutdown(millis(100)).await.unwrap().left, 5, "a step waits as well");
        assert!(begun.elapsed() < millis(500), "{:?}", begun.elapsed());
        assert_eq!(world.disk.job(ids[0]).await.unwrap().unwrap().state, JobState::Started);
        for id in &ids[1..] {
            let status = world.disk.job(*id).await.unwrap().unwrap();
            assert_eq!((status.state, status.earlier.len()), (JobState::Accepted, 0));
        }
        ids
    });
    world.live(async |world| {
        let app = one_slot(&world).build().await.unwrap();
        assert_eq!(app.activation(ids[0]).await.unwrap().status(), Status::InternalError, "it was lost");
        for id in &ids[1..] {
            assert_eq!(app.activation(*id).await.unwrap().status(), Status::Success);
        }
        app.drain().await;
        assert_eq!(world.records().await.len(), 6);
    });
}

#[test]
fn retries_that_wait_are_left() {
    let world = World::new();
    let id = world.live(async |world| {
        let app = one_slot(&world).build().await.unwrap();
        let id = app.submit("fails", ()).await.unwrap();
        sleep(millis(1)).await;
        assert!(app.shutdown(seconds(60)).await.unwrap().left <= 1);
        id
    });
    world.live(async |world| {
        let app = one_slot(&world).build().await.unwrap();
        let record = app.activation(id).await.unwrap();
        assert_eq!((record.status(), record.attempts), (Status::Success, 3));
        assert_eq!(world.starts(id), [1, 2, 3]);
    });
}

#[tokio::test(start_paused = true)]
async fn draining_waits_for_the_backlog_too() {
    let world = World::new();
    let app = one_slot(&world).dispatch_window(2).build().await.unwrap();
    for _ in 0..100 {
        app.submit("sleep", json!({ "ms": 10 })).await.unwrap();
    }
    app.drain().await;
    assert_eq!((world.records().await.len(), app.stats().in_flight), (100, 0));
}

#[tokio::test(start_paused = true)]
async fn without_a_durable_store_what_waits_is_given_up_with_a_record() {
    let world = World::on(Disk::forgetful());
    let app = one_slot(&world).dispatch_window(2).build().await.unwrap();
    let mut ids = Vec::new();
    for _ in 0..100 {
        ids.push(app.submit("sleep", json!({ "ms": 10 })).await.unwrap());
    }
    let later = SubmitOptions::new().run_after(seconds(3_600));
    ids.push(app.submit_with("sleep", (), later).await.unwrap());
    sleep(millis(15)).await;
    app.shutdown(millis(45)).await.unwrap();
    sleep(seconds(1)).await;
    let mut given_up = 0;
    for id in ids {
        let record = app.find(id).await.unwrap().expect("a record");
        given_up += usize::from(record.status() == Status::InternalError);
    }
    assert!((80..100).contains(&given_up), "{given_up}");
    assert_eq!(world.disk.pending().await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_what_a_shutdown_leaves_is_told() {
    let world = World::new();
    let app = one_slot(&world).build().await.unwrap();
    let later = || SubmitOptions::new().run_after(seconds(3_600));
    let ids = [
        app.submit("sleep", json!({ "ms": 60_000 })).await.unwrap(),
        app.submit("sleep", ()).await.unwrap(),
        app.submit_with("sleep", (), later()).await.unwrap(),
    ];
    let waiting = ids.map(|id| {
        let app = app.clone();
        tokio::spawn(async move { app.activation(id).await })
    });
    sleep(millis(10)).await;
    assert_eq!(app.shutdown(seconds(1)).await.unwrap().left, 3);
    for waiting in waiting {
        let error = timeout(seconds(1), waiting).await.unwrap().unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    }
    let error = timeout(seconds(1), app.activation(ids[1])).await.unwrap().unwrap_err();
    assert!(error.to_string().contains("was shut down before"), "{error}");
    assert_eq!(app.activation(ids[0].derive("no")).await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test(start_paused = true)]
async fn draining_ends_when_somebody_else_shuts_down() {
    for disk in [Disk::new(), Disk::forgetful()] {
        let world = World::on(disk);
        let app = one_slot(&world).build().await.unwrap();
        app.submit_with("sleep", (), SubmitOptions::new().run_after(seconds(3_600))).await.unwrap();
        let draining = tokio::spawn({
            let app = app.clone();
            async move { app.drain().await }
        });
        sleep(millis(10)).await;
        app.shutdown(millis(100)).await.unwrap();
        timeout(seconds(1), draining).await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn draining_asks_a_store_again_that_failed() {
    let world = World::new();
    let app = one_slot(&world).build().await.unwrap();
    world.disk.fail(["pending", "pending"]);
    timeout(seconds(60), app.drain()).await.unwrap();
    assert_eq!(world.disk.failed(), 2);
}

/// A backend whose sandboxes are leased for as long as an action runs.
pub(crate) fn pooled(script: Script) -> (Pooled<WarmPool<MockFactory>>, MockFactory) {
    let factory = MockFactory::new(script);
    let backend = Pooled::warm("mock", LocalBackend::CAPABILITY, factory.clone(), PoolConfig::default());
    (backend, factory)
}

#[test]
fn what_holds_up_a_pool_is_stopped_and_lost_to_the_next_start() {
    let world = World::new();
    let (lost, again, sequence) = world.live(async |world| {
        let (backend, factory) = pooled(Script::new());
        let app = world
            .builder_on(backend)
            .action(world.sleeper("sleep"))
            .action(world.action(spec("again").with_retries(1), |cx, _| async move {
                cx.sleep(seconds(if cx.attempt() == 1 { 60 } else { 0 })).await;
                Ok(json!({}))
            }))
            .sequence("one", ["again"]);
        let app = app.build().await.unwrap();
        let lost = app.submit("sleep", json!({ "ms": 60_000 })).await.unwrap();
        let again = app.submit("again", ()).await.unwrap();
        let sequence = app.submit("one", ()).await.unwrap();
        let asked = tokio::spawn({
            let app = app.clone();
            async move { app.invoke("sleep", json!({ "ms": 60_000 })).await }
        });
        sleep(millis(10)).await;
        assert_eq!(factory.live(), 4);
        let begun = Instant::now();
        // The sequence is left, and so is its step.
        assert_eq!(app.shutdown(millis(100)).await.unwrap().left, 4);
        assert!(begun.elapsed() < seconds(1), "{:?}", begun.elapsed());
        assert_eq!(factory.live(), 0);
        for id in [lost, again] {
            assert_eq!(world.disk.job(id).await.unwrap().unwrap().state, JobState::Started);
        }
        let error = asked.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Closed);
        let record = app.find(error.context("activation").unwrap().parse().unwrap()).await.unwrap().unwrap();
        assert!(record.outcome.error().unwrap().contains("was stopped"), "{record:?}");
        assert!(record.billed_ms >= 100 && record.usage_known, "it was stopped at an await: {record:?}");
        (lost, again, sequence)
    });
    world.live(async |world| {
        let again_now = world.action(spec("again").with_retries(1), |_, input| async { Ok(input) });
        let app = world.builder().action(world.sleeper("sleep")).action(again_now).sequence("one", ["again"]);
        let app = app.build().await.unwrap();
        assert_eq!(app.activation(lost).await.unwrap().status(), Status::InternalError);
        for id in [again, sequence] {
            assert_eq!(app.activation(id).await.unwrap().status(), Status::Success);
        }
        assert_eq!((world.starts(lost), world.starts(again)), (vec![1], vec![1, 2]));
    });
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_does_not_end_holds_up_nothing_for_long() {
    let world = World::new();
    let (backend, _factory) = pooled(Script::new().with_latency(Operation::Destroy, seconds(3_600)));
    let app = world.builder_on(backend).action(world.sleeper("sleep")).build().await.unwrap();
    app.invoke("sleep", ()).await.unwrap().into_result().unwrap();
    let begun = Instant::now();
    let error = app.shutdown(millis(100)).await.unwrap_err();
    assert!(begun.elapsed() < seconds(20), "{:?}", begun.elapsed());
    assert_eq!((error.kind(), error.context("backend")), (ErrorKind::DeadlineExceeded, Some("mock")));
    // There is as much time as the grace.
    assert!(app.shutdown(seconds(4_000)).await.is_ok());
}

#[test]
fn what_waits_for_a_sandbox_has_not_started() {
    let world = World::new();
    let id = world.live(async |world| {
        let (backend, _factory) = pooled(Script::new().with_latency(Operation::Create, seconds(1)));
        let app = world.builder_on(backend).action(world.sleeper("sleep")).build().await.unwrap();
        let id = app.submit("sleep", ()).await.unwrap();
        sleep(millis(10)).await;
        assert_eq!(app.shutdown(millis(100)).await.unwrap().left, 1);
        let job = world.disk.job(id).await.unwrap().unwrap();
        assert_eq!((job.state, job.earlier.len()), (JobState::Accepted, 0));
        id
    });
    world.live(async |world| {
        let app = world.builder().action(world.sleeper("sleep")).build().await.unwrap();
        let record = app.activation(id).await.unwrap();
        assert_eq!((record.status(), record.attempts), (Status::Success, 1));
    });
}

#[test]
fn what_is_claimed_when_claiming_has_ended_is_left() {
    let world = World::on(Disk::slow());
    let id = world.live(async |world| {
        let app = world.builder().action(world.sleeper("sleep")).build().await.unwrap();
        app.submit("sleep", json!({ "ms": 1_000 })).await.unwrap();
        let later = SubmitOptions::new().run_after(millis(100));
        let id = app.submit_with("sleep", (), later).await.unwrap();
        while world.disk.job(id).await.unwrap().unwrap().state != JobState::Claimed {
            sleep(millis(1)).await;
        }
        assert_eq!(app.shutdown(seconds(10)).await.unwrap().left, 1);
        assert_eq!(world.starts(id), [0; 0]);
        id
    });
    world.live(async |world| {
        let app = world.builder().action(world.sleeper("sleep")).build().await.unwrap();
        assert!(app.activation(id).await.unwrap().outcome.is_success());
        assert_eq!(world.starts(id), [1]);
    });
}
