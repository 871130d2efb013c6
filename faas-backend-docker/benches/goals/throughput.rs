//! Many callers on a few warm containers.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use bytes::Bytes;
use faas_testkit::goals::{Goal, alternate};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::task::JoinSet;

use crate::{Ground, PAIRS, app, bare, builder, echo, home, invoke, print};

const GOAL: Goal = Goal::at_least("docker_throughput", "1/s", 0.8);

const CALLERS: usize = 64;
const CONTAINERS: usize = 4;

/// Calls in a block.
const BLOCK: usize = 20_000;

/// 64 callers of the echo on 4 warm containers, against as many callers of an HTTP client on the sockets of the very same
/// containers.
pub(crate) fn docker_throughput(ground: &Ground) {
    if !GOAL.is_wanted() {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut spec = echo();
    spec.limits.concurrency = u32::try_from(CALLERS / CONTAINERS).unwrap();
    // Each activation counts with its memory, also where several share a container.
    let memory = faas_core::MemoryMib::new(spec.limits.memory.mib() * u32::try_from(CALLERS).unwrap());
    let (app, backend) = runtime.block_on(app(builder(&ground.artifact, "many").memory(memory), spec));
    runtime.block_on(async {
        while backend.health().await.pool.is_some_and(|pool| pool.idle < CONTAINERS) {
            calls(&app, CALLERS * 4).await;
        }
    });
    let sockets = sockets();
    assert_eq!(sockets.len(), CONTAINERS, "{sockets:?}");
    let ours = || runtime.block_on(calls(&app, BLOCK));
    let floor = || runtime.block_on(bare_calls(&sockets));
    print(&GOAL, alternate(PAIRS, ours, floor));
    runtime.block_on(app.shutdown(Duration::from_secs(30))).unwrap();
}

/// The sockets of the containers, found in the folder that is shared with them.
fn sockets() -> Vec<PathBuf> {
    let epochs = std::fs::read_dir(home("many")).unwrap().flatten().map(|entry| entry.path());
    let folders =
        epochs.filter(|path| path.is_dir()).flat_map(|epoch| std::fs::read_dir(epoch).unwrap().flatten());
    folders.map(|folder| folder.path().join("guest")).filter(|socket| socket.exists()).collect()
}

/// Activations per second.
async fn calls(app: &faas_core::Platform, count: usize) -> f64 {
    let begun = Instant::now();
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let app = app.clone();
        callers.spawn(async move {
            for _ in 0..count / CALLERS {
                invoke(&app).await;
            }
        });
    }
    callers.join_all().await;
    count as f64 / begun.elapsed().as_secs_f64()
}

/// Requests per second.
async fn bare_calls(sockets: &[PathBuf]) -> f64 {
    let mut senders = Vec::new();
    for caller in 0..CALLERS {
        let stream = UnixStream::connect(&sockets[caller % sockets.len()]).await.unwrap();
        let (sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        senders.push(sender);
    }
    let body = Bytes::from(bare::run_body());
    let begun = Instant::now();
    let mut callers = JoinSet::new();
    for mut sender in senders {
        let body = body.clone();
        callers.spawn(async move {
            for _ in 0..BLOCK / CALLERS {
                bare_call(&mut sender, body.clone()).await;
            }
        });
    }
    callers.join_all().await;
    BLOCK as f64 / begun.elapsed().as_secs_f64()
}

async fn bare_call(sender: &mut SendRequest<Full<Bytes>>, body: Bytes) {
    let request = http::Request::post("/run")
        .header("host", "guest")
        .header("content-type", "application/json")
        .header("x-faas-envelope", "1")
        .body(Full::new(body))
        .unwrap();
    sender.ready().await.unwrap();
    let reply = sender.send_request(request).await.unwrap();
    assert!(reply.status().is_success());
    reply.into_body().collect().await.unwrap();
}
