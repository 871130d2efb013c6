//! The state that `init` builds, and initialisations that fail.

use std::time::Duration;

use faas_core::{ActionSpec, Record, Status, Version};
use serde_json::{Value, json};

use super::stage::{Bare, Stage};
use super::subject::BackendSubject;
use crate::fixtures::{self, INIT, Order, Panic, Print, Remembered};
use crate::transcript::Entry;

/// A timeout that plays no part.
const LONG: Duration = Duration::from_secs(60);

/// The input that makes `echo` remember a text and tell what it remembered before.
pub(super) fn remember(text: &str) -> Value {
    json!({ "order": Order::Remember(Some(text.to_owned())) })
}

pub(super) fn remembered(activation: &Record) -> Remembered {
    activation.outcome.result().decode().expect("what the sandbox remembers")
}

/// State is built before the first run, and from the action's environment.
pub async fn init_sees_the_environment(subject: &BackendSubject) -> Vec<Entry> {
    let stage = Stage::with(subject, fixtures::spec("echo").with_env("GREETING", "moin")).await;
    let seen = remembered(&stage.invoke("echo", remember("a")).await);
    assert_eq!(seen, Remembered { runs: 1, text: None, greeting: Some("moin".into()) });
    stage.close().await
}

/// One after the other, activations share what `init` built: it is built once.
pub async fn state_is_built_once_and_shared_by_later_runs(subject: &BackendSubject) -> Vec<Entry> {
    let stage = Stage::new(subject).await;
    for run in 1..=3 {
        let seen = remembered(&stage.invoke("echo", remember("left")).await);
        assert_eq!((seen.runs, seen.text.is_some()), (run, run > 1));
    }
    stage.close().await
}

/// Where each activation has a fresh instance, nothing is left of earlier ones.
pub async fn a_fresh_instance_remembers_nothing(subject: &BackendSubject) -> Vec<Entry> {
    let mut spec = fixtures::spec("echo");
    spec.annotations.insert(ActionSpec::FRESH_SANDBOX.to_owned(), json!(true));
    let stage = Stage::with(subject, spec).await;
    for _ in 0..3 {
        let seen = remembered(&stage.invoke("echo", remember("left")).await);
        assert_eq!((seen.runs, seen.text), (1, None));
    }
    stage.close().await
}

/// An application error is no reason to give a sandbox up.
pub async fn an_application_error_keeps_the_state(subject: &BackendSubject) -> Vec<Entry> {
    let stage = Stage::new(subject).await;
    stage.invoke("echo", remember("kept")).await;
    let bad = stage.invoke("echo", json!({ "order": "unknown" })).await;
    assert_eq!(bad.status(), Status::ApplicationError, "{:?}", bad.outcome);
    let seen = remembered(&stage.invoke("echo", remember("more")).await);
    assert_eq!(seen.text.as_deref(), Some("kept"));
    stage.close().await
}

/// A sandbox whose action panicked is not used again.
pub async fn a_failed_run_ends_its_sandbox(subject: &BackendSubject) -> Vec<Entry> {
    let stage = Stage::new(subject).await;
    stage.invoke("echo", remember("lost")).await;
    let emit = json!({ "order": { "emit": { "events": [], "then": { "panic": "boom" } } } });
    assert_eq!(stage.invoke("echo", emit).await.status(), Status::DeveloperError);
    let seen = remembered(&stage.invoke("echo", remember("new")).await);
    assert_eq!((seen.runs, seen.text), (1, None));
    stage.close().await
}

/// Namespaces never share a sandbox.
pub async fn namespaces_never_share_state(subject: &BackendSubject) -> Vec<Entry> {
    let stage = Stage::new(subject).await;
    stage.invoke_for("acme", "/guest/echo", remember("secret of acme")).await;
    for namespace in ["globex", "guest"] {
        let seen = remembered(&stage.invoke_for(namespace, "/guest/echo", remember("other")).await);
        assert_eq!((seen.runs, seen.text), (1, None), "{namespace} sees what acme left");
    }
    stage.close().await
}

/// Actions never share a sandbox.
pub async fn actions_never_share_state(subject: &BackendSubject) -> Vec<Entry> {
    let bare = Bare::new(subject).await;
    let mut other = fixtures::spec("echo");
    other.name = "/globex/echo".parse().expect("a valid name");
    let (echo, other) = (bare.deploy(fixtures::spec("echo")).await, bare.deploy(other).await);
    bare.invoke(&echo, remember("secret")).await;
    let seen: Remembered =
        bare.invoke(&other, remember("x")).await.outcome.result().decode().expect("a memory");
    assert_eq!((seen.runs, seen.text), (1, None));
    bare.close().await
}

/// Revisions of an action never share a sandbox.
pub async fn revisions_never_share_state(subject: &BackendSubject) -> Vec<Entry> {
    let bare = Bare::new(subject).await;
    let first = bare.deploy(fixtures::spec("echo")).await;
    bare.invoke(&first, remember("of the first revision")).await;
    let mut spec = fixtures::spec("echo");
    spec.version = Version::FIRST.next();
    let second = bare.deploy(spec).await;
    let seen: Remembered =
        bare.invoke(&second, remember("x")).await.outcome.result().decode().expect("a memory");
    assert_eq!((seen.runs, seen.text), (1, None));
    bare.close().await
}

