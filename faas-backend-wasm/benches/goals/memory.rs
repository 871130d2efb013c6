//! Resident memory: of live instances, and of registered actions.

use std::path::Path;
use std::time::Duration;

use faas_backend_wasm::WasmConfig;
use faas_core::action::ActionSpec;
use faas_core::{MemoryMib, Platform};
use faas_testkit::goals::{Figures, Goal, median};

use super::bare::Bare;
use super::{app, builder, child, current_thread, print};

/// Instances that are alive at once.
const LIVE: u32 = 1_000;

/// Processes of each side; what they measure differs by a percent.
const RUNS: usize = 5;

/// The resident memory of 1,000 activations that wait, beside that of 1,000 bare instances that were called.
pub(crate) fn wasm_live_memory(artifact: &Path) {
    let goal = Goal::at_most("wasm_live_memory", "B", 1.5);
    if !goal.is_wanted() || !tells_memory("wasm_live_memory") {
        return;
    }
    let artifact = artifact.to_str().expect("a path of UTF-8");
    let side = |what: &str| median((0..RUNS).map(|_| child::measure(what, &[artifact])).collect());
    print(&goal, Figures { ours: side("live-ours"), floor: side("live-bare") });
}

pub(crate) fn live_ours(artifact: &str) -> f64 {
    current_thread().block_on(async {
        let room = builder().artifact(artifact).instances(LIVE + 10).memory(MemoryMib::new(2 * LIVE + 10));
        let app = app(room).await;
        let nap = |ms: u64| {
            let app = app.clone();
            tokio::spawn(async move { app.invoke("nap", &serde_json::json!({ "ms": ms })).await })
        };
        let _ = nap(1).await.expect("a task").expect("an activation");
        let before = resident_bytes();
        let naps: Vec<_> = (0..LIVE).map(|_| nap(60_000)).collect();
        while app.stats().in_flight < u64::from(LIVE) {
            tokio::task::yield_now().await;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        let after = resident_bytes();
        drop(naps);
        after - before
    })
}

pub(crate) fn live_bare(artifact: &str) -> f64 {
    let mut config = WasmConfig::default();
    config.instances = LIVE + 10;
    let bare = Bare::compile(Path::new(artifact), &config);
    drop(bare.live("echo", b"{}"));
    let before = resident_bytes();
    let all: Vec<_> = (0..LIVE).map(|_| bare.live("echo", b"{}")).collect();
    let after = resident_bytes();
    drop(all);
    after - before
}

/// Registered actions.
const MANY: u32 = 10_000;

/// The resident memory that 10,000 registered actions of one artifact add, beside 24 MiB.
pub(crate) fn wasm_registered_memory(artifact: &Path) {
    let goal = Goal::at_most("wasm_registered_memory", "B", 1.0);
    if !goal.is_wanted() || !tells_memory("wasm_registered_memory") {
        return;
    }
    let ours = child::measure("registered", &[artifact.to_str().expect("a path of UTF-8")]);
    print(&goal, Figures { ours, floor: f64::from(24 << 20) });
}

/// One namespace each has its `echo`. As many are registered before, so that what building needs for a moment is on
/// the heap already.
pub(crate) fn registered(artifact: &str) -> f64 {
    current_thread().block_on(async {
        let many = async || {
            let backend = builder().artifact(artifact).build().expect("a backend");
            let specs = (0..MANY).map(|n| ActionSpec::new(&format!("/tenant{n}/echo")).expect("a name"));
            let app = specs.fold(Platform::builder().backend(backend), |app, spec| app.spec(spec));
            let app = app.build().await.expect("an app");
            let _ = app.invoke("/tenant7/echo", "{}").await.expect("an activation");
            app
        };
        let first = many().await;
        let before = resident_bytes();
        let second = many().await;
        let after = resident_bytes();
        drop((first, second));
        after - before
    })
}

fn tells_memory(goal: &str) -> bool {
    let tells = Path::new("/proc/self/statm").exists();
    if !tells {
        println!("SKIP {goal}: this system does not tell a process its resident memory in /proc");
    }
    tells
}

/// Resident memory by `/proc/self/statm`, whose second field counts pages of 4 KiB.
fn resident_bytes() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("a system with /proc");
    let pages: f64 = statm.split_whitespace().nth(1).and_then(|pages| pages.parse().ok()).expect("a number");
    pages * 4096.0
}
