//! Containers that somebody ends, stops or removes by hand: while an action runs there, and while nothing does.

use std::time::Instant;

use bollard::query_parameters::RemoveContainerOptions;
use faas_backend_docker::Transport;
use faas_core::{ErrorKind, Expect, MemoryMib, Outcome, StartKind, Status};
use serde_json::json;

use crate::puppets::{self, KIND, played};
use crate::site::{Site, ground, millis, spec, until};
use crate::watch::{PATIENCE, texts};

const EXITED: &str = "The action did not produce a valid response and exited unexpectedly.";

/// The memory of the action that is disturbed.
const MIB: i64 = 40;

/// A site with the action, which has this time and is run again so often.
async fn napping(test: &str, limit: u64, retries: u32) -> Option<Site> {
    let nap = spec("nap").with_memory(MemoryMib::new(40)).with_timeout(millis(limit)).with_retries(retries);
    Some(ground(test).await?.site([nap]).await)
}

async fn remove(site: &Site, id: &str) {
    let options = RemoveContainerOptions { force: true, v: true, link: false };
    site.docker.remove_container(id, Some(options)).await.unwrap();
}

#[tokio::test]
async fn a_container_that_is_killed_while_an_action_runs_is_a_developer_error() {
    let Some(site) = napping("killed", 20_000, 0).await else { return };
    let call = site.begin("nap", json!({ "ms": 60_000 }));
    let id = site.container_that_says(MIB, "napping").await;
    let killed = Instant::now();
    site.docker.kill_container(&id, None).await.unwrap();
    let record = call.await.unwrap().unwrap();
    assert!(killed.elapsed() < millis(3_000), "{:?}", killed.elapsed());
    assert_eq!(record.status(), Status::DeveloperError);
    assert_eq!(record.outcome.error().as_deref(), Some(EXITED));
    assert_eq!(texts(&record), ["INFO napping "]);
    site.gone(MIB).await;
    site.result("nap", json!({ "ms": 1 })).await;
    site.end(2).await;
}

#[tokio::test]
async fn a_container_that_is_stopped_while_an_action_runs_is_a_developer_error() {
    let Some(site) = napping("stopped", 20_000, 0).await else { return };
    let call = site.begin("nap", json!({ "ms": 60_000 }));
    let id = site.container_that_says(MIB, "napping").await;
    let stopped = Instant::now();
    site.docker.stop_container(&id, None).await.unwrap();
    assert!(
        stopped.elapsed() < millis(4_000),
        "a guest that is told to stop does so: {:?}",
        stopped.elapsed()
    );
    let record = call.await.unwrap().unwrap();
    assert_eq!(record.outcome.error().as_deref(), Some(EXITED));
    assert_eq!(texts(&record), ["INFO napping "]);
    site.gone(MIB).await;
    site.end(0).await;
}

#[tokio::test]
async fn a_container_that_is_paused_while_an_action_runs_is_killed_at_the_limit() {
    let Some(site) = napping("frozen", 3_000, 0).await else { return };
    site.result("nap", json!({ "ms": 1 })).await;
    let call = site.begin("nap", json!({ "ms": 60_000, "text": "twice" }));
    let id = site.container_that_says(MIB, "twice").await;
    site.docker.pause_container(&id).await.unwrap();
    site.fine().await;
    let record = call.await.unwrap().unwrap();
    let text = "The action exceeded its time limits of 3000 milliseconds.";
    assert_eq!(record.outcome.error().as_deref(), Some(text));
    assert_eq!(texts(&record), ["INFO napping twice"]);
    assert!(record.times.run < millis(4_500), "{:?}", record.times);
    site.gone(MIB).await;
    site.result("nap", json!({ "ms": 1 })).await;
    site.end(2).await;
}

#[tokio::test]
async fn a_container_that_is_removed_while_an_action_runs_is_lost_and_nothing_is_run_twice() {
    let Some(site) = napping("removed", 20_000, 0).await else { return };
    let call = site.begin("nap", json!({ "ms": 60_000 }));
    let id = site.container_that_says(MIB, "napping").await;
    remove(&site, &id).await;
    let error = call.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SandboxLost, "{error:?}");
    assert!(!error.is_temporary(), "its code had started: {error:?}");
    assert!(error.message().contains("was removed while the action ran"), "{error}");
    assert_eq!(site.containers_of(MIB).await, Vec::<String>::new(), "and was not begun again");
    site.result("nap", json!({ "ms": 1 })).await;
    site.end_without(1, 1).await;
}

#[tokio::test]
async fn an_action_that_allows_it_is_run_again_elsewhere() {
    let Some(site) = napping("again", 20_000, 2).await else { return };
    let call = site.begin("nap", json!({ "ms": 1500 }));
    let id = site.container_that_says(MIB, "napping").await;
    remove(&site, &id).await;
    let record = call.await.unwrap().unwrap();
    assert!(record.outcome.is_success(), "{:?}", record.outcome);
    assert_eq!(record.attempts, 2);
    assert_ne!(site.container_of(MIB).await, id);
    site.end(1).await;
}

