//! Bringing functions to what actions ask for.

use std::time::Duration;

use faas_backend_lambda::LambdaBackend;
use faas_core::{Backend as _, ErrorKind, MemoryMib};
use serde_json::json;
use tokio::time::Instant;

#[cfg(feature = "s3")]
use crate::cloud::Response;
use crate::cloud::{Answer, Fate, Rule};
use crate::ground::{
    Artifact, ECHO, ROLE, artifact, backend, builder, builder_at, deploy, echoing, invocation, result, spec,
};

#[tokio::test]
async fn an_action_is_deployed_once_and_an_unchanged_one_only_looked_at() {
    let (cloud, artifact) = (echoing().await, artifact());
    let first = backend(&cloud, &artifact);
    let deployment = deploy(&first, spec(ECHO)).await.unwrap();
    for operation in ["CreateFunction", "PublishVersion", "CreateAlias"] {
        assert_eq!(cloud.count(operation), 1, "{operation}: {:#?}", cloud.calls());
    }
    assert_eq!(result(&first, &deployment).await["version"], "1");

    let before = cloud.calls().len();
    let again = backend(&cloud, &artifact);
    let deployment = deploy(&again, spec(ECHO)).await.unwrap();
    let calls = cloud.calls_since(before);
    assert!((1..=4).contains(&calls.len()) && calls.iter().all(|call| call.is_reading()), "{calls:#?}");
    assert_eq!(result(&again, &deployment).await["version"], "1");
}

#[tokio::test]
async fn only_what_differs_is_changed() {
    let (cloud, artifact) = (echoing().await, artifact());
    deploy(&backend(&cloud, &artifact), spec(ECHO)).await.unwrap();

    artifact.write(b"two", &[ECHO]);
    let other_code = backend(&cloud, &artifact);
    let deployment = deploy(&other_code, spec(ECHO)).await.unwrap();
    assert_eq!((cloud.count("UpdateFunctionCode"), cloud.count("UpdateFunctionConfiguration")), (1, 0));
    let ran = result(&other_code, &deployment).await;
    assert_eq!((&ran["version"], &ran["zip"]), (&json!("2"), &json!("two")));

    let larger = spec(ECHO).with_memory(MemoryMib::new(512));
    let deployment = deploy(&other_code, larger).await.unwrap();
    assert_eq!((cloud.count("UpdateFunctionCode"), cloud.count("UpdateFunctionConfiguration")), (1, 1));
    let ran = result(&other_code, &deployment).await;
    assert_eq!((&ran["version"], &ran["zip"], &ran["memory"]), (&json!("3"), &json!("two"), &json!(512)));
    assert_eq!((cloud.count("CreateFunction"), cloud.count("PublishVersion")), (1, 3));
    let name = &cloud.names()[0];
    assert_eq!(cloud.summary()[name]["aliases"], json!({ "live": "3" }));
}

#[tokio::test]
async fn a_role_that_lambda_does_not_know_yet_is_waited_for() {
    let (cloud, artifact) = (echoing().await, artifact());
    cloud.plane().unknown_roles = 2;
    deploy(&backend(&cloud, &artifact), spec(ECHO)).await.unwrap();
    assert_eq!(cloud.count("CreateFunction"), 3);
    cloud.plane().unknown_roles = 1;
    let other = builder(&cloud, &artifact).role(format!("{ROLE}-2")).build().unwrap();
    let deployment = deploy(&other, spec(ECHO)).await.unwrap();
    assert_eq!(cloud.count("UpdateFunctionConfiguration"), 2);
    assert_eq!(result(&other, &deployment).await["version"], "2");
}

#[tokio::test]
async fn a_function_that_somebody_else_made_is_refused_and_untouched() {
    let (cloud, artifact) = (echoing().await, artifact());
    deploy(&backend(&cloud, &artifact), spec(ECHO)).await.unwrap();
    cloud.plane().untag();
    artifact.write(b"two", &[ECHO]);
    let (state, before) = (cloud.summary(), cloud.calls().len());
    let error = deploy(&backend(&cloud, &artifact), spec(ECHO)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error}");
    assert!(error.message().contains("Choose another prefix"), "{error}");
    assert!(cloud.calls_since(before).iter().all(|call| call.is_reading()), "{:?}", cloud.calls());
    assert_eq!(cloud.summary(), state);
    let other = builder(&cloud, &artifact).prefix("mine").build().unwrap();
    let deployment = deploy(&other, spec(ECHO)).await.unwrap();
    assert_eq!(result(&other, &deployment).await["zip"], "two");
}

