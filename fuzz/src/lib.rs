//! What the fuzz targets share: a Wasm backend with small limits.

pub mod puppet;

use std::sync::Arc;
use std::time::Duration;

use faas_backend_wasm::{ModuleLimits, WasmBackend, WasmBuilder};
use faas_core::http::{Egress, HttpRequest, HttpResponse};
use faas_core::{ActionSpec, Limits, MemoryMib};
use tokio::runtime::{Builder, Runtime};

/// The name of the only action.
pub const ACTION: &str = "fuzzed";

/// The bytes of log that it may write.
pub const LOGS: u64 = 4 << 10;

/// A runtime on this thread, whose clock stands still where that is asked for.
pub fn runtime(paused: bool) -> Runtime {
    Builder::new_current_thread().enable_time().start_paused(paused).build().expect("a runtime")
}

/// A backend of the module, small and without a cache. The requests that it makes are answered by an echo.
pub fn backend(module: Vec<u8>) -> WasmBuilder {
    let echo = |request: HttpRequest| {
        let mut response = HttpResponse::new(200);
        response.headers = request.headers;
        response.body = request.body;
        Ok(response)
    };
    WasmBackend::builder()
        .module_bytes(ACTION, module)
        .without_cache()
        .instances(2)
        .memory(MemoryMib::new(64))
        .compile_threads(1)
        .compile_timeout(Duration::from_secs(5))
        .limits(limits())
        .http(echo)
}

/// What a module may have.
#[must_use]
pub fn limits() -> ModuleLimits {
    let mut limits = ModuleLimits::default();
    limits.bytes = 256 << 10;
    limits.functions = 500;
    limits.function_bytes = 16 << 10;
    limits.table_elements = 1_000;
    limits.items = 500;
    limits
}

/// The specification of the action: little of everything, but all requests are granted.
#[must_use]
pub fn spec() -> Arc<ActionSpec> {
    let limits = Limits {
        timeout: Duration::from_millis(20),
        memory: MemoryMib::new(8),
        logs: LOGS,
        ..Limits::default()
    };
    let mut spec = ActionSpec::new(ACTION).expect("a name").with_limits(limits);
    spec.egress = Egress::none().with("*");
    Arc::new(spec)
}
