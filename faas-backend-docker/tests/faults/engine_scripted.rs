//! An engine that answers badly while containers are made and while they run.

use std::time::{Duration, Instant};

use faas_backend_docker::Transport;
use faas_core::{Error, ErrorKind, Status};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::script::{Answer, Call, HELD, Script};
use crate::scripted::{
    COLD, NOT_PROVISIONED, PATIENCE, bad_answers, refused, scripted, scripted_by, short, succeeds,
};
use crate::site::{Site, ground_on, millis, nothing_left, spec, until};

/// Tries these answers to a call that every new container needs.
async fn try_all(test: &str, call: Call, answers: Vec<(Answer, ErrorKind)>) {
    let Some((engine, site)) = scripted(test).await else { return };
    let neighbours = engine.containers();
    let tried = answers.len() as u64;
    for (answer, kind) in answers {
        let what = short(&answer);
        let before = engine.count(call);
        engine.answer(call, answer);
        let error = refused(&site).await;
        // User code cannot have started; whoever was not understood may understand later.
        let is_temporary = kind == ErrorKind::Unavailable;
        assert_eq!((error.kind(), error.is_temporary()), (kind, is_temporary), "{what}: {error:?}");
        assert_eq!(error.message(), NOT_PROVISIONED, "{what}");
        assert_eq!(engine.count(call) - before, 1, "{what}");
        site.fine().await;
        engine.heal();
        succeeds(&site).await;
        let left = until(PATIENCE, || async {
            let left = engine.containers();
            if left == neighbours { Ok(()) } else { Err(left) }
        });
        assert_eq!(left.await, Ok(()), "{what}");
    }
    site.end_without(tried, 2 * tried).await;
}

#[tokio::test]
async fn an_engine_that_fails_to_create_is_no_end_of_the_backend() {
    let mut answers = bad_answers();
    answers.push((Answer::Body("[1, 2]".to_owned()), ErrorKind::Internal));
    answers.push((Answer::Body("{\"Id\": 3}".to_owned()), ErrorKind::Internal));
    try_all("scripted-create", Call::Create, answers).await;
}

#[tokio::test]
async fn an_engine_that_fails_to_start_is_no_end_of_the_backend() {
    try_all("scripted-start", Call::Start, bad_answers()).await;
}

#[tokio::test]
async fn a_container_that_nobody_can_tell_about_is_waited_for_and_given_up() {
    let impatient = scripted_by("scripted-inspect", |builder| builder.start_timeout(millis(600)));
    let Some((engine, site)) = impatient.await else { return };
    let mut answers = bad_answers();
    answers.retain(|(answer, _)| !matches!(answer, Answer::Refusal(409, _) | Answer::Raw(_)));
    let tried = answers.len() as u64;
    for (answer, kind) in answers {
        let what = short(&answer);
        engine.answer(Call::Start, Answer::Lie);
        engine.answer(Call::Inspect, answer);
        let before = engine.count(Call::Inspect);
        let error = refused(&site).await;
        let is_temporary = kind == ErrorKind::Unavailable;
        assert_eq!((error.kind(), error.is_temporary()), (kind, is_temporary), "{what}: {error:?}");
        assert_eq!(error.message(), NOT_PROVISIONED, "{what}");
        let looks = engine.count(Call::Inspect) - before;
        assert!((1..=5).contains(&looks), "{what}: it was asked {looks} times in 0.6 s");
        engine.heal();
    }
    site.end_without(tried, 1).await;
}

#[tokio::test]
async fn a_container_comes_up_though_the_engine_cannot_tell() {
    let Some((engine, site)) = scripted("scripted-late").await else { return };
    for answer in [Answer::Refusal(500, "no".to_owned()), Answer::Silence, Answer::Stalled, Answer::Closed] {
        engine.answer(Call::Start, Answer::Lie);
        engine.answer(Call::Inspect, answer);
        let before = engine.count(Call::Inspect);
        let looked = async {
            while engine.count(Call::Inspect) == before {
                tokio::time::sleep(millis(5)).await;
            }
            engine.start_guests();
        };
        tokio::join!(succeeds(&site), looked);
        engine.heal();
    }
    site.end(4).await;
}

