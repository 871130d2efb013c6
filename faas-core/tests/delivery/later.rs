//! Work that is to run later.

use faas_core::scheduler::{Quota, SchedulerConfig};
use faas_core::store::{Job, Store, Work};
use faas_core::trigger::Interval;
use faas_core::{ErrorKind, Payload, Platform, RuleSpec, SubmitOptions};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::life::{World, millis, seconds};
use crate::store::Disk;

async fn start(world: &World) -> Platform {
    world.builder().action(world.sleeper("sleep")).build().await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn work_runs_at_its_time_and_not_before() {
    let world = World::new();
    let app = start(&world).await;
    let begun = Instant::now();
    let now = app.entropy().wall_clock();
    let after = app.submit_with("sleep", (), SubmitOptions::new().run_after(seconds(3_600))).await.unwrap();
    let at = SubmitOptions::new().run_at(now.after(seconds(60)));
    let at = app.submit_with("sleep", (), at).await.unwrap();
    let past = app.submit_with("sleep", (), SubmitOptions::new().run_at(Default::default())).await.unwrap();
    app.activation(past).await.unwrap().into_result().unwrap();
    assert!(begun.elapsed() < millis(5));
    let record = app.activation(at).await.unwrap();
    assert!(begun.elapsed() >= seconds(60) && begun.elapsed() < seconds(61), "{:?}", begun.elapsed());
    assert!(record.start >= now.after(seconds(60)));
    assert!(record.times.wait < millis(5), "being early is no waiting: {:?}", record.times.wait);
    app.activation(after).await.unwrap().into_result().unwrap();
    assert!(begun.elapsed() >= seconds(3_600) && begun.elapsed() < seconds(3_601), "{:?}", begun.elapsed());
}

#[test]
fn work_that_fell_due_while_nothing_ran_runs_at_the_start() {
    let world = World::new();
    let id = world.live(async |world| {
        let app = start(&world).await;
        app.submit_with("sleep", json!({ "n": 1 }), SubmitOptions::new().run_after(seconds(60)))
            .await
            .unwrap()
    });
    world.live(async |world| {
        let app = start(&world).await;
        sleep(seconds(30)).await;
        assert!(app.find(id).await.unwrap().is_none());
        drop(app);
    });
    world.pass(seconds(3_600));
    world.live(async |world| {
        let app = start(&world).await;
        let begun = Instant::now();
        app.activation(id).await.unwrap().into_result().unwrap();
        assert!(begun.elapsed() < millis(5) && world.starts(id) == [1]);
    });
}

const DAY: std::time::Duration = seconds(86_400);

#[test]
fn a_clock_that_was_set_back_between_two_lives_holds_up_no_backlog() {
    let world = World::new();
    let one_slot = |world: &World| world.slots(1).action(world.sleeper("sleep")).build();
    let ids = world.live(async |world| {
        let app = one_slot(&world).await.unwrap();
        let mut ids = Vec::new();
        for _ in 0..10 {
            ids.push(app.submit("sleep", json!({ "ms": 60_000 })).await.unwrap());
        }
        ids
    });
    world.set_back(DAY);
    world.live(async |world| {
        let app = one_slot(&world).await.unwrap();
        let begun = Instant::now();
        for id in &ids {
            assert_eq!(app.activation(*id).await.unwrap().id, *id);
        }
        assert!(begun.elapsed() < seconds(11 * 60), "{:?}", begun.elapsed());
        app.drain().await;
    });
    assert!(ids[1..].iter().all(|id| world.starts(*id).len() == 1));
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_back_within_a_life_holds_up_no_backlog() {
    let world = World::new();
    let app = start(&world).await;
    sleep(millis(1)).await;
    // What was accepted before the clock was set back is a day ahead of it.
    let ahead = app.entropy().wall_clock().after(DAY);
    let id = app.entropy().activation_id(ahead);
    let job = Job {
        id,
        work: Work::Invoke("/guest/sleep".parse().unwrap()),
        payload: Payload::empty(),
        invoker: None,
        cause: None,
        rule: None,
        depth: 0,
        accepted: ahead,
        not_before: ahead,
        key: None,
    };
    world.disk.accept(vec![job]).await.unwrap();
    let begun = Instant::now();
    // The dispatcher looks again with whatever comes, such as this.
    app.submit_with("sleep", (), SubmitOptions::new().run_after(millis(1))).await.unwrap();
    app.activation(id).await.unwrap().into_result().unwrap();
    assert!(begun.elapsed() < seconds(1), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn what_is_to_run_later_holds_up_nothing() {
    let world = World::new();
    let app = start(&world).await;
    for n in 0..1_000 {
        let later = SubmitOptions::new().run_after(seconds(60 + n));
        app.submit_with("sleep", (), later).await.unwrap();
    }
    let begun = Instant::now();
    let id = app.submit("sleep", ()).await.unwrap();
    app.activation(id).await.unwrap().into_result().unwrap();
    assert!(begun.elapsed() < millis(5));
    app.drain().await;
    assert!(begun.elapsed() >= seconds(1_059) && world.records().await.len() == 1_001);
}

#[tokio::test(start_paused = true)]
async fn what_is_to_run_later_refuses_no_event_and_no_tick() {
    for disk in [Disk::new(), Disk::forgetful()] {
        let world = World::on(disk);
        let config = SchedulerConfig { queue_limit: 50, ..SchedulerConfig::default() };
        let app = world.builder().scheduler(config).action(world.sleeper("sleep")).trigger("event");
        let app = app.rule(RuleSpec::new("rule", "event", "sleep").unwrap());
        let app = app.feed(Interval::new("tick", seconds(1)).unwrap()).build().await.unwrap();
        let later = || SubmitOptions::new().run_after(seconds(3_600));
        let mut refused = 0;
        for _ in 0..60 {
            match app.submit_with("sleep", (), later()).await {
                Ok(_) => {}
                Err(error) => {
                    assert!(error.to_string().contains("holds 50 jobs, and its limit is 50"), "{error}");
                    refused += 1;
                }
            }
        }
        assert_eq!(refused, if world.disk.is_durable() { 0 } else { 10 });
        for _ in 0..60 {
            let fired = app.fire("event", ()).await.unwrap();
            app.activation(fired).await.unwrap().into_result().unwrap();
            let id = app.submit("sleep", ()).await.unwrap();
            app.activation(id).await.unwrap().into_result().unwrap();
        }
        let begun = Instant::now();
        while world.records_of("tick").await.len() < 10 {
            assert!(begun.elapsed() < seconds(20));
            sleep(seconds(1)).await;
        }
        // What has run counts no more.
        sleep(seconds(3_600)).await;
        app.submit_with("sleep", (), later()).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn what_waits_in_the_store_takes_of_its_namespaces_quota_once_it_runs() {
    for disk in [Disk::new(), Disk::forgetful()] {
        let world = World::on(disk);
        let quota = Quota { concurrent: Some(2), ..Quota::UNLIMITED };
        let app = world.builder().quota(quota).action(world.sleeper("sleep")).build().await.unwrap();
        let later = || SubmitOptions::new().run_after(seconds(60));
        for _ in 0..5 {
            app.submit_with("sleep", json!({ "ms": 1_000 }), later()).await.unwrap();
        }
        app.invoke("sleep", ()).await.unwrap().into_result().unwrap();
        sleep(millis(60_500)).await;
        let error = app.invoke("sleep", ()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Throttled);
        assert!(error.to_string().contains("5 of 2 allowed"), "{error}");
        sleep(seconds(1)).await;
        app.invoke("sleep", ()).await.unwrap().into_result().unwrap();
        assert_eq!(world.records().await.len(), 7);
    }
}

#[tokio::test(start_paused = true)]
async fn a_time_beyond_all_times_is_no_overflow() {
    let world = World::new();
    let app = start(&world).await;
    let never = SubmitOptions::new().run_after(std::time::Duration::MAX);
    let id = app.submit_with("sleep", (), never).await.unwrap();
    sleep(seconds(86_400)).await;
    assert!(app.find(id).await.unwrap().is_none());
    let id = app.submit("sleep", ()).await.unwrap();
    app.activation(id).await.unwrap().into_result().unwrap();
}
