//! The backend suite on Wasm modules that `cargo faas build` made.

use std::path::Path;

use faas_backend_wasm::WasmBackend;
use faas_core::ErrorKind;
use faas_testkit::backend_suite::BackendSubject;
use faas_testkit::conformance;

conformance!(BackendSubject::where_present("wasm", || async { backend() }), ran = 125, skipped = 5);

/// A backend of the testkit's fixtures, or why there is no Wasm compiler to build them.
fn backend() -> Result<WasmBackend, String> {
    let fixtures = match faas_build::wasm!("../faas-testkit") {
        Err(error) if error.kind() == ErrorKind::Unsupported => return Err(error.message().to_owned()),
        built => built.expect("an artifact of the fixtures"),
    };
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache");
    let backend = WasmBackend::builder().artifact(fixtures).cache(cache).build();
    Ok(backend.expect("a backend of the fixtures"))
}
