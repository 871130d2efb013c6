//! Deploying, removing, leaving, and shutting down.

use std::time::Duration;

use faas_core::activation::Version;
use faas_core::backend::Cancel;
use faas_core::store::{ActivationQuery, Expect};
use faas_core::{Deployment, ErrorKind, Status};
use serde_json::json;
use tokio::time::timeout;

use super::stage::{Bare, Stage, eventually, pool};
use super::state::{remember, remembered};
use super::subject::BackendSubject;
use crate::fixtures::{self, INIT, Order, Sleep};
use crate::transcript::Entry;

/// A fresh backend is healthy.
pub async fn a_fresh_backend_is_healthy(subject: &BackendSubject) -> Vec<Entry> {
    let bare = Bare::new(subject).await;
    let health = bare.backend.health().await;
    assert!(health.is_healthy(), "{:?}", health.problem);
    bare.note(Entry::answer("health", "healthy"));
    bare.close().await
}

/// The same action can be deployed twice, and both deployments work.
pub async fn an_action_can_be_deployed_again(subject: &BackendSubject) -> Vec<Entry> {
    let bare = Bare::new(subject).await;
    let first = bare.deploy(fixtures::spec("echo")).await;
    let second = bare.deploy(fixtures::spec("echo")).await;
    for deployment in [&first, &second, &first] {
        assert_eq!(bare.invoke(deployment, json!({ "n": 1 })).await.outcome.status(), Status::Success);
    }
    bare.close().await
}

/// Two revisions can be deployed at once, and each runs as it was deployed.
pub async fn two_revisions_run_side_by_side(subject: &BackendSubject) -> Vec<Entry> {
    let bare = Bare::new(subject).await;
    let spec = |value: &str, version| {
        let mut spec = fixtures::spec("environment").with_env("REVISION", value);
        spec.version = version;
        spec
    };
    let old = bare.deploy(spec("old", Version::FIRST)).await;
    let new = bare.deploy(spec("new", Version::FIRST.next())).await;
    for (deployment, expected) in [(&old, "old"), (&new, "new"), (&old, "old")] {
        let invocation = bare.invocation(());
        let done = bare.backend.invoke(deployment, invocation).await.expect("a completion");
        let seen: fixtures::Environment = done.outcome.result().decode().expect("an environment");
        assert_eq!(seen.variables["REVISION"], expected);
        bare.note(Entry::answer("revision", expected));
    }
    bare.close().await
}

/// A deployment of another backend is refused.
pub async fn a_deployment_of_another_backend_is_refused(subject: &BackendSubject) -> Vec<Entry> {
    let (bare, other) = (Bare::new(subject).await, Bare::new(subject).await);
    let strange = Deployment::new(std::sync::Arc::new(fixtures::spec("echo")), "of no backend");
    let foreign = other.deploy(fixtures::spec("echo")).await;
    for deployment in [strange, foreign] {
        let refused = bare.backend.invoke(&deployment, bare.invocation(json!({}))).await;
        let error = refused.expect_err("a refusal");
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
        bare.note(Entry::refusal("invoke", error.kind()));
    }
    other.close().await;
    bare.close().await
}

/// Removing an action leaves none of its sandboxes, and all of the others'.
pub async fn a_removed_action_leaves_no_sandbox(subject: &BackendSubject) -> Vec<Entry> {
    let bare = Bare::new(subject).await;
    let echo = bare.deploy(fixtures::spec("echo")).await;
    let print = bare.deploy(fixtures::spec("print")).await;
    bare.invoke(&echo, json!({})).await;
    bare.invoke(&print, json!({})).await;
    bare.backend.remove(&echo).await.expect("removed");
    let stats = pool(&*bare.backend).await.expect("a pool");
    assert_eq!((stats.idle + stats.paused, stats.leased, stats.destroying), (1, 0, 0), "{stats:?}");
    assert_eq!(bare.invoke(&print, json!({})).await.outcome.status(), Status::Success);
    bare.close().await
}

