//! Any bytes as a module, or any text as the text of one: it is refused with a reason, or it is compiled,
//! instantiated and run within its limits.

#![no_main]

use std::sync::OnceLock;

use faas_backend_wasm::fuzzing::Inspection;
use faas_core::{ActivationId, Backend, Error, ErrorKind, Invocation, Payload};
use faas_fuzz::{backend, limits, runtime, spec};
use libfuzzer_sys::fuzz_target;

static INSPECTION: OnceLock<Inspection> = OnceLock::new();

fuzz_target!(|data: &[u8]| {
    let text = std::str::from_utf8(data).ok().and_then(|text| wat::parse_str(text).ok());
    let module = text.as_deref().unwrap_or(data);
    let inspection = INSPECTION.get_or_init(|| Inspection::new(limits()).expect("an engine"));
    match inspection.inspect(module) {
        Ok(()) => run(module),
        Err(error) => assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error:?}"),
    }
});

fn run(module: &[u8]) {
    runtime(false).block_on(async {
        let backend = backend(module.to_vec()).build().expect("a backend");
        let deployment = match backend.deploy(spec()).await {
            Ok(deployment) => deployment,
            Err(error) => return expected(&error),
        };
        let invocation = Invocation::detached(ActivationId::from_u128(1), Payload::empty());
        if let Err(error) = backend.invoke(&deployment, invocation).await {
            expected(&error);
        }
        backend.shutdown().await.expect("an end");
    });
}

/// A module may be refused late, or fail before its first run, but must not find a mistake of the backend.
fn expected(error: &Error) {
    let known = [
        ErrorKind::DeadlineExceeded,
        ErrorKind::InitFailed,
        ErrorKind::InvalidArgument,
        ErrorKind::Unsupported,
    ];
    assert!(known.contains(&error.kind()), "{error:?}");
}
