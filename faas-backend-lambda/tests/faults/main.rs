//! Faults of AWS, of the way to it, and of functions: what is tried, and that the backend survives it.
//!
//! They run against a service in memory, on this machine alone. Every test ends with successes after healing.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that fails should panic, in the functions that tests share too"
)]

mod answers;
#[path = "../cloud/mod.rs"]
mod cloud;
mod deploy;
mod ground;
mod interrupted;
mod invoke;
mod life;
mod profile;
mod secrets;
mod site;
