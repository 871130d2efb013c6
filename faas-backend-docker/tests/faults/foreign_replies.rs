//! What images of somebody else's reply to `/run`, and what is made of it.

use faas_core::outcome::MAX_RESULT;
use faas_core::{Activation, ErrorKind, Outcome, StartKind, Status};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::puppets::{BOX, MIB, boxed};
use crate::site::{Site, millis};

const INVALID: &str = "The action did not produce a valid JSON or JSON Array response:";

/// Runs the image for each of these inputs, all at once; the records in their order.
async fn all(site: &Site, inputs: impl IntoIterator<Item = Value>) -> Vec<Activation> {
    let mut calls = JoinSet::new();
    for (n, input) in inputs.into_iter().enumerate() {
        let app = site.app.clone();
        calls.spawn(async move { (n, app.invoke(BOX, input).await.unwrap()) });
    }
    let mut records = calls.join_all().await;
    records.sort_by_key(|(n, _)| *n);
    records.into_iter().map(|(_, record)| record).collect()
}

/// Runs the image for each input, and compares the outcomes.
async fn check(site: &Site, cases: Vec<(Value, Outcome)>) {
    let records = all(site, cases.iter().map(|(input, _)| input.clone())).await;
    for ((input, outcome), record) in cases.iter().zip(&records) {
        let input = input.to_string();
        assert_eq!(record.outcome, *outcome, "{}", &input[..input.len().min(200)]);
    }
    site.fine().await;
}

fn success(result: &str) -> Outcome {
    Outcome::success(faas_core::Payload::from_json(result.to_owned()).unwrap())
}

fn invalid(body: &str) -> Outcome {
    Outcome::developer_error(format!("{INVALID} {body}"))
}

