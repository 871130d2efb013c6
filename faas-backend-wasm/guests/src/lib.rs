//! Actions that the tests and benchmarks of the Wasm backend run as modules.
//!
//! They have no state to initialise, unlike the fixtures of the testkit: an activation is instantiation and run.

use std::hint::black_box;
use std::time::Duration;

use faas_core::{Context, action, actions};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use faas_testkit::fixtures::fetch;

actions![echo, touch, nap, spin, fill, grow, recurse, flood, fetch];

/// Gives its input back.
#[action(memory = "4MiB")]
pub async fn echo(input: Value) -> Value {
    input
}

/// Writes to every page of so many KiB.
#[derive(Serialize, Deserialize)]
pub struct Touch {
    /// How much.
    pub kib: usize,
}

/// Touches memory.
#[action(memory = "4MiB")]
pub async fn touch(input: Touch) -> Value {
    let mut bytes = vec![0_u8; input.kib << 10];
    bytes.iter_mut().step_by(4096).for_each(|byte| *byte = 1);
    json!({ "pages": black_box(bytes).iter().step_by(4096).map(|byte| usize::from(*byte)).sum::<usize>() })
}

/// A time in milliseconds.
#[derive(Serialize, Deserialize)]
pub struct Millis {
    /// The milliseconds.
    pub ms: u64,
}

/// Sleeps.
#[action(memory = "2MiB")]
pub async fn nap(cx: &Context, input: Millis) {
    cx.sleep(Duration::from_millis(input.ms)).await;
}

/// Computes without end.
#[action(memory = "4MiB", timeout = "300ms")]
pub async fn spin() {
    let mut n = 0_u64;
    loop {
        n = black_box(n.wrapping_mul(31).wrapping_add(7));
    }
}

/// Fills all of its memory again and again, by the instruction that fills memory.
#[action(memory = "64MiB", timeout = "300ms")]
pub async fn fill() {
    let mut bytes = vec![0_u8; 48 << 20];
    loop {
        bytes.fill(black_box(7));
        black_box(&mut bytes);
    }
}

/// Takes memory without end, in pieces of so many KiB.
#[action(memory = "16MiB")]
pub async fn grow(input: Touch) -> Value {
    let mut held = Vec::new();
    loop {
        held.push(black_box(vec![1_u8; input.kib << 10]));
    }
}

/// Calls itself without end.
#[action(memory = "16MiB")]
pub async fn recurse() -> Value {
    json!({ "depth": descend(0) })
}

fn descend(level: u64) -> u64 {
    let frame = black_box([level; 32]);
    if level == u64::MAX { 0 } else { descend(level + 1) + black_box(frame)[7] }
}

/// How much is logged.
#[derive(Serialize, Deserialize)]
pub struct Flood {
    /// The lines.
    pub lines: u32,
    /// The bytes of each.
    pub bytes: usize,
    /// Whether they are printed instead of logged, and with a newline after each.
    pub raw: Option<bool>,
}

/// Logs very much.
#[action(memory = "16MiB")]
pub async fn flood(input: Flood) {
    use std::io::Write;
    let line = "x".repeat(input.bytes);
    for _ in 0..input.lines {
        match input.raw {
            None => tracing::info!("{line}"),
            Some(ends) => {
                let mut stdout = std::io::stdout().lock();
                let end: &[u8] = if ends { b"\n" } else { b"" };
                let _ = stdout.write_all(line.as_bytes()).and_then(|()| stdout.write_all(end));
            }
        }
    }
}
