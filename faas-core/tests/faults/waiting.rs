//! Many who wait for records, and events that come twice.

use faas_core::trigger::EventId;
use faas_core::{Event, LocalBackend, Payload, RuleSpec, Timestamp};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::check::Check;
use crate::probe::{Probe, local, millis, on};

#[tokio::test(start_paused = true)]
async fn ten_thousand_wait_for_one_record_and_some_leave() {
    let probe = Probe::new();
    let app = local().action(probe.sleeper("sleep")).build().await.unwrap();
    let id = app.submit("sleep", json!({ "ms": 1_000 })).await.unwrap();
    let mut waiters = JoinSet::new();
    for n in 0..10_000_u64 {
        let app = app.clone();
        waiters.spawn(async move {
            if n % 3 == 0 {
                return timeout(millis(n % 900), app.activation(id)).await.is_err();
            }
            app.activation(id).await.unwrap().id == id
        });
    }
    assert!(waiters.join_all().await.into_iter().all(|right| right));
    Check::successes(1).accepted([id]).probe(&probe).run(&app).await;
}

#[tokio::test(start_paused = true)]
async fn each_of_ten_thousand_waits_for_its_own_record() {
    let probe = Probe::new();
    let app = on(LocalBackend::new().with_slots(100)).action(probe.sleeper("sleep")).build().await.unwrap();
    let mut waiters = JoinSet::new();
    let mut ids = Vec::new();
    for n in 0..10_000 {
        let id = app.submit("sleep", json!({ "ms": n % 7 })).await.unwrap();
        ids.push(id);
        let app = app.clone();
        waiters.spawn(async move { app.activation(id).await.unwrap().id == id });
    }
    assert!(waiters.join_all().await.into_iter().all(|right| right));
    Check::successes(10_000).accepted(ids).probe(&probe).run(&app).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_event_with_an_id_fires_once_however_often_it_comes_at_once() {
    let probe = Probe::new();
    let app = local()
        .action(probe.echo("echo"))
        .trigger("event")
        .rule(RuleSpec::new("one", "event", "echo").unwrap())
        .rule(RuleSpec::new("two", "event", "echo").unwrap())
        .rule(RuleSpec::new("broken", "event", "echo").unwrap().map(|_| Err("no".into())))
        .build()
        .await
        .unwrap();
    for n in 0..50 {
        let mut firing = JoinSet::new();
        for _ in 0..8 {
            let app = app.clone();
            firing.spawn(async move {
                let id = Some(EventId(format!("event-{n}").into()));
                let payload = Payload::from_value(&json!({ "n": n })).unwrap();
                app.fire_event("event", Event { id, at: Timestamp::from_millis(1), payload }).await.unwrap()
            });
        }
        let ids = firing.join_all().await;
        assert!(ids.iter().all(|id| *id == ids[0]));
    }
    let records = Check::successes(150).probe(&probe).run(&app).await;
    assert_eq!(records.len(), 50 * 4, "the trigger's record, two runs and a failed mapping of each");
}

#[tokio::test(start_paused = true)]
async fn dropping_who_waits_leaves_the_work_alone() {
    let probe = Probe::new();
    let app = local().action(probe.sleeper("sleep")).build().await.unwrap();
    let id = app.submit("sleep", json!({ "ms": 100 })).await.unwrap();
    for _ in 0..100 {
        assert!(timeout(millis(0), app.activation(id)).await.is_err());
    }
    sleep(millis(200)).await;
    assert!(app.activation(id).await.unwrap().outcome.is_success());
    Check::successes(1).accepted([id]).probe(&probe).run(&app).await;
}