#[tokio::test]
async fn objects_and_arrays_are_results_and_an_error_field_is_an_error() {
    let Some(site) = boxed("results", 20_000).await else { return };
    let body = |body: &str| json!({ "body": body });
    check(
        &site,
        vec![
            (body(r#"{"a":1}"#), success(r#"{"a":1}"#)),
            (body(r#"[1,{"error":2}]"#), success(r#"[1,{"error":2}]"#)),
            (body("\n {}"), success("{}")),
            (body(r#"{"error":"no","b":1}"#), Outcome::application_error("no")),
            (body(r#"{"error":{"code":1}}"#), Outcome::application_error(json!({ "code": 1 }))),
            (body(r#"{"\u0065rror":"no"}"#), Outcome::application_error("no")),
            (json!({ "text": "grüße" }), success(r#"{"text":"grüße"}"#)),
        ],
    )
    .await;
    site.end(3).await;
}

#[tokio::test]
async fn what_is_no_result_is_shown() {
    let Some(site) = boxed("garbage", 20_000).await else { return };
    let bodies =
        ["", "oops", "3", "\"text\"", "null", "true", "{", "{}{}", "{\"a\":NaN}", "<html>\u{1f4a5}</html>"];
    let mut cases: Vec<_> = bodies.iter().map(|body| (json!({ "body": body }), invalid(body))).collect();
    let deep = "[".repeat(50_000);
    cases.push((json!({ "body": deep }), invalid(&deep[..1024])));
    check(&site, cases).await;
    site.end(1).await;
}

#[tokio::test]
async fn any_status_but_200_is_a_developer_error() {
    let Some(site) = boxed("statuses", 20_000).await else { return };
    let status = |status: u16, body: &str| json!({ "status": status, "body": body });
    check(
        &site,
        vec![
            (status(502, r#"{"error":"boom","b":1}"#), Outcome::developer_error("boom")),
            (status(500, r#"{"error":{"code":7}}"#), Outcome::developer_error(json!({ "code": 7 }))),
            (status(400, r#"{"a":1}"#), invalid(r#"{"a":1}"#)),
            (status(502, "[1]"), invalid("[1]")),
            (status(404, "oops"), invalid("oops")),
            (status(502, ""), invalid("")),
            (status(201, r#"{"a":1}"#), invalid(r#"{"a":1}"#)),
            (status(302, "{}"), invalid("{}")),
        ],
    )
    .await;
    site.gone(MIB).await;
    site.end(1).await;
}

#[tokio::test]
async fn a_reply_is_kept_up_to_its_limit_and_shown_in_part_beyond() {
    let Some(site) = boxed("sizes", 20_000).await else { return };
    let over = |bytes: usize| {
        let start = format!("{{\"a\":\"{}", "y".repeat(1024 - 6));
        Outcome::application_error(format!(
            "The action produced a response that exceeded the allowed length: {bytes} > {MAX_RESULT} bytes. \
             The truncated response was: {start}"
        ))
    };
    let largest = success(&json!({ "a": "y".repeat(MAX_RESULT - 8) }).to_string());
    check(
        &site,
        vec![
            (json!({ "large": MAX_RESULT }), largest),
            (json!({ "large": MAX_RESULT + 1 }), over(MAX_RESULT + 1)),
            (json!({ "large": 8 << 20 }), over(8 << 20)),
            (json!({ "large": MAX_RESULT + 1, "status": 502 }), over(MAX_RESULT + 1)),
        ],
    )
    .await;
    site.end(2).await;
}

#[tokio::test]
async fn a_reply_that_breaks_the_rules_of_http_is_none() {
    let Some(site) = boxed("broken", 20_000).await else { return };
    let raw = |raw: &str| json!({ "raw": raw });
    let ok = "HTTP/1.1 200 OK\r\n";
    let many = format!("{ok}{}content-length: 2\r\n\r\n{{}}", "a: b\r\n".repeat(200));
    let inputs = [
        // OpenWhisk's proxies tell the length of each reply, and one that does not is none.
        raw(&format!("{ok}transfer-encoding: chunked\r\n\r\n7\r\n{{\"a\":1}}\r\n0\r\n\r\n")),
        raw(&format!("{ok}\r\n{{\"a\":1}}")),
        raw(&format!("{ok}content-length: 100\r\n\r\n{{\"a\":1}}")),
        raw(&format!("{ok}content-length: 2\r\ncontent-length: 3\r\n\r\n{{}}")),
        raw(&format!("{ok}content-length: -2\r\n\r\n{{}}")),
        raw("HTTP/1.1 200 OK\r\ncontent-le"),
        raw("HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"),
        raw("SSH-2.0-OpenSSH_9.6\r\n"),
        raw("oops"),
        raw(""),
        raw(&many),
        json!({ "header_kib": 300 }),
        json!({ "hang_up": true }),
        json!({ "exit": 0 }),
        json!({ "exit": 9 }),
        json!({ "exit": 137 }),
    ];
    let cases = inputs.map(|input| (input, Outcome::exited()));
    check(&site, cases.to_vec()).await;
    site.gone(MIB).await;
    site.end(1).await;
}

#[tokio::test]
async fn a_reply_that_is_odd_but_whole_counts() {
    let Some(site) = boxed("odd", 20_000).await else { return };
    check(&site, vec![
        (json!({ "times": 2, "body": "{\"n\":1}" }), success("{\"n\":1}")),
        (json!({ "header_kib": 60, "body": "{}" }), success("{}")),
        (json!({ "wait_ms": 700, "body": "{}" }), success("{}")),
        (json!({ "trickle_ms": 10, "body": "{\"slow\":1}" }), success("{\"slow\":1}")),
        (json!({ "raw": "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}" }), success("{}")),
        (json!({ "raw": "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}" }), success("{}")),
        (json!({ "raw": "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}and more" }), success("{}")),
    ])
    .await;
    site.end(7).await;
}

#[tokio::test]
async fn one_that_takes_too_long_is_killed_at_the_limit() {
    let Some(site) = boxed("long", 1_000).await else { return };
    let inputs = [
        json!({ "never": true }),
        json!({ "wait_ms": 60_000 }),
        json!({ "trickle_ms": 100, "body": "{\"a\":\"it takes its time\"}" }),
        json!({ "never": true, "stdout": ["said before"] }),
    ];
    for record in all(&site, inputs).await {
        assert_eq!(record.outcome, Outcome::timed_out(millis(1_000)));
        assert!(record.times.run < millis(3_000), "{:?}", record.times);
    }
    site.gone(MIB).await;
    site.end(0).await;
}

#[tokio::test]
async fn one_that_breaks_its_connection_early_is_not_said_to_take_too_long() {
    let Some(site) = boxed("early", 700).await else { return };
    for input in [json!({ "hang_up": true }), json!({ "raw": "oops" }), json!({ "header_kib": 300 })] {
        let record = site.run(BOX, input).await;
        assert_eq!(record.outcome, Outcome::exited());
    }
    site.end(3).await;
}

#[tokio::test]
async fn one_that_uses_too_much_memory_is_told_so() {
    let Some(site) = boxed("hog", 20_000).await else { return };
    let record = site.run(BOX, json!({ "grow": true })).await;
    assert_eq!(record.outcome, Outcome::memory_exhausted());
    site.gone(MIB).await;
    site.end(1).await;
}

#[tokio::test]
async fn what_one_that_is_about_to_end_does_not_take_runs_elsewhere() {
    let Some(site) = boxed("ending", 20_000).await else { return };
    for n in 0..3 {
        let record = site.run(BOX, json!({ "n": n, "ends_after": 1 })).await;
        assert_eq!((record.status(), record.attempts), (Status::Success, 1), "{:?}", record.outcome);
        assert_eq!(record.start_kind, Some(StartKind::Cold), "each has run one and takes no other");
    }
    site.end(3).await;
}

#[tokio::test]
async fn where_none_takes_any_work_no_more_than_three_are_asked() {
    let Some(site) = boxed("unavailable", 20_000).await else { return };
    site.fine().await;
    let before = site.stats().await.created;
    let error = site.app.invoke(BOX, json!({ "status": 503, "body": "{}" })).await.unwrap_err();
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::SandboxLost, true), "{error:?}");
    assert_eq!(site.stats().await.created - before, 3);
    site.gone(MIB).await;
    assert_eq!(site.run(BOX, json!({})).await.status(), Status::Success);
    site.end_without(1, 2).await;
}
