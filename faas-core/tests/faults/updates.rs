//! Entities that change under load.

use std::time::Duration;

use faas_core::backend::Pooled;
use faas_core::pool::PoolConfig;
use faas_core::store::{Expect, Revision};
use faas_core::{Action, ErrorKind, LocalBackend, MemoryMib, Platform};
use faas_testkit::mock::{MockFactory, Operation, Script};
use serde_json::json;
use tokio::time::sleep;

use crate::check::Check;
use crate::probe::{Probe, ProbeAction, local, millis, on};

fn bound(action: ProbeAction) -> faas_core::ActionSpec {
    faas_core::ActionSet::new().with(action).into_specs().remove(0)
}

/// An action that tells which of many updates it is.
fn numbered(probe: &Probe, number: usize) -> faas_core::ActionSpec {
    let action = probe.action("changing", move |cx, input| async move {
        cx.sleep(millis(input["ms"].as_u64().unwrap_or_default())).await;
        Ok(json!({ "code": number, "version": cx.action().version.to_string() }))
    });
    assert_eq!(Action::spec(&action).name.name(), "changing");
    bound(action)
}

async fn update_under_load(app: &Platform, probe: &Probe) -> (u64, usize) {
    let mut calls = tokio::task::JoinSet::new();
    let mut last = Revision(0);
    for update in 1..=100 {
        let revision = app.put_action(numbered(probe, update), Expect::Any).await.unwrap();
        assert!(revision > last, "I9: {revision:?} after {last:?}");
        last = revision;
        for ms in [0, 1, 7] {
            let app = app.clone();
            calls.spawn(async move { app.invoke("changing", json!({ "ms": ms })).await.unwrap() });
            // The call is admitted before or after the next update, as it comes.
            if update % 2 == 0 {
                tokio::task::yield_now().await;
            }
        }
        sleep(millis(10) / 10).await;
    }
    let mut versions = std::collections::BTreeSet::new();
    let mut count = 0;
    for activation in calls.join_all().await {
        let result = activation.outcome.result().to_value();
        assert_eq!(result["version"], activation.revision.version.to_string(), "the admitted revision runs");
        let code = u32::try_from(result["code"].as_u64().unwrap()).unwrap();
        assert_eq!(activation.revision.version.2, code + 1, "with its own code");
        versions.insert(code);
        count += 1;
    }
    (count, versions.len())
}

#[tokio::test(start_paused = true)]
async fn each_activation_runs_the_revision_it_was_admitted_with() {
    let probe = Probe::new();
    let app = local().spec(numbered(&probe, 0)).build().await.unwrap();
    let (count, versions) = update_under_load(&app, &probe).await;
    assert!(versions > 50, "{versions} versions ran");
    Check::successes(count).probe(&probe).run(&app).await;
}

#[tokio::test(start_paused = true)]
async fn no_sandbox_of_an_old_revision_is_used_again() {
    let probe = Probe::new();
    let script =
        Script::new().with_latency(Operation::Create, millis(4)).with_latency(Operation::Destroy, millis(2));
    let factory = MockFactory::new(script);
    let config = PoolConfig { memory: MemoryMib::new(4096), ..PoolConfig::default() };
    let backend = Pooled::warm("mock", LocalBackend::CAPABILITY, factory.clone(), config);
    let app = on(backend).spec(numbered(&probe, 0)).build().await.unwrap();
    let (count, versions) = update_under_load(&app, &probe).await;
    assert!(versions > 50, "{versions} versions ran");
    Check::successes(count).probe(&probe).mock(&factory, 4096).run(&app).await;
    sleep(millis(100)).await;
    assert!(factory.live() <= 3, "{} sandboxes of old revisions are left", factory.live());
}

#[tokio::test(start_paused = true)]
async fn an_action_comes_and_goes_under_load() {
    let probe = Probe::new();
    let app = local().action(probe.echo("steady")).build().await.unwrap();
    let (mut ran, mut missing) = (0, 0);
    for round in 0..100 {
        app.put_action(numbered(&probe, round), Expect::Absent).await.unwrap();
        let running = app.submit("changing", json!({ "ms": 20 })).await.unwrap();
        app.delete("changing", Expect::Any).await.unwrap();
        let error = app.invoke("changing", ()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        missing += 1;
        assert!(
            app.activation(running).await.unwrap().outcome.is_success(),
            "admitted before it was deleted"
        );
        ran += 1;
    }
    assert_eq!((ran, missing), (100, 100));
    Check::successes(100).probe(&probe).run(&app).await;
}

#[tokio::test(start_paused = true)]
async fn a_stale_revision_is_a_conflict_and_changes_nothing() {
    let probe = Probe::new();
    let app = local().spec(numbered(&probe, 0)).build().await.unwrap();
    let first = app.entity("changing").await.unwrap().unwrap().revision;
    let second = app.put_action(numbered(&probe, 1), Expect::Revision(first)).await.unwrap();
    assert!(second > first);
    let refused = [
        app.put_action(numbered(&probe, 9), Expect::Revision(first)).await.map(drop),
        app.delete("changing", Expect::Revision(first)).await,
    ];
    for error in refused.map(Result::unwrap_err) {
        assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    }
    let error = app.put_action(numbered(&probe, 9), Expect::Absent).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    let result = app.invoke("changing", ()).await.unwrap();
    assert_eq!(result.outcome.result().to_value()["code"], 1);
    app.delete("changing", Expect::Revision(second)).await.unwrap();
    let error = app.put_action(numbered(&probe, 2), Expect::Revision(second)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let third = app.put_action(numbered(&probe, 2), Expect::Any).await.unwrap();
    assert!(third > second, "I9 across deletion");
    Check::successes(1).probe(&probe).run(&app).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_who_update_one_revision_one_wins() {
    let probe = Probe::new();
    let app = local().spec(numbered(&probe, 0)).build().await.unwrap();
    for round in 1..20 {
        let revision = app.entity("changing").await.unwrap().unwrap().revision;
        let mut updates = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let (app, spec) = (app.clone(), numbered(&probe, round));
            updates.spawn(async move { app.put_action(spec, Expect::Revision(revision)).await });
        }
        let won = updates.join_all().await.into_iter().filter(Result::is_ok).count();
        assert_eq!(won, 1);
        assert!(app.invoke("changing", ()).await.unwrap().outcome.is_success());
    }
    tokio::time::timeout(Duration::from_secs(60), Check::successes(19).probe(&probe).run(&app))
        .await
        .unwrap();
}