#[tokio::test]
async fn a_container_that_is_gone_before_it_listens_may_be_made_anew() {
    let Some((engine, site)) = scripted("scripted-gone").await else { return };
    engine.answer(Call::Start, Answer::Lie);
    engine.answer(Call::Inspect, Answer::Refusal(404, "No such container".to_owned()));
    let error = refused(&site).await;
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::SandboxLost, true), "{error:?}");
    engine.heal();
    succeeds(&site).await;
    site.end_without(1, 1).await;
}

#[tokio::test]
async fn what_became_of_a_run_that_broke_off_is_never_guessed() {
    let Some((engine, site)) = scripted("scripted-run").await else { return };
    let answers = bad_answers();
    let tried = answers.len() as u64;
    for (answer, _) in answers {
        let what = short(&answer);
        let begun = Instant::now();
        let error = breaks_off(&engine, &site, answer).await.expect_err("the engine cannot tell");
        // The action may have done anything.
        assert_eq!(
            (error.kind(), error.is_temporary()),
            (ErrorKind::SandboxLost, false),
            "{what}: {error:?}"
        );
        assert_eq!(error.message(), "the engine cannot tell what became of the container", "{what}");
        assert!(begun.elapsed() < Duration::from_secs(10), "{what}: {:?}", begun.elapsed());
        succeeds(&site).await;
    }
    let gone = Answer::Refusal(404, "No such container".to_owned());
    let error = breaks_off(&engine, &site, gone).await.expect_err("the container is gone");
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::SandboxLost, false), "{error:?}");
    let outcome = breaks_off(&engine, &site, Answer::Usual).await.unwrap();
    assert_eq!(outcome["status"], json!(Status::DeveloperError.code()), "{outcome}");
    let killed = Answer::Body(json!({ "State": { "Running": false, "OOMKilled": true } }).to_string());
    let outcome = breaks_off(&engine, &site, killed).await.unwrap();
    assert!(outcome["error"].as_str().unwrap().contains("memory"), "{outcome}");
    site.end_without(tried + 1, tried).await;
}

/// Runs an action whose guest ends in the middle, while the engine says that about its container.
async fn breaks_off(engine: &Script, site: &Site, answer: Answer) -> Result<Value, Error> {
    let held: Value = serde_json::from_str(HELD).unwrap();
    let app = site.app.clone();
    let call = tokio::spawn(async move { app.invoke(COLD, held).await });
    let runs = until(PATIENCE, || async { if engine.holds() { Ok(()) } else { Err("it does not run") } });
    assert_eq!(runs.await, Ok(()));
    engine.answer(Call::Inspect, answer);
    engine.end_holding();
    let ended = timeout(PATIENCE, call).await.expect("an end").unwrap();
    engine.heal();
    ended.map(|record| json!({ "status": record.status().code(), "error": record.outcome.error() }))
}

#[tokio::test]
async fn a_network_whose_answer_is_lost_is_used_all_the_same() {
    let engine = Script::start();
    let Some(ground) = ground_on("scripted-network", Some(engine.host())).await else { return };
    let (docker, pool, home) = (ground.docker.clone(), ground.pool().to_owned(), ground.home().to_owned());
    let builder = ground.builder().engine_timeout(millis(1000)).transport(Transport::Address);
    let site = ground.site_on(builder, [spec(COLD)]).await;
    for (answer, kind) in bad_answers() {
        let what = short(&answer);
        engine.answer(Call::MakeNetwork, answer);
        let error = refused(&site).await;
        assert_eq!((error.kind(), error.message()), (kind, NOT_PROVISIONED), "{what}: {error:?}");
        assert!(engine.networks() <= 1, "{what}");
        engine.heal();
        if engine.networks() == 1 {
            break;
        }
    }
    succeeds(&site).await;
    assert_eq!((engine.networks(), engine.containers().len()), (1, 1));
    site.app.shutdown(PATIENCE).await.unwrap();
    drop(site);
    assert_eq!((engine.networks(), engine.containers().len()), (0, 0));
    nothing_left(&docker, &pool, &home).await;
}
