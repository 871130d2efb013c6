//! The platform over the local backend: what an application sees.

use std::time::Duration;

use faas_core::store::{ActivationQuery, Expect};
use faas_core::{
    ActivationKind, Context, ErrorKind, InitContext, InvokeOptions, LocalBackend, Namespace, Platform,
    PlatformBuilder, RuleSpec, StartKind, Status, action, actions,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

#[derive(Serialize, Deserialize)]
struct Greet {
    name: String,
}

#[derive(Debug, Serialize, Deserialize, PartialEq)]
struct Reply {
    text: String,
}

#[action]
async fn greet(cx: &Context, input: Greet) -> Result<Reply, String> {
    tracing::info!(name = input.name, "greeting");
    if input.name.is_empty() {
        return Err("nobody to greet".into());
    }
    cx.emit("greeted", json!({ "name": input.name })).map_err(|error| error.to_string())?;
    Ok(Reply { text: format!("Hello, {}!", input.name) })
}

#[action]
async fn ping() {}

#[action(timeout = "50ms")]
async fn slow(cx: &Context) {
    tracing::info!("sleeping");
    cx.sleep(Duration::from_secs(5)).await;
}

#[action]
fn explode() {
    panic!("boom");
}

#[action(retries = 2)]
async fn flaky(cx: &Context) -> Result<serde_json::Value, String> {
    assert!(cx.attempt() >= 3, "not yet");
    Ok(json!({ "attempt": cx.attempt() }))
}

#[action]
async fn shout(input: Reply) -> Reply {
    Reply { text: input.text.to_uppercase() }
}

#[action(name = "loop")]
async fn cycle(cx: &Context) -> Result<(), faas_core::Error> {
    cx.emit("again", json!({}))
}

actions![greet, ping, slow, explode, flaky, shout, cycle];

fn builder() -> PlatformBuilder {
    Platform::builder().backend(LocalBackend::new()).actions(actions()).trigger("greeted").trigger("again")
}

#[tokio::test(start_paused = true)]
async fn an_action_is_called_by_type_and_by_name() {
    let app = builder().build().await.unwrap();
    let reply = app.call::<greet>(Greet { name: "Ada".into() }).await.unwrap();
    assert_eq!(reply.text, "Hello, Ada!");
    let activation = app.invoke("greet", json!({ "name": "Ada" })).await.unwrap();
    assert_eq!(activation.outcome.result().as_str(), r#"{"text":"Hello, Ada!"}"#);
    assert_eq!(activation.logs[0].text, "INFO greeting name=\"Ada\"");
    assert_eq!((activation.start_kind, activation.billed_ms), (Some(StartKind::Warm), 1));
    assert_eq!(activation.action().as_str(), "guest/greet");
    assert_eq!(app.find(activation.id).await.unwrap().unwrap(), activation);
}

#[tokio::test(start_paused = true)]
async fn each_way_to_fail_has_its_outcome_and_a_record() {
    let app = builder().build().await.unwrap();
    let failed = app.invoke("greet", json!({ "name": "" })).await.unwrap();
    assert_eq!(
        (failed.status(), failed.outcome.error().unwrap()),
        (Status::ApplicationError, "nobody to greet".into())
    );
    let failed = app.invoke("greet", json!({})).await.unwrap();
    assert!(
        failed
            .outcome
            .error()
            .unwrap()
            .starts_with("The input does not fit the action: missing field `name`")
    );
    let failed = app.invoke("explode", ()).await.unwrap();
    assert_eq!(failed.outcome.error().unwrap(), "The action panicked: boom");
    let failed = app.invoke("slow", ()).await.unwrap();
    assert_eq!(failed.outcome.error().unwrap(), "The action exceeded its time limits of 50 milliseconds.");
    assert_eq!((failed.logs.len(), failed.billed_ms), (1, 50));
    assert_eq!(app.count_activations(&ActivationQuery::default()).await.unwrap(), 4);
    let error = app.call::<greet>(Greet { name: String::new() }).await.unwrap_err();
    assert_eq!(error.to_string(), "guest/greet failed with application error: nobody to greet");
}

#[tokio::test(start_paused = true)]
async fn retries_are_counted_and_billed_together() {
    let app = builder().build().await.unwrap();
    let activation = app.invoke("flaky", ()).await.unwrap();
    assert_eq!((activation.attempts, activation.billed_ms), (3, 3));
    assert!(activation.outcome.is_success());
}

#[tokio::test(start_paused = true)]
async fn a_submitted_activation_runs_whoever_leaves() {
    let app = builder().build().await.unwrap();
    let id = app.submit("greet", json!({ "name": "Ada" })).await.unwrap();
    let activation = app.activation(id).await.unwrap();
    assert!(activation.outcome.is_success());
    let unknown = id.derive("nothing");
    assert_eq!(app.activation(unknown).await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_invocation_has_a_record_that_says_so() {
    let app = builder().build().await.unwrap();
    let cancelled = tokio::time::timeout(Duration::from_millis(20), app.invoke("slow", ())).await;
    assert!(cancelled.is_err());
    app.drain().await;
    let records = app.activations(&ActivationQuery::default()).await.unwrap();
    assert_eq!(
        (records.len(), records[0].status(), records[0].usage_known),
        (1, Status::InternalError, true)
    );
    assert!(records[0].outcome.error().unwrap().contains("cancelled"));
    assert_eq!(records[0].billed_ms, 20);
}

#[tokio::test(start_paused = true)]
async fn a_trigger_fires_its_rules_and_an_outbox_fires_triggers() {
    let app = builder()
        .sequence("loud", ["greet", "shout"])
        .trigger("arrived")
        .rule(RuleSpec::new("welcome", "arrived", "loud").unwrap().filter(|event| event["name"] != "Bob"))
        .rule(RuleSpec::new("after", "greeted", "ping").unwrap())
        .rule(RuleSpec::new("broken", "arrived", "ping").unwrap().map(|_| Err("no map".into())))
        .build()
        .await
        .unwrap();
    let fired = app.fire("arrived", json!({ "name": "Ada" })).await.unwrap();
    app.fire("arrived", json!({ "name": "Bob" })).await.unwrap();
    app.drain().await;
    let all = app.activations(&ActivationQuery::default()).await.unwrap();
    let of = |name: &str| all.iter().filter(|a| a.action().name() == name).cloned().collect::<Vec<_>>();
    assert_eq!((of("arrived").len(), of("loud").len(), of("greet").len(), of("shout").len()), (2, 1, 1, 1));
    assert_eq!((of("greeted").len(), of("ping").len()), (1, 3));
    let sequence = &of("loud")[0];
    assert_eq!(sequence.outcome.result().as_str(), r#"{"text":"HELLO, ADA!"}"#);
    assert_eq!((sequence.cause, sequence.revision.kind), (Some(fired), ActivationKind::Sequence));
    assert_eq!(sequence.logs[0].text, of("greet")[0].id.to_string());
    assert_eq!(of("greet")[0].cause, Some(sequence.id));
    let failed = of("ping").into_iter().filter(|a| !a.outcome.is_success()).collect::<Vec<_>>();
    assert_eq!(failed.len(), 2);
    assert_eq!(failed[0].outcome.error().unwrap(), "Rule 'guest/broken' failed to map the event: no map");
}

#[tokio::test(start_paused = true)]
async fn a_cycle_of_events_ends_with_a_record() {
    let app = builder()
        .max_causal_depth(5)
        .rule(RuleSpec::new("turn", "again", "loop").unwrap())
        .build()
        .await
        .unwrap();
    app.fire("again", ()).await.unwrap();
    app.drain().await;
    let all = app.activations(&ActivationQuery::default()).await.unwrap();
    assert_eq!(all.iter().filter(|a| a.action().name() == "loop").count(), 6);
    let last = all.iter().find(|a| !a.outcome.is_success()).unwrap();
    assert!(last.outcome.error().unwrap().contains("in a cycle"), "{:?}", last.outcome);
}

#[tokio::test(start_paused = true)]
async fn an_update_makes_a_new_revision_and_a_stale_one_conflicts() {
    let app = builder().build().await.unwrap();
    let before = app.entity("ping").await.unwrap().unwrap();
    let spec = actions().into_specs().swap_remove(1);
    let revision = app.put_action(spec.clone(), Expect::Revision(before.revision)).await.unwrap();
    assert!(revision > before.revision);
    let error = app.put_action(spec, Expect::Revision(before.revision)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(app.invoke("ping", ()).await.unwrap().revision.version.to_string(), "0.0.2");
    app.delete("ping", Expect::Any).await.unwrap();
    let error = app.invoke("ping", ()).await.unwrap_err();
    assert!(error.to_string().contains("no action is named 'ping'; known:"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn states_of_idle_namespaces_do_not_pile_up() {
    let set = actions().with_init(|_: InitContext| async { Ok::<_, std::io::Error>(7_u32) });
    let app = Platform::builder().backend(LocalBackend::new()).actions(set).build().await.unwrap();
    let start_kind = async |n: usize| {
        let namespace = Some(Namespace::new(&format!("tenant{n}")).unwrap());
        let options = InvokeOptions { namespace, ..InvokeOptions::default() };
        app.invoke_with("/guest/ping", (), options).await.unwrap().start_kind
    };
    for n in 0..LocalBackend::MAX_STATES {
        assert_eq!(start_kind(n).await, Some(StartKind::Cold));
    }
    assert_eq!(start_kind(0).await, Some(StartKind::Warm));
    assert_eq!(start_kind(LocalBackend::MAX_STATES).await, Some(StartKind::Cold));
    assert_eq!(start_kind(0).await, Some(StartKind::Cold));
}

#[tokio::test(start_paused = true)]
async fn shutting_down_refuses_and_drains() {
    let app = builder().build().await.unwrap();
    let id = app.submit("slow", ()).await.unwrap();
    let shutdown = app.shutdown(Duration::from_secs(1)).await.unwrap();
    assert_eq!(shutdown.left, 0);
    assert!(app.find(id).await.unwrap().is_some());
    assert_eq!(app.invoke("ping", ()).await.unwrap_err().kind(), ErrorKind::Closed);
    assert!(!app.health().await.is_healthy());
}
