//! `cargo xtask crash`: the crash harness for longer than `cargo xtask test` runs it.

use anyhow::{Result, ensure};
use clap::Args;

use crate::process;
use crate::workspace::Workspace;

/// What the line begins with that tells what came of it.
pub(crate) const LINE: &str = "CRASH ";

/// The package of the store whose app is killed, and the test that does it.
const STORE: &str = "faas-store-sqlite";
const TEST: &str = "nothing_accepted_is_lost_or_doubled_whenever_it_is_killed";

#[derive(Args)]
pub(crate) struct Options {
    /// How often the app is killed.
    #[arg(long, value_name = "NUMBER", default_value = "10000")]
    kills: u32,
    /// What chance is made of; another one each time unless told.
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
}

/// Kills, and returns whether everything added up. The last line says what came of it.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<bool> {
    let seed = options.seed.unwrap_or_else(seed_of_now);
    println!("killing {} times from seed {seed}", options.kills);
    let mut cargo = workspace.cargo("test");
    cargo.args(["--release", "-p", STORE, "--test", "crash", "--", "--exact", TEST]);
    cargo.env("FAAS_CRASH_KILLS", options.kills.to_string()).env("FAAS_CRASH_SEED", seed.to_string());
    let mut last = None;
    let status = process::stream_some(&mut cargo, |line| {
        let told = line.find(LINE).map(|at| line[at..].to_owned());
        let is_shown = told.is_none();
        last = told.or_else(|| last.take());
        is_shown
    })?;
    ensure!(last.is_some() || !status.success(), "the harness has not told what came of it");
    if let Some(line) = last {
        println!("{line}");
    }
    Ok(status.success())
}

fn seed_of_now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(1, |since| since.as_secs())
}
