//! The speed and memory goals of the Wasm backend; run with `cargo xtask goals`.
//!
//! What is measured from the outside, resident memory and the time that a process takes to start, is measured in
//! processes of its own: this program runs itself with [`child`]'s arguments.

#![expect(clippy::print_stdout, reason = "goal lines are this program's output")]

mod bare;
mod child;
mod fresh;
mod memory;
mod startup;
mod timeout;

use std::path::{Path, PathBuf};

use faas_backend_wasm::{WasmBackend, WasmBuilder};
use faas_core::Platform;
use faas_testkit::goals::{Figures, Goal};
use tokio::runtime::{Builder, Runtime};

/// Measurements of each side.
const PAIRS: usize = 21;

fn main() {
    if child::run() {
        return;
    }
    let artifact = match faas_build::wasm!("guests") {
        Ok(artifact) => artifact,
        Err(error) => {
            println!("SKIP the goals of Wasm: {error}");
            return;
        }
    };
    fresh::wasm_fresh(&artifact);
    fresh::wasm_dirty(&artifact);
    fresh::wasm_from_zero(&artifact);
    memory::wasm_live_memory(&artifact);
    memory::wasm_registered_memory(&artifact);
    startup::wasm_startup();
    timeout::wasm_timeout(&artifact);
}

fn print(goal: &Goal, figures: Figures) {
    println!("{}", goal.line(figures));
}

fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// A folder for what benchmarks leave, below the target folder.
fn scratch(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// A backend's beginnings, with a cache of the benchmarks' own.
fn builder() -> WasmBuilder {
    WasmBackend::builder().cache(scratch("goals-cache"))
}

/// A platform with the guests' actions on a backend.
async fn app(builder: WasmBuilder) -> Platform {
    let backend = builder.build().expect("a backend");
    Platform::builder().backend(backend).actions(faas_wasm_guests::actions()).build().await.expect("an app")
}
