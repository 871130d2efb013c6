//! A planted token: where it may show, and where never.
//!
//! The record holds results and logs, so it shows what the action chose to return or to log. Everything else
//! that the platform prints of itself is free of payloads, parameters and environment.

use std::fmt;
use std::sync::{Arc, Mutex};

use faas_core::backend::Pooled;
use faas_core::pool::PoolConfig;
use faas_core::store::{Job, Work};
use faas_core::{ActionSet, Event, Invocation, LocalBackend, Payload, RuleSpec, Timestamp};
use faas_testkit::mock::{Fault, MockFactory, Operation, Script};
use metrics_util::debugging::DebuggingRecorder;
use serde_json::json;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Subscriber;
use tracing::{Metadata, subscriber};

use crate::check::Check;
use crate::probe::{Probe, empty, millis, on, panic_quietly, spec};

const TOKEN: &str = "tok-3f9a-planted";

/// Writes down all that reaches a subscriber.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<String>>>);

impl Visit for Heard {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.lock().unwrap().push(format!("{field}={value:?}"));
    }
}

impl Subscriber for Heard {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        attributes.record(&mut self.clone());
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        values.record(&mut self.clone());
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        event.record(&mut self.clone());
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[track_caller]
fn clean(what: &str, text: impl fmt::Display) {
    let text = text.to_string();
    assert!(!text.contains(TOKEN), "{what} shows the token: {text}");
}

fn secret_spec(name: &str) -> faas_core::ActionSpec {
    let mut spec = spec(name).with_parameter("key", TOKEN).with_env("KEY", TOKEN).with_timeout(millis(20));
    spec.retry.retries = 1;
    spec
}

#[test]
fn what_describes_work_shows_no_payload_parameter_or_environment() {
    let secret = secret_spec("secret");
    clean("ActionSpec", format!("{secret:?} {secret:#?}"));
    assert!(format!("{secret:?}").contains("KEY"), "names may show");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let _entered = runtime.enter();
    let payload = Payload::from_value(&json!({ "password": TOKEN })).unwrap();
    clean("Payload", format!("{payload:?}"));
    let id = faas_core::ActivationId::from_u128(7);
    clean("Invocation", format!("{:?}", Invocation::detached(id, payload.clone())));
    clean("Event", format!("{:?}", Event { id: None, at: Timestamp::default(), payload: payload.clone() }));
    let job = Job {
        id,
        work: Work::Invoke("a".parse().unwrap()),
        payload,
        invoker: None,
        cause: None,
        rule: None,
        depth: 0,
        accepted: Timestamp::default(),
        not_before: Timestamp::default(),
        key: None,
    };
    clean("Job", format!("{job:?}"));
}

#[test]
fn the_platform_tells_of_its_work_without_the_token() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let heard = Heard::default();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    metrics::with_local_recorder(&recorder, || {
        subscriber::with_default(heard.clone(), || runtime.block_on(work()));
    });
    let heard = heard.0.lock().unwrap();
    assert!(heard.len() > 10, "the platform was heard: {heard:?}");
    heard.iter().for_each(|text| clean("tracing", text));
    let keys: Vec<String> =
        snapshotter.snapshot().into_vec().into_iter().map(|(key, ..)| format!("{:?}", key.key())).collect();
    assert!(keys.len() > 3, "metrics were recorded");
    keys.iter().for_each(|key| clean("metrics", key));
}

async fn work() {
    let probe = Probe::new();
    let script = Script::new().with_fault(Operation::Run, 3, Fault::Lose);
    let factory = MockFactory::new(script);
    let backend = Pooled::warm("mock", LocalBackend::CAPABILITY, factory, PoolConfig::default());
    let app = on(backend)
        .action(probe.spec(secret_spec("works"), |_, _| async { Ok(empty()) }))
        .action(probe.spec(secret_spec("panics"), |_, input| async move {
            assert_eq!(input["key"], TOKEN, "the parameter is there");
            panic_quietly(TOKEN)
        }))
        .action(probe.spec(secret_spec("fails"), |cx, _| async move { Err(cx.env("KEY").unwrap().into()) }))
        .action(probe.spec(secret_spec("hangs"), |_, _| std::future::pending()))
        .actions(
            ActionSet::new()
                .with(probe.action("uninitialised", |_, _| async { Ok(empty()) }))
                .with_init(|_| async { Err::<(), faas_core::BoxError>(TOKEN.into()) }),
        )
        .trigger_with("event", [("key".to_owned(), json!(TOKEN))].into_iter().collect())
        .package("pack", [("key".to_owned(), json!(TOKEN))].into_iter().collect())
        .sequence("all", ["works", "fails"])
        .rule(RuleSpec::new("works-rule", "event", "works").unwrap())
        .rule(RuleSpec::new("fails-rule", "event", "works").unwrap().map(|_| Err(TOKEN.into())))
        .build()
        .await
        .unwrap();
    let input = json!({ "password": TOKEN });
    for name in ["works", "panics", "fails", "hangs", "uninitialised", "all", "works"] {
        let activation = app.invoke(name, &input).await.unwrap();
        clean("the metered part", format!("{:?} {:?}", activation.times, activation.revision));
        app.submit(name, &input).await.unwrap();
    }
    app.fire("event", &input).await.unwrap();
    let errors = [
        app.invoke("missing", &input).await.unwrap_err(),
        app.invoke("works", json!([TOKEN])).await.unwrap_err(),
        app.invoke("works", TOKEN).await.unwrap_err(),
        app.invoke("works", format!("{{\"a\": {TOKEN}}}").as_str()).await.unwrap_err(),
        app.invoke("works", json!(TOKEN)).await.unwrap_err(),
        app.fire("missing", &input).await.unwrap_err(),
        app.fire("event", json!({ "a": TOKEN.repeat(70_000) })).await.unwrap_err(),
    ];
    for error in errors {
        clean("an error", format!("{error} {error:?} {error:#?}"));
    }
    clean("Platform", format!("{app:?} {:?} {:?}", app.stats(), app.health().await));
    app.shutdown(millis(100)).await.unwrap();
    Check::successes(5).probe(&probe).retries(1).run(&app).await;
}
