//! What containers of other images print: each activation has its own lines, up to the marks at their end.

use std::time::Instant;

use bollard::query_parameters::LogsOptions;
use faas_core::log::Stream;
use faas_core::{ActionSpec, Activation, Outcome, StartKind, Status};
use serde_json::{Value, json};

use crate::puppets::{BOX, KIND, MIB, boxed, played};
use crate::site::{Site, ground, millis};
use crate::watch::texts;

const MARK: &str = "XXX_THE_END_OF_A_WHISK_ACTIVATION_XXX";
const INCOMPLETE: &str = "There was an issue while collecting your logs. Data might be missing.";
const FAILED: &str = "The action did not initialize or run as expected. Log data might be missing.";

/// The action that the runtime runs.
const CODE: &str = "code";

/// A site of an action of the runtime, which has so much room for its log.
async fn logging(test: &str, limit: u64) -> Option<Site> {
    with(test, limit, 20_000).await
}

async fn with(test: &str, limit: u64, ms: u64) -> Option<Site> {
    let ground = ground(test).await?;
    let builder = ground.puppets().await.code(CODE, KIND, "{}", "main");
    Some(ground.site_on(builder, [limited(CODE, limit, ms)]).await)
}

fn limited(name: &str, limit: u64, ms: u64) -> ActionSpec {
    let mut spec = played(name, ms);
    spec.limits.logs = limit;
    spec
}

async fn success(site: &Site, input: Value) -> Activation {
    let record = site.app.invoke(CODE, input).await.unwrap();
    assert!(record.outcome.is_success(), "{:?}", record.outcome);
    record
}

/// The lines of one stream.
fn of(record: &Activation, stream: Stream) -> Vec<&str> {
    record.logs.iter().filter(|line| line.stream == stream).map(|line| line.text.as_str()).collect()
}

#[tokio::test]
async fn lines_of_both_streams_are_kept_up_to_their_marks() {
    let Some(site) = logging("marks", 100_000).await else { return };
    drop(success(&site, json!({})).await);
    for n in 0..4 {
        let lines = [format!("out {n}"), "out again".to_owned(), String::new()];
        let input = json!({ "stdout": lines, "stderr": [format!("err {n}")] });
        let record = success(&site, input).await;
        assert_eq!(of(&record, Stream::Stdout), lines);
        assert_eq!(of(&record, Stream::Stderr), [format!("err {n}")]);
        assert!(record.logs.iter().all(|line| line.at >= record.start), "{:?}", record.logs);
        assert!(record.times.run < millis(1_500), "nothing is waited for: {:?}", record.times);
    }
    assert_eq!(success(&site, json!({})).await.logs, []);
    site.end(6).await;
}

#[tokio::test]
async fn a_mark_that_is_missing_is_told_and_waited_for_no_longer_than_there_is_time() {
    for (ms, least, most) in [(20_000, 2_000, 4_000), (700, 0, 1_700)] {
        let Some(site) = with("missing", 100_000, ms).await else { return };
        let begun = Instant::now();
        let record = success(&site, json!({ "stdout": ["said"], "no_mark": true })).await;
        assert_eq!(texts(&record), ["said", INCOMPLETE]);
        assert_eq!(record.logs[1].stream, Stream::Stderr);
        let (run, all) = (record.times.run, begun.elapsed());
        assert!(run >= millis(least) && run < millis(most), "of {ms} ms: {run:?} of {all:?}");
        site.end(1).await;
    }
}

#[tokio::test]
async fn a_mark_that_comes_late_ends_no_other_log() {
    let Some(site) = logging("behind", 100_000).await else { return };
    let late = json!({ "no_mark": true, "later": ["late", MARK], "later_ms": 2_500 });
    assert_eq!(texts(&success(&site, late).await), [INCOMPLETE]);
    site.container_that_says(MIB, MARK).await;
    for n in 0..2 {
        let record = success(&site, json!({ "stdout": [format!("own {n}")] })).await;
        assert_eq!(texts(&record), [format!("own {n}")]);
        // Lines are told apart by their times, so that a container whose log was not whole is as good as any.
        assert_eq!(record.start_kind, Some(StartKind::Warm));
    }
    site.end(3).await;
}

