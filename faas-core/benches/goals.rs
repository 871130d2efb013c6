//! The speed and memory goals of the core; run with `cargo xtask goals`.

#![expect(clippy::print_stdout, reason = "goal lines are this program's output")]
#![expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]

use std::hint::black_box;
use std::time::Instant;

use faas_core::{LocalBackend, Platform, action, actions};
use faas_testkit::goals::{Goal, alternate, nanos_per_round};
use tokio::runtime::{Builder, Runtime};

#[action]
async fn noop() {}

actions![noop];

const PAIRS: usize = 21;
const ROUNDS: usize = 20_000;

fn main() {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    local_warm(&runtime);
}

async fn app() -> Platform {
    Platform::builder().backend(LocalBackend::new()).actions(actions()).build().await.expect("an app")
}

/// Nanoseconds of spawning a task and joining it.
async fn spawn_and_join(rounds: usize) -> f64 {
    let start = Instant::now();
    for _ in 0..rounds {
        tokio::spawn(async {}).await.expect("a task");
    }
    nanos_per_round(start, rounds)
}

async fn invoke(app: &Platform, rounds: usize) -> f64 {
    let start = Instant::now();
    for _ in 0..rounds {
        let _ = black_box(app.invoke("noop", ()).await.expect("an activation"));
    }
    nanos_per_round(start, rounds)
}

fn local_warm(runtime: &Runtime) {
    let goal = Goal::at_most("local_warm", "ns", 3.0);
    if !goal.is_wanted() {
        return;
    }
    let app = runtime.block_on(app());
    let figures = alternate(
        PAIRS,
        || runtime.block_on(invoke(&app, ROUNDS)),
        || runtime.block_on(spawn_and_join(ROUNDS)),
    );
    println!("{}", goal.line(figures));
}
