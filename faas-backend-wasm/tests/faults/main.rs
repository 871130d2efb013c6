//! Faults of Wasm modules: what is tried, and that the backend and all others who run on it survive it.
//!
//! Every test ends in [`site::Site::end`], or checks by itself, that neighbours succeed and nothing is left behind.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that fails should panic, in the functions that tests share too"
)]

mod alone;
mod bounded;
mod cached;
mod cancel;
mod commands;
mod counted;
mod distrusted;
mod egress;
mod emits;
mod ending;
mod folders;
mod guests;
mod isolation;
mod logs;
mod manifests;
mod memory;
mod poisoned;
mod refused;
mod replies;
mod reuse;
mod site;
mod starting;
mod traps;