async fn init_fails(subject: &BackendSubject, spec: ActionSpec, error: &str) -> Vec<Entry> {
    let sound = fixtures::spec("print");
    let stage = Stage::build(subject, |builder| builder.spec(spec).spec(sound)).await;
    let done = stage.expect("echo", json!({}), Status::DeveloperError, json!({ "error": error })).await;
    assert!(done.times.run.is_zero(), "it ran for {:?}", done.times.run);
    // Nothing is stuck: the same again, and another action.
    stage.expect("echo", json!({}), Status::DeveloperError, json!({ "error": error })).await;
    assert_eq!(stage.invoke("print", json!({})).await.status(), Status::Success);
    stage.close().await
}

/// An initialisation that fails is a developer error with its text.
pub async fn a_failed_init_is_a_developer_error(subject: &BackendSubject) -> Vec<Entry> {
    let spec = fixtures::spec("echo").with_env(INIT, "fail:no database");
    init_fails(subject, spec, "The action failed during initialization: no database").await
}

/// So is one that panics.
pub async fn a_panicking_init_is_a_developer_error(subject: &BackendSubject) -> Vec<Entry> {
    let spec = fixtures::spec("echo").with_env(INIT, "panic:no luck");
    init_fails(subject, spec, "The action failed during initialization: it panicked: no luck").await
}

/// So is one that takes longer than the timeout, with OpenWhisk's words.
pub async fn an_init_over_the_timeout_is_a_developer_error(subject: &BackendSubject) -> Vec<Entry> {
    let spec = fixtures::spec("echo").with_env(INIT, "sleep:30000").with_timeout(Duration::from_millis(300));
    let error = "The action exceeded its time limits of 300 milliseconds during initialization.";
    init_fails(subject, spec, error).await
}

/// Invokes an action whose initialisation is told to do this, and has so much time; its log.
async fn said(subject: &BackendSubject, order: &str, limit: Duration) -> (Vec<String>, Vec<Entry>) {
    let spec = fixtures::spec("echo").with_env(INIT, order).with_timeout(limit);
    let stage = Stage::with(subject, spec).await;
    let done = stage.invoke("echo", json!({})).await;
    let texts = done.logs.iter().map(|line| line.text.clone()).collect();
    (texts, stage.close().await)
}

/// What an initialisation logs that fails is the log of the activation that fails with it.
pub async fn a_failed_init_keeps_its_logs(subject: &BackendSubject) -> Vec<Entry> {
    let (texts, entries) = said(subject, "fail:no database", LONG).await;
    assert_eq!(texts, ["INFO init is to fail:no database"]);
    entries
}

/// So it is where it panics.
pub async fn a_panicking_init_keeps_its_logs(subject: &BackendSubject) -> Vec<Entry> {
    let (texts, entries) = said(subject, "panic:no luck", LONG).await;
    assert_eq!(texts, ["INFO init is to panic:no luck"]);
    entries
}

/// So it is where it takes longer than the timeout.
pub async fn an_init_over_the_timeout_keeps_its_logs(subject: &BackendSubject) -> Vec<Entry> {
    let (texts, entries) = said(subject, "sleep:30000", Duration::from_millis(500)).await;
    assert_eq!(texts, ["INFO init is to sleep:30000"]);
    entries
}

/// The log of one that succeeds is kept to the limit, and begins that of the first run.
pub async fn the_first_log_begins_with_that_of_init(subject: &BackendSubject) -> Vec<Entry> {
    let mut spec = fixtures::spec("print").with_env(INIT, format!("say:{}", "x".repeat(200)));
    spec.limits.logs = 100;
    let stage = Stage::with(subject, spec).await;
    let done = stage.invoke("print", Print::default()).await;
    let texts: Vec<&str> = done.logs.iter().map(|line| line.text.as_str()).collect();
    let notice = "Logs were truncated because the total bytes size exceeds the limit of 100 bytes.";
    assert_eq!((texts.len(), texts[1]), (2, notice), "{texts:?}");
    assert!(texts[0].starts_with("INFO init is to say:xxx") && texts[0].len() == 99, "{texts:?}");
    stage.close().await
}

/// A panic leaves the backend able to run the same action.
pub async fn an_action_works_again_after_it_panicked(subject: &BackendSubject) -> Vec<Entry> {
    let stage = Stage::new(subject).await;
    let input = |until| Panic { message: Some("boom".into()), after_ms: 0, until_attempt: until };
    for _ in 0..3 {
        assert_eq!(stage.invoke("panic", input(None)).await.status(), Status::DeveloperError);
    }
    stage.expect("panic", input(Some(0)), Status::Success, json!({ "attempt": 1 })).await;
    stage.close().await
}
