//! The in-memory store does all that a store has to do.

use faas_core::store::MemoryStore;
use faas_testkit::store_conformance;
use faas_testkit::store_suite::StoreSubject;

store_conformance!(StoreSubject::new("memory", || async { MemoryStore::new() }), ran = 78);
