//! Faults of the programs of Lambda functions on this machine: what is tried, and that the backend and all others who run
//! on it survive it.
//!
//! Every test ends in [`site::Site::end`], or checks by itself, that neighbours succeed and that no program is left.

#![cfg(all(feature = "local", target_os = "linux"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that fails should panic, in the functions that tests share too"
)]

mod alone;
mod answers;
mod artifact;
mod artifacts;
mod child;
mod cycles;
mod freeze;
mod guest;
mod guest_alone;
mod host;
mod init;
mod life;
mod logs;
mod outcomes;
mod process;
mod site;
