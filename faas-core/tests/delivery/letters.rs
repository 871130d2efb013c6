//! Dead letters, and running things again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use faas_core::{
    ActivationKind, ActivationQuery, ErrorKind, Expect, Platform, RetryPolicy, RuleSpec, Status,
};
use serde_json::json;
use tokio::time::sleep;

use crate::life::{World, empty, millis, panic_quietly, spec};

/// Actions that end in each way, of which one is mended when the switch is on.
async fn start(world: &World, mended: &Arc<AtomicBool>) -> Platform {
    let mended = Arc::clone(mended);
    let retried = RetryPolicy { retries: 1, on_application_error: true, ..RetryPolicy::default() };
    world
        .builder()
        .action(world.action(spec("broken").with_retries(1), move |_, input| {
            let mended = mended.load(Ordering::SeqCst);
            async move { if mended { Ok(input) } else { panic_quietly("out of order") } }
        }))
        .action(world.action(spec("refuses"), |_, _| async { Err("no".into()) }))
        .action(world.action(spec("insists").with_retry(retried), |_, _| async { Err("no".into()) }))
        .action(world.action(spec("slow").with_timeout(millis(5)), |_, _| std::future::pending()))
        .action(world.action(spec("fine"), |_, _| async { Ok(empty()) }))
        .trigger("event")
        .rule(RuleSpec::new("rule", "event", "broken").unwrap())
        .build()
        .await
        .unwrap()
}