#[tokio::test]
async fn two_packages_with_an_action_of_one_name_each_need_a_prefix() {
    let (cloud, ours) = (echoing().await, artifact());
    let theirs = Artifact::of_package("other", "two", &[ECHO]);
    let first = backend(&cloud, &ours);
    let deployment = deploy(&first, spec(ECHO)).await.unwrap();
    let (state, before) = (cloud.summary(), cloud.calls().len());
    let error = deploy(&backend(&cloud, &theirs), spec(ECHO)).await.unwrap_err();
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::AlreadyExists, false), "{error}");
    let text = "is of package 'fixture', and the action of package 'other'. Choose another prefix";
    assert!(error.message().contains(text), "{error}");
    assert!(cloud.calls_since(before).iter().all(|call| call.is_reading()), "{:?}", cloud.calls());
    assert_eq!(cloud.summary(), state);

    let second = builder(&cloud, &theirs).prefix("other").build().unwrap();
    let other = deploy(&second, spec(ECHO)).await.unwrap();
    assert_eq!(result(&second, &other).await["zip"], "two");
    second.remove(&other).await.unwrap();
    assert_eq!(cloud.summary(), state);
    assert_eq!(result(&first, &deployment).await["zip"], "one");
}

#[tokio::test]
async fn who_may_not_list_tags_is_told_which_permission_that_needs() {
    let (cloud, artifact) = (echoing().await, artifact());
    deploy(&backend(&cloud, &artifact), spec(ECHO)).await.unwrap();
    let before = cloud.calls().len();
    cloud.plane().withholds_tags = Some("AccessDeniedException");
    let error = deploy(&backend(&cloud, &artifact), spec(ECHO)).await.unwrap_err();
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::PermissionDenied, false), "{error}");
    assert!(error.message().contains("needs the permission lambda:ListTags: AccessDenied"), "{error}");
    assert_eq!(cloud.calls_since(before).len(), 1);

    cloud.plane().withholds_tags = Some("ThrottlingException");
    let hasty = builder(&cloud, &artifact).deploy_timeout(Duration::from_secs(1)).build().unwrap();
    let error = deploy(&hasty, spec(ECHO)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DeadlineExceeded, "{error}");
    assert!(error.message().contains("ThrottlingException"), "{error}");
    cloud.plane().withholds_tags = None;
    deploy(&hasty, spec(ECHO)).await.unwrap();
}

