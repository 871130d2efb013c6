//! Actions that print.

use std::hint::black_box;
use std::io::{self, Write};
use std::time::Duration;

use faas_core::{BoxError, action};
use serde::{Deserialize, Serialize};

/// What is printed.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Flood {
    /// The lines.
    pub lines: u32,
    /// The bytes of each.
    pub bytes: usize,
    /// Whether each has an end.
    pub ends: bool,
    /// Whether they are logged, not printed.
    pub logged: bool,
    /// Whether it computes without end afterwards.
    pub spins: bool,
}

/// Prints, or logs, very much.
///
/// # Errors
/// When it cannot print.
#[action(memory = "64MiB")]
pub async fn flood(input: Flood) -> Result<(), BoxError> {
    let line = "x".repeat(input.bytes);
    let mut stdout = io::stdout().lock();
    for _ in 0..input.lines {
        if input.logged {
            tracing::info!("{line}");
            continue;
        }
        stdout.write_all(line.as_bytes())?;
        if input.ends {
            stdout.write_all(b"\n")?;
        }
    }
    drop(stdout);
    while black_box(input.spins) {}
    Ok(())
}

/// What is printed once the action has ended.
#[derive(Debug, Serialize, Deserialize)]
pub struct Later {
    /// The line.
    pub text: String,
    /// How long after the action began.
    pub ms: u64,
}

/// Leaves a thread behind that prints.
#[action(memory = "16MiB")]
#[expect(clippy::print_stdout, reason = "it is what is tried")]
pub async fn later(input: Later) {
    let _ = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(input.ms));
        println!("{}", input.text);
    });
}
