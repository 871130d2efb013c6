//! Whatever a guest hands to its host: replies, log lines, events, requests, and numbers that point anywhere. The
//! run has an outcome, and no part of its record is over its limit. Its bytes are also read as what a module says
//! of itself.

#![no_main]

use std::sync::OnceLock;

use faas_backend_wasm::WasmBackend;
use faas_core::artifact::{Description, Manifest};
use faas_core::context::MAX_EMITTED;
use faas_core::outcome::MAX_RESULT;
use faas_core::{ActivationId, Backend, Deployment, Invocation, Payload};
use faas_fuzz::{LOGS, backend, puppet, runtime, spec};
use libfuzzer_sys::fuzz_target;
use tokio::runtime::Runtime;

struct World {
    runtime: Runtime,
    backend: WasmBackend,
    deployment: Deployment,
}

static WORLD: OnceLock<World> = OnceLock::new();

fn world() -> World {
    // Whoever waits need not be waited for.
    let runtime = runtime(true);
    let (backend, deployment) = runtime.block_on(async {
        let module = wat::parse_str(puppet::module()).expect("a module");
        let backend = backend(module).build().expect("a backend");
        let deployment = backend.deploy(spec()).await.expect("a deployment");
        (backend, deployment)
    });
    World { runtime, backend, deployment }
}

fuzz_target!(|data: &[u8]| {
    let _ = serde_json::from_slice::<Description>(data);
    let _ = serde_json::from_slice::<Manifest>(data);
    let World { runtime, backend, deployment } = WORLD.get_or_init(world);
    let payload = Payload::from_json(puppet::payload(data).into_bytes()).expect("a payload");
    let invocation = Invocation::detached(ActivationId::from_u128(1), payload);
    let record = runtime.block_on(backend.invoke(deployment, invocation)).expect("a record");
    let result = record.outcome.result().as_bytes().len();
    assert!(result <= MAX_RESULT, "a result of {result} bytes");
    let logged: usize = record.logs.iter().map(|line| line.text.len()).sum();
    // The line that tells of those that were dropped comes on top.
    assert!(logged as u64 <= LOGS + 256, "{logged} bytes of log");
    assert!(record.emitted.len() <= MAX_EMITTED, "{} events", record.emitted.len());
});
