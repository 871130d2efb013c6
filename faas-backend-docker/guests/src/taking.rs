//! Actions that take too much.

use std::fs::{File, OpenOptions};
use std::hint::black_box;
use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Duration;

use faas_core::{Context, action};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// How memory is taken.
#[derive(Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Grow {
    /// How much at once, in KiB.
    pub kib: usize,
    /// How long to wait after each piece.
    pub pause_ms: u64,
}

impl Default for Grow {
    fn default() -> Self {
        Self { kib: 1024, pause_ms: 0 }
    }
}

/// Takes memory without end.
#[action(memory = "32MiB")]
pub async fn grow(cx: &Context, input: Grow) -> Value {
    tracing::info!("growing");
    let mut held = Vec::new();
    loop {
        held.push(black_box(vec![1_u8; input.kib << 10]));
        if input.pause_ms > 0 {
            cx.sleep(Duration::from_millis(input.pause_ms)).await;
        }
    }
}

/// Where a disk is to be filled.
#[derive(Debug, Serialize, Deserialize)]
pub struct Fill {
    /// The file.
    pub path: String,
    /// The most that is written, in MiB.
    pub mib: usize,
}

/// Writes to a file until it cannot; tells how much it wrote and why it stopped.
#[action(memory = "64MiB")]
pub async fn fill(input: Fill) -> Value {
    let mut written = 0;
    let mut write = || -> io::Result<()> {
        let mut file = OpenOptions::new().create(true).append(true).open(&input.path)?;
        let piece = vec![7_u8; 1 << 20];
        while written < input.mib {
            file.write_all(&piece)?;
            written += 1;
        }
        Ok(())
    };
    let stopped = write().err().map(|error| error.to_string());
    json!({ "mib": written, "stopped": stopped })
}

/// What there is to be too many of.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Crowd {
    /// Threads.
    Threads,
    /// Processes, each of which starts more.
    Processes,
    /// Open files.
    Files,
    /// Sockets.
    Sockets,
}

/// What is taken.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Take {
    /// Of what there is to be too many.
    pub of: Crowd,
}

/// Takes ever more of something until it gets no more; tells how many it had and why that was all.
#[action(memory = "64MiB")]
pub async fn crowd(input: Take) -> Value {
    let (count, error) = match input.of {
        Crowd::Threads => until_refused(|| {
            let sleep = || std::thread::sleep(Duration::from_secs(600));
            std::thread::Builder::new().stack_size(16 << 10).spawn(sleep).map(drop)
        }),
        // Each copy of this program waits for requests that never come.
        Crowd::Processes => until_refused(|| Command::new("/proc/self/exe").env_clear().spawn().map(drop)),
        Crowd::Files => {
            let mut held = Vec::new();
            until_refused(|| File::open("/proc/self/status").map(|file| held.push(file)))
        }
        Crowd::Sockets => {
            let mut held = Vec::new();
            until_refused(|| UnixDatagram::unbound().map(|socket| held.push(socket)))
        }
    };
    json!({ "count": count, "refused": error.to_string() })
}

fn until_refused(mut more: impl FnMut() -> io::Result<()>) -> (u32, io::Error) {
    let mut count = 0;
    loop {
        match more() {
            Ok(()) => count += 1,
            Err(error) => return (count, error),
        }
    }
}
