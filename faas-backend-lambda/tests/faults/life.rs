//! What deployments go through beside runs: adoption, warming, removal, shutdown.

use std::sync::Arc;
use std::time::Duration;

use faas_backend_lambda::LambdaBackend;
use faas_core::guest::lambda::wire::Told;
use faas_core::{Backend as _, ErrorKind, MemoryMib};
use serde_json::json;
use tokio::sync::{Semaphore, watch};

use crate::cloud::{Answer, Cloud, Fate, Rule};
use crate::ground::{
    Artifact, ECHO, artifact, backend, boxed, builder, builder_at, deploy, echo, echoing, invocation, result,
    spec, told,
};
use crate::site::Site;

/// What AWS calls functions of the account that all are in here.
const ARN: &str = "arn:aws:lambda:eu-west-1:123456789012:function:";

fn adopting(cloud: &Cloud, function: &str) -> LambdaBackend {
    builder_at(&cloud.endpoint()).adopt(ECHO, function).provisioned_concurrency(true).build().unwrap()
}

#[tokio::test]
async fn a_function_is_adopted_by_its_arn_and_never_changed() {
    let site = Site::new().await;
    deploy(&site.backend, spec(ECHO).with_memory(MemoryMib::new(300))).await.unwrap();
    let (name, state) = (site.cloud.names().remove(0), site.cloud.summary());
    let before = site.cloud.calls().len();
    for (qualifier, version) in [(":1", "1"), (":2", "2"), (":live", "2"), ("", "$LATEST")] {
        let backend = adopting(&site.cloud, &format!("{ARN}{name}{qualifier}"));
        let deployment = deploy(&backend, spec(ECHO)).await.unwrap();
        assert_eq!(backend.warm(&deployment, 2).await.unwrap(), 0);
        let starts = site.starts();
        backend.invoke(&deployment, invocation(&json!({ "n": 1 }))).await.unwrap();
        assert_eq!((site.starts() - starts, site.last().version), (1, version.to_owned()), "{qualifier}");
        backend.remove(&deployment).await.unwrap();
        backend.shutdown().await.unwrap();
    }
    let calls = site.cloud.calls_since(before);
    assert!(calls.iter().all(|call| call.is_reading() || call.operation == "Invoke"), "{calls:#?}");
    assert_eq!(site.cloud.summary(), state);
}

#[tokio::test]
async fn what_cannot_be_adopted_is_told_by_its_kind() {
    let site = Site::new().await;
    let name = site.cloud.names().remove(0);
    for missing in ["other", &format!("{ARN}other"), &format!("{ARN}{name}:7")] {
        let error = deploy(&adopting(&site.cloud, missing), spec(ECHO)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{missing}: {error}");
    }
    for (answer, kind, is_temporary, calls) in [
        (Answer::refusal(403, "AccessDeniedException", "no"), ErrorKind::PermissionDenied, false, 1),
        (Answer::refusal(500, "ServiceException", "no"), ErrorKind::Unavailable, true, 8),
        (Answer::Half, ErrorKind::Unavailable, true, 8),
    ] {
        let before = site.cloud.calls().len();
        site.cloud.script(Rule::any(answer.clone()).times(calls));
        let error = deploy(&adopting(&site.cloud, &name), spec(ECHO)).await.unwrap_err();
        assert_eq!((error.kind(), error.is_temporary()), (kind, is_temporary), "{answer:?}: {error}");
        assert_eq!(site.cloud.calls_since(before).len(), calls, "{answer:?}");
        // One that is missed is looked at again.
        if is_temporary {
            site.cloud.script(Rule::any(answer));
            deploy(&adopting(&site.cloud, &name), spec(ECHO)).await.unwrap();
        }
    }
    deploy(&adopting(&site.cloud, &name), spec(ECHO)).await.unwrap();
    site.healed().await;
}

#[tokio::test]
async fn a_changed_environment_is_a_new_version_and_the_same_one_is_none() {
    let (cloud, artifact) = (echoing().await, artifact());
    for (value, version) in [("a", "1"), ("a", "1"), ("b", "2"), ("a", "3")] {
        let backend = backend(&cloud, &artifact);
        let deployment = deploy(&backend, spec(ECHO).with_env("MODE", value)).await.unwrap();
        assert_eq!(result(&backend, &deployment).await["version"], version, "{value}");
    }
    assert_eq!((cloud.count("UpdateFunctionConfiguration"), cloud.count("UpdateFunctionCode")), (2, 0));
}

#[tokio::test]
async fn what_the_last_deployment_leaves_is_removed_and_what_others_use_is_not() {
    let site = Site::new().await;
    let again = deploy(&site.backend, spec(ECHO)).await.unwrap();
    let larger = deploy(&site.backend, spec(ECHO).with_memory(MemoryMib::new(300))).await.unwrap();
    let state = || site.cloud.summary();
    let before = state();
    site.backend.remove(&again).await.unwrap();
    site.backend.remove(&again).await.unwrap();
    assert_eq!(state(), before, "another deployment of the same version is there");
    site.healed().await;

    site.backend.remove(&site.deployment).await.unwrap();
    let name = site.cloud.names().remove(0);
    let left: Vec<String> = state()[&name]["versions"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(left, ["2"]);
    assert_eq!(result(&site.backend, &larger).await["version"], "2");

    for answer in [Answer::Closed, Answer::Lost] {
        site.cloud.script(Rule::next("DeleteFunction", answer));
        let error = site.backend.remove(&larger).await.unwrap_err();
        assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Unavailable, true), "{error}");
    }
    site.backend.remove(&larger).await.unwrap();
    assert_eq!(site.cloud.names(), Vec::<String>::new());
    deploy(&site.backend, spec(ECHO)).await.unwrap();
    site.healed().await;
}

