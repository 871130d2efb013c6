//! Actions by which the tests of the Lambda backend look at a function from inside, and leave something behind there.

use std::fs::{self, File};
use std::hint::black_box;
use std::os::fd::IntoRawFd;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use faas_core::{BoxError, Context, action, actions};
use rustix::process::{Signal, getpid, kill_process};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use faas_testkit::fixtures::{allocate, exit, panic, print, sleep};

actions![stay, allocate, exit, panic, print, sleep];

/// What the program remembers of earlier runs.
static KEPT: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// What threads that were left behind count on.
static TICKS: AtomicU64 = AtomicU64::new(0);

/// How a run of `stay` ends.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Then {
    /// With what was found.
    #[default]
    Return,
    /// Not before the action's time is over, with an await.
    Sleep,
    /// Not at all, without an await.
    Spin,
    /// With a panic.
    Panic,
    /// With an error of the action's own.
    Fail,
    /// Killed, by itself.
    Kill,
    /// As programs end that read where they may not.
    Fault,
    /// With ten thousand open files, or as many as it may have.
    Hoard,
}

/// What `stay` does.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Stay {
    /// Leave this text in memory, and a thread that counts.
    pub leave: Option<String>,
    /// Leave a process, an open file that programs started from here get as well, and another working folder.
    pub litter: bool,
    /// What is printed past `tracing`.
    pub print: Option<String>,
    /// How it ends.
    pub then: Then,
}

/// Tells what there is in its program, and leaves something there.
///
/// # Errors
/// When it cannot look or leave anything, and when it is to fail.
///
/// # Panics
/// When it is to.
#[action(memory = "32MiB", timeout = "2s")]
#[expect(clippy::panic, clippy::print_stdout, reason = "it is what is tried")]
pub async fn stay(cx: &Context, input: Stay) -> Result<Value, BoxError> {
    tracing::info!("staying");
    if let Some(text) = &input.print {
        println!("{text}");
    }
    let found = found(cx)?;
    if let Some(text) = input.leave {
        KEPT.lock().unwrap_or_else(PoisonError::into_inner).push(text);
        let _ = std::thread::spawn(|| {
            loop {
                TICKS.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(1));
            }
        });
    }
    if input.litter {
        // A descriptor that was duplicated is inherited, as those of many a library are.
        let _ = rustix::io::dup(File::open("/proc/self/maps")?)?.into_raw_fd();
        Command::new("/bin/sleep").arg("1000").spawn()?;
        std::env::set_current_dir("/tmp")?;
    }
    match input.then {
        Then::Return => return Ok(found),
        Then::Sleep => cx.sleep(Duration::from_secs(3600)).await,
        Then::Spin => while black_box(true) {},
        Then::Panic => panic!("it was asked to"),
        Then::Fail => return Err("it was asked to".into()),
        Then::Kill => {
            // It has what was printed before read.
            tracing::info!("killing");
            kill_process(getpid(), Signal::KILL)?;
        }
        // The standard library looks at the first one, and lets go on what was no overflow of a stack.
        Then::Fault => (0..2).try_for_each(|_| kill_process(getpid(), Signal::SEGV))?,
        Then::Hoard => {
            let files: Vec<_> = (0..10_000).map_while(|_| File::open("/proc/self/maps").ok()).collect();
            return Ok(json!({ "files": files.len() }));
        }
    }
    Ok(json!({}))
}

fn found(cx: &Context) -> Result<Value, BoxError> {
    let names = |folder: &str| -> Result<Vec<String>, BoxError> {
        let links = fs::read_dir(folder)?.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
        Ok(links.map(|link| link.display().to_string()).collect())
    };
    let own = getpid().as_raw_pid();
    let is_child = |stat: &str| {
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        after_name.split_whitespace().nth(1).is_some_and(|parent| parent == own.to_string())
    };
    let stats = fs::read_dir("/proc")?
        .flatten()
        .filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok());
    Ok(json!({
        "pid": own,
        "activation": cx.activation_id().to_string(),
        "remaining_ms": u64::try_from(cx.remaining().as_millis())?,
        "kept": *KEPT.lock().unwrap_or_else(PoisonError::into_inner),
        "ticks": TICKS.load(Ordering::Relaxed),
        "threads": fs::read_dir("/proc/self/task")?.count(),
        "files": names("/proc/self/fd")?,
        "children": stats.filter(|stat| is_child(stat)).count(),
        "folder": std::env::current_dir()?,
        "variables": std::env::vars().map(|(name, _)| name).collect::<Vec<_>>(),
    }))
}
