//! What becomes of work whose process was killed.

use faas_core::store::{Damage, JobState, Store};
use faas_core::{ActivationId, RuleSpec, Status, SubmitOptions};
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::life::{World, empty, millis, seconds, spec};
use crate::store::Disk;

async fn state(disk: &Disk, id: ActivationId) -> JobState {
    disk.job(id).await.unwrap().expect("a job").state
}

/// A platform with an action that runs once, one that may be run again, and one slot.
fn one_slot(world: &World) -> faas_core::PlatformBuilder {
    let again = world.action(spec("again").with_retries(2), |cx, input| async move {
        cx.sleep(millis(input["ms"].as_u64().unwrap_or_default())).await;
        Ok(input)
    });
    world.slots(1).action(world.sleeper("once")).action(again)
}

#[test]
fn a_job_that_waited_runs() {
    let world = World::new();
    let ids = world.live(async |world| {
        let app = one_slot(&world).dispatch_window(4).build().await.unwrap();
        let running = app.submit("once", json!({ "ms": 60_000 })).await.unwrap();
        let mut ids = Vec::new();
        for _ in 0..20 {
            ids.push(app.submit("once", json!({ "ms": 1 })).await.unwrap());
        }
        sleep(millis(1)).await;
        assert_eq!(state(&world.disk, ids[19]).await, JobState::Accepted);
        assert_eq!(state(&world.disk, ids[0]).await, JobState::Claimed);
        assert_eq!(state(&world.disk, running).await, JobState::Started);
        ids
    });
    world.live(async |world| {
        let app = one_slot(&world).build().await.unwrap();
        for id in &ids {
            let record = app.activation(*id).await.unwrap();
            assert_eq!((record.status(), record.attempts), (Status::Success, 1));
            assert_eq!(world.starts(*id), [1]);
        }
        app.drain().await;
        assert_eq!(world.disk.pending().await.unwrap(), 0);
    });
}

#[test]
fn what_was_lost_while_it_ran_is_recorded_as_lost_and_not_run_again() {
    let world = World::new();
    let ids = world.live(async |world| {
        let app = world.builder().action(world.sleeper("once")).build().await.unwrap();
        let submitted = app.submit("once", json!({ "ms": 60_000 })).await.unwrap();
        assert!(timeout(millis(1), app.activation(submitted)).await.is_err());
        let invoked =
            tokio::spawn(async move { app.invoke("once", json!({ "ms": 60_000 })).await.map(drop) });
        sleep(millis(1)).await;
        assert!(!invoked.is_finished());
        world.all_starts().into_keys().collect::<Vec<_>>()
    });
    assert_eq!(ids.len(), 2);
    world.live(async |world| {
        let app = world.builder().action(world.sleeper("once")).build().await.unwrap();
        for id in &ids {
            let record = app.activation(*id).await.unwrap();
            assert_eq!((record.status(), record.attempts), (Status::InternalError, 1));
            assert!(record.outcome.error().unwrap().contains("was lost"), "{record:?}");
            assert!(!record.usage_known && record.billed_ms == 0 && record.earlier.is_empty());
            assert_eq!(world.starts(*id), [1]);
            // Nobody was told: neither who submitted it nor, any more, who invoked it.
            assert!(app.dead_letter(*id).await.unwrap().is_some());
        }
    });
}

#[test]
fn what_was_lost_is_run_again_as_often_as_its_retries_allow() {
    let world = World::new();
    let start = async |world: &World| {
        let app = one_slot(world).build().await.unwrap();
        sleep(millis(5)).await;
        app
    };
    let id = world.live(async |world| {
        let app = start(&world).await;
        let id = app.submit("again", json!({ "ms": 60_000 })).await.unwrap();
        sleep(millis(5)).await;
        id
    });
    world.live(async |world| drop(start(&world).await));
    world.live(async |world| drop(start(&world).await));
    assert_eq!(world.starts(id), [1, 2, 3]);
    world.live(async |world| {
        let app = start(&world).await;
        let record = app.activation(id).await.unwrap();
        assert_eq!((record.status(), record.attempts, record.earlier.len()), (Status::InternalError, 3, 2));
        assert!(record.earlier.iter().all(|attempt| !attempt.usage_known && attempt.error.contains("lost")));
        assert_eq!(world.starts(id), [1, 2, 3], "no fourth");
    });
}

#[test]
fn what_was_lost_once_can_end_well() {
    let world = World::new();
    let id = world.live(async |world| {
        let app = one_slot(&world).build().await.unwrap();
        let id = app.submit("again", json!({ "ms": 30 })).await.unwrap();
        sleep(millis(10)).await;
        id
    });
    world.live(async |world| {
        let app = one_slot(&world).build().await.unwrap();
        let record = app.activation(id).await.unwrap();
        assert_eq!((record.status(), record.attempts, record.earlier.len()), (Status::Success, 2, 1));
        assert_eq!((record.billed_ms, world.starts(id)), (30, vec![1, 2]));
    });
}

#[test]
fn a_job_that_is_finished_is_left_alone() {
    let world = World::new();
    let id = world.live(async |world| {
        let app = one_slot(&world).build().await.unwrap();
        let id = app.submit("again", ()).await.unwrap();
        app.activation(id).await.unwrap().into_result().unwrap();
        id
    });
    world.live(async |world| {
        let app = one_slot(&world).build().await.unwrap();
        assert!(app.activation(id).await.unwrap().outcome.is_success());
        app.drain().await;
        assert_eq!((world.starts(id).len(), world.records().await.len()), (1, 1));
    });
}

