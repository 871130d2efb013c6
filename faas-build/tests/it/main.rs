//! Building and listing whole crates, by the command and by the library.
//!
//! Where there is no compiler for Wasm or for static Linux programs, or no engine for containers, the tests that need
//! one print `SKIP <name>: <reason>` and end. The one that needs a compiler for another architecture prints `OPTIONAL`
//! instead of `SKIP`: that nobody has to have.

#![allow(
    clippy::unwrap_used,
    reason = "a test that fails should panic, in the functions that tests share too"
)]

#[cfg(unix)]
mod compilers;
#[cfg(unix)]
mod docker;
#[cfg(unix)]
mod lambda;
mod list;
mod processes;
mod refusals;
mod wasm;
mod world;
