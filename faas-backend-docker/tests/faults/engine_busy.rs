//! What an engine that answers badly, or not at all, is asked meanwhile, and what is left of it.

use std::time::{Duration, Instant};

use faas_core::{Backend, ErrorKind};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::script::{Answer, Call, Script};
use crate::scripted::{COLD, PATIENCE, refused, scripted, scripted_by, short, succeeds};
use crate::site::{ground_on, millis, nothing_left, until};

/// The calls to the engine within so long.
async fn calls_within(engine: &Script, time: Duration) -> usize {
    let before = engine.calls();
    sleep(time).await;
    engine.calls() - before
}

/// Waits until the engine has so many containers.
async fn containers_become(engine: &Script, count: usize) {
    let become_so = until(PATIENCE, || async {
        let containers = engine.containers();
        if containers.len() == count { Ok(()) } else { Err(containers) }
    });
    assert_eq!(become_so.await, Ok(()));
}

#[tokio::test]
async fn an_engine_that_is_away_is_not_asked_more_the_more_is_left_to_ask() {
    let Some((engine, site)) = scripted("busy-away").await else { return };
    for answer in [Answer::Closed, Answer::Refusal(500, "not now".to_owned())] {
        let what = short(&answer);
        let neighbours = engine.containers().len();
        engine.answer_all(&answer);
        // It makes containers, and does not say so.
        engine.answer(Call::Create, Answer::Half);
        for _ in 0..60 {
            refused(&site).await;
        }
        assert_eq!(engine.containers().len(), neighbours + 60, "{what}");
        let calls = calls_within(&engine, Duration::from_secs(2)).await;
        assert!((1..=50).contains(&calls), "{what}: {calls} calls in two seconds");
        site.fine().await;
        engine.heal();
        succeeds(&site).await;
        containers_become(&engine, neighbours).await;
    }
    let calls = calls_within(&engine, millis(500)).await;
    assert_eq!(calls, 0, "nothing is left to ask");
    site.end_without(120, 4).await;
}

#[tokio::test]
async fn stem_cells_are_not_asked_for_all_the_time_while_the_engine_is_away() {
    let Some((engine, site)) = scripted_by("busy-stems", |builder| builder.stems(2)).await else { return };
    // The neighbour, and two stem cells of the one shape.
    succeeds(&site).await;
    containers_become(&engine, 3).await;
    engine.answer_all(&Answer::Raw("nobody is here\r\n\r\n"));
    for _ in 0..4 {
        let _ = site.app.invoke(COLD, json!({})).await;
    }
    let calls = calls_within(&engine, Duration::from_secs(3)).await;
    assert!((1..=80).contains(&calls), "{calls} calls in three seconds");
    engine.heal();
    let refilled = until(PATIENCE, || async {
        let stats = site.stats().await;
        if stats.stems == 2 { Ok(()) } else { Err(stats) }
    });
    assert_eq!(refilled.await, Ok(()));
    containers_become(&engine, 3).await;
    succeeds(&site).await;
    let lost = site.app.stats().finished(faas_core::Status::InternalError);
    site.end_without(lost, 2).await;
}

#[tokio::test]
async fn what_the_engine_does_not_remove_now_is_removed_later() {
    let Some((engine, site)) = scripted("busy-remove").await else { return };
    let neighbours = engine.containers().len();
    for answer in
        [Answer::Refusal(500, "device or resource busy".to_owned()), Answer::Closed, Answer::Silence]
    {
        let what = short(&answer);
        engine.answer(Call::Remove, answer);
        for _ in 0..5 {
            succeeds(&site).await;
        }
        let tries = calls_within(&engine, millis(1500)).await;
        assert!((1..=40).contains(&tries), "{what}: {tries} tries in 1.5 s");
        engine.heal();
        containers_become(&engine, neighbours).await;
        let pool = site.stats().await;
        assert_eq!((pool.leased, pool.idle), (0, 1), "{what}: {pool:?}");
    }
    site.end(15).await;
}

#[tokio::test]
async fn a_container_that_comes_to_be_after_it_was_given_up_is_removed() {
    let Some((engine, site)) = scripted("busy-late").await else { return };
    let neighbours = engine.containers().len();
    engine.answer(Call::Create, Answer::Late);
    let error = refused(&site).await;
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Unavailable, true), "{error:?}");
    // It is asked to remove what it does not know yet.
    let asked = until(PATIENCE, || async { if engine.count(Call::Remove) > 0 { Ok(()) } else { Err(()) } });
    assert_eq!(asked.await, Ok(()));
    let made = engine.made();
    engine.heal();
    let late = until(PATIENCE, || async { if engine.made() > made { Ok(()) } else { Err(()) } });
    assert_eq!(late.await, Ok(()), "it is made after all");
    containers_become(&engine, neighbours).await;
    succeeds(&site).await;
    site.end_without(1, 1).await;
}

#[tokio::test]
async fn whoever_shuts_down_does_not_wait_for_an_engine_that_is_away() {
    let Some((engine, site)) = scripted("busy-shutdown").await else { return };
    succeeds(&site).await;
    engine.answer_all(&Answer::Silence);
    let mut ends = JoinSet::new();
    for _ in 0..3 {
        let app = site.app.clone();
        ends.spawn(async move { app.invoke(COLD, json!({})).await.map(drop) });
    }
    let begun = Instant::now();
    let ended = timeout(PATIENCE, site.app.shutdown(millis(100))).await.expect("an end");
    let error = ended.expect_err("containers are left");
    assert!(begun.elapsed() < Duration::from_secs(12), "{:?}", begun.elapsed());
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    assert!(error.message().contains("left to the next start"), "{error:?}");
    assert!(ends.join_all().await.into_iter().all(|ended| ended.is_err()));
    assert_eq!(site.app.stats().in_flight, 0);
    assert!(!engine.containers().is_empty());
    engine.heal();
    let (docker, pool, home) = (site.docker.clone(), site.pool.clone(), std::sync::Arc::clone(&site.home));
    drop(site);

    // The next one of the same pool finds them.
    let ground = ground_on("busy-shutdown", Some(engine.host())).await.unwrap();
    let backend = ground.builder().pool(&pool).home(home.to_path_buf()).build().unwrap();
    backend.deploy(std::sync::Arc::new(crate::site::spec(COLD))).await.unwrap();
    containers_become(&engine, 0).await;
    backend.shutdown().await.unwrap();
    drop(backend);
    nothing_left(&docker, &pool, &home).await;
}
