//! A backlog of a million jobs: what it takes of memory, and how fast it is worked off.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use faas_core::{Action, ActionSpec, BoxError, Context, LocalBackend, Platform};
use faas_testkit::goals::{Figures, Goal, per_second};
use tokio::runtime::Builder;
use tokio::sync::Notify;

use super::made::{builder, scratch};
use super::print;

/// The jobs of the backlog.
const JOBS: u64 = 1_000_000;
/// How many are run before, so that the platform has what it takes to work.
const BEFORE: u64 = 20_000;
/// How many submit at once.
const CALLERS: u64 = 256;
/// The jobs at its beginning and at its end whose rate is measured.
const PART: u64 = 50_000;

/// An action that waits until it may run, and counts its runs.
struct Gate {
    open: Arc<(AtomicU64, Notify)>,
    runs: Arc<AtomicU64>,
}

impl Action for Gate {
    type Input = ();
    type Output = ();

    fn spec(&self) -> ActionSpec {
        ActionSpec::new("gate").expect("a name")
    }

    async fn call(&self, _: Context, (): ()) -> Result<(), BoxError> {
        let opened = self.open.1.notified();
        if self.open.0.load(Relaxed) == 0 {
            opened.await;
        }
        self.runs.fetch_add(1, Relaxed);
        Ok(())
    }
}

/// Accepts a million jobs that wait, and then has them run.
pub(crate) fn measure() {
    let memory = Goal::at_most("backlog_memory", "B", 1.0);
    let throughput = Goal::at_least("backlog_throughput", "1/s", 0.8);
    if !memory.is_wanted() && !throughput.is_wanted() {
        return;
    }
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let (open, runs) = (Arc::new((AtomicU64::new(0), Notify::new())), Arc::new(AtomicU64::new(0)));
        let gate = Gate { open: Arc::clone(&open), runs: Arc::clone(&runs) };
        let store = builder(&scratch("backlog")).max_jobs(u64::MAX).open().expect("a store");
        let platform = Platform::builder().backend(LocalBackend::new().with_slots(64)).store(store);
        let app = platform.action(gate).build().await.expect("a platform");
        open.0.store(1, Relaxed);
        submit(&app, BEFORE).await;
        until(&runs, BEFORE).await;
        open.0.store(0, Relaxed);
        let before = resident_bytes();
        submit(&app, JOBS).await;
        let after = resident_bytes();
        if let (Some(before), Some(after)) = (before, after)
            && memory.is_wanted()
        {
            print(&memory, Figures { ours: (after - before).max(0.0), floor: f64::from(100 << 20) });
        }
        if throughput.is_wanted() {
            open.0.store(1, Relaxed);
            open.1.notify_waiters();
            // The first ones were under way already.
            let start = rate(&runs, 2 * BEFORE, 2 * BEFORE + PART).await;
            let end = rate(&runs, BEFORE + JOBS - PART, BEFORE + JOBS).await;
            print(&throughput, Figures { ours: end, floor: start });
        }
        app.shutdown(Duration::ZERO).await.expect("an end");
    });
}

async fn submit(app: &Platform, jobs: u64) {
    let call = |caller| {
        let app = app.clone();
        let own = jobs / CALLERS + u64::from(caller < jobs % CALLERS);
        tokio::spawn(async move {
            for _ in 0..own {
                app.submit("gate", ()).await.expect("accepted");
            }
        })
    };
    for caller in (0..CALLERS).map(call).collect::<Vec<_>>() {
        caller.await.expect("a caller");
    }
}

/// The runs per second between two counts of them.
async fn rate(runs: &AtomicU64, from: u64, to: u64) -> f64 {
    until(runs, from).await;
    let (start, first) = (Instant::now(), runs.load(Relaxed));
    until(runs, to).await;
    let count = usize::try_from(runs.load(Relaxed) - first).expect("a count");
    per_second(count, start.elapsed())
}

async fn until(runs: &AtomicU64, count: u64) {
    while runs.load(Relaxed) < count {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The resident memory of this process, where the system tells it. Source: proc(5).
fn resident_bytes() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024.0)
}
