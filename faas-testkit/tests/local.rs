//! The backend suite on the local backend.

use faas_core::LocalBackend;
use faas_testkit::backend_suite::BackendSubject;
use faas_testkit::conformance;

conformance!(BackendSubject::new("local", || async { LocalBackend::new() }), ran = 115, skipped = 15);