#[tokio::test]
async fn an_idle_container_that_is_gone_is_replaced() {
    let Some(site) = napping("idle", 20_000, 0).await else { return };
    for how in ["killed", "removed", "stopped", "restarted"] {
        site.result("nap", json!({ "ms": 1 })).await;
        let id = site.container_of(MIB).await;
        match how {
            "killed" => site.docker.kill_container(&id, None).await.unwrap(),
            "stopped" => site.docker.stop_container(&id, None).await.unwrap(),
            "restarted" => site.docker.restart_container(&id, None).await.unwrap(),
            _ => remove(&site, &id).await,
        }
        let record = site.run("nap", json!({ "ms": 1 })).await;
        assert!(record.outcome.is_success(), "{how}: {:?}", record.outcome);
        assert_eq!((record.start_kind, record.attempts), (Some(StartKind::Cold), 1), "{how}");
        assert_ne!(site.container_of(MIB).await, id, "{how}");
    }
    site.end(8).await;
}

#[tokio::test]
async fn an_idle_container_that_is_paused_by_hand_costs_its_action_no_more_than_its_limit() {
    let Some(site) = napping("held", 1_500, 0).await else { return };
    site.result("nap", json!({ "ms": 1 })).await;
    let id = site.container_of(MIB).await;
    site.docker.pause_container(&id).await.unwrap();
    let record = site.run("nap", json!({ "ms": 1 })).await;
    let text = "The action exceeded its time limits of 1500 milliseconds.";
    assert_eq!(record.outcome.error().as_deref(), Some(text));
    assert!(record.times.run < millis(3_000), "{:?}", record.times);
    site.gone(MIB).await;
    site.result("nap", json!({ "ms": 1 })).await;
    site.end(2).await;
}

#[tokio::test]
async fn an_image_of_somebody_elses_that_is_ended_by_hand_comes_to_the_same() {
    let Some(ground) = ground("foreignended").await else { return };
    let builder = ground.puppets().await.code("code", KIND, "{}", "main");
    let site = ground.site_on(builder, [played("code", 3_000)]).await;
    for how in ["killed", "paused", "removed"] {
        let call = site.begin("code", json!({ "stdout": ["began"], "never": true, "no_mark": true }));
        let id = site.container_that_says(puppets::MIB, "began").await;
        let ended = Instant::now();
        match how {
            "killed" => site.docker.kill_container(&id, None).await.unwrap(),
            "paused" => site.docker.pause_container(&id).await.unwrap(),
            _ => remove(&site, &id).await,
        }
        site.fine().await;
        let answer = call.await.unwrap();
        assert!(ended.elapsed() < millis(5_000), "{how}: {:?}", ended.elapsed());
        match (how, answer) {
            ("removed", Err(error)) => {
                assert_eq!(
                    (error.kind(), error.is_temporary()),
                    (ErrorKind::SandboxLost, false),
                    "{error:?}"
                );
            }
            ("killed", Ok(record)) => {
                assert_eq!(record.outcome, Outcome::exited());
                assert_eq!(texts(&record)[0], "began");
            }
            ("paused", Ok(record)) => {
                assert_eq!(record.outcome, Outcome::timed_out(millis(3_000)));
                assert_eq!(texts(&record)[0], "began");
            }
            (how, answer) => panic!("{how}: {answer:?}"),
        }
        site.gone(puppets::MIB).await;
    }
    site.result("code", json!({})).await;
    site.end_without(1, 4).await;
}

#[tokio::test]
async fn rust_guests_are_reached_and_lost_over_a_network_as_over_a_socket() {
    let Some(ground) = ground("address").await else { return };
    let builder = ground.builder().transport(Transport::Address);
    let nap = spec("nap").with_memory(MemoryMib::new(40)).with_retries(1);
    let site = ground.site_on(builder, [nap, spec("spin")]).await;
    for kind in [StartKind::Cold, StartKind::Warm] {
        let record = site.run("nap", json!({ "ms": 1, "text": "there" })).await;
        assert_eq!((record.start_kind, texts(&record)[0]), (Some(kind), "INFO napping there"));
    }
    let call = site.begin("nap", json!({ "ms": 60_000 }));
    let id = site.container_that_says(MIB, "napping \n").await;
    site.docker.kill_container(&id, None).await.unwrap();
    let record = site.run("spin", json!({})).await;
    assert_eq!(record.outcome, Outcome::timed_out(millis(500)));
    assert_eq!(texts(&record), ["INFO spinning"]);
    // It is run again, as it may be; this time it is left alone, and its caller leaves.
    until(PATIENCE, async || if site.container_of(MIB).await == id { Err(()) } else { Ok(()) })
        .await
        .unwrap();
    call.abort();
    let refused = spec("fetch").with_egress("*");
    let error = site.app.put_action(refused, Expect::Any).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.message().contains("needs an engine on this machine and the transport `local`"), "{error}");
    site.end_without(1, 3).await;
}
