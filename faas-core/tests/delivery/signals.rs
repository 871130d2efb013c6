//! A process that is asked to end.

#![cfg(unix)]

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use faas_core::{LocalBackend, Platform};
use faas_testkit::mock::Script;
use serde_json::json;
use tokio::time::Instant;

use crate::life::World;
use crate::shutdown::pooled;

/// Tells the process on which backend an action runs, and for how many milliseconds.
const CHILD: &str = "FAAS_DELIVERY_CHILD";

/// The process that the tests below start: this very test, told by its environment to run for a while.
#[test]
fn a_process_that_is_asked_to_end() {
    let Ok(told) = std::env::var(CHILD) else { return };
    let (backend, ms) = told.split_once(' ').unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let world = World::new();
        let builder = match backend {
            "local" => Platform::builder().backend(LocalBackend::new()),
            _ => Platform::builder().backend(pooled(Script::new()).0),
        };
        let builder = builder.shared_store(world.disk.shared());
        let app = builder.action(world.sleeper("sleep")).build().await.unwrap();
        app.submit("sleep", json!({ "ms": ms.parse::<u64>().unwrap() })).await.unwrap();
        let shutting = app.shutdown_on_signal(Duration::from_secs(60));
        tokio::pin!(shutting);
        // It listens from its first poll on.
        let early = tokio::time::timeout(Duration::from_millis(10), &mut shutting).await;
        assert!(early.is_err());
        eprintln!("ready");
        let shut = shutting.await.unwrap();
        eprintln!("left {}", shut.left);
    });
}

/// Starts the process with an action that runs on a backend for `ms`.
fn child(backend: &str, ms: u64) -> (Child, BufReader<std::process::ChildStderr>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "signals::a_process_that_is_asked_to_end", "--nocapture"])
        .env(CHILD, format!("{backend} {ms}"))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while line.trim() != "ready" {
        line.clear();
        assert!(output.read_line(&mut line).unwrap() > 0, "it ended early");
    }
    (child, output)
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

/// Waits for its clean end, and gives what it said.
fn end(mut child: Child, mut output: BufReader<std::process::ChildStderr>) -> String {
    assert!(child.wait().unwrap().success());
    let mut text = String::new();
    output.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn a_signal_drains_and_ends_the_process_cleanly() {
    for name in ["-TERM", "-INT"] {
        let (child, output) = child("local", 500);
        signal(&child, name);
        assert!(end(child, output).contains("left 0"), "{name}: what ran could end");
    }
}

#[tokio::test]
async fn a_second_signal_ends_the_process_at_once_and_cleanly() {
    for backend in ["local", "pooled"] {
        let (child, output) = child(backend, 60_000);
        signal(&child, "-TERM");
        // Two at once could come as one.
        tokio::time::sleep(Duration::from_millis(200)).await;
        let begun = Instant::now();
        signal(&child, "-TERM");
        assert!(end(child, output).contains("left 1"), "{backend}");
        assert!(begun.elapsed() < Duration::from_secs(20), "{backend}: {:?}", begun.elapsed());
    }
}
