//! What tests of functions, and of what runs them, are made of.
//!
//! - [`backend_suite`], [`pool_suite`] and [`store_suite`]: what every backend, every pool and every store has to
//!   do, one function for each behaviour; [`conformance!`], [`pool_conformance!`] and [`store_conformance!`] make
//!   tests of them.
//! - [`transcript`]: what the behaviours saw, to compare two backends by.
//! - [`mock`]: a scripted sandbox that fails on cue and writes down what is done to it.
//! - [`arrivals`]: seeded processes of arriving requests.
//! - [`goals`]: goal lines of benchmarks.
//! - [`account`]: what holds of all records of a platform, whatever happened to it.
//! - `crash`: an app that is killed again and again on one directory, and an account of what it had accepted (on Unix).
//! - [`loopback`]: a server for the requests that actions make.
//! - [`fixtures`]: eight portable actions, each driven by its input. They are all that is left without the
//!   feature `host`, so that this crate builds as a guest.

#[cfg(feature = "host")]
pub mod account;
#[cfg(feature = "host")]
pub mod arrivals;
#[cfg(feature = "host")]
pub mod backend_suite;
#[cfg(all(feature = "host", unix))]
pub mod crash;
pub mod fixtures;
#[cfg(feature = "host")]
pub mod goals;
#[cfg(feature = "host")]
pub mod loopback;
#[cfg(feature = "host")]
pub mod mock;
#[cfg(feature = "host")]
pub mod pool_suite;
#[cfg(feature = "host")]
pub mod store_suite;
#[cfg(feature = "host")]
pub mod suite;
#[cfg(feature = "host")]
pub mod transcript;
