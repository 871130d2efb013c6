//! Activations in this process.

use std::sync::Arc;
use std::time::Instant;

use faas_core::layer::{Layer, TraceLayer};
use faas_core::{LocalBackend, Platform};
use faas_testkit::goals::{Figures, Goal, alternate, per_second};
use tokio::runtime::{Builder, Runtime};
use tracing::Dispatch;

use super::{PAIRS, ROUNDS, actions, invoke, local_app, print, spawn_and_join};

/// An activation, logs captured and the record kept, beside a task.
pub(super) fn local_warm(runtime: &Runtime) {
    let goal = Goal::at_most("local_warm", "ns", 3.0);
    if !goal.is_wanted() {
        return;
    }
    let app = runtime.block_on(local_app());
    let ours = || runtime.block_on(invoke(&app, "noop", ROUNDS));
    print(&goal, alternate(PAIRS, ours, || runtime.block_on(spawn_and_join(ROUNDS))));
}

/// The same with a subscriber of the application's and a span per activation.
pub(super) fn local_warm_traced(runtime: &Runtime) {
    let goal = Goal::at_most("local_warm_traced", "ns", 10.0);
    if !goal.is_wanted() {
        return;
    }
    let app = runtime.block_on(async {
        let backend = TraceLayer::new().around(Arc::new(LocalBackend::new()));
        Platform::builder().backend(backend).actions(actions()).build().await.expect("an app")
    });
    let subscriber =
        Dispatch::new(tracing_subscriber::fmt().with_ansi(false).with_writer(std::io::sink).finish());
    let ours = || {
        let _scope = tracing::dispatcher::set_default(&subscriber);
        runtime.block_on(invoke(&app, "noop", ROUNDS))
    };
    print(&goal, alternate(PAIRS, ours, || runtime.block_on(spawn_and_join(ROUNDS))));
}

/// Activations of 64 callers per second on two worker threads, beside those on one.
pub(super) fn local_two_threads() {
    let goal = Goal::at_least("local_two_threads", "1/s", 1.6);
    if !goal.is_wanted() {
        return;
    }
    let workers = |threads| {
        Builder::new_multi_thread().worker_threads(threads).enable_all().build().expect("a runtime")
    };
    let (one, two) = (workers(1), workers(2));
    let (app_on_one, app_on_two) = (one.block_on(local_app()), two.block_on(local_app()));
    let figures: Figures =
        alternate(PAIRS, || throughput(&two, &app_on_two), || throughput(&one, &app_on_one));
    print(&goal, figures);
}

const CALLERS: usize = 64;
const CALLS: usize = 2_000;

fn throughput(runtime: &Runtime, app: &Platform) -> f64 {
    runtime.block_on(async {
        let start = Instant::now();
        let callers: Vec<_> = (0..CALLERS)
            .map(|_| {
                let app = app.clone();
                tokio::spawn(async move { invoke(&app, "noop", CALLS).await })
            })
            .collect();
        for caller in callers {
            caller.await.expect("a caller");
        }
        per_second(CALLERS * CALLS, start.elapsed())
    })
}
