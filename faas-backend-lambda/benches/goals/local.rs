//! The stand-in on this machine, beside a bare program and beside the emulator.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use faas_backend_lambda::LambdaLocalBackend;
use faas_core::guest::lambda::SPEC;
use faas_core::{ActionSpec, Backend, Platform};
use faas_testkit::goals::{Goal, alternate};
use serde_json::json;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

use crate::cloud::Invoked;
use crate::emulator::{self, Emulator, Environment};
use crate::{PAIRS, app, bare, echo, print};

/// Calls in a block of one caller.
const BLOCK: usize = 100;

/// Callers at once, and their calls in a block.
const CALLERS: usize = 8;
const CALLS: usize = 100;

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn backend(artifact: &Path) -> Arc<dyn Backend> {
    Arc::new(LambdaLocalBackend::builder().artifact(artifact).build().unwrap())
}

async fn invoke(app: &Platform) {
    let record = app.invoke("echo", ()).await.unwrap();
    assert!(record.outcome.is_success(), "{:?}", record.outcome);
}

/// From nothing to the first reply, against a bare start of the same program that is handed one event.
pub(crate) fn lambda_cold_local(artifact: &Path) {
    const GOAL: Goal = Goal::at_most("lambda_cold_local", "ns", 1.2);
    if !GOAL.is_wanted() {
        return;
    }
    let runtime = runtime();
    let mut spec = echo();
    spec.annotations.insert(ActionSpec::FRESH_SANDBOX.to_owned(), json!(true));
    let app = runtime.block_on(app(backend(artifact), spec));
    let ours = || {
        let took = runtime.block_on(async {
            let begun = Instant::now();
            invoke(&app).await;
            begun.elapsed()
        });
        // The program is ended in the background, which is not part of a start.
        std::thread::sleep(Duration::from_millis(20));
        took.as_nanos() as f64
    };
    let (program, spec) = (bare::program(artifact), echo());
    let event = bare::event(&spec);
    let floor = || bare::cold(&program, &spec, &event);
    print(&GOAL, alternate(PAIRS * 3, ours, floor));
    runtime.block_on(app.shutdown(Duration::from_secs(30))).unwrap();
}

/// A warm activation, against a round trip to the same program by way of the emulator.
pub(crate) fn lambda_local_latency(artifact: &Path) {
    const GOAL: Goal = Goal::at_most("lambda_local_latency", "ns", 0.5);
    if !GOAL.is_wanted() {
        return;
    }
    let runtime = runtime();
    let app = runtime.block_on(app(backend(artifact), echo()));
    let mut emulated = runtime.block_on(emulated(artifact, 1)).remove(0);
    let invoked = invoked();
    let ours = || {
        let begun = Instant::now();
        runtime.block_on(async {
            for _ in 0..BLOCK {
                invoke(&app).await;
            }
        });
        begun.elapsed().as_nanos() as f64 / BLOCK as f64
    };
    let floor = || {
        let begun = Instant::now();
        runtime.block_on(async {
            for _ in 0..BLOCK {
                call(&mut emulated, &invoked).await;
            }
        });
        begun.elapsed().as_nanos() as f64 / BLOCK as f64
    };
    print(&GOAL, alternate(PAIRS, ours, floor));
    runtime.block_on(app.shutdown(Duration::from_secs(30))).unwrap();
}

/// Eight callers, against as many of the emulator with a program for each.
pub(crate) fn lambda_local_throughput(artifact: &Path) {
    const GOAL: Goal = Goal::at_least("lambda_local_throughput", "1/s", 3.0);
    if !GOAL.is_wanted() {
        return;
    }
    let runtime = runtime();
    let app = runtime.block_on(app(backend(artifact), echo()));
    let mut emulated = Some(runtime.block_on(emulated(artifact, CALLERS)));
    let invoked = invoked();
    let ours = || {
        let begun = Instant::now();
        runtime.block_on(async {
            let mut callers = JoinSet::new();
            for _ in 0..CALLERS {
                let app = app.clone();
                callers.spawn(async move {
                    for _ in 0..CALLS {
                        invoke(&app).await;
                    }
                });
            }
            callers.join_all().await;
        });
        (CALLERS * CALLS) as f64 / begun.elapsed().as_secs_f64()
    };
    let floor = || {
        let begun = Instant::now();
        let callers = emulated.take().unwrap();
        emulated = Some(runtime.block_on(many(callers, &invoked)));
        (CALLERS * CALLS) as f64 / begun.elapsed().as_secs_f64()
    };
    print(&GOAL, alternate(PAIRS, ours, floor));
    runtime.block_on(app.shutdown(Duration::from_secs(30))).unwrap();
}

async fn many(callers: Vec<Environment>, invoked: &Invoked) -> Vec<Environment> {
    let mut calling = JoinSet::new();
    for mut caller in callers {
        let invoked = invoked.clone();
        calling.spawn(async move {
            for _ in 0..CALLS {
                call(&mut caller, &invoked).await;
            }
            caller
        });
    }
    calling.join_all().await
}

async fn call(environment: &mut Environment, invoked: &Invoked) {
    assert!(environment.run(invoked).await.is_ok(), "the emulator's program failed");
}

/// An event of the echo at the emulator.
fn invoked() -> Invoked {
    let spec = echo();
    Invoked {
        function: "echo".to_owned(),
        version: "1".to_owned(),
        variables: [(SPEC.to_owned(), serde_json::to_string(&spec).unwrap())].into(),
        memory: 256,
        timeout: 60,
        zip: Bytes::new(),
        sha256: String::new(),
        revision: String::new(),
        is_provisioned: false,
        payload: bare::event(&spec),
    }
}

/// Programs at the emulator.
async fn emulated(artifact: &Path, count: usize) -> Vec<Environment> {
    let (program, invoked) = (bare::program(artifact), invoked());
    let port = Emulator::shared().unwrap();
    (0..count).map(|_| emulator::start(port, &program, &invoked)).collect()
}
