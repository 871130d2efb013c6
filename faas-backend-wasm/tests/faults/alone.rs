//! Tests that count what their process uses, which need a process of their own.

use std::future::Future;
use std::process::Command;

/// Set in the process that runs one test alone.
const ALONE: &str = "FAAS_TEST_ALONE";

/// Runs a test in a process of its own on two threads; `test` is its name with its module.
pub(crate) fn alone(test: &str, body: impl Future<Output = ()>) {
    if is_alone() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        return runtime.unwrap().block_on(body);
    }
    let exe = std::env::current_exe().unwrap();
    let ran = Command::new(exe).args(["--exact", test, "--nocapture"]).env(ALONE, "1").output().unwrap();
    let text = String::from_utf8_lossy(&ran.stdout);
    assert!(text.contains("1 passed"), "{text}\n{}", String::from_utf8_lossy(&ran.stderr));
    if let Some(skip) = text.lines().find(|line| line.starts_with("SKIP ")) {
        println!("{skip}");
    }
}

/// Whether this process runs one test alone.
pub(crate) fn is_alone() -> bool {
    std::env::var_os(ALONE).is_some()
}

/// A number of kB of this process's status, in MiB.
fn status(key: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    let kib =
        line.and_then(|line| line.trim_start_matches(':').split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or_default() >> 10
}

/// The most memory that this process had resident, in MiB; 0 where nobody tells.
pub(crate) fn peak_mib() -> u64 {
    status("VmHWM")
}

/// The memory that this process has resident, in MiB.
pub(crate) fn resident_mib() -> u64 {
    status("VmRSS")
}

/// The address space of this process, in MiB.
pub(crate) fn address_space_mib() -> u64 {
    status("VmSize")
}

fn entries(folder: &str) -> usize {
    std::fs::read_dir(folder).map_or(0, Iterator::count)
}

pub(crate) fn threads() -> usize {
    entries("/proc/self/task")
}

pub(crate) fn open_files() -> usize {
    entries("/proc/self/fd")
}

pub(crate) fn mappings() -> usize {
    std::fs::read_to_string("/proc/self/maps").map_or(0, |text| text.lines().count())
}

/// Waits until this is so.
pub(crate) async fn until(what: &str, is_so: impl Fn() -> bool) {
    let began = std::time::Instant::now();
    while !is_so() {
        assert!(began.elapsed().as_secs() < 20, "still not {what}");
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
}
