//! An app on this store is killed again and again, and nothing that it accepted is lost or doubled.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

use std::fmt::Display;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use faas_core::action::BoxFuture;
use faas_core::{Error, Store};
use faas_store_sqlite::{SqliteStore, points};
use faas_testkit::crash::{Harness, Report, live, pass};

/// How often it is killed unless the variable `FAAS_CRASH_KILLS` says otherwise.
const KILLS: u32 = 500;

/// How much has to be accepted for each kill, at the least. Arbitrary: it is some forty on a slow machine.
const ACCEPTED: usize = 5;

fn open(directory: PathBuf) -> BoxFuture<'static, Result<Arc<dyn Store>, Error>> {
    Box::pin(async move { Ok(Arc::new(SqliteStore::open(directory.join("store"))?) as Arc<dyn Store>) })
}

/// Looks through everything that is in a directory.
fn check(directory: PathBuf) -> BoxFuture<'static, Result<(), String>> {
    Box::pin(async move {
        let folder = directory.join("store");
        let store = SqliteStore::open(&folder).map_err(|error| error.to_string())?;
        store.check().await.map_err(|error| error.to_string())?;
        drop(store);
        let names = fs::read_dir(folder.join("blobs")).map_err(|error| error.to_string())?;
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        match names.filter(|name| name.starts_with("unfinished")).collect::<Vec<_>>() {
            left if left.is_empty() => Ok(()),
            left => Err(format!("{left:?} are left")),
        }
    })
}

/// The process that is killed; in any other, nothing.
#[test]
fn a_process_lives() {
    points::call(pass);
    live(&open);
}

#[test]
fn nothing_accepted_is_lost_or_doubled_whenever_it_is_killed() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("crash-{}", std::process::id()));
    let command = || {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "a_process_lives", "--nocapture"]);
        command
    };
    let kills = number("FAAS_CRASH_KILLS").map_or(KILLS, |kills| u32::try_from(kills).unwrap());
    let seed = number("FAAS_CRASH_SEED").unwrap_or(1);
    // Past the harness of tests, which keeps to itself what a test that passes prints.
    let tell = |text: &dyn Display| writeln!(std::io::stdout(), "{text}").unwrap();
    let progress = |report: &Report| {
        tell(&format!("killed {} of {kills} times, {} accepted", report.kills, report.accepted));
    };
    let harness = Harness {
        kills,
        seed,
        folder: &folder,
        command: &command,
        open: &open,
        check: &check,
        points: points::WORKING,
        closing: points::CLOSING,
        progress: &progress,
    };
    let report = harness.run();
    tell(&report);
    let problems = report.problems();
    assert!(problems.is_empty(), "{report}\n{}\nin {}", problems.join("\n"), folder.display());
    assert!(report.accepted >= ACCEPTED * kills as usize, "{report}: hardly anything was accepted");
    std::fs::remove_dir_all(&folder).unwrap();
}
