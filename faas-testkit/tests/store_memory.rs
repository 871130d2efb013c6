//! The in-memory store does all that a store has to do.

use faas_core::store::MemoryStore;
use faas_testkit::store_conformance;
use faas_testkit::store_suite::{MAX_JOBS, StoreSubject};

store_conformance!(
    StoreSubject::new("memory", || async { MemoryStore::new().with_max_jobs(MAX_JOBS) }),
    ran = 81
);
