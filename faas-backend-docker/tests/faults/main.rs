//! Faults of containers, of what runs in them, and of the engine: what is tried, and that the backend and all others
//! who run on it survive it.
//!
//! They run on a real engine. Every test ends in [`site::Site::end`], or checks by itself, that neighbours succeed and
//! that no container, network, folder or task is left behind.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that fails should panic, in the functions that tests share too"
)]

mod actions;
mod alone;
mod artifacts;
mod bare;
mod child;
mod cycles;
mod dockerd;
mod egress;
mod engine_busy;
mod engine_down;
mod engine_late;
mod engine_logs;
mod engine_reached;
mod engine_scripted;
mod folder;
mod foreign;
mod foreign_logs;
mod foreign_net;
mod foreign_replies;
mod hardened;
mod hardening;
mod images;
mod interface;
mod kept;
mod killed;
mod life;
mod logs;
mod networks;
mod outside;
mod places;
mod pulls;
mod puppet;
mod puppets;
mod script;
mod scripted;
mod secrets;
mod site;
mod sweep;
mod watch;
mod wire;
