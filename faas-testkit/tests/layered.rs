//! The backend suite on a backend in all layers: a layer keeps every promise of what it is put around.

use std::sync::Arc;

use faas_core::layer::{ChaosConfig, ChaosLayer, Layer, RetryLayer, TraceLayer};
use faas_core::{Backend, LocalBackend};
use faas_testkit::backend_suite::BackendSubject;
use faas_testkit::conformance;

conformance!(BackendSubject::new("layered-local", || async { layered() }), ran = 115, skipped = 15);

fn layered() -> impl Backend {
    let calm = ChaosLayer::new(ChaosConfig::default(), 1).expect("probabilities");
    let calm = calm.around(Arc::new(LocalBackend::new()));
    TraceLayer::new().around(Arc::new(RetryLayer::new().around(Arc::new(calm))))
}
