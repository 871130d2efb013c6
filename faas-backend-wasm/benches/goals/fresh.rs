//! Activations in fresh instances.

use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use faas_backend_wasm::WasmConfig;
use faas_core::{ActionSpec, Platform};
use faas_testkit::goals::{Figures, Goal, alternate, nanos_per_round, per_second};
use serde_json::json;
use tokio::runtime::{Builder, Runtime};

use super::bare::Bare;
use super::{PAIRS, app, builder, current_thread, print, scratch};

/// Rounds of one measurement.
const ROUNDS: usize = 2_000;

async fn invoke(app: &Platform, action: &str, input: &'static str, rounds: usize) -> f64 {
    let start = Instant::now();
    for _ in 0..rounds {
        let done = app.invoke(action, input).await.expect("an activation");
        assert!(done.outcome.is_success(), "{:?}", done.outcome);
        let _ = black_box(done);
    }
    nanos_per_round(start, rounds)
}

fn bare_rounds(bare: &Bare, action: &str, input: &'static [u8], rounds: usize) -> f64 {
    let index = bare.index(action);
    let start = Instant::now();
    for _ in 0..rounds {
        drop(black_box(bare.live_at(index, input)));
    }
    nanos_per_round(start, rounds)
}

/// An activation with a fresh instance, beside a bare instance.
pub(crate) fn wasm_fresh(artifact: &Path) {
    let goal = Goal::at_most("wasm_fresh", "ns", 2.0);
    if !goal.is_wanted() {
        return;
    }
    let runtime = current_thread();
    let bare = Bare::compile(artifact, &WasmConfig::default());
    let ours = runtime.block_on(app(builder().artifact(artifact)));
    let figures = alternate(
        PAIRS,
        || runtime.block_on(invoke(&ours, "echo", "{}", ROUNDS)),
        || bare_rounds(&bare, "echo", b"{}", ROUNDS),
    );
    print(&goal, figures);
    let reused = runtime.block_on(reusing(artifact));
    let reuse = alternate(
        PAIRS,
        || runtime.block_on(invoke(&reused, "echo", "{}", ROUNDS)),
        || runtime.block_on(invoke(&ours, "echo", "{}", ROUNDS)),
    );
    println!("FIGURE wasm_reused reused={:.0} fresh={:.0} unit=ns", reuse.ours, reuse.floor);
    throughput(artifact, &bare);
}

/// An app whose `echo` asks for reuse.
async fn reusing(artifact: &Path) -> Platform {
    let mut specs = faas_wasm_guests::actions().into_specs();
    specs[0].annotations.insert("wasm-reuse".to_owned(), json!(1_000_000_000));
    let backend = builder().artifact(artifact).build().expect("a backend");
    Platform::builder().backend(backend).spec(specs.swap_remove(0)).build().await.expect("an app")
}

/// Activations per second on one thread and on two, beside bare instances.
fn throughput(artifact: &Path, bare: &Bare) {
    for threads in [1, 2] {
        let runtime =
            Builder::new_multi_thread().worker_threads(threads).enable_all().build().expect("a runtime");
        let app = runtime.block_on(app(builder().artifact(artifact)));
        let Figures { ours, floor } =
            alternate(PAIRS, || callers(&runtime, &app), || bare_threads(bare, threads));
        println!("FIGURE wasm_throughput threads={threads} ours={ours:.0} bare={floor:.0} unit=1/s");
    }
}

const CALLERS: usize = 16;
const CALLS: usize = 500;

fn callers(runtime: &Runtime, app: &Platform) -> f64 {
    runtime.block_on(async {
        let start = Instant::now();
        let callers: Vec<_> = (0..CALLERS)
            .map(|_| {
                let app = app.clone();
                tokio::spawn(async move { invoke(&app, "echo", "{}", CALLS).await })
            })
            .collect();
        for caller in callers {
            caller.await.expect("a caller");
        }
        per_second(CALLERS * CALLS, start.elapsed())
    })
}

fn bare_threads(bare: &Bare, threads: usize) -> f64 {
    let each = CALLERS * CALLS / threads;
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| bare_rounds(bare, "echo", b"{}", each));
        }
    });
    per_second(each * threads, start.elapsed())
}

/// An activation that writes to 64 KiB, beside a bare instance that does.
pub(crate) fn wasm_dirty(artifact: &Path) {
    let goal = Goal::at_most("wasm_dirty", "ns", 2.5);
    if !goal.is_wanted() {
        return;
    }
    const INPUT: &str = r#"{"kib":64}"#;
    let runtime = current_thread();
    let bare = Bare::compile(artifact, &WasmConfig::default());
    let ours = runtime.block_on(app(builder().artifact(artifact)));
    let figures = alternate(
        PAIRS,
        || runtime.block_on(invoke(&ours, "touch", INPUT, ROUNDS)),
        || bare_rounds(&bare, "touch", INPUT.as_bytes(), ROUNDS),
    );
    print(&goal, figures);
}

/// The first activation of a module whose compiled form is in a file, beside loading, instantiating and calling it.
/// Each measurement is of a module that was not loaded before.
pub(crate) fn wasm_from_zero(artifact: &Path) {
    let goal = Goal::at_most("wasm_from_zero", "ns", 2.0);
    if !goal.is_wanted() {
        return;
    }
    const EACH: usize = 20;
    let runtime = current_thread();
    let file = scratch("goals-bare.cwasm");
    let (engine, manifest) = Bare::precompile(artifact, &file);
    let module = artifact.join(&manifest.file);
    let names: Vec<String> = (0..(PAIRS + 1) * EACH).map(|n| format!("echo{n}")).collect();
    let ours = runtime.block_on(async {
        // The first deployment compiles and looks; what is measured finds the file.
        let warm = builder().module("echo", &module);
        let warm = Platform::builder().backend(warm.build().expect("a backend"));
        let warm = warm.spec(ActionSpec::new("echo").expect("a name")).build().await.expect("an app");
        let _ = warm.invoke("echo", "{}").await.expect("an activation");
        let backend = names.iter().fold(builder(), |builder, name| builder.module(name, &module));
        let app = Platform::builder().backend(backend.build().expect("a backend"));
        let specs = names.iter().map(|name| ActionSpec::new(name).expect("a name"));
        specs.fold(app, |app, spec| app.spec(spec)).build().await.expect("an app")
    });
    let mut left = names.iter();
    let figures = alternate(
        PAIRS,
        || {
            let start = Instant::now();
            for name in left.by_ref().take(EACH) {
                let done = runtime.block_on(ours.invoke(name, "{}")).expect("an activation");
                assert_eq!(done.start_kind, Some(faas_core::StartKind::Cold));
            }
            nanos_per_round(start, EACH)
        },
        || {
            let start = Instant::now();
            for _ in 0..EACH {
                let bare = Bare::load(&engine, &file, &manifest);
                drop(black_box(bare.live("echo", b"{}")));
            }
            nanos_per_round(start, EACH)
        },
    );
    print(&goal, figures);
}