#[tokio::test]
async fn a_false_mark_costs_nobody_else_a_line() {
    let Some(site) = logging("false", 100_000).await else { return };
    let within = format!("{MARK} within");
    let record = success(&site, json!({ "stdout": [within, "more"] })).await;
    assert_eq!(texts(&record), [&within, "more"]);
    for n in 0..3 {
        let record = success(&site, json!({ "stdout": ["one", MARK, "two"], "stderr": [MARK] })).await;
        assert_eq!(texts(&record)[0], "one");
        let record = success(&site, json!({ "stdout": [format!("own {n}"), "all of it"] })).await;
        assert_eq!(texts(&record), [&format!("own {n}"), "all of it"]);
    }
    site.end(7).await;
}

#[tokio::test]
async fn an_unfinished_line_before_a_mark_is_a_line() {
    let Some(site) = logging("open", 100_000).await else { return };
    let record = success(&site, json!({ "stdout": ["one"], "open": "half" })).await;
    assert_eq!(texts(&record), ["one", "half"]);
    let record = site.run(CODE, json!({ "open": "half", "no_mark": true, "exit": 1 })).await;
    assert_eq!(record.outcome, Outcome::exited());
    assert_eq!(texts(&record), ["half", FAILED]);
    site.end(1).await;
}

#[tokio::test]
async fn a_developer_error_is_told_in_the_log_and_waits_for_no_mark() {
    let Some(site) = with("notice", 100_000, 1_000).await else { return };
    for input in [
        json!({ "status": 502 }),
        json!({ "body": "oops", "status": 500 }),
        json!({ "body": "oops" }),
        json!({ "raw": "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n" }),
        json!({ "exit": 3 }),
        json!({ "never": true }),
    ] {
        let mut input = input;
        input["stdout"] = json!(["said"]);
        input["no_mark"] = json!(true);
        let record = site.run(CODE, input.clone()).await;
        assert!(!record.outcome.is_success(), "{input}");
        assert_eq!(texts(&record), ["said", FAILED], "{input}");
        assert!(record.times.run < millis(2_000), "{input}: {:?}", record.times);
    }
    site.end(1).await;
}