/// A running invocation ends before its action is gone.
pub async fn removing_lets_a_running_invocation_end(subject: &BackendSubject) -> Vec<Entry> {
    let bare = Bare::new(subject).await;
    let sleep = bare.deploy(fixtures::spec("sleep")).await;
    bare.invoke(&sleep, Sleep::Await(0)).await;
    let removal = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        bare.backend.remove(&sleep).await
    };
    let (done, removed) = tokio::join!(bare.invoke(&sleep, Sleep::Await(600)), removal);
    assert_eq!(done.outcome.status(), Status::Success, "{:?}", done.outcome);
    removed.expect("removed");
    bare.close().await
}

/// An action that was deleted from the platform is not found, and the error lists those that are.
pub async fn a_deleted_action_is_not_found(subject: &BackendSubject) -> Vec<Entry> {
    let stage = Stage::new(subject).await;
    stage.invoke("echo", json!({})).await;
    stage.app.delete("echo", Expect::Any).await.expect("deleted");
    let error = stage.try_invoke("echo", json!({})).await.expect_err("a refusal");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("print"), "{error}");
    stage.note(Entry::refusal("invoke", error.kind()));
    stage.close().await
}

/// A deployed update is what the next invocation runs.
pub async fn an_update_takes_effect_at_once(subject: &BackendSubject) -> Vec<Entry> {
    let spec = |value: &str| fixtures::spec("environment").with_env("REVISION", value);
    let stage = Stage::with(subject, spec("first")).await;
    for (value, version) in [("first", Version(0, 0, 1)), ("second", Version(0, 0, 2))] {
        if value == "second" {
            stage.app.put_action(spec(value), Expect::Any).await.expect("deployed");
        }
        let done = stage.glance("environment", ()).await;
        let seen: fixtures::Environment = done.outcome.result().decode().expect("an environment");
        assert_eq!((seen.variables["REVISION"].as_str(), done.revision.version), (value, version));
    }
    stage.close().await
}

/// A caller who leaves a running invocation leaves nothing else behind.
pub async fn a_left_invocation_leaks_nothing(subject: &BackendSubject) -> Vec<Entry> {
    let stage = Stage::new(subject).await;
    stage.invoke("sleep", Sleep::Await(0)).await;
    for _ in 0..3 {
        let left = timeout(Duration::from_millis(100), stage.try_invoke("sleep", Sleep::Await(3_000))).await;
        assert!(left.is_err(), "it should still run");
    }
    eventually("nothing is in flight", async || stage.app.stats().in_flight == 0).await;
    eventually("nothing is leased", async || {
        pool(&*stage.backend).await.is_none_or(|stats| stats.leased == 0 && stats.destroying == 0)
    })
    .await;
    assert_eq!(stage.invoke("sleep", Sleep::Await(1)).await.status(), Status::Success);
    stage.close().await
}

/// A run whose caller left does not go on.
pub async fn a_left_run_does_not_go_on(subject: &BackendSubject) -> Vec<Entry> {
    let stage = Stage::new(subject).await;
    stage.invoke("echo", remember("before")).await;
    let later = json!({ "order": Order::RememberLater { ms: 500, text: "of a left run".into() } });
    let left = timeout(Duration::from_millis(150), stage.try_invoke("echo", later)).await;
    assert!(left.is_err(), "it should still run");
    tokio::time::sleep(Duration::from_millis(900)).await;
    let seen = remembered(&stage.glance("echo", remember("after")).await);
    assert_ne!(seen.text.as_deref(), Some("of a left run"));
    stage.close().await
}

/// A caller who leaves during a cold start leaves nothing behind either.
pub async fn a_left_cold_start_leaks_nothing(subject: &BackendSubject) -> Vec<Entry> {
    let stage = Stage::with(subject, fixtures::spec("echo").with_env(INIT, "sleep:400")).await;
    let left = timeout(Duration::from_millis(50), stage.try_invoke("echo", json!({}))).await;
    assert!(left.is_err(), "it should still initialise");
    eventually("nothing is in flight", async || stage.app.stats().in_flight == 0).await;
    assert_eq!(stage.invoke("echo", json!({})).await.status(), Status::Success);
    stage.close().await
}

