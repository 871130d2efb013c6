//! Processes of this machine, as proc(5) tells of them.

use std::fs;
use std::time::{Duration, Instant};

/// How long anything may take that comes of itself.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The processes that run with this text in a variable of their environment, as programs do and what they start.
pub(crate) fn with_variable(text: &str) -> Vec<u32> {
    let ids =
        fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.filter(|id| has_variable(*id, text.as_bytes()) && runs(*id)).collect()
}

fn has_variable(id: u32, text: &[u8]) -> bool {
    let variables = fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
    variables.windows(text.len()).any(|window| window == text)
}

/// The state of a process: `T` if it is stopped.
pub(crate) fn state(id: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    stat.rsplit(") ").next()?.chars().next()
}

/// The open files of this process.
pub(crate) fn files() -> usize {
    fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

/// The processes that this one started and that are not forgotten.
pub(crate) fn children() -> usize {
    let own = format!(" {} ", std::process::id());
    let stats = fs::read_dir("/proc").unwrap().flatten();
    let stats = stats.filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok());
    // After the name: the state and the parent.
    stats.filter(|stat| stat.rsplit(')').next().is_some_and(|rest| rest[2..].starts_with(&own))).count()
}

/// The memory that this process has resident, in KiB.
pub(crate) fn resident_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

/// Asks again and again until the answer is `Ok`; panics with the last one when the patience is over.
pub(crate) async fn until<T, E: std::fmt::Debug>(what: &str, mut ask: impl FnMut() -> Result<T, E>) -> T {
    let begun = Instant::now();
    loop {
        match ask() {
            Ok(answer) => return answer,
            Err(last) => assert!(begun.elapsed() < PATIENCE, "still not {what}: {last:?}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Whether a process is there and does something, or could.
pub(crate) fn runs(id: u32) -> bool {
    !matches!(state(id), None | Some('Z' | 'X'))
}
