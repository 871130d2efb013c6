//! The backend suite on a warm pool of mock sandboxes.

use faas_core::backend::Pooled;
use faas_core::pool::PoolConfig;
use faas_core::{Backend, LocalBackend};
use faas_testkit::backend_suite::BackendSubject;
use faas_testkit::conformance;
use faas_testkit::mock::MockFactory;

conformance!(BackendSubject::new("pooled-mock", || async { pooled() }), ran = 117, skipped = 13);

fn pooled() -> impl Backend {
    // What a mock can do is what the local backend can: its actions run in this process.
    Pooled::warm("mock", LocalBackend::CAPABILITY, MockFactory::default(), PoolConfig::default())
}