/// Each invocation whose caller left has a record all the same. What its run used is known unless the backend declares
/// that it goes on.
pub async fn a_left_invocation_has_a_record(subject: &BackendSubject) -> Vec<Entry> {
    let stage = Stage::new(subject).await;
    let left = timeout(Duration::from_millis(150), stage.try_invoke("sleep", Sleep::Await(20_000))).await;
    assert!(left.is_err(), "it should still run");
    let query = ActivationQuery::default();
    eventually("there is a record", async || stage.app.count_activations(&query).await.is_ok_and(|n| n == 1))
        .await;
    let record = stage.app.activations(&query).await.expect("a list").remove(0);
    assert_ne!(record.status(), Status::Success);
    assert_eq!(record.usage_known, stage.backend.info().capability.cancel != Cancel::Abandons);
    stage.note(Entry { billed_at_least_ms: None, usage_known: None, ..Entry::from(&*record) });
    stage.close().await
}

/// An invocation after one that timed out works.
pub async fn an_action_works_again_after_it_timed_out(subject: &BackendSubject) -> Vec<Entry> {
    let stage = Stage::with(subject, fixtures::spec("sleep").with_timeout(Duration::from_millis(800))).await;
    for _ in 0..2 {
        assert_eq!(stage.invoke("sleep", Sleep::Await(30_000)).await.status(), Status::DeveloperError);
        assert_eq!(stage.invoke("sleep", Sleep::Await(1)).await.status(), Status::Success);
    }
    stage.close().await
}

/// After a shutdown, every other call is refused as closed.
pub async fn a_backend_that_shut_down_is_closed(subject: &BackendSubject) -> Vec<Entry> {
    let bare = Bare::new(subject).await;
    let echo = bare.deploy(fixtures::spec("echo")).await;
    bare.invoke(&echo, json!({})).await;
    bare.backend.shutdown().await.expect("a clean shutdown");
    let errors = [
        bare.try_deploy(fixtures::spec("echo")).await.map(|_| ()).expect_err("a refusal"),
        bare.backend.invoke(&echo, bare.invocation(json!({}))).await.map(|_| ()).expect_err("a refusal"),
        bare.backend.warm(&echo, 1).await.map(|_| ()).expect_err("a refusal"),
        bare.backend.remove(&echo).await.expect_err("a refusal"),
    ];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
        assert!(!error.is_temporary(), "{error:?}");
        bare.note(Entry::refusal("call", error.kind()));
    }
    assert!(!bare.backend.health().await.is_healthy(), "it takes no work");
    bare.close().await
}

/// Shutting down again, and without having done anything, is allowed.
pub async fn a_shutdown_can_be_repeated(subject: &BackendSubject) -> Vec<Entry> {
    let bare = Bare::new(subject).await;
    for _ in 0..3 {
        bare.backend.shutdown().await.expect("a clean shutdown");
    }
    bare.note(Entry::answer("shutdown", "repeated"));
    bare.close().await
}

/// A platform that shuts down lets a running activation end, and has its record.
pub async fn a_platforms_shutdown_lets_running_work_end(subject: &BackendSubject) -> Vec<Entry> {
    let stage = Stage::new(subject).await;
    let id = stage.app.submit("sleep", json!({ "await": 300 })).await.expect("an id");
    let ended = stage.app.shutdown(Duration::from_secs(20)).await.expect("a clean shutdown");
    assert_eq!(ended.left, 0);
    let record = stage.app.activation(id).await.expect("a record");
    assert_eq!(record.status(), Status::Success, "{:?}", record.outcome);
    stage.note(Entry::from(&*record));
    stage.close().await
}
