//! What goes into an action, whole.

use faas_core::{ErrorKind, Status, payload};
use serde_json::{Value, json};

use super::stage::{Bare, Stage};
use super::subject::BackendSubject;
use crate::fixtures::{self, Order, fingerprint};
use crate::transcript::Entry;

/// An invocation without an input gives the action `{}`.
pub async fn no_input_is_an_empty_object(subject: &BackendSubject) -> Vec<Entry> {
    let stage = Stage::new(subject).await;
    stage.expect("echo", (), Status::Success, json!({})).await;
    stage.close().await
}

/// An action that takes no input accepts any object.
pub async fn an_action_without_input_accepts_any_object(subject: &BackendSubject) -> Vec<Entry> {
    let stage = Stage::new(subject).await;
    for input in [json!({}), json!({ "left": "over", "n": [1] })] {
        let done = stage.glance("environment", input).await;
        assert_eq!(done.status(), Status::Success, "{:?}", done.outcome);
    }
    stage.close().await
}

/// Text of every script, and every control character, arrives and returns unchanged.
pub async fn every_character_survives_both_ways(subject: &BackendSubject) -> Vec<Entry> {
    let controls: String = (0_u8..32).map(char::from).collect();
    let input = json!({
        "ключ": "значение", "数": "一二三", "rtl": "שלום עולם", "emoji": "👩‍🚀🇺🇳", "high": "\u{10FFFF}\u{FFFD}",
        "lines": "\u{2028}\u{2029}", "controls": controls, "quotes": "\"\\/'", "": "empty key",
    });
    let stage = Stage::new(subject).await;
    stage.expect("echo", input.clone(), Status::Success, input).await;
    stage.close().await
}

/// Whole numbers of 64 bits and common fractions keep their value.
pub async fn numbers_keep_their_value(subject: &BackendSubject) -> Vec<Entry> {
    let input = json!({
        "largest": u64::MAX, "smallest": i64::MIN, "tenth": 0.1, "small": 2.5e-8, "large": 1e15, "zero": 0,
        "minus": -1,
    });
    let stage = Stage::new(subject).await;
    stage.expect("echo", input.clone(), Status::Success, input).await;
    stage.close().await
}

/// A payload that nests as deep as is allowed arrives.
pub async fn the_deepest_payload_arrives(subject: &BackendSubject) -> Vec<Entry> {
    let input = (1..payload::MAX_DEPTH).fold(json!({}), |inner, _| json!({ "a": inner }));
    let stage = Stage::new(subject).await;
    // Within an entry it would nest too deep to be read again.
    let done = stage.glance("echo", &input).await;
    assert_eq!((done.status(), done.outcome.result().to_value()), (Status::Success, input));
    stage.close().await
}

/// The input with an order to measure its field `data`, padded to a size in bytes.
fn measured(bytes: usize) -> (Value, String) {
    let empty = json!({ "order": Order::Measure, "data": "" }).to_string().len();
    let data: String = "abcdefghijklmnopqrstuvwxyz0123456789".chars().cycle().take(bytes - empty).collect();
    (json!({ "order": Order::Measure, "data": data }), data)
}

/// A payload of exactly the largest size arrives whole.
pub async fn the_largest_payload_arrives_whole(subject: &BackendSubject) -> Vec<Entry> {
    let (input, data) = measured(payload::MAX_BYTES);
    let stage = Stage::new(subject).await;
    let expected = json!({ "bytes": data.len(), "fingerprint": fingerprint(&data) });
    stage.expect("echo", input, Status::Success, expected).await;
    stage.close().await
}

/// A payload that is a byte larger is refused with both sizes, and leaves no record.
pub async fn a_larger_payload_is_refused(subject: &BackendSubject) -> Vec<Entry> {
    let stage = Stage::new(subject).await;
    let error = stage.try_invoke("echo", measured(payload::MAX_BYTES + 1).0).await.expect_err("a refusal");
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.to_string().contains("1048577") && error.to_string().contains("1048576"), "{error}");
    assert_eq!(stage.app.stats().in_flight, 0);
    stage.note(Entry::refusal("invoke", error.kind()));
    stage.close().await
}

/// An array is no payload for an invocation from outside.
pub async fn an_array_from_outside_is_refused(subject: &BackendSubject) -> Vec<Entry> {
    let stage = Stage::new(subject).await;
    let error = stage.try_invoke("echo", json!([1, 2])).await.expect_err("a refusal");
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    stage.note(Entry::refusal("invoke", error.kind()));
    stage.close().await
}

/// Within a sequence an action may get an array.
pub async fn a_backend_passes_an_array_on(subject: &BackendSubject) -> Vec<Entry> {
    let bare = Bare::new(subject).await;
    let echo = bare.deploy(fixtures::spec("echo")).await;
    let done = bare.invoke(&echo, json!([1, { "a": 2 }])).await;
    assert_eq!(done.outcome.result().to_value(), json!([1, { "a": 2 }]));
    bare.close().await
}

/// Default parameters of the action are merged under the payload.
pub async fn default_parameters_lie_under_the_payload(subject: &BackendSubject) -> Vec<Entry> {
    let spec = fixtures::spec("echo").with_parameter("unit", "km").with_parameter("limit", 10);
    let stage = Stage::with(subject, spec).await;
    let expected = json!({ "limit": 3, "unit": "km", "q": "x" });
    stage.expect("echo", json!({ "limit": 3, "q": "x" }), Status::Success, expected).await;
    stage.close().await
}