#[tokio::test]
async fn without_a_role_functions_are_found_and_not_made() {
    let (cloud, artifact) = (echoing().await, artifact());
    let roleless = builder_at(&cloud.endpoint()).artifact(artifact.folder()).build().unwrap();
    let error = deploy(&roleless, spec(ECHO)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    assert!(error.message().contains("FAAS_LAMBDA_ROLE"), "{error}");
    assert_eq!(cloud.count("CreateFunction"), 0);
    deploy(&backend(&cloud, &artifact), spec(ECHO)).await.unwrap();
    let deployment = deploy(&roleless, spec(ECHO)).await.unwrap();
    assert_eq!(result(&roleless, &deployment).await["version"], "1");
}

#[tokio::test]
async fn a_zip_that_is_too_large_is_refused_before_any_call() {
    let (cloud, large) = (echoing().await, Artifact::of(vec![0; (50 << 20) + 1], &[ECHO]));
    let error = deploy(&backend(&cloud, &large), spec(ECHO)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    assert!(error.message().contains("FAAS_LAMBDA_BUCKET"), "{error}");
    assert_eq!(cloud.calls(), []);
    large.write(b"small", &[ECHO]);
    let fine = backend(&cloud, &large);
    let deployment = deploy(&fine, spec(ECHO)).await.unwrap();
    assert_eq!(result(&fine, &deployment).await["zip"], "small");
}

#[cfg(feature = "s3")]
#[tokio::test]
async fn a_zip_that_is_too_large_goes_through_a_bucket_once() {
    let (cloud, large) = (echoing().await, Artifact::of(vec![b'x'; (50 << 20) + 1], &[ECHO]));
    for _ in 0..2 {
        let through = builder(&cloud, &large).bucket("zips").build().unwrap();
        let deployment = deploy(&through, spec(ECHO)).await.unwrap();
        assert_eq!(result(&through, &deployment).await["version"], "1");
    }
    assert_eq!((cloud.count("PutObject"), cloud.plane().objects.len()), (1, 1));
    assert_eq!(cloud.count("CreateFunction"), 1);

    // Nothing is asked of a bucket for what is deployed already.
    assert_eq!(cloud.count("HeadObject"), 1);

    let hasty = || {
        let builder = builder(&cloud, &large).bucket("other").prefix("other");
        builder.deploy_timeout(Duration::from_secs(1)).build().unwrap()
    };
    let denied = Answer::Said(Response::new(403, "<Error><Code>AccessDenied</Code></Error>"));
    for (answer, kind) in
        [(Answer::Stalled, ErrorKind::DeadlineExceeded), (denied, ErrorKind::PermissionDenied)]
    {
        let before = cloud.count("PutObject");
        cloud.script(Rule::next("PutObject", answer));
        let error = deploy(&hasty(), spec(ECHO)).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert_eq!(cloud.count("PutObject") - before, 1);
    }
    deploy(&hasty(), spec(ECHO)).await.unwrap();
}

#[tokio::test]
async fn what_is_beyond_the_ranges_of_lambda_is_refused_before_any_call() {
    let (cloud, artifact) = (echoing().await, Artifact::of("one", &[ECHO]));
    let backend = backend(&cloud, &artifact);
    let large = "x".repeat(4096);
    for (spec, kind) in [
        (spec(ECHO).with_timeout(Duration::from_secs(900)), ErrorKind::Unsupported),
        (spec(ECHO).with_env("LARGE", large), ErrorKind::Unsupported),
        (spec(ECHO).with_memory(MemoryMib::new(10_241)), ErrorKind::InvalidArgument),
        (spec("missing"), ErrorKind::NotFound),
    ] {
        let error = deploy(&backend, spec).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
    }
    assert_eq!(cloud.calls(), []);
    let most = spec(ECHO).with_timeout(Duration::from_millis(899_750)).with_memory(MemoryMib::new(10_240));
    let deployment = deploy(&backend, most).await.unwrap();
    assert_eq!(result(&backend, &deployment).await["memory"], 10_240);
}

#[tokio::test]
async fn variables_of_exactly_four_kibibytes_are_taken_and_a_byte_more_is_refused_before_any_call() {
    let (cloud, artifact) = (echoing().await, artifact());
    let backend = backend(&cloud, &artifact);
    let sized = |count| spec(ECHO).with_env("QUOTED", "\"".repeat(300)).with_env("PLAIN", "x".repeat(count));
    // What there is room for is told by the refusal.
    let error = deploy(&backend, sized(4096)).await.unwrap_err();
    let words = error.message().split_whitespace();
    let bytes = words.filter_map(|word| word.parse::<usize>().ok()).next().unwrap();
    let most = 4096 - (bytes - 4096);
    assert_eq!(deploy(&backend, sized(most + 1)).await.unwrap_err().kind(), ErrorKind::Unsupported);
    assert_eq!(cloud.calls(), []);
    let deployment = deploy(&backend, sized(most)).await.unwrap();
    assert_eq!(result(&backend, &deployment).await["version"], "1");
    let name = cloud.names().remove(0);
    let variables = cloud.summary()[name]["latest"]["Environment"]["Variables"].take();
    assert_eq!(variables.to_string().len(), 4096);
}

#[tokio::test]
async fn a_function_is_used_when_it_is_ready() {
    let (cloud, artifact) = (echoing().await, artifact());
    {
        let mut plane = cloud.plane();
        let fate = Fate { looks: 2, failure: None };
        (plane.on_create, plane.on_update, plane.on_publish) = (fate.clone(), fate.clone(), fate);
    }
    for zip in ["one", "two"] {
        artifact.write(zip.as_bytes(), &[ECHO]);
        let backend = backend(&cloud, &artifact);
        let deployment = deploy(&backend, spec(ECHO)).await.unwrap();
        assert_eq!(result(&backend, &deployment).await["zip"], zip);
    }
    assert_eq!(cloud.count("PublishVersion"), 2, "{:#?}", cloud.calls());
}

#[tokio::test]
async fn what_cannot_be_made_ready_is_told_with_the_reason() {
    let (cloud, artifact) = (echoing().await, artifact());
    cloud.plane().on_create = Fate { looks: 1, failure: Some("the image is broken") };
    let error = deploy(&backend(&cloud, &artifact), spec(ECHO)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Internal, "{error}");
    assert!(error.message().ends_with("it has to be deleted: the image is broken"), "{error}");

    let other = || builder(&cloud, &artifact).prefix("other").build().unwrap();
    cloud.plane().on_create = Fate::default();
    deploy(&other(), spec(ECHO)).await.unwrap();
    artifact.write(b"two", &[ECHO]);
    cloud.plane().on_update = Fate { looks: 1, failure: Some("no room for code") };
    let error = deploy(&other(), spec(ECHO)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Internal, "{error}");
    assert!(error.message().ends_with("its last update failed: no room for code"), "{error}");

    cloud.plane().on_update = Fate::default();
    let healed = other();
    let deployment = deploy(&healed, spec(ECHO)).await.unwrap();
    assert_eq!(result(&healed, &deployment).await["zip"], "two");
}

#[tokio::test]
async fn a_deployment_ends_at_its_timeout() {
    let (cloud, artifact) = (echoing().await, artifact());
    let hasty = || builder(&cloud, &artifact).deploy_timeout(Duration::from_secs(1)).build().unwrap();
    cloud.script(Rule::next("GetFunction", Answer::Stalled));
    let error = deploy(&hasty(), spec(ECHO)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DeadlineExceeded, "{error}");
    assert!(error.message().ends_with("not ready within 1s: AWS does not answer"), "{error}");
    // Who waits for the turn of another one waits no longer.
    let backend = hasty();
    cloud.script(Rule::next("GetFunction", Answer::Stalled).times(2));
    let (one, other) = tokio::join!(deploy(&backend, spec(ECHO)), deploy(&backend, spec(ECHO)));
    cloud.heal();
    for error in [one.unwrap_err(), other.unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::DeadlineExceeded, "{error}");
    }
    cloud.plane().on_create = Fate { looks: u32::MAX, failure: None };
    let error = deploy(&hasty(), spec(ECHO)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DeadlineExceeded, "{error}");
    assert!(error.message().contains("AWS is making it ready"), "{error}");
    cloud.plane().on_create = Fate::default();
    let limit = Duration::from_secs(1);
    let other = builder(&cloud, &artifact).prefix("other").deploy_timeout(limit).build().unwrap();
    // What is deployed is, though old versions cannot be swept in time.
    cloud.script(Rule::next("ListVersionsByFunction", Answer::Stalled));
    let deployment = deploy(&other, spec(ECHO)).await.unwrap();
    assert_eq!(result(&other, &deployment).await["version"], "1");
}

#[tokio::test]
async fn old_versions_are_swept_and_those_in_use_are_kept() {
    let (cloud, artifact) = (echoing().await, artifact());
    cloud.plane().page = 2;
    let sized = |mib| spec(ECHO).with_memory(MemoryMib::new(mib));
    let versions = || {
        let name = cloud.names().remove(0);
        let state = cloud.summary();
        let versions = state[&name]["versions"].as_object().unwrap().keys().cloned();
        versions.map(|version| version.parse().unwrap()).collect::<Vec<u32>>()
    };
    let earlier = backend(&cloud, &artifact);
    for mib in 128..132 {
        deploy(&earlier, sized(mib)).await.unwrap();
    }
    assert_eq!(versions(), [1, 2, 3, 4]);
    let later = builder(&cloud, &artifact).keep_versions(2).build().unwrap();
    let mut deployments = Vec::new();
    for (mib, left) in [(132, vec![4, 5]), (133, vec![5, 6]), (134, vec![5, 6, 7]), (135, vec![5, 6, 7, 8])] {
        deployments.push(deploy(&later, sized(mib)).await.unwrap());
        assert_eq!(versions(), left);
    }
    for (version, deployment) in (5..).zip(&deployments) {
        assert_eq!(result(&later, deployment).await["version"], version.to_string());
    }
}

#[tokio::test]
async fn tags_reserved_concurrency_and_the_alias_are_brought_along() {
    let (cloud, artifact) = (echoing().await, artifact());
    let with = |team: &str, reserved| {
        builder(&cloud, &artifact).tag("team", team).tag("env", "test").reserved_concurrency(reserved)
    };
    let first = with("red", 7).alias("next").build().unwrap();
    deploy(&first, spec(ECHO)).await.unwrap();
    let state = || {
        let name = cloud.names().remove(0);
        let state = cloud.summary()[name].take();
        (state["tags"].clone(), state["reserved"].clone(), state["aliases"].clone())
    };
    let tags = |team| {
        json!({
            "io.faas.made-by": "faas", "io.faas.package": "fixture", "io.faas.reserved": "true", "team": team,
            "env": "test",
        })
    };
    assert_eq!(state(), (tags("red"), json!(7), json!({ "next": "1" })));
    assert_eq!((cloud.count("TagResource"), cloud.count("PutFunctionConcurrency")), (0, 1));

    let second = with("blue", 9).build().unwrap();
    let deployment = deploy(&second, spec(ECHO)).await.unwrap();
    assert_eq!(state(), (tags("blue"), json!(9), json!({ "live": "1", "next": "1" })));
    assert_eq!((cloud.count("TagResource"), cloud.count("PutFunctionConcurrency")), (1, 2));
    assert_eq!(result(&second, &deployment).await["version"], "1");

    // What the action asks for goes before what the backend is told.
    let mut own = spec(ECHO);
    own.annotations.insert(LambdaBackend::RESERVED_CONCURRENCY.to_owned(), json!(3));
    deploy(&with("blue", 9).build().unwrap(), own).await.unwrap();
    assert_eq!(state().1, json!(3));

    // More than the account has left for it.
    let error = deploy(&with("blue", 950).build().unwrap(), spec(ECHO)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    assert!(error.message().contains("UnreservedConcurrentExecution"), "{error}");
}

#[tokio::test]
async fn what_is_reserved_no_longer_is_given_back_and_what_somebody_else_reserved_is_not() {
    let (cloud, artifact) = (echoing().await, artifact());
    let state = || cloud.summary()[&cloud.names()[0]].take();
    deploy(&builder(&cloud, &artifact).reserved_concurrency(7).build().unwrap(), spec(ECHO)).await.unwrap();
    assert_eq!((&state()["reserved"], &state()["tags"]["io.faas.reserved"]), (&json!(7), &json!("true")));
    for _ in 0..2 {
        let before = cloud.calls().len();
        deploy(&backend(&cloud, &artifact), spec(ECHO)).await.unwrap();
        assert!(
            state()["reserved"].is_null() && state()["tags"]["io.faas.reserved"].is_null(),
            "{}",
            state()
        );
        assert!(cloud.calls_since(before).len() <= 5, "{:#?}", cloud.calls_since(before));
    }
    assert_eq!((cloud.count("DeleteFunctionConcurrency"), cloud.count("UntagResource")), (1, 1));

    cloud.plane().reserve(2);
    deploy(&backend(&cloud, &artifact), spec(ECHO)).await.unwrap();
    assert_eq!(state()["reserved"], 2);
}

#[tokio::test]
async fn an_action_with_nothing_reserved_for_it_never_runs() {
    let (cloud, artifact) = (echoing().await, artifact());
    let backend = backend(&cloud, &artifact);
    let mut none = spec(ECHO);
    none.annotations.insert(LambdaBackend::RESERVED_CONCURRENCY.to_owned(), json!(0));
    let deployment = deploy(&backend, none).await.unwrap();
    let mut invocation = invocation(&json!({}));
    invocation.start_by = Instant::now() + Duration::from_millis(200);
    let error = backend.invoke(&deployment, invocation).await.unwrap_err();
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Throttled, true), "{error}");
    let deployment = deploy(&backend, spec(ECHO)).await.unwrap();
    assert_eq!(result(&backend, &deployment).await["version"], "2");
}
