//! Deployments that are cut off, lose calls, or are not alone.

use std::sync::Arc;

use faas_backend_lambda::LambdaBackend;
use faas_core::{ErrorKind, MemoryMib};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::cloud::{Answer, Cloud, Fate, Rule};
use crate::ground::{Artifact, ECHO, artifact, backend, builder, deploy, echoing, result, spec};

/// What is brought to the same end whatever happens on the way.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// Nothing is there.
    New,
    /// Code, configuration and tags differ.
    Changed,
    /// The same, and what was reserved is no longer.
    Unreserved,
    /// Code, configuration and tags differ, and the code goes through a bucket.
    #[cfg(feature = "s3")]
    Bucket,
}

/// All of them.
const WAYS: &[Way] = &[
    Way::New,
    Way::Changed,
    Way::Unreserved,
    #[cfg(feature = "s3")]
    Way::Bucket,
];

impl Way {
    fn is_bucket(self) -> bool {
        !matches!(self, Self::New | Self::Changed | Self::Unreserved)
    }

    /// What brings it to its end.
    fn backend(self, cloud: &Cloud, artifact: &Artifact) -> LambdaBackend {
        let builder = builder(cloud, artifact).tag("team", "red");
        let builder = match self {
            Self::New | Self::Changed => builder.reserved_concurrency(5),
            Self::Unreserved => builder,
            #[cfg(feature = "s3")]
            Self::Bucket => builder.bucket("zips").largest_sent(2),
        };
        builder.build().unwrap()
    }
}

/// A service where the way begins, and what is to be deployed.
async fn begun(way: Way) -> (Arc<Cloud>, Artifact) {
    let (cloud, artifact) = (echoing().await, artifact());
    if !matches!(way, Way::New) {
        let earlier = builder(&cloud, &artifact).reserved_concurrency(3).build().unwrap();
        deploy(&earlier, spec(ECHO)).await.unwrap();
        cloud.plane().on_update = Fate { looks: 1, failure: None };
        artifact.write(b"two", &[ECHO]);
    }
    (Arc::new(cloud), artifact)
}

async fn finished(way: Way, cloud: &Cloud, artifact: &Artifact) -> Value {
    let backend = way.backend(cloud, artifact);
    let spec = spec(ECHO).with_memory(MemoryMib::new(300));
    let deployment = deploy(&backend, spec).await.unwrap();
    let ran = result(&backend, &deployment).await;
    let objects: Vec<String> = cloud.plane().objects.keys().cloned().collect();
    assert_eq!(objects.is_empty(), !way.is_bucket(), "{objects:?}");
    json!({ "ran": ran, "state": cloud.summary(), "objects": objects })
}

/// How it ends with nothing in the way, and the number of calls that takes.
async fn undisturbed(way: Way) -> (Value, usize) {
    let (cloud, artifact) = begun(way).await;
    let before = cloud.calls().len();
    let whole = finished(way, &cloud, &artifact).await;
    let calls = cloud.calls_since(before);
    (whole, calls.iter().take_while(|call| call.operation != "Invoke").count())
}

/// Deploys, and is dropped before the call after so many is done. Whether there was one.
async fn cut_off(way: Way, cloud: &Cloud, artifact: &Artifact, calls: usize) -> bool {
    let backend = way.backend(cloud, artifact);
    cloud.hold_after(calls);
    let deploying = deploy(&backend, spec(ECHO).with_memory(MemoryMib::new(300)));
    let is_cut = tokio::select! {
        _ = cloud.held() => true,
        deployed = deploying => deployed.map(|_| false).unwrap(),
    };
    cloud.gone().await;
    cloud.heal();
    is_cut
}

#[tokio::test]
async fn a_deployment_that_was_cut_off_between_any_two_calls_ends_the_same() {
    for &way in WAYS {
        let (whole, calls) = undisturbed(way).await;
        let mut cut = JoinSet::new();
        for number in 0..calls {
            cut.spawn(async move {
                let (cloud, artifact) = begun(way).await;
                assert!(cut_off(way, &cloud, &artifact, number).await, "{way:?} has no call {number}");
                (format!("{way:?}, cut off after {number} calls"), finished(way, &cloud, &artifact).await)
            });
        }
        assert!(cut.len() >= 8, "{way:?} took only {calls} calls");
        while let Some(ended) = cut.join_next().await {
            let (what, end) = ended.unwrap();
            assert_eq!(end, whole, "{what}");
        }
    }
}

