//! How long programs live: scaled to none, to as many as there are callers, killed with the run that nobody waits for.

use std::time::{Duration, Instant};

use faas_core::{ErrorKind, MemoryMib, StartKind};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::artifact::{FINE, PUPPET};
use crate::process::{PATIENCE, until};
use crate::site::{Site, millis, played, puppet, puppets};

#[tokio::test]
async fn with_nothing_to_do_it_scales_to_none() {
    let site = Site::new("none", puppets().keep_alive(millis(200)), [puppet(20_000)]).await;
    for _ in 0..2 {
        let record = site.app.invoke(PUPPET, json!({})).await.unwrap();
        assert_eq!(record.start_kind, Some(StartKind::Cold));
        site.fine().await;
        until("none", || if site.processes().is_empty() { Ok(()) } else { Err(site.processes()) }).await;
    }
    site.until_pool("empty", |pool| pool.memory == 0).await;
    site.end(4).await;
}

#[tokio::test]
async fn each_of_eight_callers_has_a_program_to_itself() {
    // Also where the action allows more: a program asks for one event after the other.
    let mut shared = puppet(20_000);
    shared.limits.concurrency = 16;
    let site = Site::new("eight", puppets(), [shared]).await;
    let mut running = JoinSet::new();
    for _ in 0..8 {
        let app = site.app.clone();
        running.spawn(async move {
            let steps = json!([{ "wait": 1000 }, "answer"]);
            app.invoke(PUPPET, json!({ "steps": steps })).await.unwrap()
        });
    }
    let mut programs = Vec::new();
    while let Some(record) = running.join_next().await {
        let result = record.unwrap().outcome.result().to_value();
        assert_eq!(result["runs"], 2, "the probe and this one");
        programs.push(result["pid"].as_u64().unwrap());
    }
    programs.sort_unstable();
    programs.dedup();
    assert_eq!(programs.len(), 8);
    site.until_puppets(8).await;
    site.end(8).await;
}

#[tokio::test]
async fn memory_is_never_exceeded_and_idle_programs_make_room() {
    let site = Site::new("budget", puppets().memory(MemoryMib::new(48)), [puppet(20_000)]).await;
    let mut running = JoinSet::new();
    for n in 0..24 {
        let (app, name) = (site.app.clone(), if n % 2 == 0 { PUPPET } else { FINE });
        running.spawn(async move { app.invoke(name, json!({ "steps": [{ "wait": 20 }, "answer"] })).await });
    }
    let mut most = 0;
    loop {
        most = most.max(site.processes().len());
        assert!(site.stats().await.memory <= 48);
        match timeout(millis(5), running.join_next()).await {
            Ok(Some(ended)) => assert!(ended.unwrap().unwrap().outcome.is_success()),
            Ok(None) => break,
            Err(_) => {}
        }
    }
    assert!((1..=3).contains(&most), "{most} programs in 48 MiB");
    site.end(24).await;
}

#[tokio::test]
async fn a_run_that_nobody_waits_for_is_killed_whatever_it_does() {
    let site = played("left", 60_000).await;
    for steps in [json!(["hang"]), json!(["spin"]), json!(["child", "hang"]), json!(["half", "hang"])] {
        let call = site.begin(PUPPET, json!({ "steps": steps }));
        until("there", || if site.puppets().is_empty() { Err(()) } else { Ok(()) }).await;
        tokio::time::sleep(millis(50)).await;
        let left = Instant::now();
        call.abort();
        site.until_puppets(0).await;
        assert!(left.elapsed() < millis(2_000), "{steps}: {:?}", left.elapsed());
        site.fine().await;
    }
    // A start that nobody waits for goes on, for the next caller, until there can be none.
    let slow = puppet(60_000).with_env("INIT", json!([{ "wait": 1_000 }]).to_string());
    let starting = Site::new("starting", puppets(), [slow]).await;
    let call = starting.begin(PUPPET, json!({}));
    starting.until_puppets(1).await;
    call.abort();
    starting.app.shutdown(Duration::ZERO).await.unwrap();
    starting.until_puppets(0).await;
    assert_eq!(site.app.stats().in_flight, 0);
    site.end_without(4, 4).await;
}

#[tokio::test]
async fn a_shutdown_ends_every_program_at_once_and_waits_for_those_that_run() {
    let site = played("shutdown", 60_000).await;
    let steps = |ms: u64| json!({ "steps": ["child", { "wait": ms }, "answer"] });
    let calls: Vec<_> = (0..3).map(|_| site.begin(PUPPET, steps(300))).collect();
    for call in calls {
        assert!(call.await.unwrap().unwrap().outcome.is_success());
    }
    site.until_puppets(6).await;
    let running = site.begin(PUPPET, steps(1_000));
    site.until_pool("running", |pool| pool.leased == 1).await;
    let told = Instant::now();
    site.app.shutdown(millis(4_000)).await.unwrap();
    // What a program has started is killed with it, and is gone once the kernel gets to it.
    until("no process", || match site.processes() {
        left if left.is_empty() => Ok(()),
        left => Err(left),
    })
    .await;
    assert!(told.elapsed() < millis(5_000), "{:?}", told.elapsed());
    let ended = timeout(PATIENCE, running).await.unwrap().unwrap().unwrap();
    assert!(ended.outcome.is_success(), "{:?}", ended.outcome);
    let refused = site.app.invoke(FINE, json!({})).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Closed);
}

#[tokio::test]
async fn a_shutdown_stops_what_runs_once_its_grace_is_over() {
    let site = played("stopped", 60_000).await;
    let running = site.begin(PUPPET, json!({ "steps": ["child", { "wait": 30_000 }, "answer"] }));
    site.until_pool("running", |pool| pool.leased == 1).await;
    let told = Instant::now();
    site.app.shutdown(millis(100)).await.unwrap();
    until("no process", || match site.processes() {
        left if left.is_empty() => Ok(()),
        left => Err(left),
    })
    .await;
    assert!(told.elapsed() < millis(10_000), "{:?}", told.elapsed());
    let ended = timeout(PATIENCE, running).await.unwrap().unwrap().unwrap_err();
    assert_eq!(ended.kind(), ErrorKind::Closed);
}

#[tokio::test]
async fn a_backend_that_is_dropped_takes_its_programs_along() {
    let site = played("dropped", 60_000).await;
    site.told(json!(["child", "answer"])).await;
    site.fine().await;
    let mark = site.processes();
    assert!(mark.len() >= 3, "{mark:?}");
    let Site { app, backend, .. } = site;
    drop((app, backend));
    until("gone", || {
        let left: Vec<_> = mark.iter().filter(|id| crate::process::runs(**id)).collect();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await;
}

#[test]
fn a_runtime_that_ends_takes_its_programs_along() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (site, ids) = runtime.block_on(async {
        let site = played("runtime", 60_000).await;
        site.told(json!(["child", "answer"])).await;
        drop(site.begin(PUPPET, json!({ "steps": ["hang"] })));
        site.fine().await;
        let ids = site.processes();
        (site, ids)
    });
    assert!(ids.len() >= 3, "{ids:?}");
    runtime.shutdown_timeout(millis(1_000));
    drop(site);
    let waiting = Instant::now();
    while ids.iter().any(|id| crate::process::runs(*id)) {
        assert!(waiting.elapsed() < PATIENCE, "{ids:?}");
        std::thread::sleep(millis(10));
    }
}
