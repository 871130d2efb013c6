//! Conformance suites for faas backends, pools and stores.
pub mod goals;
