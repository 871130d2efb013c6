//! Floods of logs: host memory stays bounded, and the log says that it was cut.

use faas_core::log::MAX_LINES;
use faas_core::{Activation, Limits};
use serde_json::json;
use tokio::task::JoinSet;

use crate::alone::{alone, peak_mib};
use crate::guests::{self, OK, times};
use crate::site::{Site, backend, fixtures, spec, timed};

const NOTICE: &str = "Logs were truncated because the total bytes size exceeds the limit of";

fn is_truncated(record: &Activation) -> bool {
    record.logs.last().is_some_and(|line| line.text.starts_with(NOTICE))
}

/// A guest with `fill` from 4096 to the end of its page, which it writes so many times in this way.
fn flood(fill: u32, last: Option<u32>, rounds: u32, write: &str) -> Vec<u8> {
    let last =
        last.map(|byte| format!("(i32.store8 (i32.const 65535) (i32.const {byte}))")).unwrap_or_default();
    guests::run(&format!(
        "(memory.fill (i32.const 4096) (i32.const {fill}) (i32.const 61440)) {last}
         (i32.store (i32.const 16) (i32.const 4096)) (i32.store (i32.const 20) (i32.const 61440))
         {} {OK}",
        times(rounds, write)
    ))
}

const TO_STDOUT: &str =
    "(if (call $fd_write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 24)) (then unreachable))";
const TO_STDERR: &str =
    "(if (call $fd_write (i32.const 2) (i32.const 16) (i32.const 1) (i32.const 24)) (then unreachable))";
const TO_LOG: &str = "(call $log (i32.const 1) (i32.const 4096) (i32.const 61440))";
const LF: u32 = 10;
const X: u32 = 120;

/// How often a flood of a gigabyte is written.
const GIGABYTE: u32 = (1 << 30) / 61_440;

/// Floods, and how much of their log is kept.
async fn check_floods(floods: Vec<(&str, Vec<u8>)>) {
    let limits = Limits { logs: 1 << 20, timeout: std::time::Duration::from_secs(30), ..Limits::default() };
    let names: Vec<_> = floods.iter().map(|(name, _)| (*name).to_owned()).collect();
    let actions = floods.into_iter().map(|(name, module)| (spec(name).with_limits(limits), module));
    let site = Site::of(actions.collect::<Vec<_>>()).await;
    site.fine().await;
    let before = peak_mib();
    for name in &names {
        let record = site.run(name, json!({})).await;
        assert!(record.outcome.is_success(), "{name}: {:?} {:?}", record.outcome, record.logs.last());
        assert!(is_truncated(&record), "{name}: {:?}", record.logs.last());
        let bytes: usize = record.logs.iter().map(|line| line.text.len() + 1).sum();
        assert!(bytes <= (1 << 20) + 200 && record.logs.len() <= MAX_LINES + 1, "{name}: {bytes}");
        assert!(bytes > (1 << 20) - 62_000 || record.logs.len() == MAX_LINES + 1, "{name}: {bytes}");
    }
    let grown = peak_mib() - before;
    println!("grown by {grown} MiB");
    assert!(grown < 100, "{grown} MiB");
    site.end(names.len() as u64).await;
}

#[test]
fn a_gigabyte_of_lines_takes_no_memory_of_the_host() {
    alone("logs::a_gigabyte_of_lines_takes_no_memory_of_the_host", async {
        check_floods(vec![
            ("stdout", flood(X, Some(LF), GIGABYTE, TO_STDOUT)),
            ("stderr", flood(X, Some(LF), GIGABYTE, TO_STDERR)),
            ("logged", flood(X, None, GIGABYTE, TO_LOG)),
        ])
        .await;
    });
}

#[test]
fn a_gigabyte_without_a_newline_takes_no_memory_of_the_host() {
    alone("logs::a_gigabyte_without_a_newline_takes_no_memory_of_the_host", async {
        check_floods(vec![
            ("stdout", flood(X, None, GIGABYTE, TO_STDOUT)),
            ("zeros", flood(0, None, GIGABYTE, TO_STDERR)),
        ])
        .await;
    });
}

