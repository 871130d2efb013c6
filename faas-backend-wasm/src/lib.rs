//! Runs faas actions as Wasm modules, on wasmtime.
//!
//! The crate reserves its place in the workspace: it holds no backend yet. It will implement
//! the backend seam of `faas-core` and pass the conformance suite of `faas-testkit`.
