//! Actions that end their runtime.

use std::fs::OpenOptions;
use std::hint::black_box;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::time::Duration;

use faas_core::{BoxError, Context, action};
use rustix::process::{Pid, Signal, getpid, kill_process};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// How the runtime is ended.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// The program exits with this code after it has printed something.
    Exit(i32),
    /// It aborts after it has printed something.
    Abort,
    /// It uses up its stack.
    Overflow,
    /// It calls a function that is nowhere after it has printed something.
    Segfault,
    /// It sends itself this signal: 9 to be killed, 4 as an instruction that is none does.
    Signal(i32),
    /// It sends the first process of the container this signal.
    SignalFirst(i32),
}

/// An end.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Ending {
    /// How it comes.
    pub by: End,
}

/// Ends its runtime.
///
/// # Errors
/// When that does not work.
#[action(memory = "16MiB")]
#[expect(clippy::print_stdout, reason = "it is what is tried")]
pub async fn end(cx: &Context, input: Ending) -> Result<Value, BoxError> {
    tracing::info!("ending");
    match input.by {
        End::Exit(code) => {
            print!("printed before the exit");
            let _ = io::stdout().flush();
            std::process::exit(code)
        }
        End::Abort => {
            print!("printed before the abort");
            let _ = io::stdout().flush();
            std::process::abort()
        }
        End::Overflow => drop(black_box(descend(0))),
        End::Segfault => {
            print!("printed before the fault");
            let _ = io::stdout().flush();
            segfault()?;
        }
        End::Signal(number) => kill_process(getpid(), signal(number)?)?,
        End::SignalFirst(number) => kill_process(Pid::INIT, signal(number)?)?,
    }
    cx.sleep(Duration::from_millis(500)).await;
    Ok(json!({ "survived": true }))
}

fn signal(number: i32) -> Result<Signal, BoxError> {
    Signal::from_named_raw(number).ok_or_else(|| "there is no such signal".into())
}

/// Writes zeros where the address of a function is, through the file that is the memory of this process, which needs no
/// unsafe code, and calls it.
fn segfault() -> io::Result<()> {
    let function: Box<fn()> = black_box(Box::new(|| {}));
    let place = std::ptr::from_ref(&*function).addr() as u64;
    let memory = OpenOptions::new().write(true).open("/proc/self/mem")?;
    memory.write_all_at(&[0; size_of::<fn()>()], place)?;
    black_box(function)();
    Ok(())
}

fn descend(level: u64) -> u64 {
    let frame = black_box([level; 32]);
    if level == u64::MAX { 0 } else { descend(level + 1) + black_box(frame)[7] }
}
