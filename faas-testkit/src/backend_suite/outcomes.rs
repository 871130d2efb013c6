//! What an action does, and the outcome that its record tells of. Source of the texts: OpenWhisk's action interface.

use faas_core::outcome::MAX_RESULT;
use faas_core::{Outcome, Status, payload};
use serde::Serialize;
use serde_json::{Value, json};

use super::stage::Stage;
use super::subject::BackendSubject;
use crate::fixtures::{Fail, Order, Panic, Print};
use crate::transcript::Entry;

async fn one(
    subject: &BackendSubject,
    action: &str,
    input: impl Serialize,
    status: Status,
    result: Value,
) -> Vec<Entry> {
    let stage = Stage::new(subject).await;
    stage.expect(action, input, status, result).await;
    stage.close().await
}

async fn application_error(subject: &BackendSubject, input: Fail, error: Value) -> Vec<Entry> {
    one(subject, "fail", input, Status::ApplicationError, json!({ "error": error })).await
}

async fn developer_error(
    subject: &BackendSubject,
    action: &str,
    input: impl Serialize,
    error: &str,
) -> Vec<Entry> {
    one(subject, action, input, Status::DeveloperError, json!({ "error": error })).await
}

/// An object that an action returns is the result of a success.
pub async fn an_object_result_is_a_success(subject: &BackendSubject) -> Vec<Entry> {
    let object = json!({ "name": "Ada", "tags": [1, null, true], "nested": { "a": {} } });
    one(subject, "echo", object.clone(), Status::Success, object).await
}

/// So is an array.
pub async fn an_array_result_is_a_success(subject: &BackendSubject) -> Vec<Entry> {
    let input = json!({ "order": Order::Array });
    one(subject, "echo", input.clone(), Status::Success, json!([input])).await
}

/// An action that returns nothing has the result `{}`.
pub async fn nothing_returned_is_an_empty_object(subject: &BackendSubject) -> Vec<Entry> {
    one(subject, "print", Print::default(), Status::Success, json!({})).await
}

/// An `Err` is an application error with its text.
pub async fn an_err_is_an_application_error_with_its_text(subject: &BackendSubject) -> Vec<Entry> {
    application_error(subject, Fail::Text("out of stock: \"tea\"".into()), json!("out of stock: \"tea\""))
        .await
}

/// Of an `Err` with a cause, only the top error's text is shown.
pub async fn an_err_shows_the_top_text_only(subject: &BackendSubject) -> Vec<Entry> {
    let input = Fail::Caused { text: "no connection".into(), cause: "secret host refused".into() };
    application_error(subject, input, json!("no connection")).await
}

/// A structured `Err` keeps its structure.
pub async fn a_structured_err_keeps_its_structure(subject: &BackendSubject) -> Vec<Entry> {
    let error = json!({ "code": 402, "reason": "card declined", "tries": [1, 2] });
    application_error(subject, Fail::Structured(error.clone()), error).await
}

/// A result with a field `error` is an application error, and its other fields are dropped.
pub async fn an_error_field_is_an_application_error_and_all_else_is_dropped(
    subject: &BackendSubject,
) -> Vec<Entry> {
    application_error(subject, Fail::ErrorField(json!("refused")), json!("refused")).await
}

/// The field may hold any JSON, `null` and `false` too.
pub async fn an_error_field_may_hold_any_json(subject: &BackendSubject) -> Vec<Entry> {
    let stage = Stage::new(subject).await;
    for error in [json!(null), json!(false), json!(0), json!(""), json!({ "code": 7 }), json!(["a"])] {
        let result = json!({ "error": error });
        stage.expect("fail", Fail::ErrorField(error), Status::ApplicationError, result).await;
    }
    stage.close().await
}

/// A panic is a developer error with its message.
pub async fn a_panic_is_a_developer_error_with_its_message(subject: &BackendSubject) -> Vec<Entry> {
    let input = Panic { message: Some("index 7 is out of range".into()), ..Panic::default() };
    developer_error(subject, "panic", input, "The action panicked: index 7 is out of range").await
}

/// So is one after an await.
pub async fn a_panic_after_an_await_is_a_developer_error(subject: &BackendSubject) -> Vec<Entry> {
    let input = Panic { message: Some("late".into()), after_ms: 10, until_attempt: None };
    developer_error(subject, "panic", input, "The action panicked: late").await
}

/// A panic with something that is no text is a developer error that says that there is no message.
pub async fn a_panic_without_a_text_is_a_developer_error(subject: &BackendSubject) -> Vec<Entry> {
    developer_error(subject, "panic", Panic::default(), "The action panicked: (no message)").await
}

