//! The backends that the quickstart can run on.

use faas_core::Error;
use faas_core::backend::{BackendRegistry, BackendUrl};

/// The local backend and `wasm`. What a backend has to build first is shown on the error output if `verbose`.
pub(crate) fn registry(verbose: bool) -> BackendRegistry {
    BackendRegistry::local().with("wasm", move |url| wasm(url, verbose))
}

/// The Wasm backend. A URL that names no artifact is for the actions of this package, which are built if need be.
#[cfg(feature = "wasm")]
async fn wasm(url: BackendUrl, verbose: bool) -> Result<faas_backend_wasm::WasmBackend, Error> {
    use faas_backend_wasm::WasmBackend;
    use faas_build::{Build, Output};

    let builder = WasmBackend::builder().from_env()?.with_url(&url)?;
    let named = std::env::var_os("FAAS_WASM_ARTIFACT").is_some_and(|folder| !folder.is_empty());
    if named || !url.rest().is_empty() {
        return builder.build();
    }
    let output = if verbose { Output::Full } else { Output::Quiet };
    let build = Build::new(env!("CARGO_MANIFEST_DIR")).output(output);
    let built = tokio::task::spawn_blocking(move || build.wasm()).await;
    let built = built.map_err(|lost| {
        Error::new(faas_core::ErrorKind::Internal, "the build of the actions panicked").with_source(lost)
    })?;
    builder.artifact(built?).build()
}

/// There is none in this build.
#[cfg(not(feature = "wasm"))]
async fn wasm(_: BackendUrl, _: bool) -> Result<faas_core::LocalBackend, Error> {
    let text = "this build lacks the feature `wasm`: run it by `cargo run --release -p faas-examples \
                --features wasm --example quickstart -- --backend wasm`";
    Err(Error::new(faas_core::ErrorKind::Unsupported, text))
}
