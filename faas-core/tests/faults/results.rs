//! What an action gives back.

use std::collections::BTreeMap;

use faas_core::outcome::MAX_RESULT;
use faas_core::{Action, ActionSpec, BoxError, Context, Status};
use serde_json::{Value, json};

use crate::check::Check;
use crate::probe::{Probe, local, spec};

/// A result whose encoding has exactly so many bytes.
fn sized(bytes: usize) -> Value {
    json!({ "a": "x".repeat(bytes - r#"{"a":""}"#.len()) })
}

#[tokio::test(start_paused = true)]
async fn a_result_may_have_the_limit_and_not_one_byte_more() {
    let probe = Probe::new();
    let big = probe.action("big", |_, input| async move {
        Ok(sized(usize::try_from(input["bytes"].as_u64().unwrap()).unwrap()))
    });
    let app = local().action(big).build().await.unwrap();
    for bytes in [MAX_RESULT - 1, MAX_RESULT] {
        let fits = app.invoke("big", json!({ "bytes": bytes })).await.unwrap();
        assert_eq!((fits.status(), fits.outcome.result().len()), (Status::Success, bytes));
    }
    for bytes in [MAX_RESULT + 1, MAX_RESULT * 8] {
        let over = app.invoke("big", json!({ "bytes": bytes })).await.unwrap();
        let error = over.outcome.error().unwrap();
        let expected = format!(
            "The action produced a response that exceeded the allowed length: {bytes} > 1048576 bytes. \
             The truncated response was: {{\"a\":\"xxx"
        );
        assert_eq!(over.status(), Status::ApplicationError);
        assert!(error.starts_with(&expected), "{}", &error[..200]);
    }
    Check::successes(2).probe(&probe).run(&app).await;
}

#[tokio::test(start_paused = true)]
async fn an_error_over_the_limit_is_cut_like_a_result() {
    let probe = Probe::new();
    let huge = || "e".repeat(3 * MAX_RESULT);
    let app = local()
        .action(probe.action("fails", move |_, _| async move { Err(huge().into()) }))
        .action(
            probe.action("panics", move |_, _| async move { std::panic::resume_unwind(Box::new(huge())) }),
        )
        .action(probe.action("replies", move |_, _| async move { Ok(json!({ "error": huge() })) }))
        .action(probe.action("structured", move |_, _| async move {
            Err(faas_core::ActionError::json(json!({ "why": [huge()] })).into())
        }))
        .build()
        .await
        .unwrap();
    let expected = [
        ("fails", Status::ApplicationError),
        ("panics", Status::DeveloperError),
        ("replies", Status::ApplicationError),
        ("structured", Status::ApplicationError),
    ];
    for (name, status) in expected {
        let failed = app.invoke(name, ()).await.unwrap();
        assert_eq!(failed.status(), status, "{name}");
        let error = failed.outcome.error().unwrap();
        assert!(error.contains("exceeded the allowed length: 3145"), "{name}: {}", &error[..100]);
        assert!(error.len() < 4_096, "{name}: {}", error.len());
    }
    Check::successes(0).probe(&probe).run(&app).await;
}

fn nested(levels: usize) -> Value {
    (1..levels).fold(json!({}), |inner, _| json!({ "a": inner }))
}

#[tokio::test(start_paused = true)]
async fn a_result_nests_as_deep_as_a_payload_may() {
    let probe = Probe::new();
    let deep = probe.action("deep", |_, input| async move {
        Ok(nested(usize::try_from(input["levels"].as_u64().unwrap()).unwrap()))
    });
    let fails = probe.action("fails", |_, _| async { Err(faas_core::ActionError::json(nested(200)).into()) });
    let app = local().action(deep).action(fails).build().await.unwrap();
    assert!(app.invoke("deep", json!({ "levels": 127 })).await.unwrap().outcome.is_success());
    let failed = app.invoke("deep", json!({ "levels": 128 })).await.unwrap();
    assert_eq!(failed.status(), Status::DeveloperError);
    let failed = app.invoke("fails", ()).await.unwrap();
    assert_eq!(failed.status(), Status::ApplicationError);
    assert!(failed.outcome.error().unwrap().contains("deeper than 127 levels"));
    Check::successes(1).probe(&probe).run(&app).await;
}

#[tokio::test(start_paused = true)]
async fn only_an_object_or_an_array_without_an_error_is_a_success() {
    let probe = Probe::new();
    let app = local()
        .action(probe.action("give", |_, input| async move { Ok(input["give"].clone()) }))
        .build()
        .await
        .unwrap();
    for good in [json!({}), json!([]), json!([{ "error": 1 }]), json!({ "a": { "error": 1 } })] {
        let activation = app.invoke("give", json!({ "give": good })).await.unwrap();
        assert_eq!(activation.outcome.result().to_value(), good);
        assert_eq!(activation.status(), Status::Success);
    }
    for bad in [json!(null), json!(true), json!(7), json!("text"), json!("error")] {
        let failed = app.invoke("give", json!({ "give": bad })).await.unwrap();
        let expected = format!("The action did not produce a valid JSON or JSON Array response: {bad}");
        assert_eq!(failed.outcome.error().unwrap(), expected);
        assert_eq!(failed.status(), Status::DeveloperError);
    }
    for error in [json!("no"), json!(null), json!(0), json!({ "code": 1 })] {
        let failed = app.invoke("give", json!({ "give": { "error": error, "more": 1 } })).await.unwrap();
        assert_eq!(failed.outcome.result().to_value(), json!({ "error": error }));
        assert_eq!(failed.status(), Status::ApplicationError);
    }
    Check::successes(4).probe(&probe).run(&app).await;
}

/// An action whose output does not encode as JSON.
struct Unencodable;

impl Action for Unencodable {
    type Input = ();
    type Output = BTreeMap<Vec<u8>, u8>;

    fn spec(&self) -> ActionSpec {
        spec("unencodable")
    }

    async fn call(&self, _: Context, (): ()) -> Result<Self::Output, BoxError> {
        Ok(BTreeMap::from([(vec![1, 2], 3)]))
    }
}

/// An action whose output panics while it is encoded.
struct Encoding;

struct Panics;

impl serde::Serialize for Panics {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        crate::probe::panic_quietly("while encoding")
    }
}

impl Action for Encoding {
    type Input = ();
    type Output = Panics;

    fn spec(&self) -> ActionSpec {
        spec("encoding")
    }

    async fn call(&self, _: Context, (): ()) -> Result<Panics, BoxError> {
        Ok(Panics)
    }
}

#[tokio::test(start_paused = true)]
async fn an_output_that_does_not_encode_is_a_developer_error() {
    let app = local().action(Unencodable).action(Encoding).build().await.unwrap();
    let failed = app.invoke("unencodable", ()).await.unwrap();
    assert_eq!(failed.status(), Status::DeveloperError);
    assert!(failed.outcome.error().unwrap().contains("key must be a string"), "{failed:?}");
    let failed = app.invoke("encoding", ()).await.unwrap();
    assert_eq!(failed.outcome.error().unwrap(), "The action panicked: while encoding");
    Check::successes(0).run(&app).await;
}
