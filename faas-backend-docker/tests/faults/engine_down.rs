//! A real engine that is stopped, killed and frozen while actions run and while none does, and that comes back.

use std::process::Command;
use std::time::{Duration, Instant};

use faas_core::{Activation, Error, ErrorKind, StartKind, Status};
use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::dockerd::Dockerd;
use crate::scripted::NOT_PROVISIONED;
use crate::site::{FINE, Site, ground_on, millis, spec, until};

/// How long a call to the engine may take here.
const CALL: Duration = Duration::from_secs(4);

/// How long anything may take that comes of itself.
const PATIENCE: Duration = Duration::from_secs(40);

/// A site on the engine.
async fn site(test: &str, engine: &Dockerd) -> Option<Site> {
    site_with(test, engine, CALL).await
}

/// The same, where a call to the engine may take so long.
async fn site_with(test: &str, engine: &Dockerd, call: Duration) -> Option<Site> {
    let ground = ground_on(test, Some(engine.host())).await?;
    let builder = ground.builder().engine_timeout(call);
    let late = spec("late").with_timeout(millis(1000));
    let site = ground.site_on(builder, [spec(FINE), spec("nap"), late, spec("remember")]).await;
    site.fine().await;
    Some(site)
}

/// An activation under way.
type Call = JoinHandle<Result<Activation, Error>>;

/// Begins to sleep in so many containers, for longer than it takes to make them.
async fn naps(site: &Site, ms: u64, count: usize) -> Vec<Call> {
    let calls = (0..count).map(|_| site.begin("nap", json!({ "ms": ms }))).collect();
    let run = until(PATIENCE, || async {
        let leased = Some(site.stats().await.leased);
        if leased == Some(count) { Ok(()) } else { Err(leased) }
    });
    assert_eq!(run.await, Ok(()), "they run");
    // Who has leased a container asks it at once.
    sleep(millis(200)).await;
    calls
}

/// How the calls ended: successes and errors.
async fn ended(calls: Vec<Call>) -> (Vec<Activation>, Vec<Error>) {
    let (mut records, mut errors) = (Vec::new(), Vec::new());
    for call in calls {
        match timeout(PATIENCE, call).await.expect("an end").unwrap() {
            Ok(record) => records.push(record),
            Err(error) => errors.push(error),
        }
    }
    (records, errors)
}

/// So many succeed at once, some of them where a dead container was.
async fn many_succeed(site: &Site, count: usize) {
    let calls = (0..count).map(|_| site.begin(FINE, json!({}))).collect();
    let (records, errors) = ended(calls).await;
    assert!(errors.is_empty() && records.iter().all(|record| record.outcome.is_success()), "{errors:?}");
}

/// An activation that needs a new container, which nobody can make now.
async fn finds_no_container(site: &Site) {
    let begun = Instant::now();
    let error = site.app.invoke("remember", json!({})).await.expect_err("there is no engine");
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Unavailable, true), "{error:?}");
    assert_eq!(error.message(), NOT_PROVISIONED);
    assert!(begun.elapsed() < CALL + Duration::from_secs(3), "{:?}", begun.elapsed());
}

/// Waits until the backend says that it is well, or that it is not.
async fn health_becomes(site: &Site, well: bool) {
    let becomes = until(PATIENCE, || async {
        match site.app.health().await.is_healthy() == well {
            true => Ok(()),
            false => Err(site.app.health().await),
        }
    });
    becomes.await.unwrap_or_else(|health| panic!("not in time: {health:?}"));
}

#[tokio::test]
async fn an_engine_that_was_stopped_while_nobody_ran_is_used_again() {
    let Some(mut engine) = Dockerd::start("down-stopped").await else { return };
    let Some(site) = site("down-stopped", &engine).await else { return };
    assert!(ended(naps(&site, 4000, 3).await).await.1.is_empty());
    engine.stop().await;
    health_becomes(&site, false).await;
    let stand_in = engine.stand_in();
    for _ in 0..3 {
        finds_no_container(&site).await;
    }
    sleep(Duration::from_secs(2)).await;
    let callers = stand_in.callers();
    assert!((3..60).contains(&callers), "{callers} calls in two seconds");
    drop(stand_in);
    engine.up().await;
    health_becomes(&site, true).await;
    // Each of the dead containers is found out, at the cost of some time.
    for _ in 0..4 {
        let record = site.app.invoke("nap", json!({ "ms": 1 })).await.unwrap();
        assert_eq!((record.status(), record.attempts), (Status::Success, 1), "{:?}", record.outcome);
    }
    many_succeed(&site, 4).await;
    assert!(ended(naps(&site, 4000, 3).await).await.1.is_empty());
    site.end_without(3, 15).await;
}

