//! The speed and memory goals of the core; run with `cargo xtask goals`.

#![expect(clippy::print_stdout, reason = "goal lines are this program's output")]
#![expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]

mod local;
mod memory;
mod pooled;

use std::hint::black_box;
use std::time::Instant;

use faas_core::{ActionSpec, BoxError, Context, LocalBackend, Platform, action, actions};
use faas_testkit::goals::{Figures, Goal, nanos_per_round};
use tokio::runtime::{Builder, Runtime};

#[action]
async fn noop() {}

actions![noop];

/// Measurements of each side.
const PAIRS: usize = 21;
/// Rounds of one measurement.
const ROUNDS: usize = 20_000;

fn main() {
    // Memory first, before the others leave their marks on the heap.
    memory::registered_memory();
    let runtime = current_thread();
    local::local_warm(&runtime);
    local::local_warm_traced(&runtime);
    local::local_two_threads();
    memory::registered_lookup(&runtime);
    pooled::admit_acquire(&runtime);
    pooled::cold_sequence(&runtime);
    pooled::stampede(&runtime);
}

fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

async fn local_app() -> Platform {
    Platform::builder().backend(LocalBackend::new()).actions(actions()).build().await.expect("an app")
}

fn print(goal: &Goal, figures: Figures) {
    println!("{}", goal.line(figures));
}

/// Nanoseconds of spawning a task and joining it.
async fn spawn_and_join(rounds: usize) -> f64 {
    let start = Instant::now();
    for _ in 0..rounds {
        tokio::spawn(async {}).await.expect("a task");
    }
    nanos_per_round(start, rounds)
}

/// Nanoseconds of an activation.
async fn invoke(app: &Platform, name: &str, rounds: usize) -> f64 {
    let start = Instant::now();
    for _ in 0..rounds {
        let _ = black_box(app.invoke(name, ()).await.expect("an activation"));
    }
    nanos_per_round(start, rounds)
}

/// An action that does nothing, under a name that is made at run time. It is small: where many are registered, what
/// they take is to be the platform's.
struct Named(u32);

impl faas_core::Action for Named {
    type Input = ();
    type Output = ();

    fn spec(&self) -> ActionSpec {
        ActionSpec::new(&format!("action{}", self.0)).expect("a name")
    }

    async fn call(&self, _cx: Context, (): ()) -> Result<(), BoxError> {
        Ok(())
    }
}
