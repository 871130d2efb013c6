//! An engine that answers badly after containers were made: while they are paused, resumed and killed, when what they
//! printed is read, and when their network is removed.

use std::time::Instant;

use faas_backend_docker::Transport;
use faas_core::{Activation, Backend, ErrorKind, StartKind, Status};
use serde_json::json;
use tokio::time::timeout;

use crate::script::{Answer, Call, HELD, Script};
use crate::scripted::{COLD, PATIENCE, bad_answers, scripted_by, short};
use crate::site::{FINE, Site, ground_on, millis, nothing_left, spec, until};
use crate::watch::texts;

/// How long the action that is killed has.
const LIMIT: u64 = 300;

/// A site whose containers are paused soon.
async fn pausing(test: &str) -> Option<(Script, Site)> {
    scripted_by(test, |builder| builder.pause_after(Some(millis(50)))).await
}

/// Runs the neighbour, which succeeds in a container that came to be so.
async fn starts(site: &Site, kind: StartKind, what: &str) {
    let call = timeout(PATIENCE, site.app.invoke(FINE, json!({ "fine": true })));
    let record = call.await.expect("an end").unwrap();
    assert_eq!((record.status(), record.start_kind), (Status::Success, Some(kind)), "{what}");
}

#[tokio::test]
async fn a_container_that_the_engine_fails_to_pause_is_replaced() {
    let Some((engine, site)) = pausing("scripted-pause").await else { return };
    let answers = bad_answers();
    let tried = answers.len() as u64;
    for (answer, _) in answers {
        let what = short(&answer);
        site.until_pool("paused", |pool| pool.paused == 1).await;
        let (before, made) = (engine.count(Call::Pause), engine.made());
        engine.answer(Call::Pause, answer);
        starts(&site, StartKind::Warm, &what).await;
        // It may be paused or not: nobody runs in it any more.
        site.until_pool("empty", |pool| pool.idle + pool.paused == 0 && pool.memory == 0).await;
        assert_eq!(engine.count(Call::Pause) - before, 1, "{what}");
        engine.heal();
        starts(&site, StartKind::Cold, &what).await;
        assert_eq!(engine.made() - made, 1, "{what}");
    }
    site.end(2 * tried).await;
}

#[tokio::test]
async fn a_container_that_the_engine_fails_to_resume_is_replaced_for_the_one_who_waits() {
    let Some((engine, site)) = pausing("scripted-resume").await else { return };
    let answers = bad_answers();
    let tried = answers.len() as u64;
    for (answer, _) in answers {
        let what = short(&answer);
        site.until_pool("paused", |pool| pool.paused == 1).await;
        let (before, made) = (engine.count(Call::Unpause), engine.made());
        engine.answer(Call::Unpause, answer);
        starts(&site, StartKind::Cold, &what).await;
        assert_eq!((engine.count(Call::Unpause) - before, engine.made() - made), (1, 1), "{what}");
        let left =
            until(PATIENCE, || async { if engine.containers().len() == 1 { Ok(()) } else { Err(()) } });
        assert_eq!(left.await, Ok(()), "{what}");
        engine.heal();
    }
    site.end(tried).await;
}

/// A site on an engine that is scripted, with an action that has little time.
async fn hurried(test: &str) -> Option<(Script, Site)> {
    let engine = Script::start();
    let ground = ground_on(test, Some(engine.host())).await?;
    let builder = ground.builder().engine_timeout(millis(1000));
    let site = ground.site_on(builder, [spec(COLD).with_timeout(millis(LIMIT))]).await;
    site.fine().await;
    Some((engine, site))
}

/// Runs the action beyond its time, which it is told, and soon.
async fn overdue(site: &Site, what: &str) -> Activation {
    let begun = Instant::now();
    let call = site.app.invoke(COLD, serde_json::from_str::<serde_json::Value>(HELD).unwrap());
    let record = timeout(PATIENCE, call).await.expect("an end").unwrap();
    assert!(begun.elapsed() < millis(LIMIT + 1500), "{what}: {:?}", begun.elapsed());
    assert_eq!(record.status(), Status::DeveloperError, "{what}: {:?}", record.outcome);
    let text = format!("The action exceeded its time limits of {LIMIT} milliseconds.");
    assert_eq!(record.outcome.error().as_deref(), Some(&*text), "{what}");
    record
}

#[tokio::test]
async fn an_engine_that_neither_kills_nor_tells_the_log_delays_no_timeout_and_changes_none() {
    let Some((engine, site)) = hurried("scripted-kill").await else { return };
    let answers = bad_answers();
    let tried = answers.len() as u64;
    for (answer, _) in answers {
        let what = short(&answer);
        engine.answer(Call::Kill, answer.clone());
        engine.answer(Call::Logs, answer);
        assert_eq!(texts(&overdue(&site, &what).await), Vec::<&str>::new(), "{what}");
        site.fine().await;
        engine.heal();
        // Whoever comes next does not meet it.
        let record = site.app.invoke(COLD, json!({})).await.unwrap();
        assert_eq!((record.status(), record.start_kind), (Status::Success, Some(StartKind::Cold)), "{what}");
    }
    site.end(2 * tried).await;
}

#[tokio::test]
async fn the_log_of_a_timeout_is_had_also_where_the_engine_does_not_kill() {
    let Some((engine, site)) = hurried("scripted-logs").await else { return };
    let line = "2099-01-01T00:00:00.000000000Z printed\n";
    // The head of a frame: the stream, and the length at its end.
    let frame = format!("\u{1}\0\0\0\0\0\0{}{line}", char::from(u8::try_from(line.len()).unwrap()));
    for (answer, _) in bad_answers() {
        let what = short(&answer);
        engine.answer(Call::Kill, answer);
        engine.answer(Call::Logs, Answer::Told(frame.clone()));
        assert_eq!(texts(&overdue(&site, &what).await), ["printed"], "{what}");
        engine.heal();
    }
    site.end(0).await;
}

#[tokio::test]
async fn a_network_that_the_engine_fails_to_remove_is_removed_by_the_next_start() {
    let engine = Script::start();
    for (answer, kind) in bad_answers() {
        let what = short(&answer);
        let Some(ground) = ground_on("scripted-unlink", Some(engine.host())).await else { return };
        let (docker, pool, home) =
            (ground.docker.clone(), ground.pool().to_owned(), ground.home().to_owned());
        let [builder, next] =
            [(); 2].map(|()| ground.builder().engine_timeout(millis(1000)).transport(Transport::Address));
        let site = ground.site_on(builder, []).await;
        site.fine().await;
        assert_eq!((engine.networks(), engine.containers().len()), (1, 1), "{what}");
        let conflicts = matches!(answer, Answer::Refusal(409, _));
        engine.answer(Call::RemoveNetwork, answer);
        let ended = timeout(PATIENCE, site.app.shutdown(PATIENCE)).await.expect("an end");
        let error = ended.expect_err("the network may be left");
        let kind = if conflicts { ErrorKind::Conflict } else { kind };
        assert_eq!(error.kind(), kind, "{what}: {error:?}");
        assert!(error.message().contains("remove a network"), "{what}: {error:?}");
        assert_eq!(engine.containers().len(), 0, "{what}");
        engine.heal();
        drop(site);

        let backend = next.build().unwrap();
        backend.deploy(std::sync::Arc::new(spec(COLD))).await.unwrap();
        assert_eq!(engine.networks(), 0, "{what}");
        backend.shutdown().await.unwrap();
        drop(backend);
        nothing_left(&docker, &pool, &home).await;
    }
}