#[test]
fn the_jobs_of_a_fan_out_run_once_each_though_nobody_had_looked_at_them() {
    let world = World::new();
    let wire = |world: &World| {
        let mut builder = world.builder().action(world.sleeper("once")).trigger("event").dispatch_window(3);
        for n in 0..10 {
            builder = builder.rule(RuleSpec::new(&format!("rule-{n}"), "event", "once").unwrap());
        }
        builder.rule(RuleSpec::new("broken", "event", "once").unwrap().map(|_| Err("no".into())))
    };
    let id = world.live(async |world| {
        let app = wire(&world).build().await.unwrap();
        app.fire("event", json!({ "ms": 1 })).await.unwrap()
    });
    world.live(async |world| {
        let app = wire(&world).build().await.unwrap();
        assert_eq!(app.activation(id).await.unwrap().logs.len(), 11);
        app.drain().await;
        let starts = world.all_starts();
        assert!(starts.len() == 10 && starts.values().all(|count| *count == 1), "{starts:?}");
        let records = world.records_of("once").await;
        assert_eq!(records.len(), 11);
        assert!(records.iter().all(|record| record.cause == Some(id)));
    });
}

#[test]
fn what_was_emitted_is_fired_after_the_process_that_emitted_it() {
    let world = World::new();
    let wire = |world: &World| {
        let emits = world.action(spec("emits"), |cx, _| async move {
            cx.emit("heard", json!({ "n": 1 }))?;
            Ok(empty())
        });
        world.builder().action(emits).action(world.sleeper("once")).trigger("heard")
    };
    world.live(async |world| {
        let app = wire(&world).build().await.unwrap();
        app.invoke("emits", ()).await.unwrap().into_result().unwrap();
    });
    assert!(world.live(async |world| world.records_of("heard").await).is_empty());
    world.live(async |world| {
        let app = wire(&world).build().await.unwrap();
        app.drain().await;
        assert_eq!(world.records_of("heard").await.len(), 1);
    });
}

#[test]
fn a_job_whose_action_is_gone_has_a_record_and_can_be_run_when_it_is_back() {
    let world = World::new();
    let id = world.live(async |world| {
        let app = one_slot(&world).build().await.unwrap();
        app.submit("once", json!({ "ms": 60_000 })).await.unwrap();
        app.submit("again", json!({ "n": 5 })).await.unwrap()
    });
    world.live(async |world| {
        let app = world.builder().action(world.sleeper("once")).build().await.unwrap();
        let record = app.activation(id).await.unwrap();
        assert!(record.outcome.error().unwrap().contains("no action is named"), "{record:?}");
        app.drain().await;
    });
    world.live(async |world| {
        let app = one_slot(&world).build().await.unwrap();
        let again = app.redrive(id).await.unwrap();
        assert_eq!(app.activation(again).await.unwrap().outcome.result().as_str(), r#"{"n":5}"#);
    });
}

#[tokio::test(start_paused = true)]
async fn an_owner_who_was_only_slow_is_fenced_off() {
    let world = World::new();
    let old = one_slot(&world).build().await.unwrap();
    let lost = old.submit("once", json!({ "ms": 1_000 })).await.unwrap();
    let next = old.submit("again", json!({ "ms": 1_000 })).await.unwrap();
    sleep(millis(10)).await;
    let new = one_slot(&world).build().await.unwrap();
    drop(old);
    assert_eq!(new.activation(lost).await.unwrap().status(), Status::InternalError);
    let record = new.activation(next).await.unwrap();
    assert!(record.outcome.is_success());
    sleep(seconds(10)).await;
    assert_eq!(world.records().await.len(), 2, "what the old one came to changes nothing");
    assert_eq!(new.activation(next).await.unwrap(), record);
    assert_eq!(world.disk.pending().await.unwrap(), 0);
}

#[test]
fn work_of_other_namespaces_is_theirs_after_a_restart() {
    let world = World::new();
    let acme = || faas_core::SubmitOptions::new().with_namespace(faas_core::Namespace::new("acme").unwrap());
    let id = world.live(async |world| {
        let app = one_slot(&world).build().await.unwrap();
        app.submit("once", json!({ "ms": 60_000 })).await.unwrap();
        app.submit_with("once", json!({ "ms": 1 }), acme()).await.unwrap()
    });
    world.live(async |world| {
        let app = one_slot(&world).build().await.unwrap();
        assert_eq!(app.activation(id).await.unwrap().namespace(), "acme");
    });
}

#[tokio::test(start_paused = true)]
async fn a_job_that_is_damaged_ends_with_a_record_that_says_so() {
    let world = World::new();
    let app = world.slots(1).action(world.sleeper("sleep")).build().await.unwrap();
    let mut ids = Vec::new();
    for n in 0..4 {
        let later = SubmitOptions::new().run_after(seconds(1));
        ids.push(app.submit_with("sleep", json!({ "ms": 10, "n": n }), later).await.unwrap());
    }
    world.disk.damage(ids[2], Damage::Input("its file is missing".to_owned()));
    world.disk.damage(ids[3], Damage::Progress("its checksum is wrong".to_owned()));
    app.drain().await;
    for (id, why) in [(ids[2], "its file is missing"), (ids[3], "its checksum is wrong")] {
        let record = app.activation(id).await.unwrap();
        assert_eq!(record.status(), Status::InternalError);
        assert!(record.outcome.error().unwrap().contains(why), "{record:?}");
        assert!(world.starts(id).is_empty());
    }
    assert!(app.dead_letter(ids[2]).await.unwrap().is_none(), "there is nothing to run it with");
    assert_eq!(app.find(ids[2]).await.unwrap().unwrap().input, None);
    let letter = app.dead_letter(ids[3]).await.unwrap().unwrap();
    assert_eq!(letter.job.payload.to_value(), json!({ "ms": 10, "n": 3 }));
    assert!(app.activation(ids[1]).await.unwrap().outcome.is_success());
}
