//! Events that an action emits.

use std::time::Duration;

use faas_core::store::ActivationQuery;
use faas_core::{RuleSpec, Status};
use serde_json::{Value, json};

use super::stage::{Bare, Stage, eventually};
use super::subject::BackendSubject;
use crate::fixtures::{self, Emission, Ending, Order};
use crate::transcript::Entry;

/// A timeout that plays no part: a panic alone may take a second, where its backtrace is printed.
const LONG: Duration = Duration::from_secs(60);

fn emit(triggers: &[&str], then: Ending) -> Value {
    let event = |(n, trigger): (usize, &&str)| Emission {
        trigger: (*trigger).to_owned(),
        payload: json!({ "n": n }),
    };
    let events = triggers.iter().enumerate().map(event).collect();
    json!({ "order": Order::Emit { events, then } })
}

/// A success brings its events along, in order.
pub async fn a_success_brings_its_events_in_order(subject: &BackendSubject) -> Vec<Entry> {
    let bare = Bare::new(subject).await;
    let echo = bare.deploy(fixtures::spec("echo")).await;
    let done = bare.invoke(&echo, emit(&["b", "a", "pkg/b", "b"], Ending::Return)).await;
    let emitted: Vec<(&str, Value)> =
        done.emitted.iter().map(|event| (event.trigger.path(), event.payload.to_value())).collect();
    let n = |n: usize| json!({ "n": n });
    assert_eq!(emitted, [("b", n(0)), ("a", n(1)), ("pkg/b", n(2)), ("b", n(3))]);
    bare.note(Entry::answer("emitted", json!(done.emitted)));
    assert!(bare.invoke(&echo, json!({})).await.emitted.is_empty(), "events of another activation");
    bare.close().await
}

async fn nothing(subject: &BackendSubject, then: Ending, timeout: Duration, status: Status) -> Vec<Entry> {
    let bare = Bare::new(subject).await;
    let echo = bare.deploy(fixtures::spec("echo").with_timeout(timeout)).await;
    let done = bare.invoke(&echo, emit(&["a", "b"], then)).await;
    assert_eq!(done.outcome.status(), status, "{:?}", done.outcome);
    assert!(done.emitted.is_empty(), "{:?}", done.emitted);
    bare.close().await
}

/// An application error emits nothing.
pub async fn an_application_error_emits_nothing(subject: &BackendSubject) -> Vec<Entry> {
    nothing(subject, Ending::Fail("no".into()), LONG, Status::ApplicationError).await
}

/// A panic emits nothing.
pub async fn a_panic_emits_nothing(subject: &BackendSubject) -> Vec<Entry> {
    nothing(subject, Ending::Panic("boom".into()), LONG, Status::DeveloperError).await
}

/// A timeout emits nothing.
pub async fn a_timeout_emits_nothing(subject: &BackendSubject) -> Vec<Entry> {
    nothing(subject, Ending::Sleep(30_000), Duration::from_millis(300), Status::DeveloperError).await
}

/// An event fires its trigger once the activation is recorded.
pub async fn an_emitted_event_fires_its_trigger(subject: &BackendSubject) -> Vec<Entry> {
    let rule = RuleSpec::new("on-done", "done", "print").expect("valid names");
    let rule = rule.map(|event| Ok(json!({ "text": format!("event {}", event["n"]) })));
    let stage =
        Stage::build(subject, |builder| builder.actions(fixtures::actions()).trigger("done").rule(rule))
            .await;
    stage.expect("echo", emit(&["done"], Ending::Return), Status::Success, json!({})).await;
    let query = ActivationQuery { name: Some("print".into()), ..ActivationQuery::default() };
    let fired = async || stage.app.activations(&query).await.expect("a list");
    eventually("the rule's action has a record", async || !fired().await.is_empty()).await;
    let derived = fired().await.remove(0);
    assert_eq!(derived.logs[0].text, "INFO event 0");
    assert!(derived.cause.is_some());
    stage.note(Entry::from(&*derived));
    stage.close().await
}

/// An event for a name that is none, or with a payload that is no object, is the action's own error.
pub async fn a_bad_event_is_refused_where_it_is_emitted(subject: &BackendSubject) -> Vec<Entry> {
    let stage = Stage::new(subject).await;
    for (trigger, payload) in [("a?b", json!({})), ("", json!({})), ("fine", json!([1])), ("fine", json!(1))]
    {
        let events = vec![Emission { trigger: trigger.to_owned(), payload }];
        let order = json!({ "order": Order::Emit { events, then: Ending::Return } });
        let done = stage.invoke("echo", order).await;
        assert_eq!(done.status(), Status::ApplicationError, "{trigger}: {:?}", done.outcome);
        assert!(done.outcome.error().is_some_and(|error| error.starts_with("emit: invalid argument: ")));
    }
    stage.close().await
}
