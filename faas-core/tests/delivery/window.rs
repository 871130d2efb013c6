//! The window: what is accepted waits in the store, and few jobs at a time are taken out of it.

use faas_core::store::{MemoryStore, Store};
use faas_core::{ErrorKind, Namespace, PlatformBuilder, RuleSpec, SubmitOptions};
use serde_json::json;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};

use crate::life::{World, millis, seconds};
use crate::store::Disk;

/// One backend with so many slots, and no other.
fn slots(world: &World, slots: u32) -> PlatformBuilder {
    world.slots(slots).action(world.sleeper("sleep"))
}

fn of(namespace: &str) -> SubmitOptions {
    SubmitOptions::new().with_namespace(Namespace::new(namespace).unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_thousand_jobs_take_no_more_tasks_than_the_window() {
    let world = World::new();
    let app = slots(&world, 4).dispatch_window(16).build().await.unwrap();
    let idle = Handle::current().metrics().num_alive_tasks();
    for _ in 0..1_000 {
        app.submit("sleep", json!({ "ms": 10 })).await.unwrap();
    }
    let (mut most, mut running) = (0, 0);
    while app.stats().in_flight > 0 {
        most = most.max(Handle::current().metrics().num_alive_tasks() - idle);
        running = running.max(app.stats().backends[0].in_use);
        assert!(app.stats().backends[0].queued <= 16);
        sleep(millis(5)).await;
    }
    // What found a permit when it was submitted has no place, and needs none.
    assert!((8..=16 + 4).contains(&most), "{most} tasks");
    assert_eq!(running, 4);
    assert_eq!((world.all_starts().len(), world.records().await.len()), (1_000, 1_000));
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_one_namespace_holds_up_no_other() {
    let world = World::new();
    let app = slots(&world, 1).dispatch_window(4).build().await.unwrap();
    for _ in 0..500 {
        app.submit_with("sleep", json!({ "ms": 10 }), of("flood")).await.unwrap();
    }
    sleep(millis(50)).await;
    let begun = Instant::now();
    let mut polite = Vec::new();
    for _ in 0..5 {
        polite.push(app.submit_with("sleep", json!({ "ms": 10 }), of("polite")).await.unwrap());
    }
    for id in polite {
        assert!(app.activation(id).await.unwrap().outcome.is_success());
    }
    // At most the window was before each of them, and then they take turns.
    assert!(begun.elapsed() <= millis(10 * (4 + 2 * 5)), "{:?}", begun.elapsed());
    assert!(app.stats().in_flight > 450);
    app.drain().await;
    assert_eq!(world.records().await.len(), 505);
}

#[tokio::test(start_paused = true)]
async fn work_that_can_start_takes_two_commits_and_other_work_takes_four() {
    let world = World::new();
    let app = slots(&world, 1).build().await.unwrap();
    sleep(millis(1)).await;
    world.disk.commits();
    app.invoke("sleep", ()).await.unwrap().into_result().unwrap();
    assert_eq!(world.disk.commits(), ["begin", "finish"]);
    let id = app.submit("sleep", json!({ "ms": 10 })).await.unwrap();
    let waits = app.submit("sleep", ()).await.unwrap();
    app.activation(id).await.unwrap().into_result().unwrap();
    app.activation(waits).await.unwrap().into_result().unwrap();
    let commits = world.disk.commits();
    let of_jobs: Vec<_> = commits.into_iter().filter(|commit| *commit != "claim_next").collect();
    assert_eq!(of_jobs, ["begin", "accept", "finish", "start", "finish"]);
}

#[tokio::test(start_paused = true)]
async fn an_invocation_that_waits_starts_when_its_permit_comes() {
    let world = World::new();
    let app = slots(&world, 1).build().await.unwrap();
    world.disk.commits();
    let (first, second) =
        tokio::join!(app.invoke("sleep", json!({ "ms": 10 })), app.invoke("sleep", json!({ "ms": 10 })));
    assert!(first.unwrap().outcome.is_success());
    assert_eq!(second.unwrap().times.wait, millis(10));
    let commits = world.disk.commits();
    let of_jobs: Vec<_> = commits.into_iter().filter(|commit| *commit != "claim_next").collect();
    assert_eq!(of_jobs, ["begin", "begin", "finish", "start", "finish"]);
}

#[tokio::test(start_paused = true)]
async fn new_work_does_not_overtake_old() {
    let world = World::new();
    let app = slots(&world, 2).dispatch_window(2).build().await.unwrap();
    let mut ids = Vec::new();
    for n in 0..100 {
        ids.push(app.submit("sleep", json!({ "ms": 10 + n % 3 })).await.unwrap());
        if n % 10 == 9 {
            sleep(millis(15)).await;
        }
    }
    app.drain().await;
    let mut records = world.records().await;
    records.sort_by_key(|record| record.start);
    let starts: Vec<_> = records.iter().map(|record| record.id).collect();
    for (place, id) in ids.iter().enumerate() {
        let started = starts.iter().position(|start| start == id).unwrap();
        assert!(started.abs_diff(place) <= 2, "number {place} started as number {started}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_store_refuses_and_takes_more_once_there_is_room() {
    let world = World::on(Disk::holding(MemoryStore::new().with_max_jobs(3)));
    let app = slots(&world, 1).sequence("two", ["sleep", "sleep"]).build().await.unwrap();
    let first = app.submit("two", json!({ "ms": 10 })).await.unwrap();
    let mut accepted = 1;
    let error = loop {
        match app.submit("two", json!({ "ms": 10 })).await {
            Ok(_) => accepted += 1,
            Err(error) => break error,
        }
    };
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Overloaded, true));
    assert!((2..=3).contains(&accepted), "{accepted}");
    // The steps of the sequences are taken all the same.
    app.activation(first).await.unwrap().into_result().unwrap();
    sleep(seconds(1)).await;
    assert!(app.submit("two", ()).await.is_ok());
    app.drain().await;
    let records = world.records_of("two").await;
    assert!(records.len() == accepted + 1 && records.iter().all(|record| record.outcome.is_success()));
}

#[tokio::test(start_paused = true)]
async fn a_full_store_refuses_events_and_their_records() {
    let world = World::on(Disk::holding(MemoryStore::new().with_max_jobs(3)));
    let app = slots(&world, 1).trigger("event").rule(RuleSpec::new("rule", "event", "sleep").unwrap());
    let app = app.trigger("lonely").build().await.unwrap();
    let mut ids = Vec::new();
    let error = loop {
        match app.fire("event", json!({ "ms": 10 })).await {
            Ok(id) => ids.push(id),
            Err(error) => break error,
        }
    };
    assert_eq!((error.kind(), error.is_temporary(), ids.len()), (ErrorKind::Overloaded, true, 3));
    app.fire("lonely", ()).await.unwrap();
    sleep(seconds(1)).await;
    ids.push(app.fire("event", ()).await.unwrap());
    app.drain().await;
    let mut recorded: Vec<_> = world.records_of("event").await.iter().map(|record| record.id).collect();
    ids.sort_unstable();
    recorded.sort_unstable();
    assert_eq!(recorded, ids);
    assert_eq!(world.records_of("sleep").await.len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_for_a_while_is_asked_again_with_pauses() {
    let world = World::new();
    let app = slots(&world, 1).build().await.unwrap();
    sleep(millis(1)).await;
    let first = app.submit("sleep", json!({ "ms": 10 })).await.unwrap();
    let begun = Instant::now();
    world.disk.fail(["claim_next", "claim_next", "claim_next", "start", "start", "finish", "finish"]);
    let second = app.submit("sleep", json!({ "ms": 10 })).await.unwrap();
    assert!(app.activation(second).await.unwrap().outcome.is_success());
    assert_eq!(world.disk.failed(), 7);
    assert!(app.activation(first).await.unwrap().outcome.is_success());
    assert_eq!(world.starts(second), [1], "its code ran once");
    assert!(begun.elapsed() >= millis(100 + 200 + 400), "{:?}", begun.elapsed());
    assert!(begun.elapsed() < seconds(5), "{:?}", begun.elapsed());
    app.drain().await;
}

#[tokio::test(start_paused = true)]
async fn dropping_the_last_handle_stops_claiming() {
    let world = World::new();
    let app = slots(&world, 1).dispatch_window(1).build().await.unwrap();
    for _ in 0..10 {
        app.submit("sleep", json!({ "ms": 10 })).await.unwrap();
    }
    sleep(millis(5)).await;
    drop(app);
    sleep(seconds(60)).await;
    let pending = world.disk.pending().await.unwrap();
    assert!((8..=9).contains(&pending), "{pending} wait for the next platform");
    let app = slots(&world, 4).build().await.unwrap();
    app.drain().await;
    assert_eq!(world.all_starts().values().sum::<usize>(), 10);
}