#[tokio::test]
async fn a_function_whose_alias_leads_elsewhere_loses_only_the_version() {
    let site = Site::new().await;
    let other = backend(&site.cloud, site.artifact());
    let larger = deploy(&other, spec(ECHO).with_memory(MemoryMib::new(300))).await.unwrap();
    site.backend.remove(&site.deployment).await.unwrap();
    let name = site.cloud.names().remove(0);
    let state = site.cloud.summary();
    assert_eq!(state[&name]["aliases"], json!({ "live": "2" }));
    assert_eq!(state[&name]["versions"].as_object().unwrap().len(), 1);
    assert_eq!(result(&other, &larger).await["version"], "2");
}

#[tokio::test]
async fn a_removal_waits_for_who_still_runs() {
    let (running, gate) = (Arc::new(watch::Sender::new(0)), Arc::new(Semaphore::new(0)));
    let (began, opened) = (Arc::clone(&running), Arc::clone(&gate));
    let cloud = Cloud::start(move |invoked| {
        let (began, opened) = (Arc::clone(&began), Arc::clone(&opened));
        Box::pin(async move {
            began.send_modify(|count| *count += 1);
            opened.acquire().await.unwrap().forget();
            echo(&invoked)
        })
    });
    let (cloud, artifact) = (cloud.await, artifact());
    let backend = backend(&cloud, &artifact);
    let deployment = deploy(&backend, spec(ECHO)).await.unwrap();
    let removing = async {
        running.subscribe().wait_for(|count| *count == 1).await.unwrap();
        let removal = backend.remove(&deployment);
        tokio::pin!(removal);
        let early = tokio::time::timeout(Duration::from_millis(100), &mut removal).await;
        assert!(early.is_err() && cloud.count("DeleteFunction") == 0, "it runs still");
        gate.add_permits(1);
        removal.await.unwrap();
    };
    let (ran, ()) = tokio::join!(result(&backend, &deployment), removing);
    assert_eq!(ran["version"], "1");
    assert_eq!(cloud.names(), Vec::<String>::new());
}

/// A backend that may order environments ahead.
fn provisioning(cloud: &Cloud, artifact: &Artifact) -> LambdaBackend {
    builder(cloud, artifact)
        .provisioned_concurrency(true)
        .deploy_timeout(Duration::from_secs(2))
        .build()
        .unwrap()
}

#[tokio::test]
async fn environments_are_ordered_once_waited_for_and_cooled_at_the_end() {
    let (cloud, artifact) = (echoing().await, artifact());
    cloud.plane().on_provision = Fate { looks: 3, failure: None };
    let plain = backend(&cloud, &artifact);
    let deployment = deploy(&plain, spec(ECHO)).await.unwrap();
    assert_eq!(plain.warm(&deployment, 2).await.unwrap(), 0, "nobody allowed what is billed");
    assert_eq!(cloud.count("PutProvisionedConcurrencyConfig"), 0);

    let backend = provisioning(&cloud, &artifact);
    let deployment = deploy(&backend, spec(ECHO)).await.unwrap();
    for (count, orders) in [(2, 1), (2, 1), (1, 1), (3, 2)] {
        assert_eq!(backend.warm(&deployment, count).await.unwrap(), count);
        assert_eq!(cloud.count("PutProvisionedConcurrencyConfig"), orders);
    }
    let name = cloud.names().remove(0);
    assert_eq!(cloud.summary()[&name]["provisioned"], json!({ "1": 3 }));
    assert_eq!(result(&backend, &deployment).await["version"], "1");
    plain.shutdown().await.unwrap();
    assert_eq!(cloud.summary()[&name]["provisioned"], json!({ "1": 3 }), "it is not its own");
    cloud.script(Rule::next("DeleteProvisionedConcurrencyConfig", Answer::Lost));
    let error = backend.shutdown().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    backend.shutdown().await.unwrap();
    assert_eq!(cloud.summary()[&name]["provisioned"], json!({}));
}