async fn dead(app: &Platform) -> Vec<String> {
    let letters = app.dead_letters(&ActivationQuery::default()).await.unwrap();
    letters.iter().map(|letter| letter.record.action().name().to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn work_that_nobody_waits_for_and_that_fails_is_a_dead_letter() {
    let world = World::new();
    let app = start(&world, &Arc::default()).await;
    for name in ["broken", "refuses", "insists", "slow", "fine"] {
        let id = app.submit(name, json!({ "from": name })).await.unwrap();
        let status = app.activation(id).await.unwrap().status();
        let letter = app.dead_letter(id).await.unwrap();
        assert_eq!(letter.is_some(), ["broken", "insists", "slow"].contains(&name), "{name}: {status}");
        if let Some(letter) = letter {
            assert_eq!(letter.job.payload.to_value(), json!({ "from": name }));
            assert_eq!(letter.record, app.activation(id).await.unwrap());
        }
    }
    assert!(!app.invoke("broken", ()).await.unwrap().outcome.is_success());
    assert_eq!(dead(&app).await, ["broken", "insists", "slow"], "an invocation has a caller");
    app.fire("event", ()).await.unwrap();
    app.drain().await;
    assert_eq!(dead(&app).await, ["broken", "insists", "slow", "broken"]);
    let query = ActivationQuery { name: Some("slow".into()), ..ActivationQuery::default() };
    assert_eq!(app.dead_letters(&query).await.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_is_redriven_with_its_input_as_a_new_activation() {
    let (world, mended) = (World::new(), Arc::default());
    let app = start(&world, &mended).await;
    let id = app.submit("broken", json!({ "n": 5 })).await.unwrap();
    assert_eq!(app.activation(id).await.unwrap().attempts, 2);
    mended.store(true, Ordering::SeqCst);
    let again = app.redrive(id).await.unwrap();
    let record = app.activation(again).await.unwrap();
    assert_eq!((record.status(), record.attempts), (Status::Success, 1));
    assert_eq!(record.cause, Some(id), "it tells what it came from");
    assert_eq!(record.outcome.result().as_str(), r#"{"n":5}"#);
    assert!(app.find(id).await.unwrap().is_some(), "the old record stays");
    assert_eq!(app.redrive(id).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert!(dead(&app).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_accepted_event_that_cannot_be_fired_is_a_dead_letter_until_it_can() {
    let world = World::new();
    let emits = world.action(spec("emits"), |cx, input| async move {
        cx.sleep(millis(10)).await;
        cx.emit("off", json!({ "n": 1 }))?;
        cx.emit("gone", json!({ "n": 2 }))?;
        Ok(input)
    });
    let app = world.builder().action(emits).action(world.sleeper("listen")).trigger("off").trigger("gone");
    let app = app
        .rule(RuleSpec::new("one", "off", "listen").unwrap())
        .rule(RuleSpec::new("two", "gone", "listen").unwrap());
    let app = app.build().await.unwrap();
    app.submit("emits", ()).await.unwrap();
    app.disable_trigger("off").await.unwrap();
    app.delete("gone", Expect::Any).await.unwrap();
    sleep(millis(20)).await;
    let letters = app.dead_letters(&ActivationQuery::default()).await.unwrap();
    let told: Vec<_> = letters.iter().map(|letter| letter.record.outcome.error().unwrap()).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].contains("is disabled") && told[1].contains("no trigger is named"), "{told:?}");
    assert!(letters.iter().all(|letter| letter.record.revision.kind == ActivationKind::Trigger));
    app.enable_trigger("off").await.unwrap();
    assert_eq!(app.redrive_all(&ActivationQuery::default()).await.unwrap(), 2);
    app.drain().await;
    assert_eq!(dead(&app).await, ["gone"], "it is still not there");
    let listened = world.records_of("listen").await;
    assert_eq!(listened.iter().map(|it| it.outcome.result().as_str()).collect::<Vec<_>>(), [r#"{"n":1}"#]);
}

#[tokio::test(start_paused = true)]
async fn all_that_match_are_redriven_once_though_they_fail_again() {
    let world = World::new();
    let app = start(&world, &Arc::default()).await;
    for _ in 0..600 {
        app.submit("broken", ()).await.unwrap();
    }
    app.submit("slow", ()).await.unwrap();
    while app.stats().in_flight > 0 {
        tokio::time::sleep(millis(100)).await;
    }
    let broken = ActivationQuery { name: Some("broken".into()), ..ActivationQuery::default() };
    assert_eq!(app.redrive_all(&broken).await.unwrap(), 600);
    let few = ActivationQuery { name: Some("slow".into()), limit: Some(0), ..ActivationQuery::default() };
    assert_eq!(app.redrive_all(&few).await.unwrap(), 0);
    app.drain().await;
    assert_eq!(app.dead_letters(&broken).await.unwrap().len(), 600);
    assert_eq!(world.records_of("broken").await.len(), 1_200);
    assert_eq!(app.redrive_all(&broken).await.unwrap_err().kind(), ErrorKind::Closed);
}

#[test]
fn dead_letters_last_over_a_restart_and_can_be_dropped() {
    let (world, mended) = (World::new(), Arc::new(AtomicBool::new(false)));
    let ids = world.live(async |world| {
        let app = start(&world, &mended).await;
        let ids = [app.submit("broken", ()).await.unwrap(), app.submit("broken", ()).await.unwrap()];
        app.drain().await;
        ids
    });
    world.live(async |world| {
        let app = start(&world, &mended).await;
        app.drop_dead_letter(ids[0]).await.unwrap();
        assert_eq!(app.drop_dead_letter(ids[0]).await.unwrap_err().kind(), ErrorKind::NotFound);
        mended.store(true, Ordering::SeqCst);
        let again = app.redrive(ids[1]).await.unwrap();
        assert!(app.activation(again).await.unwrap().outcome.is_success());
    });
}

#[tokio::test(start_paused = true)]
async fn any_recorded_activation_is_run_again_with_its_input() {
    let (world, mended) = (World::new(), Arc::default());
    let app = start(&world, &mended).await;
    let failed = app.invoke("broken", json!({ "n": 7 })).await.unwrap();
    assert_eq!(failed.input.as_ref().unwrap().as_str(), r#"{"n":7}"#);
    mended.store(true, Ordering::SeqCst);
    let again = app.replay(failed.id).await.unwrap();
    assert_eq!(again.outcome.result().as_str(), r#"{"n":7}"#);
    let fired = app.fire("event", ()).await.unwrap();
    let error = app.replay(fired).await.unwrap_err();
    assert!(error.kind() == ErrorKind::InvalidArgument && error.to_string().contains("trigger"), "{error}");
    assert_eq!(app.replay(fired.derive("no")).await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test(start_paused = true)]
async fn inputs_are_recorded_where_asked_for_or_where_the_store_is_durable() {
    for (durable, asked, recorded) in
        [(true, None, true), (true, Some(false), false), (false, None, false), (false, Some(true), true)]
    {
        let disk = if durable { crate::store::Disk::new() } else { crate::store::Disk::forgetful() };
        let world = World::on(disk);
        let mut builder = world.builder().action(world.sleeper("sleep")).sequence("one", ["sleep"]);
        if let Some(record) = asked {
            builder = builder.record_inputs(record);
        }
        let app = builder.build().await.unwrap();
        let done = app.invoke("one", json!({ "ms": 1 })).await.unwrap();
        let submitted = app.submit("sleep", json!({ "ms": 1 })).await.unwrap();
        app.activation(submitted).await.unwrap().into_result().unwrap();
        for record in world.records().await {
            assert_eq!(record.input.is_some(), recorded, "{record:?}");
        }
        assert_eq!(app.replay(done.id).await.is_ok(), recorded);
    }
}
