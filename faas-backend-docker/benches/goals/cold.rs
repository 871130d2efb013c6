//! Cold starts beside those of bollard alone, and the starts that are faster.

use std::time::{Duration, Instant};

use faas_backend_docker::{DockerBuilder, Hardening};
use faas_core::{ActionSpec, Backend, PoolStats, StartKind};
use faas_testkit::goals::{Goal, alternate};
use futures_util::future::join_all;

use crate::bare::{self, Bare, exchange, request};
use crate::{Ground, PAIRS, app, builder, current_thread, echo, fresh_echo, invoke, print};

/// How many containers are started at once.
const AT_ONCE: usize = 16;

/// A cold start through the platform, against create, start, `/init` and `/run` by bollard and a socket.
pub(crate) fn docker_cold(ground: &Ground) {
    const GOAL: Goal = Goal::at_most("docker_cold", "ns", 1.15);
    if !GOAL.is_wanted() {
        return;
    }
    let runtime = current_thread();
    let (app, backend) = runtime.block_on(app(builder(&ground.artifact, "cold"), fresh_echo()));
    let ours = || {
        runtime.block_on(async {
            let took = invoke(&app).await;
            emptied(&*backend).await;
            took
        })
    };
    let floor = || runtime.block_on(bare_cold(ground));
    print(&GOAL, alternate(PAIRS, ours, floor));
    runtime.block_on(app.shutdown(Duration::from_secs(30))).unwrap();
}

/// A start on a stem cell, against our cold start.
pub(crate) fn docker_prewarmed(ground: &Ground) {
    const GOAL: Goal = Goal::at_most("docker_prewarmed", "ns", 0.2);
    let stems = builder(&ground.artifact, "stems").stems(1);
    against_cold(ground, &GOAL, stems, fresh_echo(), StartKind::Prewarmed, |pool| pool.stems > 0);
}

/// Running in a container that was paused, against our cold start.
pub(crate) fn docker_resume(ground: &Ground) {
    const GOAL: Goal = Goal::at_most("docker_resume", "ns", 0.2);
    let pausing = builder(&ground.artifact, "pause").pause_after(Some(Duration::from_millis(20)));
    against_cold(ground, &GOAL, pausing, echo(), StartKind::Warm, |pool| pool.paused > 0);
}

/// An activation that starts in a faster way once the pool is ready for it, against our cold start.
fn against_cold(
    ground: &Ground,
    goal: &Goal,
    builder: DockerBuilder,
    spec: ActionSpec,
    kind: StartKind,
    is_ready: fn(&PoolStats) -> bool,
) {
    if !goal.is_wanted() {
        return;
    }
    let runtime = current_thread();
    let (cold, cold_backend) = runtime.block_on(app(crate::builder(&ground.artifact, "cold"), fresh_echo()));
    let (app, backend) = runtime.block_on(app(builder, spec));
    // The first activation tells the pool what it is to keep.
    runtime.block_on(invoke(&app));
    let ours = || {
        runtime.block_on(async {
            while !backend.health().await.pool.is_some_and(|pool| is_ready(&pool)) {
                settled().await;
            }
            let begun = Instant::now();
            let record = app.invoke("echo", ()).await.unwrap();
            let took = begun.elapsed().as_nanos() as f64;
            assert_eq!(record.start_kind, Some(kind));
            took
        })
    };
    let floor = || {
        runtime.block_on(async {
            let took = invoke(&cold).await;
            emptied(&*cold_backend).await;
            took
        })
    };
    print(goal, alternate(PAIRS, ours, floor));
    for app in [app, cold] {
        runtime.block_on(app.shutdown(Duration::from_secs(30))).unwrap();
    }
}

/// Many cold starts at once, against as many by bollard and sockets.
pub(crate) fn docker_parallel_cold(ground: &Ground) {
    const GOAL: Goal = Goal::at_most("docker_parallel_cold", "ns", 1.2);
    if !GOAL.is_wanted() {
        return;
    }
    let runtime = current_thread();
    let many = builder(&ground.artifact, "many").cold_starts(AT_ONCE, AT_ONCE);
    let (app, backend) = runtime.block_on(app(many, fresh_echo()));
    let ours = || {
        runtime.block_on(async {
            let begun = Instant::now();
            join_all((0..AT_ONCE).map(|_| invoke(&app))).await;
            let took = begun.elapsed().as_nanos() as f64;
            emptied(&*backend).await;
            took
        })
    };
    let floor = || {
        runtime.block_on(async {
            let begun = Instant::now();
            let started = join_all((0..AT_ONCE).map(|_| bare_start(ground))).await;
            let took = begun.elapsed().as_nanos() as f64;
            join_all(started.into_iter().map(|bare| bare.remove(&ground.docker))).await;
            settled().await;
            took
        })
    };
    print(&GOAL, alternate(PAIRS, ours, floor));
    runtime.block_on(app.shutdown(Duration::from_secs(30))).unwrap();
}

/// A cold start by bollard and a socket, up to the first reply.
async fn bare_cold(ground: &Ground) -> f64 {
    let begun = Instant::now();
    let bare = bare_start(ground).await;
    let took = begun.elapsed().as_nanos() as f64;
    bare.remove(&ground.docker).await;
    settled().await;
    took
}

async fn bare_start(ground: &Ground) -> Bare {
    let image = bare::image(&ground.artifact);
    let bare = Bare::start(&ground.docker, &image, &Hardening::default(), &[]).await;
    let mut stream = bare.connect().await;
    exchange(&mut stream, &request("/init", &bare::init_body()));
    exchange(&mut stream, &request("/run", &bare::run_body()));
    bare
}

/// Waits until the containers of a backend whose actions need fresh ones are removed.
async fn emptied(backend: &dyn Backend) {
    while backend.health().await.pool.is_some_and(|pool| pool.memory > 0) {
        settled().await;
    }
    settled().await;
}

/// Lets the engine finish what it does after it has answered.
async fn settled() {
    tokio::time::sleep(Duration::from_millis(50)).await;
}
