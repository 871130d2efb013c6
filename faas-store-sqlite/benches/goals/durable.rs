//! What it costs that an activation survives the loss of power, from its acceptance by the platform to its record.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use faas_testkit::goals::{Goal, alternate, median, nanos_per_round, per_second};

use super::made::{activate, app, scratch};
use super::{PAIRS, current_thread, print};

const ROUNDS: usize = 100;
const CALLERS: usize = 256;
const ROUNDS_OF_EACH: usize = 20;

/// One caller of an action that does nothing: accepted and started in one commit, its record in another; beside an
/// append of 256 bytes and its sync.
pub(crate) fn durable_p50() {
    let goal = Goal::at_most("durable_p50", "ns", 3.0);
    if !goal.is_wanted() {
        return;
    }
    let folder = scratch("durable-p50");
    let runtime = current_thread();
    let app = runtime.block_on(app(&folder, CALLERS));
    let ours = || {
        let times = (0..ROUNDS).map(|_| {
            let start = Instant::now();
            runtime.block_on(activate(&app));
            nanos_per_round(start, 1)
        });
        median(times.collect())
    };
    let mut log = append_to(&folder);
    let floor = || {
        let times = (0..ROUNDS).map(|_| {
            let start = Instant::now();
            append(&mut log);
            nanos_per_round(start, 1)
        });
        median(times.collect())
    };
    print(&goal, alternate(PAIRS, ours, floor));
}

/// 256 callers, in activations per second, beside appends and syncs one after the other.
pub(crate) fn durable_group() {
    let goal = Goal::at_least("durable_group", "1/s", 6.0);
    if !goal.is_wanted() {
        return;
    }
    let folder = scratch("durable-group");
    let runtime = current_thread();
    let app = runtime.block_on(app(&folder, CALLERS));
    let ours = || {
        let start = Instant::now();
        runtime.block_on(async {
            let call = |_| {
                let app = app.clone();
                tokio::spawn(async move {
                    for _ in 0..ROUNDS_OF_EACH {
                        activate(&app).await;
                    }
                })
            };
            let tasks: Vec<_> = (0..CALLERS).map(call).collect();
            for task in tasks {
                task.await.expect("a caller");
            }
        });
        per_second(CALLERS * ROUNDS_OF_EACH, start.elapsed())
    };
    let mut log = append_to(&folder);
    let floor = || {
        let start = Instant::now();
        for _ in 0..ROUNDS {
            append(&mut log);
        }
        per_second(ROUNDS, start.elapsed())
    };
    print(&goal, alternate(PAIRS, ours, floor));
}

fn append_to(folder: &Path) -> File {
    OpenOptions::new().create(true).append(true).open(folder.with_extension("log")).expect("a file")
}

fn append(log: &mut File) {
    log.write_all(&[7; 256]).and_then(|()| log.sync_data()).expect("appended");
}
