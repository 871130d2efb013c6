//! Points in the life of a process at which it can be made to die.

use std::io::Write;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::{Signal, getpid, kill_process};

/// The variable that names the point at which a process dies, and how often it is passed until then: `start.after:3`.
pub const VARIABLE: &str = "FAAS_CRASH_POINT";

/// Every point: before and after each durable step, around user code, and around telling the caller.
pub const NAMES: &[&str] = &[
    "take_over.before",
    "take_over.after",
    "put_entity.before",
    "put_entity.after",
    "accept.before",
    "accept.after",
    "begin.before",
    "begin.after",
    "claim_next.before",
    "claim_next.after",
    "start.before",
    "start.after",
    "action.before",
    "action.after",
    "retry.before",
    "retry.after",
    "append.before",
    "append.after",
    "finish.before",
    "finish.after",
    "dead_letter.before",
    "dead_letter.after",
    "redrive.before",
    "redrive.after",
    "put_schedule.before",
    "put_schedule.after",
    "reply.before",
    "reply.after",
];

/// Whether, where and when this process dies.
#[derive(Debug, Default)]
pub struct Points {
    /// The point, and how often it is passed until then.
    chosen: Option<(String, AtomicU32)>,
}

impl Points {
    /// What the environment says.
    #[must_use]
    pub fn from_env() -> Self {
        let chosen = std::env::var(VARIABLE).ok();
        let chosen = chosen.as_deref().and_then(|chosen| chosen.split_once(':'));
        let chosen = chosen.and_then(|(name, count)| Some((name.to_owned(), count.parse::<u32>().ok()?)));
        Self { chosen: chosen.map(|(name, count)| (name, AtomicU32::new(count.max(1)))) }
    }

    /// Passes a point; the process may die here.
    pub fn pass(&self, name: &str) {
        let Some((chosen, left)) = &self.chosen else { return };
        if chosen == name && left.fetch_sub(1, Ordering::SeqCst) == 1 {
            tell(&format!("HIT {name}"));
            let _ = kill_process(getpid(), Signal::KILL);
        }
    }
}

/// Tells the harness a line. It is written at once and as a whole, so that it survives this process.
pub(super) fn tell(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(format!("{MARK}{line}\n").as_bytes());
    let _ = out.flush();
}

/// What the lines that are for the harness begin with.
pub(super) const MARK: &str = "CRASHED ";