/// A scalar result is a developer error that shows it.
pub async fn a_scalar_result_is_a_developer_error_that_shows_it(subject: &BackendSubject) -> Vec<Entry> {
    let stage = Stage::new(subject).await;
    for scalar in [json!("text"), json!(42), json!(true), json!(null)] {
        let error = format!("The action did not produce a valid JSON or JSON Array response: {scalar}");
        let result = json!({ "error": error });
        stage.expect("fail", Fail::Return(scalar), Status::DeveloperError, result).await;
    }
    stage.close().await
}

/// A result that cannot be encoded is a developer error that says why.
pub async fn a_result_that_cannot_be_encoded_is_a_developer_error(subject: &BackendSubject) -> Vec<Entry> {
    let error = "The action's result cannot be encoded as JSON: this has no JSON";
    developer_error(subject, "fail", Fail::Unencodable {}, error).await
}

/// A result that nests as deep as is allowed is kept; one level more is a developer error.
pub async fn a_result_that_nests_too_deep_is_a_developer_error(subject: &BackendSubject) -> Vec<Entry> {
    let stage = Stage::new(subject).await;
    let deepest = u32::try_from(payload::MAX_DEPTH).expect("a small number");
    // Within an entry it would nest too deep to be read again.
    let kept = stage.glance("fail", Fail::Deep(deepest)).await;
    assert_eq!(kept.status(), Status::Success, "{:?}", kept.outcome);
    let refused = stage.invoke("fail", Fail::Deep(deepest + 1)).await;
    assert_eq!(refused.status(), Status::DeveloperError);
    let error = refused.outcome.error().expect("an error");
    assert!(error.starts_with("The action did not produce a valid JSON or JSON Array response: {\"a\":"));
    stage.close().await
}

/// A result of the largest size is kept whole.
pub async fn a_result_of_the_largest_size_is_kept(subject: &BackendSubject) -> Vec<Entry> {
    let stage = Stage::new(subject).await;
    let done = stage.glance("fail", Fail::Sized(MAX_RESULT)).await;
    assert_eq!((done.status(), done.outcome.result().len()), (Status::Success, MAX_RESULT));
    stage.close().await
}

/// A result that is a byte larger is an application error that tells both sizes and shows the beginning.
pub async fn a_larger_result_is_an_application_error_that_tells_the_sizes(
    subject: &BackendSubject,
) -> Vec<Entry> {
    let stage = Stage::new(subject).await;
    let done = stage.invoke("fail", Fail::Sized(MAX_RESULT + 1)).await;
    assert_eq!(done.status(), Status::ApplicationError);
    let error = done.outcome.error().expect("an error");
    let expected = "The action produced a response that exceeded the allowed length: 1048577 > 1048576 bytes. \
                    The truncated response was: {\"a\":\"xxx";
    assert!(error.starts_with(expected), "{}", &error[..expected.len().min(error.len())]);
    assert!(error.len() < 10_000, "the error has {} bytes", error.len());
    stage.close().await
}

/// An input that does not decode is an application error that says why, and the action does not run.
pub async fn an_input_that_does_not_fit_is_an_application_error(subject: &BackendSubject) -> Vec<Entry> {
    let stage = Stage::new(subject).await;
    let done = stage.invoke("print", json!({ "lines": "many" })).await;
    assert_eq!(done.status(), Status::ApplicationError);
    let error = done.outcome.error().expect("an error");
    assert!(error.starts_with("The input does not fit the action: "), "{error}");
    assert!(error.contains("many"), "{error}");
    assert!(done.logs.is_empty(), "the action ran: {:?}", done.logs);
    stage.close().await
}

/// A failed outcome and a success are told apart by the record, never by an `Err` of the platform.
pub async fn every_class_of_outcome_has_a_record(subject: &BackendSubject) -> Vec<Entry> {
    let stage = Stage::new(subject).await;
    let input = Panic { message: Some("boom".into()), ..Panic::default() };
    let ids = [
        stage.invoke("echo", json!({})).await.id,
        stage.invoke("fail", Fail::Text("no".into())).await.id,
        stage.invoke("panic", input).await.id,
    ];
    let expected = [
        Outcome::success(faas_core::Payload::empty()),
        Outcome::application_error("no"),
        Outcome::panicked("boom"),
    ];
    for (id, outcome) in ids.into_iter().zip(expected) {
        let record = stage.app.activation(id).await.expect("a record");
        assert_eq!((record.outcome.clone(), record.attempts, record.usage_known), (outcome, 1, true));
    }
    stage.close().await
}
