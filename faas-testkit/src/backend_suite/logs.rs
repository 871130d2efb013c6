//! What an action logs, and what is kept of it.

use std::time::Duration;

use faas_core::log::Stream;
use faas_core::{Record, Status};
use serde_json::json;
use tracing::level_filters::LevelFilter;

use super::stage::{Bare, Stage};
use super::subject::BackendSubject;
use crate::fixtures::{self, Ending, Level, Print, Raw};
use crate::transcript::Entry;

/// A timeout that plays no part: a panic alone may take a second, where its backtrace is printed.
const LONG: Duration = Duration::from_secs(60);

fn texts(activation: &Record) -> Vec<&str> {
    activation.logs.iter().map(|line| line.text.as_str()).collect()
}

fn text(text: &str) -> Print {
    Print { text: text.to_owned(), ..Print::default() }
}

/// `print` with a log limit of so many bytes.
fn limited(bytes: u64) -> faas_core::ActionSpec {
    let mut spec = fixtures::spec("print");
    spec.limits.logs = bytes;
    spec
}

fn notice(limit: u64) -> String {
    format!("Logs were truncated because the total bytes size exceeds the limit of {limit} bytes.")
}

/// Events become lines, in the order in which they were emitted.
pub async fn events_become_lines_in_order(subject: &BackendSubject) -> Vec<Entry> {
    let stage = Stage::new(subject).await;
    let done = stage.invoke("print", Print { lines: 50, ..text("step") }).await;
    let expected: Vec<String> = (1..=50).map(|n| format!("INFO step {n}")).collect();
    assert_eq!(texts(&done), expected);
    assert!(done.logs.is_sorted_by_key(|line| line.at), "times go back");
    stage.close().await
}

/// The level leads the line; warnings and errors go to stderr.
pub async fn the_level_leads_the_line_and_chooses_the_stream(subject: &BackendSubject) -> Vec<Entry> {
    let stage = Stage::new(subject).await;
    let levels = [
        (Level::Error, "ERROR hello", Stream::Stderr),
        (Level::Warn, "WARN hello", Stream::Stderr),
        (Level::Info, "INFO hello", Stream::Stdout),
    ];
    for (level, text, stream) in levels {
        let done = stage.invoke("print", Print { level, ..Print::default() }).await;
        assert_eq!(texts(&done), [text]);
        assert_eq!(done.logs[0].stream, stream);
    }
    stage.close().await
}

