//! Delivery: what was accepted ends in exactly one record, whatever becomes of the process that accepted it.
//!
//! A process that is killed is a runtime that is dropped: nothing of it runs on, and the next one finds its store.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that fails should panic, in the functions that tests share too"
)]

mod attempts;
mod destinations;
mod keys;
mod kills;
mod later;
mod letters;
mod life;
mod recovery;
mod schedules;
mod sequences;
mod shutdown;
mod signals;
mod store;
mod window;
