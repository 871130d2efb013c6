//! Invocations that AWS refuses, loses, or does not answer: what is tried again, and what never.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_lambda::Client;
use aws_sdk_lambda::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_lambda::error::ProvideErrorMetadata as _;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::InvocationType;
use faas_core::guest::lambda::wire::Told;
use faas_core::{ActivationQuery, Backend as _, ErrorKind, Invocation, Platform, Status};
use serde_json::json;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use crate::cloud::{Answer, Cloud, Response, Rule};
use crate::ground::{ECHO, artifact, backend, builder, deploy, echo, invocation, spec, told};
use crate::site::{ONCE, Site};

/// Refusals after which nothing has run, and something soon may.
const NOT_YET: [(u16, &str, ErrorKind); 9] = [
    (429, "TooManyRequestsException", ErrorKind::Throttled),
    (429, "ThrottlingException", ErrorKind::Throttled),
    (429, "SomeNewException", ErrorKind::Throttled),
    (502, "EC2ThrottledException", ErrorKind::Unavailable),
    (502, "EC2UnexpectedException", ErrorKind::Unavailable),
    (502, "ENILimitReachedException", ErrorKind::Unavailable),
    (502, "ResourceNotReadyException", ErrorKind::Unavailable),
    (408, "SnapStartNotReadyException", ErrorKind::Unavailable),
    // The function is being changed.
    (409, "ResourceConflictException", ErrorKind::Unavailable),
];

/// An invocation that may wait so long for its start.
fn within(limit: Duration) -> Invocation {
    let mut invocation = invocation(&json!({}));
    invocation.start_by = Instant::now() + limit;
    invocation
}

#[tokio::test]
async fn what_nothing_has_run_for_is_asked_again_until_it_runs_once() {
    let site = Site::new().await;
    for (status, code, _) in NOT_YET {
        site.cloud.script(Rule::next("Invoke", Answer::refusal(status, code, "not now")).times(2));
        let ended = site.run().await;
        assert!(ended.completed.as_ref().unwrap().outcome.is_success(), "{code}: {ended:?}");
        assert_eq!((ended.calls, ended.starts), (3, 1), "{code}");
    }
    site.healed().await;
}

#[tokio::test]
async fn what_is_never_run_is_given_back_at_its_latest_start_and_may_be_tried_elsewhere() {
    let site = Site::new().await;
    for (status, code, kind) in NOT_YET {
        site.cloud.script(Rule::next("Invoke", Answer::refusal(status, code, "not now")).always());
        let began = Instant::now();
        let ended = site.run_as(within(Duration::from_millis(300))).await;
        assert!(began.elapsed() < Duration::from_secs(2), "{code} took {:?}", began.elapsed());
        let error = ended.completed.unwrap_err();
        assert_eq!((error.kind(), error.is_temporary()), (kind, true), "{code}: {error}");
        assert!(error.message().contains(code), "{error}");
        assert!((2..=5).contains(&ended.calls) && ended.starts == 0, "{code}: {} calls", ended.calls);
        site.healed().await;
    }
}

#[tokio::test]
async fn the_time_that_aws_asks_for_is_given_or_the_invocation_given_back() {
    let site = Site::new().await;
    let told = |after: &str| {
        let refused = Response::refusal(429, "TooManyRequestsException", "Rate exceeded");
        Rule::next("Invoke", Answer::Said(refused.with_header("Retry-After", after)))
    };
    site.cloud.script(told("1"));
    let began = Instant::now();
    let ended = site.run().await;
    assert_eq!((ended.calls, ended.starts), (2, 1));
    assert!(began.elapsed() >= Duration::from_secs(1), "it took only {:?}", began.elapsed());
    for never in ["30", "18446744073709551615"] {
        site.cloud.script(told(never));
        let ended = site.run_as(within(Duration::from_secs(5))).await;
        let error = ended.completed.unwrap_err();
        assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Throttled, true), "{never}: {error}");
        assert_eq!((ended.calls, ended.starts), (1, 0), "{never}");
    }
    for nothing in ["soon", "-1", ""] {
        site.cloud.script(told(nothing));
        let ended = site.run().await;
        assert_eq!((ended.calls, ended.starts), (2, 1), "{nothing:?}");
    }
    site.healed().await;
}

/// What leaves open whether the function ran, and how often it did.
fn unclear() -> Vec<(Answer, usize)> {
    let raw = |text: &str| Answer::Raw(text.as_bytes().to_vec());
    vec![
        (Answer::refusal(500, "ServiceException", "An error occurred"), 0),
        (Answer::refusal(503, "ServiceUnavailableException", "no"), 0),
        (Answer::Said(Response::new(504, "<html>gateway</html>")), 0),
        (Answer::Closed, 0),
        (Answer::Lost, 1),
        (Answer::Half, 1),
        (raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"value\":"), 0),
        (raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{\"va"), 0),
        (raw("HTTP/1.1 200"), 0),
        (raw("\0\x01\x02 no HTTP"), 0),
    ]
}

