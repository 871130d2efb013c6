//! What registered actions cost.

use faas_core::{ActionSet, LocalBackend, Platform};
use faas_testkit::goals::{Figures, Goal, alternate};
use tokio::runtime::Runtime;

use super::{Named, PAIRS, ROUNDS, current_thread, invoke, print};

const MANY: u32 = 10_000;

/// The resident memory that 10,000 registered actions add, beside 10 MiB. As many are registered before, so that
/// what building needs for a moment is on the heap already.
pub(super) fn registered_memory() {
    let goal = Goal::at_most("registered_memory", "B", 1.0);
    if !goal.is_wanted() {
        return;
    }
    let runtime = current_thread();
    let first = runtime.block_on(app_with(MANY));
    let Some(before) = resident_bytes() else {
        println!("SKIP registered_memory: this system does not tell a process its resident memory in /proc");
        return;
    };
    let second = runtime.block_on(app_with(MANY));
    let ours = resident_bytes().unwrap_or_default() - before;
    drop((first, second));
    print(&goal, Figures { ours, floor: f64::from(10 << 20) });
}

/// An activation with 10,000 actions registered, beside one with 10.
pub(super) fn registered_lookup(runtime: &Runtime) {
    let goal = Goal::at_most("registered_lookup", "ns", 1.2);
    if !goal.is_wanted() {
        return;
    }
    let (many, few) = runtime.block_on(async { (app_with(MANY).await, app_with(10).await) });
    let ours = || runtime.block_on(invoke(&many, "action7", ROUNDS));
    print(&goal, alternate(PAIRS, ours, || runtime.block_on(invoke(&few, "action7", ROUNDS))));
}

async fn app_with(actions: u32) -> Platform {
    let set = (0..actions).fold(ActionSet::new(), |set, n| set.with(Named(n)));
    Platform::builder().backend(LocalBackend::new()).actions(set).build().await.expect("an app")
}

/// Resident memory by `/proc/self/statm`, whose second field counts pages of 4 KiB.
fn resident_bytes() -> Option<f64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: f64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * 4096.0)
}
