//! The speed goals of the store; run with `cargo xtask goals`.

#![expect(clippy::print_stdout, reason = "goal lines are this program's output")]

mod backlog;
mod durable;
mod made;
mod million;

use faas_testkit::goals::{Figures, Goal};
use tokio::runtime::{Builder, Runtime};

/// Measurements of each side.
const PAIRS: usize = 21;

fn main() {
    durable::durable_p50();
    durable::durable_group();
    million::measure();
    backlog::measure();
}

fn print(goal: &Goal, figures: Figures) {
    println!("{}", goal.line(figures));
}

fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}
