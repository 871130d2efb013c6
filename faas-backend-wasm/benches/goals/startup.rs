//! From the start of a process to its first activation.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use faas_core::{ActionSpec, Platform};
use faas_testkit::goals::{Goal, alternate};

use super::{PAIRS, builder, child, current_thread, print, scratch};

/// Deployed modules.
const MANY: usize = 1_000;

/// The first activation of a process with 1,000 cached modules deployed, beside one with one.
pub(crate) fn wasm_startup() {
    let goal = Goal::at_most("wasm_startup", "ns", 2.0);
    if !goal.is_wanted() {
        return;
    }
    let folder = modules();
    let folder = folder.to_str().expect("a path of UTF-8");
    // All are compiled before anything is measured.
    fill_cache(folder);
    let start = |count: usize| {
        let began = now();
        child::measure("start", &[folder, &count.to_string()]) - began
    };
    print(&goal, alternate(PAIRS, || start(MANY), || start(1)));
}

/// Writes modules of which no two are the same.
fn modules() -> PathBuf {
    let folder = scratch("goals-modules");
    fs::create_dir_all(&folder).expect("a folder");
    for n in 0..MANY {
        let text = format!(
            r#"(module
                (import "faas_v1" "reply" (func $reply (param i32 i32 i32)))
                (memory (export "memory") 1)
                (data (i32.const 0) "{{\"module\":{n}}}")
                (func (export "faas_v1_run")
                    (call $reply (i32.const 0) (i32.const 0) (i32.const {length}))))"#,
            length = format!("{{\"module\":{n}}}").len()
        );
        fs::write(module(&folder, n), wat::parse_str(text).expect("a module")).expect("a file");
    }
    folder
}

fn module(folder: &Path, n: usize) -> PathBuf {
    folder.join(format!("module{n}.wasm"))
}

async fn deployed(folder: &str, count: usize) -> Platform {
    let names: Vec<String> = (0..count).map(|n| format!("module{n}")).collect();
    let modules = names.iter().enumerate();
    let backend =
        modules.fold(builder(), |builder, (n, name)| builder.module(name, module(Path::new(folder), n)));
    let app = Platform::builder().backend(backend.build().expect("a backend"));
    let specs = names.iter().map(|name| ActionSpec::new(name).expect("a name"));
    specs.fold(app, |app, spec| app.spec(spec)).build().await.expect("an app")
}

fn fill_cache(folder: &str) {
    current_thread().block_on(async {
        let app = deployed(folder, MANY).await;
        for n in 0..MANY {
            let _ = app.invoke(&format!("module{n}"), "{}").await.expect("an activation");
        }
    });
}

/// When the first activation has ended.
pub(crate) fn first_activation(folder: &str, count: usize) -> f64 {
    current_thread().block_on(async {
        let app = deployed(folder, count).await;
        let done = app.invoke("module0", "{}").await.expect("an activation");
        let ended = now();
        assert!(done.outcome.is_success(), "{:?}", done.outcome);
        ended
    })
}

/// Nanoseconds on the wall clock, which processes share. As a number of 52 bits they are exact to 256 ns.
#[expect(clippy::cast_precision_loss, reason = "a few hundred nanoseconds of milliseconds")]
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970").as_nanos() as f64
}
