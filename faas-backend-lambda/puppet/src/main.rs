//! A bootstrap of somebody else's: it speaks Lambda's Runtime API as far as it is told to, and no further.
//!
//! What it does stands in its events as a list of [`Step`]s. What it does before it asks for the first one, and when it is
//! asked what came of its initialisation, stands in the variables `INIT` and `PROBE` of its action. Without a list it
//! answers as the functions of this library do.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "what a function prints is its log")]

mod api;
mod step;

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;

use self::api::Api;
use self::step::{Player, Step};

/// Counts for as long as the program runs.
static TICKS: AtomicU64 = AtomicU64::new(0);

fn main() -> io::Result<()> {
    let variable = |name: &str| std::env::var(name).map_err(io::Error::other);
    let spec: Value = serde_json::from_str(&variable("FAAS_ACTION")?)?;
    let told = |name: &str| -> io::Result<Vec<Step>> {
        match spec["env"][name].as_str() {
            Some(steps) => Ok(serde_json::from_str(steps)?),
            None => Ok(Vec::new()),
        }
    };
    std::thread::spawn(|| {
        loop {
            TICKS.fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    let mut player = Player::new(Api::new(variable("AWS_LAMBDA_RUNTIME_API")?));
    player.play(&told("INIT")?, None)?;
    loop {
        let event = player.next()?;
        let steps = match event.body["faas"]["probe"].as_bool() {
            Some(true) => told("PROBE")?,
            _ => serde_json::from_value(event.body["value"]["steps"].clone()).unwrap_or_default(),
        };
        player.play(&steps, Some(&event))?;
    }
}
