//! What functions answer, and what it means: failures that Lambda tells of, logs that are missing or damaged, answers that
//! are none of this library's.

use std::sync::Arc;
use std::time::Duration;

use faas_backend_lambda::LambdaBackend;
use faas_core::activation::Usage;
use faas_core::guest::lambda::wire::Told;
use faas_core::{Backend as _, Completion, Deployment, Entropy, ErrorKind, Outcome, StartKind, Status};
use serde_json::json;
use tokio::sync::{Semaphore, watch};

use crate::cloud::{Answer, Cloud, Reply, Response, Rule};
use crate::ground::{ECHO, boxed, builder, builder_at, deploy, invocation, invoke, spec, told};
use crate::site::Site;

/// What Lambda logs around a run.
const REPORT: &str = "START RequestId: 8f5 Version: 1\nprinted\nEND RequestId: 8f5\nREPORT RequestId: 8f5\tDuration: \
                      12.34 ms\tBilled Duration: 13 ms\tMemory Size: 256 MB\tMax Memory Used: 256 MB\tInit Duration: \
                      8.56 ms\t\n";

/// What comes of one answer to an action with a limit of one second.
async fn completion(reply: Reply) -> Completion {
    let limited = spec(ECHO).with_timeout(Duration::from_secs(1));
    let site = Site::of(limited, move |_| reply.clone()).await;
    let ended = site.run().await;
    assert_eq!((ended.calls, ended.starts), (1, 1), "{ended:?}");
    ended.completed.unwrap()
}

fn unhandled(kind: &str, message: &str) -> Reply {
    Reply::failure("Unhandled", kind, message)
}

