//! Schedules that go on where an earlier process was.

use std::time::Duration;

use faas_core::store::Store;
use faas_core::trigger::{Cron, Event, EventId, Interval};
use faas_core::{ErrorKind, Expect, Payload, Platform, Timestamp};
use serde_json::json;
use tokio::time::sleep;

use crate::life::{World, millis, seconds};

async fn hourly(world: &World) -> Platform {
    world.builder().feed(Cron::new("tick", "0 * * * *").unwrap()).build().await.unwrap()
}

/// What ticked, as `scheduled` and how many `missed` ticks it stands for.
async fn ticks(world: &World) -> Vec<(String, u64)> {
    let told = |record: &faas_core::Activation| {
        let payload = record.outcome.result().to_value();
        (payload["scheduled"].as_str().unwrap().to_owned(), payload["missed"].as_u64().unwrap())
    };
    world.records_of("tick").await.iter().map(told).collect()
}

const HOUR: Duration = seconds(3_600);

#[test]
fn a_cron_feed_neither_loses_nor_doubles_a_tick_across_restarts() {
    // It is 22:13:20 UTC.
    let world = World::new();
    for _ in 0..30 {
        world.live(async |world| {
            let app = hourly(&world).await;
            sleep(seconds(1_000)).await;
            drop(app);
        });
    }
    let ticked = world.live(async |world| ticks(&world).await);
    let hours: Vec<_> = ticked.iter().map(|(at, _)| &at[11..13]).collect();
    assert_eq!(hours, ["23", "00", "01", "02", "03", "04", "05", "06"]);
    assert!(ticked.iter().all(|(_, missed)| *missed == 0), "{ticked:?}");
}

#[test]
fn ticks_that_were_missed_fire_once_as_the_last_of_them() {
    let world = World::new();
    world.live(async |world| {
        let _app = hourly(&world).await;
        sleep(millis(10)).await;
    });
    world.pass(HOUR * 5);
    world.live(async |world| {
        let app = hourly(&world).await;
        sleep(millis(10)).await;
        assert_eq!(ticks(&world).await, [("2023-11-15T03:00:00+00:00".to_owned(), 4)]);
        sleep(HOUR).await;
        assert_eq!(ticks(&world).await.len(), 2);
        drop(app);
    });
}

#[test]
fn a_tick_that_fired_before_its_position_was_kept_fires_no_second_time() {
    let world = World::new();
    let tick = Timestamp::from_millis(1_700_002_800_000);
    world.live(async |world| {
        let app = hourly(&world).await;
        sleep(millis(10)).await;
        // What fires a tick keeps its position in the same step, so that it takes somebody else to be first.
        let payload = json!({ "scheduled": "2023-11-14T23:00:00+00:00", "missed": 0 });
        let event = Event {
            id: Some(EventId(tick.to_string().into())),
            at: tick,
            payload: Payload::from_value(&payload).unwrap(),
        };
        app.fire_event("tick", event).await.unwrap();
        assert_eq!(ticks(&world).await.len(), 1);
        world.disk.fail(["put_schedule"]);
        sleep(seconds(2_900)).await;
        assert_eq!((ticks(&world).await.len(), world.disk.failed()), (1, 1));
        let positions = world.disk.schedules().await.unwrap();
        assert_eq!(positions, [("/guest/tick".parse().unwrap(), tick)]);
        drop(app);
    });
    world.pass(HOUR * 2);
    world.live(async |world| {
        let app = hourly(&world).await;
        sleep(millis(10)).await;
        let missed = ("2023-11-15T01:00:00+00:00".to_owned(), 1);
        assert_eq!(ticks(&world).await[1..], [missed], "the tick that fired is none that was missed");
        drop(app);
    });
}

#[test]
fn an_interval_keeps_its_distances_across_restarts() {
    let world = World::new();
    let start = async |world: &World| {
        world.builder().feed(Interval::new("tick", seconds(100)).unwrap()).build().await.unwrap()
    };
    let mut begun = Timestamp::default();
    for life in 0..10 {
        let now = world.live(async |world| {
            let app = start(&world).await;
            let now = app.entropy().wall_clock();
            sleep(seconds(70)).await;
            drop(app);
            now
        });
        if life == 0 {
            begun = now;
        }
    }
    world.live(async |world| {
        let records = world.records_of("tick").await;
        let at: Vec<_> =
            records.iter().map(|record| (record.start.nanos() - begun.nanos()) / 1_000_000_000).collect();
        assert_eq!(at, [100, 200, 300, 400, 500, 600]);
        // The seventh is due at the very end of the last life.
    });
}

#[test]
fn a_stored_schedule_without_its_feed_is_an_error_at_the_start() {
    let world = World::new();
    world.live(async |world| {
        let _app = hourly(&world).await;
        sleep(millis(10)).await;
    });
    world.live(async |world| {
        let error = world.builder().build().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.to_string().contains("schedule 'guest/tick' is stored but its feed is not registered"));
    });
}

#[test]
fn deleting_a_feeds_trigger_deletes_its_schedule() {
    let world = World::new();
    world.live(async |world| {
        let app = hourly(&world).await;
        sleep(millis(10)).await;
        assert_eq!(world.disk.schedules().await.unwrap().len(), 1);
        app.delete("tick", Expect::Any).await.unwrap();
        sleep(HOUR * 2).await;
        assert!(world.disk.schedules().await.unwrap().is_empty());
    });
    world.live(async |world| assert!(world.builder().build().await.is_ok()));
}

#[test]
fn a_store_that_is_not_durable_keeps_no_schedule() {
    let world = World::on(crate::store::Disk::forgetful());
    world.live(async |world| {
        let _app = hourly(&world).await;
        sleep(millis(10)).await;
        assert!(world.disk.schedules().await.unwrap().is_empty());
    });
}
