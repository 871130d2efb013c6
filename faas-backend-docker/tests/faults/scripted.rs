//! Sites on an engine that is scripted.

use std::time::Duration;

use faas_backend_docker::DockerBuilder;
use faas_core::{ActionSpec, Error, ErrorKind, Status};
use serde_json::json;
use tokio::time::timeout;

use crate::script::{Answer, Script};
use crate::site::{Site, ground_on, millis, spec};

/// An action that gets a new container each time.
pub(crate) const COLD: &str = "remember";

/// The text of an activation without a container.
pub(crate) const NOT_PROVISIONED: &str = "Failed to provision resources to run the action.";

/// How long anything may take here: what is not answered is given up after a second.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A site on an engine that is scripted, with its action that gets a new container each time.
pub(crate) async fn scripted(test: &str) -> Option<(Script, Site)> {
    scripted_by(test, |builder| builder).await
}

/// The same of a backend that is made otherwise.
pub(crate) async fn scripted_by(
    test: &str,
    change: impl FnOnce(DockerBuilder) -> DockerBuilder,
) -> Option<(Script, Site)> {
    let engine = Script::start();
    let ground = ground_on(test, Some(engine.host())).await?;
    let mut cold = spec(COLD);
    cold.annotations.insert(ActionSpec::FRESH_SANDBOX.to_owned(), json!(true));
    let builder = change(ground.builder().engine_timeout(millis(1000)));
    let site = ground.site_on(builder, [cold]).await;
    site.fine().await;
    Some((engine, site))
}

/// Runs the action that needs a new container, which it does not get.
pub(crate) async fn refused(site: &Site) -> Error {
    let call = site.app.invoke(COLD, json!({}));
    let error = timeout(PATIENCE, call).await.expect("an end").expect_err("there is no container");
    let id = error.context("activation").expect("it was accepted").parse().unwrap();
    let record = site.app.activation(id).await.unwrap();
    assert_eq!(record.status(), Status::InternalError);
    assert_eq!(record.outcome.error().as_deref(), Some(error.message()));
    let report = format!("{error:?}");
    assert!(report.len() < 8 << 10, "a report of {} bytes", report.len());
    error
}

/// Runs the action in a container that it gets.
pub(crate) async fn succeeds(site: &Site) {
    let record = site.app.invoke(COLD, json!({ "secret": "a" })).await.unwrap();
    assert!(record.outcome.is_success(), "{:?}", record.outcome);
}

/// Answers that leave a caller without what it needs, with the kind of error that they are.
pub(crate) fn bad_answers() -> Vec<(Answer, ErrorKind)> {
    let refusal = |status, message: &str| Answer::Refusal(status, message.to_owned());
    vec![
        (refusal(409, "Conflict: it is in use"), ErrorKind::Internal),
        (refusal(500, "no space left on device"), ErrorKind::Internal),
        (refusal(500, &"long ".repeat(200 << 10)), ErrorKind::Internal),
        (Answer::Raw("what do you want?\r\n\r\n"), ErrorKind::Unavailable),
        (Answer::Raw("HTTP/1.1 500 No\r\nContent-Length: 90\r\n\r\n{\"message\": "), ErrorKind::Unavailable),
        (Answer::Half, ErrorKind::Unavailable),
        (Answer::Stalled, ErrorKind::Unavailable),
        (Answer::Silence, ErrorKind::Unavailable),
        (Answer::Closed, ErrorKind::Unavailable),
    ]
}

/// An answer in few words.
pub(crate) fn short(answer: &Answer) -> String {
    format!("{answer:?}").chars().take(60).collect()
}