#[tokio::test]
async fn failures_that_lambda_tells_of_have_the_texts_of_every_backend() {
    let limit = Duration::from_secs(1);
    let exited = "RequestId: 8f5 Error: Runtime exited with error: ";
    let killed = &format!("{exited}signal: killed");
    let old = Reply {
        function_error: Some("Unhandled".to_owned()),
        ..Reply::new(r#"{"errorMessage":"2026-01-01T00:00:00.000Z 8f5 Task timed out after 1.00 seconds"}"#)
    };
    for (reply, outcome) in [
        (
            unhandled("Sandbox.Timedout", "RequestId: 8f5 Error: Task timed out after 1.00 seconds"),
            Outcome::timed_out(limit),
        ),
        (old, Outcome::timed_out(limit)),
        (unhandled("Runtime.OutOfMemory", killed), Outcome::memory_exhausted()),
        (unhandled("Runtime.ExitError", killed).with_log(REPORT), Outcome::memory_exhausted()),
        (unhandled("Runtime.ExitError", killed), Outcome::exited()),
        (unhandled("Runtime.ExitError", &format!("{exited}exit status 1")), Outcome::exited()),
        (
            unhandled(
                "",
                "RequestId: 8f5 Process exited before completing request: Runtime exited without providing a reason",
            ),
            Outcome::exited(),
        ),
        (unhandled("Runtime.InitError", "no"), Outcome::init_failed("Runtime.InitError: no")),
        (
            unhandled("Runtime.InvalidEntrypoint", "no bootstrap"),
            Outcome::init_failed("Runtime.InvalidEntrypoint: no bootstrap"),
        ),
        (unhandled("Extension.Crash", "gone"), Outcome::init_failed("Extension.Crash: gone")),
        (unhandled("Some.Error", "it broke"), Outcome::developer_error("Some.Error: it broke")),
        (unhandled("", ""), Outcome::developer_error("the function failed without a reason")),
        (Reply::failure("Handled", "ValueError", "bad n"), Outcome::application_error("ValueError: bad n")),
        (
            Reply { function_error: Some("Unhandled".to_owned()), ..Reply::new("no JSON") },
            Outcome::developer_error("no JSON"),
        ),
        (
            unhandled(
                "Function.ResponseSizeTooLarge",
                "Response payload size (7000000 bytes) exceeded maximum allowed \
                                                     payload size (6291556 bytes).",
            ),
            Outcome::oversized(b"", 7_000_000, 1 << 20),
        ),
    ] {
        let completion = completion(reply.clone()).await;
        assert_eq!(completion.outcome, outcome, "{reply:?}");
        let in_init = completion.outcome.error().is_some_and(|text| text.contains("during initialization"));
        assert_eq!(completion.init > Duration::ZERO, in_init || !reply.log.is_empty(), "{reply:?}");
    }
}

#[tokio::test]
async fn an_answer_of_more_than_six_mebibytes_is_told_as_one_that_is_too_large() {
    let completion = completion(Reply::new(vec![b'x'; (6 << 20) + 1])).await;
    assert_eq!(completion.outcome.status(), Status::ApplicationError);
    let text = completion.outcome.error().unwrap().to_string();
    assert!(text.contains("exceeded"), "{text}");
}

#[tokio::test]
async fn an_answer_that_is_none_of_this_librarys_is_taken_by_what_it_says() {
    for (answer, status) in [
        (&b""[..], Status::DeveloperError),
        (b"null", Status::DeveloperError),
        (b"<html>", Status::DeveloperError),
        (b"\xff\xfe", Status::DeveloperError),
        (b"7", Status::DeveloperError),
        (br#"{"error":"no"}"#, Status::ApplicationError),
        (br#"{"n":1}"#, Status::Success),
    ] {
        let completion = completion(Reply::new(answer.to_vec()).with_log(REPORT)).await;
        let shown = String::from_utf8_lossy(answer);
        assert_eq!(completion.outcome.status(), status, "{shown}: {:?}", completion.outcome);
        let logs: Vec<_> = completion.logs.iter().map(|line| line.text.as_str()).collect();
        assert_eq!(logs, ["printed"], "{shown}");
    }
}

#[tokio::test]
async fn the_report_is_in_the_record_and_one_that_is_missing_or_damaged_costs_only_itself() {
    let answer = || told(Told { cold: true, init: 5, run: 7, ..Told::default() }, &json!({ "a": 1 }));
    let whole = completion(answer().with_log(REPORT)).await;
    assert_eq!(whole.usage.billed, Some(Duration::from_millis(13)));
    assert_eq!(whole.usage.billed_init, Some(Duration::from_micros(8560)));
    assert_eq!(whole.usage.peak_memory, Some(256 << 20));
    assert_eq!((whole.start_kind, whole.init, whole.run), times(5, 7));
    let damaged = [b"REPORT RequestId: 8f5\tBilled Duration: 1e999 ms\tMax Memory Used: -3 MB\t\n".to_vec()];
    for log in damaged.into_iter().chain([Vec::new(), vec![0xff; 5000], b"REPORT RequestId: ".to_vec()]) {
        let completion = completion(answer().with_log(log)).await;
        assert_eq!(completion.outcome.result().to_value(), json!({ "a": 1 }));
        assert_eq!(completion.usage, Usage::default());
        assert_eq!((completion.start_kind, completion.init, completion.run), times(5, 7));
    }
    // What is no base64 at all.
    let (site, body) = (Site::new().await, answer().payload);
    for log in ["?", "=", "aGk", "\u{e4}"] {
        let said = Response::new(200, body.clone()).with_header("X-Amz-Log-Result", log);
        site.cloud.script(Rule::next("Invoke", Answer::Said(said)));
        let completion = site.run().await.completed.unwrap();
        assert_eq!(completion.outcome.result().to_value(), json!({ "a": 1 }), "{log}");
        assert_eq!(completion.usage, Usage::default(), "{log}");
    }
    site.healed().await;
}

fn times(init: u64, run: u64) -> (StartKind, Duration, Duration) {
    (StartKind::Cold, Duration::from_nanos(init), Duration::from_nanos(run))
}

#[tokio::test]
async fn a_line_without_a_time_has_that_of_the_platforms_clock() {
    let site = Site::of(spec(ECHO), |_| unhandled("Some.Error", "it broke").with_log(REPORT)).await;
    let backend = crate::ground::backend(&site.cloud, site.artifact());
    backend.attach(&Arc::new(Entropy::seeded(7)));
    let deployment = deploy(&backend, spec(ECHO)).await.unwrap();
    let completion = invoke(&backend, &deployment).await.unwrap();
    let at = completion.logs[0].at;
    assert!(at.to_string().starts_with("2024-01-01T00:0"), "where a seeded clock begins, and not {at}");
}

#[tokio::test]
async fn a_log_is_that_of_its_own_run_however_it_ends() {
    let log = format!("{}\nlast words\n", "x".repeat(5000));
    for reply in [
        unhandled("Some.Error", "it broke"),
        unhandled("Sandbox.Timedout", "Task timed out after 1.00 seconds"),
    ] {
        let completion = completion(reply.with_log(log.clone())).await;
        let logs: Vec<_> = completion.logs.iter().map(|line| line.text.as_str()).collect();
        assert_eq!(logs, ["last words"], "only whole lines of the tail");
    }
}

#[tokio::test]
async fn an_environment_that_takes_no_work_is_passed_over_and_not_for_ever() {
    for (refusals, calls) in [(4, 5), (usize::MAX, 5)] {
        let asked = std::sync::atomic::AtomicUsize::new(0);
        let site = Site::of(spec(ECHO), move |invoked| {
            let is_refused = asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) < refusals;
            let refused = is_refused.then(|| "another namespace's".to_owned());
            match refused {
                Some(_) => told(Told { refused, ..Told::default() }, &json!({})),
                None => crate::ground::echo(invoked),
            }
        });
        let ended = site.await.run().await;
        assert_eq!(ended.calls, calls);
        match ended.completed {
            Ok(completion) => assert!(refusals < 5 && completion.outcome.is_success()),
            Err(error) => {
                assert!(refusals > 5, "{error}");
                assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::SandboxLost, true), "{error}");
            }
        }
    }
}

