//! A warm activation beside a bare round trip.

use std::io::{Read, Write};
use std::time::Instant;

use bollard::models::NetworkCreateRequest;
use faas_backend_docker::{Hardening, Transport};
use faas_testkit::goals::{Figures, Goal, alternate};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::bare::{self, Bare, exchange, request};
use crate::{Ground, PAIRS, app, builder, current_thread, echo, invoke, print, puppet};

const GOAL: Goal = Goal::at_most("docker_warm", "ns", 5.0);

/// Activations, and round trips, in a block.
const BLOCK: u32 = 500;

/// A warm activation of the echo through the platform, against a round trip of as many bytes over a Unix socket to a
/// process that does nothing else, in a container like the guest's. Both sides of both are on one processor.
pub(crate) fn docker_warm(ground: &Ground) {
    if !GOAL.is_wanted() {
        return;
    }
    let all = sched_getaffinity(None).unwrap();
    let mut one = CpuSet::new();
    one.set(0);
    sched_setaffinity(None, &one).unwrap();
    let mut pinned = Hardening::default();
    pinned.cpus = Some("0".to_owned());
    print(&GOAL, measure(ground, &pinned, Transport::Local));
    sched_setaffinity(None, &all).unwrap();

    let unpinned = measure(ground, &Hardening::default(), Transport::Local);
    println!("     docker_warm on any processor: ours={:.1} floor={:.1} ns", unpinned.ours, unpinned.floor);
    let tcp = measure(ground, &Hardening::default(), Transport::Address);
    println!("     docker_warm over TCP on any processor: ours={:.1} floor={:.1} ns", tcp.ours, tcp.floor);
}

/// A connection to the responder.
trait Stream: Read + Write {}

impl<S: Read + Write> Stream for S {}

/// Starts the responder, which is reached as the guests of that transport are, and connects to it; the network that was
/// made for it, if it needs one.
async fn responder(
    ground: &Ground,
    hardening: &Hardening,
    transport: Transport,
    (asked, replied): (usize, usize),
) -> (Bare, Box<dyn Stream>, Option<String>) {
    let docker = &ground.docker;
    let image = puppet::image(docker).await;
    let sizes = [asked.to_string(), replied.to_string()];
    let arguments = |socket: &str| [&["--respond".to_owned(), socket.to_owned()], &sizes[..]].concat();
    if transport == Transport::Local {
        let responder = Bare::start(docker, image, hardening, &arguments("/faas/guest")).await;
        let stream = responder.connect().await;
        return (responder, Box::new(stream), None);
    }
    let network = format!("faas-bench-{}", std::process::id());
    let request = NetworkCreateRequest {
        name: network.clone(),
        internal: Some(true),
        ..NetworkCreateRequest::default()
    };
    docker.create_network(request).await.unwrap();
    let responder = Bare::start_in(docker, image, hardening, &arguments("tcp"), Some(&network)).await;
    let stream = responder.connect_in(docker, &network).await;
    (responder, Box::new(stream), Some(network))
}

fn measure(ground: &Ground, hardening: &Hardening, transport: Transport) -> Figures {
    let runtime = current_thread();
    let image = bare::image(&ground.artifact);
    let (asked, replied) = runtime.block_on(sizes(ground, hardening, &image));
    let (responder, mut stream, network) =
        runtime.block_on(responder(ground, hardening, transport, (asked, replied)));
    let (app, _backend) = runtime.block_on(async {
        let builder = builder(&ground.artifact, "warm").hardening(hardening.clone()).transport(transport);
        let (app, backend) = app(builder, echo()).await;
        for _ in 0..BLOCK {
            invoke(&app).await;
        }
        (app, backend)
    });
    let figures = alternate(
        PAIRS,
        || {
            runtime.block_on(async {
                let begun = Instant::now();
                for _ in 0..BLOCK {
                    invoke(&app).await;
                }
                begun.elapsed().as_nanos() as f64 / f64::from(BLOCK)
            })
        },
        || {
            let begun = Instant::now();
            for _ in 0..BLOCK {
                round_trip(&mut *stream, asked, replied);
            }
            begun.elapsed().as_nanos() as f64 / f64::from(BLOCK)
        },
    );
    runtime.block_on(async {
        app.shutdown(std::time::Duration::from_secs(10)).await.unwrap();
        responder.remove(&ground.docker).await;
        if let Some(network) = network {
            ground.docker.remove_network(&network).await.unwrap();
        }
    });
    figures
}

/// How many bytes a run of the echo asks with, and how many it is replied with.
async fn sizes(ground: &Ground, hardening: &Hardening, image: &str) -> (usize, usize) {
    let guest = Bare::start(&ground.docker, image, hardening, &[]).await;
    let mut stream = guest.connect().await;
    exchange(&mut stream, &request("/init", &bare::init_body()));
    let run = request("/run", &bare::run_body());
    let replied = exchange(&mut stream, &run);
    guest.remove(&ground.docker).await;
    (run.len(), replied)
}

fn round_trip(stream: &mut dyn Stream, asked: usize, replied: usize) {
    static BYTES: [u8; 4096] = [b'q'; 4096];
    let mut reply = [0; 4096];
    stream.write_all(&BYTES[..asked]).unwrap();
    stream.read_exact(&mut reply[..replied]).unwrap();
}