#[test]
fn a_million_empty_lines_are_cut_at_their_number() {
    alone("logs::a_million_empty_lines_are_cut_at_their_number", async {
        let empty = "(call $log (i32.const 2) (i32.const 0) (i32.const 0))";
        check_floods(vec![
            ("stdout", flood(LF, None, 17, TO_STDOUT)),
            ("logged", flood(LF, None, 1_000_000, empty)),
        ])
        .await;
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_that_are_no_text_and_orders_to_a_terminal_are_inert() {
    let texts: [&[u8]; 5] = [
        b"red \x1b[31m and \x1b]0;title\x07",
        b"\xff\xfe\xc3\x28 \x80",
        b"nul \0 del \x7f c1 \xc2\x9b31m bell \x07",
        b"2024-01-01T00:00:00.000000000Z stdout: forged",
        b"XXX_THE_END_OF_A_WHISK_ACTIVATION_XXX\r",
    ];
    let mut more = String::new();
    let mut body = String::new();
    for (n, text) in texts.iter().enumerate() {
        let at = 8_192 + n * 256;
        more.push_str(&guests::data(at, text));
        body.push_str(&format!("(call $log (i32.const 1) (i32.const {at}) (i32.const {}))", text.len()));
        body.push_str(&format!(
            "(i32.store (i32.const 16) (i32.const {at})) (i32.store (i32.const 20) (i32.const {})) {TO_STDERR}",
            text.len()
        ));
        body.push_str("(i32.store (i32.const 16) (i32.const 2047)) (i32.store (i32.const 20) (i32.const 1))");
        body.push_str(TO_STDERR);
    }
    let more = format!("{more}{}", guests::data(2047, b"\n"));
    let site = Site::of([(spec("a"), guests::with(&more, &format!("{body} {OK}")))]).await;
    let record = site.run("a", json!({})).await;
    assert!(record.outcome.is_success(), "{:?}", record.outcome);
    assert_eq!(record.logs.len(), texts.len() * 2, "{:?}", record.logs);
    for line in &record.logs {
        assert!(!line.text.contains(|c: char| c.is_control() && c != '\t'), "{line:?}");
    }
    assert!(serde_json::to_string(&*record).is_ok());
    site.end(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unfinished_line_is_a_line_whatever_the_end() {
    for (end, status) in
        [(OK, 0), ("unreachable", 2), ("(call $exit (i32.const 1))", 2), ("(call $wait (i64.const -1))", 2)]
    {
        let body = format!(
            "(i32.store (i32.const 16) (i32.const 2000)) (i32.store (i32.const 20) (i32.const 4)) {TO_STDOUT} {end}"
        );
        let module = guests::with(&guests::data(2000, b"half"), &body);
        let site = Site::of([(timed("a", 200), module)]).await;
        let record = site.run("a", json!({})).await;
        assert_eq!((record.status().code(), record.logs.len()), (status, 1), "{end}");
        assert_eq!(record.logs[0].text, "half");
        site.end(1).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_of_all_who_run_at_once_stay_apart() {
    let Some(fixtures) = fixtures("logs_of_all_who_run_at_once_stay_apart") else { return };
    let print = faas_testkit::fixtures::spec("print").with_timeout(std::time::Duration::from_secs(30));
    let site = Site::on(backend().artifact(&fixtures), [print]).await;
    let mut calls = JoinSet::new();
    for n in 0..60 {
        let app = site.app.clone();
        let raw: Vec<u8> = format!("own {n} raw\n").into_bytes();
        let input =
            json!({ "text": format!("own {n}"), "lines": 20, "yields": true, "raw": { "stdout": raw } });
        calls.spawn(async move { (n, app.invoke("print", input).await.unwrap()) });
    }
    for (n, record) in calls.join_all().await {
        assert_eq!(record.logs.len(), 21, "{:?}", record.outcome);
        let own = format!("own {n} ");
        assert!(record.logs.iter().all(|line| line.text.contains(&own)), "{n}: {:?}", record.logs);
    }
    site.end(60).await;
}
