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
    /// The bytes of each, if they are to be these.
    pub raw: Option<Vec<u8>>,
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
    let line = input.raw.unwrap_or_else(|| vec![b'x'; input.bytes]);
    let mut stdout = io::stdout().lock();
    for _ in 0..input.lines {
        if input.logged {
            tracing::info!("{}", String::from_utf8_lossy(&line));
            continue;
        }
        stdout.write_all(&line)?;
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
    /// Whether the action computes without end.
    #[serde(default)]
    pub spins: bool,
}

/// Leaves a thread behind that prints.
#[action(memory = "16MiB")]
#[expect(clippy::print_stdout, reason = "it is what is tried")]
pub async fn later(input: Later) {
    let _ = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(input.ms));
        println!("{}", input.text);
    });
    while black_box(input.spins) {}
}
