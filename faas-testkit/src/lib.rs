//! What tests of functions, and of what runs them, are made of.
//!
//! - [`transcript`]: what a behaviour saw, to compare two backends by.
//! - [`store_suite`]: what every store has to do.
//! - [`mock`]: a scripted sandbox that fails on cue and writes down what is done to it.
//! - [`goals`]: goal lines of benchmarks.
//! - [`fixtures`]: eight portable actions, each driven by its input. They are all that is left without the
//!   feature `host`, so that this crate builds as a guest.

#[cfg(feature = "host")]
pub mod arrivals;
pub mod fixtures;
#[cfg(feature = "host")]
pub mod goals;
#[cfg(feature = "host")]
pub mod mock;
#[cfg(feature = "host")]
pub mod store_suite;
#[cfg(feature = "host")]
pub mod suite;
#[cfg(feature = "host")]
pub mod transcript;