#[tokio::test]
async fn an_engine_that_is_stopped_takes_its_runs_along_and_no_more() {
    let Some(mut engine) = Dockerd::start("down-runs").await else { return };
    let Some(site) = site("down-runs", &engine).await else { return };
    let calls = naps(&site, 50_000, 2).await;
    engine.stop().await;
    let (records, errors) = ended(calls).await;
    assert!(records.is_empty(), "{records:?}");
    for error in &errors {
        assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::SandboxLost, false), "{error:?}");
        let id = error.context("activation").unwrap().parse().unwrap();
        assert_eq!(site.app.activation(id).await.unwrap().status(), Status::InternalError);
    }
    engine.up().await;
    health_becomes(&site, true).await;
    many_succeed(&site, 3).await;
    assert!(ended(naps(&site, 4000, 2).await).await.1.is_empty());
    site.end_without(2, 6).await;
}

#[tokio::test]
async fn an_engine_that_crashes_takes_no_run_along() {
    let Some(mut engine) = Dockerd::start("down-crash").await else { return };
    let Some(site) = site("down-crash", &engine).await else { return };
    let calls = naps(&site, 5000, 2).await;
    engine.kill().await;
    for _ in 0..20 {
        let record = site.app.invoke(FINE, json!({})).await.unwrap();
        assert_eq!((record.status(), record.start_kind), (Status::Success, Some(StartKind::Warm)));
    }
    finds_no_container(&site).await;
    health_becomes(&site, false).await;
    let (records, errors) = ended(calls).await;
    assert!(errors.is_empty() && records.iter().all(|record| record.outcome.is_success()), "{errors:?}");
    // It ends the containers that it finds.
    engine.up().await;
    health_becomes(&site, true).await;
    many_succeed(&site, 3).await;
    site.end_without(1, 25).await;
}

#[tokio::test]
async fn an_engine_whose_containers_outlive_it_finds_them_in_use() {
    let Some(mut engine) = Dockerd::start_outlived("down-outlived").await else { return };
    let Some(site) = site("down-outlived", &engine).await else { return };
    let calls = naps(&site, 5000, 2).await;
    engine.stop().await;
    site.fine().await;
    engine.up().await;
    health_becomes(&site, true).await;
    let (records, errors) = ended(calls).await;
    assert!(errors.is_empty() && records.iter().all(|record| record.outcome.is_success()), "{errors:?}");
    let (records, _) = ended(naps(&site, 1500, 2).await).await;
    assert!(records.iter().all(|record| record.start_kind == Some(StartKind::Warm)), "{records:?}");
    many_succeed(&site, 3).await;
    site.end(8).await;
}

#[tokio::test]
async fn what_runs_and_what_is_warm_does_not_need_an_engine_that_is_frozen() {
    let Some(engine) = Dockerd::start("down-frozen").await else { return };
    let Some(site) = site("down-frozen", &engine).await else { return };
    assert!(site.app.invoke("late", json!({ "ms": 1 })).await.unwrap().outcome.is_success());
    let calls = naps(&site, 4000, 2).await;
    engine.freeze();
    let begun = Instant::now();
    for _ in 0..50 {
        let record = site.app.invoke(FINE, json!({})).await.unwrap();
        assert_eq!((record.status(), record.start_kind), (Status::Success, Some(StartKind::Warm)));
    }
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let (records, errors) = ended(calls).await;
    assert!(errors.is_empty() && records.iter().all(|record| record.outcome.is_success()), "{errors:?}");

    // What needs the engine is given up in time.
    let overdue = site.app.invoke("late", json!({ "ms": 3000 })).await.unwrap();
    assert_eq!(overdue.status(), Status::DeveloperError, "{:?}", overdue.outcome);
    assert!(overdue.outcome.error().unwrap().contains("time limits of 1000 milliseconds"));
    assert!(overdue.times.run < millis(2500), "{:?}", overdue.times);
    tokio::join!(finds_no_container(&site), finds_no_container(&site), health_becomes(&site, false));
    site.fine().await;
    engine.thaw();
    health_becomes(&site, true).await;
    assert!(site.app.invoke("late", json!({ "ms": 1 })).await.unwrap().outcome.is_success());
    site.end_without(2, 55).await;
}

#[tokio::test]
async fn a_guest_that_ends_while_the_engine_is_frozen_is_lost_and_not_waited_for() {
    let Some(engine) = Dockerd::start("down-ends").await else { return };
    let Some(site) = site_with("down-ends", &engine, Duration::from_secs(60)).await else { return };
    let calls = naps(&site, 50_000, 1).await;
    let containers = site.inspected().await;
    engine.freeze();
    for container in containers {
        let process = container.state.and_then(|state| state.pid).unwrap().to_string();
        assert!(Command::new("kill").args(["-s", "KILL", &process]).status().unwrap().success());
    }
    let killed = Instant::now();
    let (records, errors) = ended(calls).await;
    engine.thaw();
    assert!(records.is_empty() && killed.elapsed() < Duration::from_secs(8), "{:?}", killed.elapsed());
    assert_eq!((errors[0].kind(), errors[0].is_temporary()), (ErrorKind::SandboxLost, false), "{errors:?}");
    many_succeed(&site, 2).await;
    site.end_without(1, 3).await;
}