#[tokio::test]
async fn what_a_killed_process_ordered_is_ended_by_the_next_one_with_that_version() {
    let (cloud, artifact) = (echoing().await, artifact());
    let ordered = || cloud.summary()[&cloud.names()[0]]["provisioned"].take();
    for (count, answer) in [(2, None), (3, Some(Answer::Closed)), (4, Some(Answer::Half))] {
        let killed = provisioning(&cloud, &artifact);
        let deployment = deploy(&killed, spec(ECHO)).await.unwrap();
        assert_eq!(killed.warm(&deployment, count).await.unwrap(), count);
        drop(killed);
        assert_eq!(ordered(), json!({ "1": count }), "nobody has ended it");
        // It is ended though it cannot be seen.
        if let Some(answer) = answer {
            cloud.script(Rule::next("GetProvisionedConcurrencyConfig", answer));
        }
        let next = provisioning(&cloud, &artifact);
        let deployment = deploy(&next, spec(ECHO)).await.unwrap();
        assert_eq!(result(&next, &deployment).await["version"], "1");
        next.shutdown().await.unwrap();
        assert_eq!(ordered(), json!({}));
    }
    let idle = provisioning(&cloud, &artifact);
    deploy(&idle, spec(ECHO)).await.unwrap();
    let before = cloud.count("DeleteProvisionedConcurrencyConfig");
    idle.shutdown().await.unwrap();
    assert_eq!(cloud.count("DeleteProvisionedConcurrencyConfig"), before, "there was nothing to end");
}

#[tokio::test]
async fn two_processes_with_one_version_share_what_is_ordered() {
    let (cloud, artifact) = (echoing().await, artifact());
    let (one, other) = (provisioning(&cloud, &artifact), provisioning(&cloud, &artifact));
    let first = deploy(&one, spec(ECHO)).await.unwrap();
    let second = deploy(&other, spec(ECHO)).await.unwrap();
    assert_eq!(one.warm(&first, 3).await.unwrap(), 3);
    assert_eq!(other.warm(&second, 2).await.unwrap(), 2);
    assert_eq!(cloud.count("PutProvisionedConcurrencyConfig"), 1);
    let ordered = || cloud.summary()[&cloud.names()[0]]["provisioned"].take();
    assert_eq!(ordered(), json!({ "1": 3 }));
    // It has only found what is there, and ends it for both.
    other.shutdown().await.unwrap();
    assert_eq!(ordered(), json!({}));
    assert_eq!(result(&one, &first).await["version"], "1");
    assert_eq!(one.warm(&first, 1).await.unwrap(), 1);
    one.shutdown().await.unwrap();
    assert_eq!(ordered(), json!({}));
}

#[tokio::test]
async fn environments_that_cannot_be_made_are_told_by_their_kind() {
    let (cloud, artifact) = (echoing().await, artifact());
    let backend = provisioning(&cloud, &artifact);
    let deployment = deploy(&backend, spec(ECHO)).await.unwrap();
    let put = "PutProvisionedConcurrencyConfig";
    for (answer, kind) in [
        (
            Answer::refusal(400, "InvalidParameterValueException", "beyond your limits"),
            ErrorKind::InvalidArgument,
        ),
        (Answer::refusal(429, "TooManyRequestsException", "slower"), ErrorKind::Throttled),
        (Answer::Closed, ErrorKind::Unavailable),
    ] {
        cloud.script(Rule::next(put, answer));
        let error = backend.warm(&deployment, 1).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
    }
    cloud.plane().on_provision = Fate { looks: 1, failure: Some("no room") };
    let error = backend.warm(&deployment, 1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InitFailed, "{error}");
    assert!(error.message().ends_with("ready: no room"), "{error}");
    cloud.plane().on_provision = Fate { looks: u32::MAX, failure: None };
    let error = backend.warm(&deployment, 2).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DeadlineExceeded, "{error}");
    cloud.plane().on_provision = Fate::default();
    assert_eq!(backend.warm(&deployment, 3).await.unwrap(), 3);
}

#[tokio::test]
async fn warming_tells_of_an_action_that_cannot_initialise() {
    let reason = "The action failed during initialization: no database";
    let cloud = Cloud::start(move |_| {
        let failed = Told { status: 2, uninitialized: true, cold: true, ..Told::default() };
        boxed(told(failed, &json!({ "error": reason })))
    });
    let (cloud, artifact) = (cloud.await, artifact());
    let backend = provisioning(&cloud, &artifact);
    let deployment = deploy(&backend, spec(ECHO)).await.unwrap();
    let error = backend.warm(&deployment, 1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InitFailed, "{error}");
    assert!(error.message().contains("no database"), "{error}");
    backend.shutdown().await.unwrap();
    let name = cloud.names().remove(0);
    assert_eq!(cloud.summary()[&name]["provisioned"], json!({}));
}

