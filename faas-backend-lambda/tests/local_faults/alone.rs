//! Tests that measure what their process uses, which need a process of their own.

use std::future::Future;
use std::process::Command;

/// Set in the process that runs one test alone.
const ALONE: &str = "FAAS_TEST_ALONE";

/// Runs a test in a process of its own on two threads; `test` is its name with its module.
pub(crate) fn alone(test: &str, body: impl Future<Output = ()>) {
    if std::env::var_os(ALONE).is_some() {
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

/// The most memory that this process had resident, in MiB; 0 where nobody tells.
pub(crate) fn peak_mib() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or_default() >> 10
}
