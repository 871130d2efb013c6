//! Faults that need no container, disk or network: what is tried, and that the platform survives it.
//!
//! Every test ends in [`check::Check`], which asserts the invariants that hold after healing.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that fails should panic, in the functions that tests share too"
)]

mod actions;
mod cancel;
mod check;
mod emit;
mod init;
mod limits;
mod logs;
mod names;
mod overload;
mod payloads;
mod probe;
mod results;
mod rules;
mod secrets;
mod sequences;
mod shutdown;
mod slow_store;
mod time;
mod updates;
mod waiting;