#[tokio::test]
async fn a_service_that_refuses_is_there_and_one_that_cannot_be_asked_is_a_problem() {
    let (cloud, artifact) = (echoing().await, artifact());
    let backend = backend(&cloud, &artifact);
    for (answer, is_healthy) in [
        (Answer::refusal(403, "AccessDeniedException", "no"), true),
        (Answer::refusal(429, "TooManyRequestsException", "slower"), true),
        (Answer::refusal(404, "UnknownOperationException", "what?"), true),
        // What it is called decides, not what it says.
        (Answer::refusal(403, "ExpiredTokenException", "no AccessDeniedException, but expired"), false),
        (Answer::refusal(500, "ServiceException", "AccessDeniedException"), false),
        (Answer::Closed, false),
    ] {
        cloud.script(Rule::next("GetAccountSettings", answer.clone()));
        let problem = backend.health().await.problem;
        assert_eq!(problem.is_none(), is_healthy, "{answer:?}: {problem:?}");
        assert_eq!(backend.health().await.problem, None);
    }
    backend.shutdown().await.unwrap();
    assert!(backend.health().await.problem.is_some_and(|problem| problem.ends_with("is shut down")));
}

#[tokio::test]
async fn a_shutdown_ends_a_deployment_wherever_it_is_and_another_takes_it_up() {
    let artifact = artifact();
    let mut cuts = 0;
    loop {
        let cloud = echoing().await;
        let ending = backend(&cloud, &artifact);
        cloud.hold_after(cuts);
        let shutdown = async {
            cloud.held().await;
            ending.shutdown().await.unwrap();
        };
        let deployed = tokio::select! {
            biased;
            deployed = deploy(&ending, spec(ECHO)) => deployed,
            () = async { shutdown.await; std::future::pending().await } => unreachable!(),
        };
        cloud.heal();
        let is_cut = deployed.is_err();
        if let Err(error) = deployed {
            assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
        }
        let next = backend(&cloud, &artifact);
        let deployment = deploy(&next, spec(ECHO)).await.unwrap();
        assert_eq!(result(&next, &deployment).await["version"], "1", "after {cuts} calls");
        if !is_cut {
            break;
        }
        cuts += 1;
    }
    assert!(cuts >= 6, "it took only {cuts} calls");
}

#[tokio::test]
async fn a_shutdown_leaves_no_environment_that_was_ordered_meanwhile() {
    let artifact = artifact();
    for cut in 0..4 {
        let cloud = echoing().await;
        cloud.plane().on_provision = Fate { looks: 2, failure: None };
        let backend = provisioning(&cloud, &artifact);
        let deployment = deploy(&backend, spec(ECHO)).await.unwrap();
        cloud.hold_after(cut);
        let shutdown = async {
            cloud.held().await;
            // The call that was held is let go of at the same time.
            let healing = async { cloud.heal() };
            tokio::join!(backend.shutdown(), healing).0.unwrap();
        };
        let (warmed, ()) = tokio::join!(backend.warm(&deployment, 2), shutdown);
        assert_eq!(warmed.unwrap_err().kind(), ErrorKind::Closed);
        let name = cloud.names().remove(0);
        assert_eq!(cloud.summary()[&name]["provisioned"], json!({}), "after {cut} calls");
    }
}

#[tokio::test]
async fn a_shutdown_comes_after_who_may_have_ordered_environments() {
    let (cloud, artifact) = (echoing().await, artifact());
    let backend = provisioning(&cloud, &artifact);
    let deployment = deploy(&backend, spec(ECHO)).await.unwrap();
    cloud.script(Rule::next("PutProvisionedConcurrencyConfig", Answer::Unanswered));
    let mut warming = backend.warm(&deployment, 1);
    let ordered = async {
        while cloud.count("PutProvisionedConcurrencyConfig") == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        warmed = &mut warming => panic!("it was answered: {warmed:?}"),
        () = ordered => {}
    }
    // Whoever warms has not heard of the end yet.
    let mut shutdown = backend.shutdown();
    assert!(tokio::time::timeout(Duration::from_millis(200), &mut shutdown).await.is_err());
    assert_eq!(cloud.count("DeleteProvisionedConcurrencyConfig"), 0);
    drop(warming);
    shutdown.await.unwrap();
    let name = cloud.names().remove(0);
    assert_eq!(cloud.summary()[&name]["provisioned"], json!({}));
}
