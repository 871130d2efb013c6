//! Secrets that are planted in credentials, environment, parameters and payloads: what the backend tells of its work is
//! free of them, also where AWS repeats them.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use faas_core::{ActionSpec, Backend as _, Error, Platform};
use metrics_util::debugging::DebuggingRecorder;
use serde_json::{Value, json};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::cloud::{Answer, Cloud, Reply, Rule};
use crate::ground::{
    Artifact, ECHO, ROLE, artifact, boxed, builder, deploy, echo, echoing, invocation, spec,
};

/// What is planted, each with a word that all of them have.
const PLANTED: &str = "planted";
const KEY: &str = "planted-secret-key";
const TOKEN: &str = "planted-session-token";
const VALUE: &str = "planted-\"value\"-of-a-variable";

/// All that reaches a subscriber: of this project whatever it is, of others what people turn on.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<String>>>);

impl Visit for Heard {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.lock().unwrap().push(format!("{field}={value:?}"));
    }
}

impl Subscriber for Heard {
    fn enabled(&self, of: &Metadata<'_>) -> bool {
        of.target().starts_with("faas") || *of.level() <= Level::DEBUG
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        attributes.record(&mut self.clone());
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        values.record(&mut self.clone());
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        event.record(&mut self.clone());
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[track_caller]
fn assert_clean(what: &str, text: impl fmt::Display) {
    let text = text.to_string();
    assert!(!text.contains(PLANTED), "{what} shows a secret: {text}");
}

fn secretive() -> ActionSpec {
    spec(ECHO).with_env("TOKEN", VALUE).with_parameter("key", VALUE)
}

/// An event with a secret in it, which the function gives back.
fn event() -> Value {
    json!({ "password": VALUE, "n": 1 })
}

/// What AWS may say of a call that it refuses, with all that it was told.
fn repeating(cloud: &Cloud) -> Vec<Answer> {
    let latest = cloud.names().first().map(|name| cloud.summary()[name]["latest"].take());
    let variables = latest.unwrap_or_default()["Environment"]["Variables"].take();
    let told = variables["FAAS_ACTION"].as_str().unwrap_or_default();
    let signature = format!(
        "The request signature we calculated does not match the signature you provided.\n\nThe Canonical String for \
         this request should have been\n'POST\n/\nx-amz-security-token:{TOKEN}\n'"
    );
    let value = format!(
        "1 validation error detected: Value '{{FAAS_ACTION={told}}}' at 'environment.variables' failed to satisfy constraint"
    );
    let measured = format!(
        "Lambda was unable to configure your environment variables because the environment variables you have provided \
         exceeded the 4KB limit. String measured: {variables}"
    );
    let event = format!(
        "Could not parse request body into json: Could not parse payload into json: Unexpected end-of-input in {}\n at \
         [Source: (byte[])\"{}\"; line: 1, column: 2]",
        event(),
        event()
    );
    vec![
        Answer::refusal(400, "InvalidRequestContentException", &event),
        Answer::refusal(403, "InvalidSignatureException", &signature),
        Answer::refusal(400, "ValidationException", &value),
        Answer::refusal(400, "InvalidParameterValueException", &measured),
    ]
}

async fn work() {
    let (cloud, artifact) = (echoing().await, artifact());
    let opened = builder(&cloud, &artifact).credentials("AKIDEXAMPLE", KEY, Some(TOKEN.to_owned()));
    assert_clean("the builder", format!("{opened:?} {opened:#?}"));
    let backend = opened.build().unwrap();
    assert_clean("the backend", format!("{backend:?} {backend:#?}"));
    let deployment = deploy(&backend, secretive()).await.unwrap();
    assert_clean("the deployment", format!("{deployment:?} {:?}", deployment.spec));
    let call = cloud.calls().iter().find(|call| call.operation == "CreateFunction").cloned();
    assert!(call.is_some() && cloud.summary().to_string().contains(PLANTED), "they were told to AWS");

    let mut errors = Vec::new();
    for answer in repeating(&cloud) {
        for (operation, zip) in [("UpdateFunctionCode", "two"), ("UpdateFunctionConfiguration", "one")] {
            artifact.write(zip.as_bytes(), &[ECHO]);
            cloud.script(Rule::next(operation, answer.clone()));
            let changed = secretive().with_env("MORE", VALUE);
            let backend = builder(&cloud, &artifact).build().unwrap();
            errors.push(deploy(&backend, changed).await.unwrap_err());
            cloud.heal();
        }
        cloud.script(Rule::next("CreateFunction", answer.clone()));
        let other = builder(&cloud, &artifact).prefix("other").role(ROLE).build().unwrap();
        errors.push(deploy(&other, secretive()).await.unwrap_err());
        cloud.script(Rule::next("Invoke", answer));
        errors.push(backend.invoke(&deployment, invocation(&event())).await.unwrap_err());
    }
    assert_eq!(errors.len(), 16);
    for error in errors {
        assert_clean("an error", format!("{error} {error:?} {error:#?}"));
        assert_clean("a panic", panic_of(Err(error)));
    }
    let ran = backend.invoke(&deployment, invocation(&event())).await.unwrap();
    assert!(ran.outcome.result().to_value().to_string().contains(PLANTED), "it is given back");
    backend.shutdown().await.unwrap();
}

/// What people see where nobody expected the error.
fn panic_of(failed: Result<(), Error>) -> String {
    let panicked = catch_unwind(AssertUnwindSafe(|| failed.unwrap())).unwrap_err();
    panicked.downcast_ref::<String>().cloned().expect("a text")
}

#[test]
fn neither_errors_nor_logs_nor_debug_output_show_a_secret() {
    let heard = Heard::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tracing::subscriber::with_default(heard.clone(), || runtime.block_on(work()));
    let heard = heard.0.lock().unwrap();
    assert!(heard.len() > 20, "it was heard: {heard:?}");
    heard.iter().for_each(|text| assert_clean("tracing", text));
}

#[test]
fn neither_records_nor_metrics_show_a_secret_that_the_action_does_not() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    metrics::with_local_recorder(&recorder, || runtime.block_on(keep_records()));
    let published = snapshotter.snapshot().into_vec();
    assert!(published.len() > 3, "metrics were recorded");
    published.iter().for_each(|metric| assert_clean("a metric", format!("{metric:?}")));
}

async fn keep_records() {
    let failing = Cloud::start(|invoked| {
        let asked = String::from_utf8_lossy(&invoked.payload).into_owned();
        boxed(match asked.contains("fail") {
            true => Reply::failure("Unhandled", "Runtime.ExitError", "Runtime exited"),
            false => echo(&invoked),
        })
    });
    let (cloud, artifact) = (failing.await, Artifact::of("one", &[ECHO]));
    let backend = builder(&cloud, &artifact).credentials("AKIDEXAMPLE", KEY, Some(TOKEN.to_owned()));
    let app = Platform::builder().backend(backend.build().unwrap());
    let app = app.spec(spec(ECHO).with_env("TOKEN", VALUE)).build().await.unwrap();
    let mut records = 0;
    for answer in [None, Some(Answer::Lost)].into_iter().chain(repeating(&cloud).into_iter().map(Some)) {
        if let Some(answer) = answer {
            cloud.script(Rule::next("Invoke", answer));
        }
        for input in [json!({ "a": 1 }), json!({ "fail": 1 })] {
            let id = app.submit(ECHO, &input).await.unwrap();
            let record = app.activation(id).await.unwrap();
            assert_clean("a record", format!("{record:?} {}", serde_json::to_string(&record).unwrap()));
            records += 1;
        }
    }
    assert_eq!(records, 12);
    assert_clean("the platform", format!("{app:?} {:?}", app.health().await));
    app.publish_metrics().await;
    app.shutdown(Duration::from_secs(5)).await.unwrap();
}
