//! Guests that never end, and those beside them.

use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use faas_core::{Platform, Status};
use faas_testkit::goals::{Figures, Goal};
use tokio::runtime::{Builder, Runtime};

use super::{app, builder, print};

/// The latest that a guest may be stopped after its limit.
const LATEST: Duration = Duration::from_millis(20);

/// The limit of `spin`.
const LIMIT: Duration = Duration::from_millis(300);

/// The time between two epochs.
const TICK: Duration = Duration::from_millis(1);

/// Rounds of looping guests on all processors.
const ROUNDS: usize = 10;

/// Arrivals of others in one round, at equal distances over most of the time that the loops last.
const ARRIVALS: u32 = 250;

/// As many looping guests as processors: how late the last is stopped, beside 20 ms; and how long others take at a
/// quarter of the load that the machine could take, beside undisturbed ones and two epochs.
pub(crate) fn wasm_timeout(artifact: &Path) {
    let goal = Goal::at_most("wasm_timeout", "ns", 1.0);
    let others = Goal::at_most("wasm_timeout_p99", "ns", 1.0);
    if !goal.is_wanted() && !others.is_wanted() {
        return;
    }
    let runtime = Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let app = runtime.block_on(app(builder().artifact(artifact)));
    let distance = LIMIT / ARRIVALS * 4 / 5;
    let mut undisturbed = Vec::new();
    let mut disturbed = Vec::new();
    let mut late = Duration::ZERO;
    // The work of others takes a quarter of the distance between two on each processor.
    let busy = calibrate(&runtime, &app, distance / 4);
    for _ in 0..ROUNDS {
        undisturbed.extend(arrivals(&runtime, &app, distance, busy));
        let loops = start_loops(&runtime, &app);
        thread::sleep(Duration::from_millis(10));
        disturbed.extend(arrivals(&runtime, &app, distance, busy));
        for stopped in loops {
            let ran = stopped.recv().expect("a stopped guest");
            late = late.max(ran.saturating_sub(LIMIT));
        }
    }
    print(&goal, Figures { ours: nanos(late), floor: nanos(LATEST) });
    let (ours, alone) = (p99(disturbed), p99(undisturbed));
    println!(
        "FIGURE wasm_timeout_others undisturbed={:.0} disturbed={:.0} unit=ns",
        nanos(alone),
        nanos(ours)
    );
    print(&others, Figures { ours: nanos(ours), floor: nanos(alone + 2 * TICK) });
}

/// The KiB to touch that take about so long.
fn calibrate(runtime: &Runtime, app: &Platform, target: Duration) -> usize {
    let time = |kib: usize| {
        let input = serde_json::json!({ "kib": kib });
        let once = || {
            let began = Instant::now();
            let _ = runtime.block_on(app.invoke("touch", &input)).expect("an activation");
            began.elapsed()
        };
        once();
        (0..20).map(|_| once()).min().unwrap_or_default()
    };
    let mut kib = 16;
    while time(kib) < target && kib < 2_048 {
        kib *= 2;
    }
    kib
}

fn start_loops(runtime: &Runtime, app: &Platform) -> Vec<mpsc::Receiver<Duration>> {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    (0..processors)
        .map(|_| {
            let (tell, stopped) = mpsc::channel();
            let app = app.clone();
            runtime.spawn(async move {
                let began = Instant::now();
                let done = app.invoke("spin", "{}").await.expect("an activation");
                assert_eq!(done.status(), Status::DeveloperError);
                let _ = tell.send(began.elapsed());
            });
            stopped
        })
        .collect()
}

/// Invokes at fixed times, whatever became of those before, and tells how long each took from its time on.
fn arrivals(runtime: &Runtime, app: &Platform, distance: Duration, kib: usize) -> Vec<Duration> {
    let (tell, took) = mpsc::channel();
    let start = Instant::now();
    for n in 0..ARRIVALS {
        let due = start + distance * n;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let (app, tell) = (app.clone(), tell.clone());
        runtime.spawn(async move {
            let input = serde_json::json!({ "kib": kib });
            let done = app.invoke("touch", &input).await.expect("an activation");
            assert!(done.outcome.is_success(), "{:?}", done.outcome);
            let _ = tell.send(due.elapsed());
        });
    }
    drop(tell);
    took.iter().collect()
}

fn p99(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() * 99 / 100]
}

#[expect(clippy::cast_precision_loss, reason = "less than a second")]
fn nanos(time: Duration) -> f64 {
    time.as_nanos() as f64
}