#[tokio::test]
async fn what_may_have_run_is_lost_and_never_asked_again() {
    let site = Site::new().await;
    for (answer, starts) in unclear() {
        site.cloud.script(Rule::next("Invoke", answer.clone()));
        let ended = site.run().await;
        let error = ended.completed.unwrap_err();
        assert_eq!(
            (error.kind(), error.is_temporary()),
            (ErrorKind::SandboxLost, false),
            "{answer:?}: {error}"
        );
        assert_eq!((ended.calls, ended.starts), (1, starts), "{answer:?}");
        site.healed().await;
    }
}

#[tokio::test]
async fn an_action_that_may_be_tried_again_is_started_as_often_as_it_allows() {
    let site = Site::new().await;
    let app = Platform::builder()
        .backend(backend(&site.cloud, site.artifact()))
        .spec(spec(ECHO).with_retries(2))
        .spec(spec(ONCE))
        .build();
    let app = app.await.unwrap();
    for (answer, starts) in unclear() {
        site.cloud.script(Rule::next("Invoke", answer.clone()).always());
        for (action, allowed) in [(ECHO, 3), (ONCE, 1)] {
            let (calls, started) = (site.cloud.count("Invoke"), site.starts());
            let id = app.submit(action, &json!({})).await.unwrap();
            let record = app.activation(id).await.unwrap();
            assert_eq!(record.attempts, allowed, "{answer:?}: {record:?}");
            assert_eq!(record.outcome.status(), Status::InternalError, "{answer:?}: {:?}", record.outcome);
            assert_eq!(site.cloud.count("Invoke") - calls, allowed as usize, "{answer:?}");
            assert_eq!(site.starts() - started, starts * allowed as usize, "{answer:?}");
        }
        site.cloud.heal();
        assert!(app.invoke(ECHO, &json!({})).await.unwrap().outcome.is_success());
    }
    app.shutdown(Duration::from_secs(5)).await.unwrap();
}

#[tokio::test]
async fn whatever_is_submitted_invoked_or_warmed_is_waited_for_at_aws() {
    let site = Site::new().await;
    // The service here runs nothing else.
    let config = aws_sdk_lambda::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .endpoint_url(site.cloud.endpoint())
        .region(Region::new("eu-west-1"))
        .credentials_provider(Credentials::new("AKIDEXAMPLE", "a-secret", None, None, "test"))
        .build();
    let (client, name) = (Client::from_conf(config), site.cloud.names().remove(0));
    for kind in [InvocationType::Event, InvocationType::DryRun] {
        let call = client.invoke().function_name(&name).invocation_type(kind).payload(Blob::new("{}"));
        assert_eq!(call.send().await.unwrap_err().code(), Some("InvalidParameterValueException"));
    }
    assert_eq!(site.starts(), 0);

    let provisioning = builder(&site.cloud, site.artifact()).provisioned_concurrency(true).build().unwrap();
    let deployment = deploy(&provisioning, spec(ECHO)).await.unwrap();
    assert_eq!(provisioning.warm(&deployment, 1).await.unwrap(), 1);
    provisioning.shutdown().await.unwrap();
    let app = Platform::builder().backend(backend(&site.cloud, site.artifact())).spec(spec(ECHO));
    let app = app.build().await.unwrap();
    assert!(app.invoke(ECHO, &json!({})).await.unwrap().outcome.is_success());
    let id = app.submit(ECHO, &json!({})).await.unwrap();
    assert!(app.activation(id).await.unwrap().outcome.is_success());
    assert_eq!(site.starts(), 3);
    app.shutdown(Duration::from_secs(5)).await.unwrap();
    site.healed().await;
}

