//! Sequences that are resumed where they were.

use faas_core::store::MemoryStore;
use faas_core::{Activation, PlatformBuilder, Status};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::life::{World, millis, seconds, spec};
use crate::store::Disk;

/// Steps that each take 10 ms and add their letter; the last may be run again.
fn wire(world: &World) -> PlatformBuilder {
    let step = |name: &'static str, retries| {
        world.action(spec(name).with_retries(retries), move |cx, input| async move {
            cx.sleep(millis(10)).await;
            let so_far = input["path"].as_str().unwrap_or_default();
            Ok::<Value, _>(json!({ "path": format!("{so_far}{name}") }))
        })
    };
    world
        .builder()
        .action(step("a", 5))
        .action(step("b", 5))
        .action(step("c", 5))
        .action(step("frail", 0))
        .sequence("inner", ["b", "c"])
        .sequence("outer", ["a", "inner", "a"])
        .sequence("risky", ["a", "frail", "b"])
}

fn path(record: &Activation) -> Value {
    record.outcome.result().to_value()["path"].clone()
}

#[test]
fn a_sequence_goes_on_at_the_step_that_has_no_record() {
    // Killed in the midst of each step, between steps, and before the first.
    for after in [0, 5, 10, 15, 20, 25, 30, 35] {
        let world = World::new();
        let id = world.live(async |world| {
            let app = wire(&world).build().await.unwrap();
            let id = app.submit("outer", ()).await.unwrap();
            sleep(millis(after)).await;
            id
        });
        let before = world.all_starts();
        world.live(async |world| {
            let app = wire(&world).build().await.unwrap();
            let record = app.activation(id).await.unwrap();
            assert_eq!((record.status(), path(&record)), (Status::Success, json!("abca")), "after {after}");
            assert_eq!(record.logs.len(), 3);
            app.drain().await;
        });
        let records = world.live(async |world| world.records().await);
        assert_eq!(records.len(), 6, "after {after}: two sequences and four steps");
        for record in &records {
            let starts = world.starts(record.id).len();
            assert_eq!(u32::try_from(starts).unwrap(), record.attempts, "after {after}");
            // One step at most was killed in its midst, and only that one ran again.
            assert!(starts <= 1 + usize::from(before.contains_key(&record.id)));
        }
        assert!(world.all_starts().values().filter(|starts| **starts > 1).count() <= 1, "after {after}");
    }
}

#[test]
fn a_step_that_was_lost_and_may_not_run_again_ends_its_sequence() {
    let world = World::new();
    let id = world.live(async |world| {
        let app = wire(&world).build().await.unwrap();
        let id = app.submit("risky", ()).await.unwrap();
        sleep(millis(15)).await;
        id
    });
    world.live(async |world| {
        let app = wire(&world).build().await.unwrap();
        let record = app.activation(id).await.unwrap();
        assert_eq!(record.status(), Status::InternalError);
        assert!(record.outcome.error().unwrap().contains("was lost"), "{record:?}");
        let names: Vec<_> = world.records().await.iter().map(|it| it.action().name().to_owned()).collect();
        assert_eq!(names.iter().filter(|name| *name == "frail").count(), 1);
        assert!(!names.iter().any(|name| name == "b"), "{names:?}");
        let letters = app.dead_letters(&Default::default()).await.unwrap();
        assert_eq!(letters.iter().map(|letter| letter.job.id).collect::<Vec<_>>(), [id], "not the step");
    });
}

#[test]
fn an_invoked_sequence_is_resumed_without_its_caller() {
    let world = World::new();
    world.live(async |world| {
        let app = wire(&world).build().await.unwrap();
        let _ = timeout(millis(15), async {
            let _ = tokio::spawn(async move { app.invoke("outer", ()).await.map(drop) }).await;
        })
        .await;
    });
    world.live(async |world| {
        let app = wire(&world).build().await.unwrap();
        app.drain().await;
        let outer = world.records_of("outer").await;
        assert_eq!((outer.len(), path(&outer[0])), (1, json!("abca")));
    });
}