/// Structured fields follow the message as `key=value`, text in quotes.
pub async fn fields_follow_the_message(subject: &BackendSubject) -> Vec<Entry> {
    let stage = Stage::new(subject).await;
    let done = stage.invoke("print", Print { fields: true, ..text("charged") }).await;
    assert_eq!(texts(&done), [r#"INFO charged amount=5 user="ada" paid=true"#]);
    stage.close().await
}

/// Events more verbose than info are not recorded unless somebody asks.
pub async fn verbose_events_are_not_recorded(subject: &BackendSubject) -> Vec<Entry> {
    let stage = Stage::new(subject).await;
    for level in [Level::Debug, Level::Trace] {
        let done = stage.invoke("print", Print { level, ..Print::default() }).await;
        assert!(done.logs.is_empty(), "{:?}", done.logs);
    }
    stage.close().await
}

/// The invocation says how verbose its log is.
pub async fn the_invocation_chooses_the_recorded_level(subject: &BackendSubject) -> Vec<Entry> {
    let bare = Bare::new(subject).await;
    let print = bare.deploy(fixtures::spec("print")).await;
    let cases = [
        (LevelFilter::DEBUG, Level::Debug, 1),
        (LevelFilter::DEBUG, Level::Trace, 0),
        (LevelFilter::ERROR, Level::Warn, 0),
        (LevelFilter::ERROR, Level::Error, 1),
        (LevelFilter::OFF, Level::Error, 0),
    ];
    for (log_level, level, lines) in cases {
        let mut invocation = bare.invocation(Print { level, ..Print::default() });
        invocation.log_level = log_level;
        let done = bare.perform(&print, invocation).await;
        assert_eq!(done.logs.len(), lines, "{level:?} at {log_level:?}: {:?}", done.logs);
    }
    bare.close().await
}

/// Logs are cut at their limit, and a notice says so.
pub async fn logs_are_cut_at_their_limit_with_a_notice(subject: &BackendSubject) -> Vec<Entry> {
    let stage = Stage::with(subject, limited(1_000)).await;
    let done = stage.invoke("print", Print { lines: 5_000, ..text("a line of a flood") }).await;
    assert_eq!(done.status(), Status::Success);
    let (last, kept) = done.logs.split_last().expect("logs");
    assert_eq!((last.text.as_str(), last.stream), (notice(1_000).as_str(), Stream::Stderr));
    let bytes: usize = kept.iter().map(|line| line.text.len() + 1).sum();
    assert!((900..=1_000).contains(&bytes), "{bytes} bytes are kept");
    assert_eq!(kept[0].text, "INFO a line of a flood 1");
    stage.close().await
}

/// One line that is longer than the limit is cut as well.
pub async fn a_line_longer_than_the_limit_is_cut(subject: &BackendSubject) -> Vec<Entry> {
    let stage = Stage::with(subject, limited(100)).await;
    let done = stage.invoke("print", Print { bytes: 4 << 20, ..text("no end ") }).await;
    assert_eq!(done.logs.len(), 2, "{:?}", done.logs);
    assert!(done.logs[0].text.starts_with("INFO no end no end") && done.logs[0].text.len() <= 100);
    assert_eq!(done.logs[1].text, notice(100));
    stage.close().await
}

/// Logs that fit exactly get no notice.
pub async fn logs_that_fit_get_no_notice(subject: &BackendSubject) -> Vec<Entry> {
    let stage = Stage::with(subject, limited("INFO hello\n".len() as u64)).await;
    assert_eq!(texts(&stage.invoke("print", Print::default()).await), ["INFO hello"]);
    stage.close().await
}

/// A limit of zero keeps nothing, and no notice either.
pub async fn a_log_limit_of_zero_keeps_nothing(subject: &BackendSubject) -> Vec<Entry> {
    let stage = Stage::with(subject, limited(0)).await;
    let done = stage.invoke("print", Print { lines: 3, ..Print::default() }).await;
    assert_eq!((done.status(), done.logs.len()), (Status::Success, 0));
    stage.close().await
}

/// Control characters are escaped: nothing forges a line or reaches a terminal.
pub async fn control_characters_are_inert(subject: &BackendSubject) -> Vec<Entry> {
    let stage = Stage::new(subject).await;
    let done = stage.invoke("print", text("a\x1b[31mred\nERROR forged\r\0\u{7f}\u{9b}end\ttab")).await;
    assert_eq!(texts(&done), ["INFO a\\u{1b}[31mred\\nERROR forged\\r\\u{0}\\u{7f}\\u{9b}end\ttab"]);
    stage.close().await
}

/// What elsewhere ends a log is an ordinary line here.
pub async fn a_fake_sentinel_is_an_ordinary_line(subject: &BackendSubject) -> Vec<Entry> {
    let stage = Stage::new(subject).await;
    let done =
        stage.invoke("print", Print { lines: 3, ..text("XXX_THE_END_OF_A_WHISK_ACTIVATION_XXX") }).await;
    assert_eq!(done.logs.len(), 3);
    assert_eq!(done.logs[2].text, "INFO XXX_THE_END_OF_A_WHISK_ACTIVATION_XXX 3");
    assert!(stage.invoke("echo", json!({})).await.logs.is_empty());
    stage.close().await
}

/// Unicode is kept as it is.
pub async fn unicode_in_logs_is_kept(subject: &BackendSubject) -> Vec<Entry> {
    let stage = Stage::new(subject).await;
    let done = stage.invoke("print", text("grüße 世界 🦀 שלום")).await;
    assert_eq!(texts(&done), ["INFO grüße 世界 🦀 שלום"]);
    stage.close().await
}

/// Activations that run at the same time have each their own lines only.
pub async fn concurrent_activations_keep_their_logs_apart(subject: &BackendSubject) -> Vec<Entry> {
    let stage = Stage::new(subject).await;
    let name = |n: usize| format!("activation-{n}");
    let inputs = (0..8).map(|n| Print { lines: 20, yields: true, ..text(&name(n)) }).collect();
    let all = stage.invoke_all("print", inputs).await;
    for (n, done) in all.iter().enumerate() {
        let expected: Vec<String> = (1..=20).map(|line| format!("INFO {} {line}", name(n))).collect();
        assert_eq!(texts(done), expected);
    }
    stage.close().await
}

async fn kept(subject: &BackendSubject, then: Ending, timeout: Duration, status: Status) -> Vec<Entry> {
    let stage = Stage::with(subject, fixtures::spec("print").with_timeout(timeout)).await;
    let done = stage.invoke("print", Print { lines: 2, then, ..text("before") }).await;
    assert_eq!(done.status(), status, "{:?}", done.outcome);
    assert_eq!(texts(&done), ["INFO before 1", "INFO before 2"]);
    stage.close().await
}

/// An action that fails keeps its logs.
pub async fn an_action_that_fails_keeps_its_logs(subject: &BackendSubject) -> Vec<Entry> {
    kept(subject, Ending::Fail("no".into()), LONG, Status::ApplicationError).await
}

/// So does one that panics.
pub async fn an_action_that_panics_keeps_its_logs(subject: &BackendSubject) -> Vec<Entry> {
    kept(subject, Ending::Panic("boom".into()), LONG, Status::DeveloperError).await
}

/// So does one that was stopped at its timeout.
pub async fn an_action_that_timed_out_keeps_its_logs(subject: &BackendSubject) -> Vec<Entry> {
    kept(subject, Ending::Sleep(30_000), Duration::from_millis(500), Status::DeveloperError).await
}

async fn raw(subject: &BackendSubject, raw: Raw, stream: Stream, expected: &[&str]) -> Vec<Entry> {
    let stage = Stage::new(subject).await;
    let done = stage.invoke("print", Print { lines: 0, raw: Some(raw), ..Print::default() }).await;
    assert_eq!(done.status(), Status::Success, "{:?}", done.outcome);
    assert_eq!(texts(&done), expected);
    assert!(done.logs.iter().all(|line| line.stream == stream));
    stage.close().await
}

/// Output past `tracing` is in the logs, a line for each line.
pub async fn raw_output_is_in_the_logs(subject: &BackendSubject) -> Vec<Entry> {
    raw(subject, Raw::Stdout(b"one\ntwo\n".to_vec()), Stream::Stdout, &["one", "two"]).await
}

/// So is what was written to standard error.
pub async fn raw_errors_are_in_the_logs(subject: &BackendSubject) -> Vec<Entry> {
    raw(subject, Raw::Stderr(b"oh\n".to_vec()), Stream::Stderr, &["oh"]).await
}

/// A last line needs no newline.
pub async fn raw_output_without_a_newline_is_a_line(subject: &BackendSubject) -> Vec<Entry> {
    raw(subject, Raw::Stdout(b"one\nand a half".to_vec()), Stream::Stdout, &["one", "and a half"]).await
}

/// Bytes that are no UTF-8 become replacement characters.
pub async fn raw_output_that_is_no_text_stays_valid(subject: &BackendSubject) -> Vec<Entry> {
    raw(subject, Raw::Stdout(b"a\xff\xfeb\n".to_vec()), Stream::Stdout, &["a\u{FFFD}\u{FFFD}b"]).await
}
