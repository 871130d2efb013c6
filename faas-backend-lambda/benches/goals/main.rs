//! The speed goals of the Lambda backend and of its stand-in, beside `cargo lambda`'s emulator; run with `cargo xtask
//! goals`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a benchmark's output is its goal lines, and it ends where it cannot go on"
)]

mod bare;
#[path = "../../tests/cloud/mod.rs"]
mod cloud;
#[path = "../../tests/emulator/mod.rs"]
mod emulator;
mod local;
mod remote;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use faas_core::{ActionSpec, Backend, ErrorKind, Platform};
use faas_testkit::goals::{Figures, Goal};

/// Measurements of each side.
const PAIRS: usize = 21;

fn main() {
    let artifact = match faas_build::lambda!("../faas-testkit") {
        Err(error) if error.kind() == ErrorKind::Unsupported => {
            return println!("SKIP the goals of Lambda: {error}");
        }
        built => built.expect("an artifact"),
    };
    size(&artifact);
    local::lambda_cold_local(&artifact);
    if let Err(missing) = emulator::Emulator::shared() {
        return println!("SKIP the goals of Lambda that need an emulator: {missing}");
    }
    local::lambda_local_latency(&artifact);
    local::lambda_local_throughput(&artifact);
    remote::lambda_overhead(&artifact);
}

/// The size of the zip of the fixtures.
fn size(artifact: &Path) {
    const GOAL: Goal = Goal::at_most("lambda_zip_size", "B", 1.0);
    const MOST: f64 = 2_500_000.0;
    if GOAL.is_wanted() {
        print(&GOAL, Figures { ours: zip(artifact).len() as f64, floor: MOST });
    }
}

/// The zip of an artifact.
fn zip(artifact: &Path) -> Vec<u8> {
    let file: PathBuf = artifact.join("faas-testkit.zip");
    std::fs::read(file).expect("the artifact's zip")
}

fn print(goal: &Goal, figures: Figures) {
    println!("{}", goal.line(figures));
}

/// The action that gives its input back.
fn echo() -> ActionSpec {
    faas_testkit::fixtures::spec("echo")
}

/// A platform with one action.
async fn app(backend: Arc<dyn Backend>, spec: ActionSpec) -> Platform {
    Platform::builder().shared_backend(backend).spec(spec).build().await.unwrap()
}