#[test]
fn more_sequences_than_the_window_holds_are_resumed() {
    let world = World::new();
    let few = |world: &World| wire(world).dispatch_window(2);
    world.live(async |world| {
        let app = few(&world).build().await.unwrap();
        for _ in 0..20 {
            app.submit("outer", ()).await.unwrap();
        }
        sleep(millis(15)).await;
    });
    world.live(async |world| {
        let app = few(&world).build().await.unwrap();
        timeout(seconds(600), app.drain()).await.unwrap();
        let outer = world.records_of("outer").await;
        assert!(outer.len() == 20 && outer.iter().all(|record| path(record) == json!("abca")));
    });
}

#[tokio::test(start_paused = true)]
async fn the_ids_of_steps_derive_from_their_sequence() {
    let world = World::new();
    let app = wire(&world).build().await.unwrap();
    let record = app.invoke("outer", ()).await.unwrap();
    for (number, line) in record.logs.iter().enumerate() {
        assert_eq!(line.text, record.id.derive(&format!("step/{number}")).to_string());
    }
}

#[tokio::test(start_paused = true)]
async fn sequences_that_fill_every_slot_finish() {
    let world = World::new();
    let app = world
        .slots(1)
        .action(world.sleeper("sleep"))
        .sequence("two", ["sleep", "sleep"])
        .dispatch_window(3)
        .build()
        .await
        .unwrap();
    for _ in 0..50 {
        app.submit("two", json!({ "ms": 1 })).await.unwrap();
    }
    timeout(seconds(600), app.drain()).await.unwrap();
    assert_eq!(world.records_of("two").await.len(), 50);
}

#[test]
fn a_step_whose_record_was_dropped_does_not_run_again() {
    let world = World::on(Disk::holding(MemoryStore::new().with_max_records(3)));
    let id = world.live(async |world| {
        let app = wire(&world).action(world.sleeper("other")).build().await.unwrap();
        let id = app.submit("outer", ()).await.unwrap();
        // The first step has ended, and the second one runs.
        sleep(millis(15)).await;
        for _ in 0..3 {
            app.invoke("other", ()).await.unwrap().into_result().unwrap();
        }
        id
    });
    let before = world.all_starts();
    world.live(async |world| {
        let app = wire(&world).action(world.sleeper("other")).build().await.unwrap();
        let record = app.activation(id).await.unwrap();
        assert_eq!(record.status(), Status::InternalError);
        assert!(record.outcome.error().unwrap().contains("its record was dropped"), "{record:?}");
        assert!(app.dead_letter(id).await.unwrap().is_some(), "it can be run again from the start");
        app.drain().await;
        assert!(world.records_of("a").await.is_empty());
    });
    // Besides what it is certain about: the step that was killed goes on by itself.
    let again =
        world.all_starts().into_iter().filter(|(id, starts)| before.get(id).is_some_and(|it| it < starts));
    assert_eq!(again.count(), 1);
}

#[test]
fn a_record_that_is_dropped_before_its_sequence_reads_it_is_told_of() {
    let world = World::on(Disk::slowly_holding(MemoryStore::new().with_max_records(1)));
    let start = async |world: &World| {
        wire(world).action(world.sleeper("other")).sequence("one", ["a"]).build().await.unwrap()
    };
    let id = world.live(async |world| {
        let app = start(&world).await;
        let id = app.submit("one", ()).await.unwrap();
        sleep(millis(10)).await;
        id
    });
    world.live(async |world| {
        let app = start(&world).await;
        let mut flood = JoinSet::new();
        for _ in 0..50 {
            let app = app.clone();
            flood.spawn(async move {
                loop {
                    app.invoke("other", ()).await.unwrap().into_result().unwrap();
                }
            });
        }
        let letter = timeout(seconds(60), async {
            loop {
                match app.dead_letter(id).await.unwrap() {
                    Some(letter) => break letter,
                    None => sleep(millis(1)).await,
                }
            }
        });
        let record = letter.await.unwrap().record;
        assert!(record.outcome.error().unwrap().contains("its record was dropped"), "{record:?}");
    });
}
