//! Points in the life of a process at which it can be made to die.

use std::io::Write;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::{Signal, getpid, kill_process};

/// The variable that names the point at which a process dies, and how often it is passed until then: `start.after:3`.
pub const VARIABLE: &str = "FAAS_CRASH_POINT";

/// The points of every store: before and after each durable step, around user code, and around telling the caller.
pub const NAMES: &[&str] = &[
    "take_over.before",
    "take_over.after",
    "put_entity.before",
    "put_entity.after",
    "delete_entity.before",
    "delete_entity.after",
    "accept.before",
    "accept.after",
    "begin.before",
    "begin.after",
    "claim_next.before",
    "claim_next.after",
    "start.before",
    "start.after",
    "init.before",
    "init.after",
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
    "drop_dead_letter.before",
    "drop_dead_letter.after",
    "put_schedule.before",
    "put_schedule.after",
    "delete_schedule.before",
    "delete_schedule.after",
    "reply.before",
    "reply.after",
];

/// The point at which this process dies, and how often it is passed until then.
static CHOSEN: OnceLock<Option<(String, AtomicU32)>> = OnceLock::new();

fn chosen() -> Option<(String, AtomicU32)> {
    let chosen = std::env::var(VARIABLE).ok()?;
    let (name, count) = chosen.split_once(':')?;
    Some((name.to_owned(), AtomicU32::new(count.parse::<u32>().ok()?.max(1))))
}

/// Passes a point. A process that the harness has started may die here; in any other, nothing happens. A store that has
/// points of its own calls it, too.
pub fn pass(name: &str) {
    let Some((chosen, left)) = CHOSEN.get_or_init(chosen) else { return };
    if chosen == name && left.fetch_sub(1, Ordering::SeqCst) == 1 {
        tell(&format!("HIT {name}"));
        let _ = kill_process(getpid(), Signal::KILL);
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