#[tokio::test]
async fn an_answer_that_is_late_or_comes_twice_makes_no_second_record() {
    let (began, gate) = (Arc::new(watch::Sender::new(0)), Arc::new(Semaphore::new(0)));
    let (running, opened) = (Arc::clone(&began), Arc::clone(&gate));
    let cloud = Cloud::start(move |invoked| {
        let (running, opened) = (Arc::clone(&running), Arc::clone(&opened));
        Box::pin(async move {
            running.send_modify(|count| *count += 1);
            opened.acquire().await.unwrap().forget();
            running.send_modify(|count| *count += 1);
            echo(&invoked)
        })
    });
    let (cloud, artifact) = (cloud.await, artifact());
    let app = Platform::builder().backend(backend(&cloud, &artifact)).spec(spec(ECHO));
    let app = app.build().await.unwrap();
    let records = async || app.count_activations(&ActivationQuery::default()).await.unwrap();

    let late = app.submit(ECHO, &json!({})).await.unwrap();
    began.subscribe().wait_for(|count| *count == 1).await.unwrap();
    tokio::time::pause();
    let record = app.activation(late).await.unwrap();
    tokio::time::resume();
    assert_eq!(record.outcome.status(), Status::InternalError, "{:?}", record.outcome);
    gate.add_permits(1);
    began.subscribe().wait_for(|count| *count == 2).await.unwrap();

    let answer = |n| Response::new(200, told(Told::default(), &json!({ "n": n })).payload).bytes();
    cloud.script(Rule::next("Invoke", Answer::Raw([answer(1), answer(2)].concat())));
    let twice = app.invoke(ECHO, &json!({})).await.unwrap();
    assert_eq!(twice.outcome.result().to_value(), json!({ "n": 1 }));

    gate.add_permits(1);
    assert!(app.invoke(ECHO, &json!({})).await.unwrap().outcome.is_success());
    assert_eq!(app.activation(late).await.unwrap().outcome, record.outcome);
    assert_eq!((records().await, cloud.count("Invoke")), (3, 3));
    app.shutdown(Duration::from_secs(5)).await.unwrap();
}

#[tokio::test]
async fn a_refusal_that_stays_one_is_told_at_once_by_its_kind() {
    let site = Site::new().await;
    for (status, code, kind) in [
        (403, "AccessDeniedException", ErrorKind::PermissionDenied),
        (403, "ExpiredTokenException", ErrorKind::PermissionDenied),
        (403, "UnrecognizedClientException", ErrorKind::PermissionDenied),
        (403, "InvalidSignatureException", ErrorKind::PermissionDenied),
        (403, "SomeNewException", ErrorKind::PermissionDenied),
        (502, "KMSAccessDeniedException", ErrorKind::PermissionDenied),
        (404, "ResourceNotFoundException", ErrorKind::NotFound),
        (413, "RequestTooLargeException", ErrorKind::InvalidArgument),
        (400, "InvalidRequestContentException", ErrorKind::InvalidArgument),
        (502, "InvalidZipFileException", ErrorKind::Internal),
        (502, "KMSDisabledException", ErrorKind::Internal),
        (502, "InvalidSubnetIDException", ErrorKind::Internal),
        (418, "SomeNewException", ErrorKind::Internal),
    ] {
        site.cloud.script(Rule::next("Invoke", Answer::refusal(status, code, "the reason")));
        let ended = site.run().await;
        let error = ended.completed.unwrap_err();
        assert_eq!((error.kind(), error.is_temporary()), (kind, false), "{code}: {error}");
        assert!(error.message().contains(code) && error.message().contains("the reason"), "{error}");
        assert_eq!((ended.calls, ended.starts), (1, 0), "{code}");
        site.healed().await;
    }
}

#[tokio::test]
async fn a_function_that_somebody_has_deleted_is_missing_until_it_is_deployed_again() {
    let site = Site::new().await;
    site.healed().await;
    site.cloud.plane().clear();
    let ended = site.run().await;
    assert_eq!(ended.completed.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!((ended.calls, ended.starts), (1, 0));
    deploy(&site.backend, spec(ECHO)).await.unwrap();
    site.healed().await;
}

#[tokio::test]
async fn a_region_that_is_down_is_waited_for_and_given_back_at_the_latest_start() {
    let site = Site::new().await;
    site.healed().await;
    site.cloud.down().await;
    let error = site.run_as(within(Duration::from_millis(300))).await.completed.unwrap_err();
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Unavailable, true), "{error}");
    let back = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        site.cloud.up().await;
    };
    let (ended, ()) = tokio::join!(site.run(), back);
    assert!(ended.completed.as_ref().unwrap().outcome.is_success(), "{ended:?}");
    assert_eq!((ended.calls, ended.starts), (1, 1));
    site.healed().await;
}

#[tokio::test]
async fn an_answer_that_comes_after_all_patience_leaves_open_whether_it_ran() {
    let site = Site::new().await;
    for (answer, starts) in [(Answer::Unanswered, 1), (Answer::Stalled, 0)] {
        let before = (site.cloud.count("Invoke"), site.starts());
        site.cloud.script(Rule::next("Invoke", answer));
        let run = site.run();
        let ended = async {
            while (site.cloud.count("Invoke"), site.starts()) != (before.0 + 1, before.1 + starts) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            // Its patience ends while AWS has nothing to say.
            tokio::time::pause();
        };
        let (ended, ()) = tokio::join!(run, ended);
        tokio::time::resume();
        let error = ended.completed.unwrap_err();
        assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::SandboxLost, false), "{error}");
        assert!(error.message().ends_with("does not answer; whether it ran is not known"), "{error}");
        assert_eq!((ended.calls, ended.starts), (1, starts));
        site.healed().await;
    }
}