#[tokio::test]
async fn a_deployment_ends_the_same_whichever_call_is_lost() {
    for &way in WAYS {
        let (whole, calls) = undisturbed(way).await;
        let mut lost = JoinSet::new();
        for number in 0..calls {
            for answer in [
                Answer::Lost,
                Answer::Half,
                Answer::Closed,
                Answer::refusal(500, "ServiceException", "An error occurred"),
                Answer::refusal(429, "TooManyRequestsException", "Rate exceeded"),
                Answer::Raw(b"HTTP/1.1 502 Bad\r\nContent-Length: 6\r\n\r\n<html>".to_vec()),
            ] {
                lost.spawn(async move {
                    let (cloud, artifact) = begun(way).await;
                    cloud.script(Rule::any(answer.clone()).after(number));
                    (format!("{way:?}, call {number}: {answer:?}"), finished(way, &cloud, &artifact).await)
                });
            }
        }
        assert!(lost.len() >= 48, "{way:?} took only {calls} calls");
        while let Some(ended) = lost.join_next().await {
            let (what, end) = ended.unwrap();
            assert_eq!(end, whole, "{what}");
        }
    }
}

#[tokio::test]
async fn two_who_deploy_the_same_at_once_find_the_others_work() {
    let (cloud, artifact) = (echoing().await, artifact());
    cloud.plane().on_create = Fate { looks: 2, failure: None };
    let (one, other) = (backend(&cloud, &artifact), backend(&cloud, &artifact));
    let (first, second) = tokio::join!(deploy(&one, spec(ECHO)), deploy(&other, spec(ECHO)));
    assert_eq!(result(&one, &first.unwrap()).await["version"], "1");
    assert_eq!(result(&other, &second.unwrap()).await["version"], "1");
    assert_eq!(cloud.names().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_who_deploy_different_code_at_once_each_invoke_their_own() {
    let (one, other) = (Artifact::of("one", &[ECHO]), Artifact::of("other", &[ECHO]));
    for looks in [0, 1, 2] {
        let cloud = echoing().await;
        cloud.plane().on_update = Fate { looks, failure: None };
        let small = spec(ECHO).with_memory(MemoryMib::new(200));
        let (first, second) = (backend(&cloud, &one), backend(&cloud, &other));
        let (small, large) = tokio::join!(deploy(&first, small), deploy(&second, spec(ECHO)));
        let (small, large) = (result(&first, &small.unwrap()).await, result(&second, &large.unwrap()).await);
        assert_eq!((&small["zip"], &small["memory"]), (&json!("one"), &json!(200)));
        assert_eq!((&large["zip"], &large["memory"]), (&json!("other"), &json!(256)));
        assert_ne!(small["version"], large["version"]);
        let name = cloud.names().remove(0);
        let led = cloud.summary()[name]["aliases"]["live"].take();
        let latest = std::cmp::max(small["version"].as_str(), large["version"].as_str());
        assert_eq!(led.as_str(), latest, "the alias leads to the later version");
    }
}

#[tokio::test]
async fn a_deployment_is_given_up_where_trying_again_is_of_no_use() {
    let (cloud, artifact) = (echoing().await, artifact());
    for (answer, kind, calls) in [
        (Answer::refusal(500, "ServiceException", "no"), ErrorKind::Unavailable, 8),
        (Answer::Closed, ErrorKind::Unavailable, 8),
        (Answer::refusal(403, "AccessDeniedException", "no"), ErrorKind::PermissionDenied, 1),
        (Answer::refusal(400, "InvalidParameterValueException", "no"), ErrorKind::InvalidArgument, 1),
        (Answer::refusal(400, "CodeStorageExceededException", "no"), ErrorKind::Exhausted, 1),
    ] {
        let before = cloud.calls().len();
        cloud.script(Rule::any(answer.clone()).always());
        let error = deploy(&backend(&cloud, &artifact), spec(ECHO)).await.unwrap_err();
        cloud.heal();
        assert_eq!(error.kind(), kind, "{answer:?}: {error}");
        assert_eq!(cloud.calls_since(before).len(), calls, "{answer:?}");
    }
    let backend = backend(&cloud, &artifact);
    let deployment = deploy(&backend, spec(ECHO)).await.unwrap();
    assert_eq!(result(&backend, &deployment).await["version"], "1");
}