/// An adopted function.
async fn adopted(cloud: &Cloud, function: &str) -> (LambdaBackend, Deployment) {
    let backend = builder_at(&cloud.endpoint()).adopt("theirs", function).build().unwrap();
    let deployment = deploy(&backend, spec("theirs")).await.unwrap();
    (backend, deployment)
}

#[tokio::test]
async fn a_function_of_somebody_elses_is_asked_as_it_expects_and_taken_by_what_it_says() {
    for (answer, outcome) in [
        ("null", Outcome::success(faas_core::Payload::empty())),
        ("", Outcome::success(faas_core::Payload::empty())),
        (r#"{"error":"no"}"#, Outcome::application_error("no")),
        (r#"{"asked":{"n":1}}"#, Outcome::from_foreign_reply(br#"{"asked":{"n":1}}"#.to_vec())),
    ] {
        let site = Site::new().await;
        let name = site.cloud.names().remove(0);
        let cloud = Cloud::start(move |invoked| {
            assert_eq!(invoked.payload.as_ref(), br#"{"n":1}"#);
            boxed(Reply::new(answer).with_log(REPORT))
        });
        let cloud = cloud.await;
        std::mem::swap(&mut *cloud.plane(), &mut *site.cloud.plane());
        let (backend, deployment) = adopted(&cloud, &name).await;
        let completion = invoke(&backend, &deployment).await.unwrap();
        assert_eq!(completion.outcome, outcome, "{answer}");
        assert_eq!(completion.logs[0].text, "printed");
        backend.remove(&deployment).await.unwrap();
        assert_eq!(cloud.names(), [name], "it is not this library's to delete");
    }
}

#[tokio::test]
async fn the_own_timeout_of_an_adopted_function_ends_it_and_is_waited_for() {
    let (began, gate) = (Arc::new(watch::Sender::new(0)), Arc::new(Semaphore::new(0)));
    let (running, opened) = (Arc::clone(&began), Arc::clone(&gate));
    let cloud = Cloud::start(move |invoked| {
        let (running, opened) = (Arc::clone(&running), Arc::clone(&opened));
        Box::pin(async move {
            running.send_modify(|count| *count += 1);
            opened.acquire().await.unwrap().forget();
            let text = format!("RequestId: 8f5 Error: Task timed out after {}.00 seconds", invoked.timeout);
            match invoked.payload.as_ref() {
                br#"{"n":1}"# => unhandled("Sandbox.Timedout", &text),
                _ => Reply::new(r#"{"late":true}"#),
            }
        })
    });
    let (cloud, artifact) = (cloud.await, crate::ground::artifact());
    let limited = |name, seconds| spec(name).with_timeout(Duration::from_secs(seconds));
    for (seconds, action) in [(119, 1), (1, 60)] {
        let prefix = format!("timed{seconds}");
        let own = builder(&cloud, &artifact).prefix(&prefix).build().unwrap();
        deploy(&own, limited(ECHO, seconds)).await.unwrap();
        let name = cloud.names().into_iter().find(|name| name.starts_with(&prefix)).unwrap();
        let backend = builder_at(&cloud.endpoint()).adopt("theirs", name).build().unwrap();
        let deployment = deploy(&backend, limited("theirs", action)).await.unwrap();
        gate.add_permits(1);
        let completion = invoke(&backend, &deployment).await.unwrap();
        assert_eq!(completion.outcome, Outcome::timed_out(Duration::from_secs(seconds + 1)));

        // All of its time and most of the patience go by before it answers.
        let before = *began.borrow();
        let answering = async {
            began.subscribe().wait_for(|count| *count > before).await.unwrap();
            tokio::time::pause();
            tokio::time::sleep(Duration::from_secs(seconds.max(action) + 20)).await;
            tokio::time::resume();
            gate.add_permits(1);
        };
        let run = backend.invoke(&deployment, invocation(&json!({ "n": 2 })));
        let (completed, ()) = tokio::join!(run, answering);
        assert_eq!(completed.unwrap().outcome.result().to_value(), json!({ "late": true }));
    }
}