#[tokio::test]
async fn an_application_error_has_no_such_notice_however_it_comes() {
    let Some(site) = logging("noticeless", 100_000).await else { return };
    for input in [
        json!({ "body": r#"{"error":"no"}"# }),
        json!({ "large": (1 << 20) + 1 }),
        json!({ "large": (1 << 20) + 1, "status": 502 }),
    ] {
        let mut input = input;
        input["stdout"] = json!(["said"]);
        let record = site.run(CODE, input.clone()).await;
        assert_eq!(record.status(), Status::ApplicationError, "{input}");
        assert_eq!(texts(&record), ["said"], "{input}");
    }
    site.end(3).await;
}

#[tokio::test]
async fn a_log_that_is_too_long_is_cut_and_the_next_one_is_whole() {
    const LIMIT: u64 = 10_000;
    let notice =
        format!("Logs were truncated because the total bytes size exceeds the limit of {LIMIT} bytes.");
    let Some(site) = logging("long", LIMIT).await else { return };
    for flood in [json!({ "flood_kib": 100 }), json!({ "flood_kib": 9 , "stdout": vec!["a line"; 2000] })] {
        let record = success(&site, flood).await;
        assert_eq!(*texts(&record).last().unwrap(), notice);
        let bytes: usize = record.logs.iter().map(|line| line.text.len() + 1).sum();
        assert!((9_999..10_200).contains(&bytes), "{bytes}");
        let record = success(&site, json!({ "stdout": ["own"] })).await;
        assert_eq!(texts(&record), ["own"]);
    }
    site.end(4).await;
}

#[tokio::test]
async fn a_line_that_the_engine_splits_is_one() {
    let Some(site) = logging("split", 1 << 20).await else { return };
    let record =
        success(&site, json!({ "flood_kib": 100, "stdout": ["before"], "stderr": ["beside"] })).await;
    let lines = of(&record, Stream::Stdout);
    assert_eq!((lines.len(), lines[0], lines[1].len()), (2, "before", 100 << 10));
    assert_eq!(of(&record, Stream::Stderr), ["beside"]);
    site.end(1).await;
}

#[tokio::test]
async fn a_flood_takes_no_more_room_than_the_engine_was_told_and_later_logs_are_found() {
    let Some(site) = logging("flood", 10_000).await else { return };
    let record = success(&site, json!({ "flood_kib": 80 << 10 })).await;
    assert!(texts(&record).last().unwrap().starts_with("Logs were truncated"), "{:?}", record.logs.len());
    let id = site.container_of(MIB).await;
    let options =
        LogsOptions { stdout: true, stderr: true, tail: "all".to_owned(), ..LogsOptions::default() };
    let kept = kept_bytes(&site, &id, options).await;
    assert!(kept <= 40 << 20, "{kept} bytes are kept");
    for n in 0..2 {
        let record = success(&site, json!({ "stdout": [format!("own {n}")] })).await;
        assert_eq!(texts(&record), [format!("own {n}")]);
    }
    site.end(3).await;
}

async fn kept_bytes(site: &Site, id: &str, options: LogsOptions) -> usize {
    use futures_util::StreamExt;
    let frames = site.docker.logs(id, Some(options));
    frames.fold(0, async |sum, frame| sum + frame.map_or(0, |frame| frame.into_bytes().len())).await
}

#[tokio::test]
async fn what_is_printed_while_no_activation_runs_belongs_to_none() {
    let Some(site) = logging("stray", 100_000).await else { return };
    for n in 0..2 {
        let stray = format!("stray {n}");
        let record = success(&site, json!({ "stdout": ["own"], "later": [stray], "later_ms": 100 })).await;
        assert_eq!(texts(&record), ["own"]);
        site.container_that_says(MIB, &stray).await;
    }
    let record = success(&site, json!({ "stdout": ["own"] })).await;
    assert_eq!(texts(&record), ["own"]);
    site.end(3).await;
}

#[tokio::test]
async fn one_that_prints_without_end_has_a_result_all_the_same() {
    let Some(site) = with("babble", 10_000, 2_000).await else { return };
    let record = success(&site, json!({ "babble": "and so on", "no_mark": true })).await;
    assert!(texts(&record).contains(&"and so on"), "{:?}", record.logs);
    assert!(record.times.run < millis(3_500), "{:?}", record.times);
    site.end(1).await;
}

#[tokio::test]
async fn with_no_room_for_a_log_there_is_none_however_it_ends() {
    let Some(site) = with("none", 0, 1_000).await else { return };
    for input in [json!({ "no_mark": true }), json!({ "exit": 1 }), json!({ "never": true })] {
        let mut input = input;
        input["stdout"] = json!(["said"]);
        assert_eq!(site.run(CODE, input).await.logs, []);
    }
    site.end(1).await;
}

#[tokio::test]
async fn an_image_that_is_an_action_needs_no_marks_and_may_have_them() {
    let Some(site) = boxed("unmarked", 20_000).await else { return };
    for no_mark in [true, false, true] {
        let input = json!({ "stdout": ["out"], "stderr": ["err"], "no_mark": no_mark });
        let record = site.app.invoke(BOX, input).await.unwrap();
        assert_eq!((of(&record, Stream::Stdout), of(&record, Stream::Stderr)), (vec!["out"], vec!["err"]));
        assert!(record.times.run < millis(1_500), "{:?}", record.times);
    }
    site.end(3).await;
}
