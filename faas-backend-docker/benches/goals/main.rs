//! The speed goals of the Docker backend, on a real engine; run with `cargo xtask goals`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a benchmark's output is its goal lines, and it ends where it cannot go on"
)]

mod bare;
mod cold;
#[path = "../../tests/faults/puppet.rs"]
mod puppet;
mod throughput;
mod warm;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use bollard::Docker;
use faas_backend_docker::{DockerBackend, DockerBuilder};
use faas_core::{ActionSpec, Backend, ErrorKind, Platform};
use faas_testkit::goals::{Figures, Goal};
use serde_json::json;
use tokio::runtime::{Builder, Runtime};

/// Measurements of each side.
const PAIRS: usize = 21;

/// What the benchmarks run on.
struct Ground {
    docker: Docker,
    artifact: PathBuf,
}

/// Dropped, the folders of the benchmarks are gone.
struct Homes;

impl Drop for Homes {
    fn drop(&mut self) {
        let own = home("").file_name().unwrap().to_string_lossy().into_owned();
        for entry in std::fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(&own) {
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
    }
}

fn main() {
    let _homes = Homes;
    let artifact = match faas_build::docker!("guests") {
        Err(error) if error.kind() == ErrorKind::Unsupported => {
            return println!("SKIP the goals of Docker: {error}");
        }
        built => built.expect("an artifact"),
    };
    let runtime = current_thread();
    let docker = runtime.block_on(async {
        let problem = builder(&artifact, "look").build().unwrap().health().await.problem;
        match problem {
            Some(problem) => Err(problem),
            None => Ok(Docker::connect_with_defaults().unwrap().negotiate_version().await.unwrap()),
        }
    });
    let docker = match docker {
        Ok(docker) => docker,
        Err(problem) => {
            // Set by the checks of the repository where they have started an engine for the benchmarks.
            let was_there = std::env::var_os("FAAS_TEST_ENGINE_RUNS").is_some();
            assert!(!was_there, "the engine that was started for the goals is gone: {problem}");
            return println!("SKIP the goals of Docker: {problem}");
        }
    };
    drop(runtime);
    bare::load(&artifact);
    let ground = Ground { docker, artifact };
    size(&ground);
    warm::docker_warm(&ground);
    cold::docker_cold(&ground);
    cold::docker_prewarmed(&ground);
    cold::docker_resume(&ground);
    cold::docker_parallel_cold(&ground);
    throughput::docker_throughput(&ground);
}

/// The size of the guest's program, which is all that is in its image.
fn size(ground: &Ground) {
    const GOAL: Goal = Goal::at_most("docker_guest_size", "B", 1.0);
    const MOST: f64 = 2_500_000.0;
    if GOAL.is_wanted() {
        let program = bare::program(&ground.artifact);
        print(&GOAL, Figures { ours: program.len() as f64, floor: MOST });
    }
}

fn print(goal: &Goal, figures: Figures) {
    println!("{}", goal.line(figures));
}

fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// The folder for the sockets of one benchmark.
fn home(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("faas-b-{}-{name}", std::process::id()))
}

/// A backend's beginnings, with a pool and a folder of the benchmark's own.
fn builder(artifact: &Path, name: &str) -> DockerBuilder {
    let pool = format!("faas-bench-{}-{name}", std::process::id());
    DockerBackend::builder().artifact(artifact).pool(pool).home(home(name)).pause_after(None)
}

/// The action that gives its input back.
fn echo() -> ActionSpec {
    let mut specs = faas_docker_guests::actions().into_specs().into_iter();
    specs.find(|spec| spec.name.path() == "echo").expect("the echo")
}

/// The same, in a container that nothing ran in before, each time.
fn fresh_echo() -> ActionSpec {
    let mut spec = echo();
    spec.annotations.insert(ActionSpec::FRESH_SANDBOX.to_owned(), json!(true));
    spec
}

/// A platform with one action.
async fn app(builder: DockerBuilder, spec: ActionSpec) -> (Platform, Arc<dyn Backend>) {
    let backend: Arc<dyn Backend> = Arc::new(builder.build().unwrap());
    let app = Platform::builder().shared_backend(Arc::clone(&backend)).spec(spec).build().await.unwrap();
    (app, backend)
}

/// One activation that must succeed; how long it took in nanoseconds.
async fn invoke(app: &Platform) -> f64 {
    let begun = Instant::now();
    let record = app.invoke("echo", ()).await.unwrap();
    let took = begun.elapsed();
    assert!(record.outcome.is_success(), "{:?}", record.outcome);
    took.as_nanos() as f64
}
