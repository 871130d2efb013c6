//! A sandbox that is a program of its own: its output, its clock, how it starts, and how it runs an action.
//!
//! The programs of containers and of Lambda functions are made of it.

mod ending;
mod host;
mod output;
mod run;
mod start;
#[cfg(feature = "guest-lambda")]
mod watch;

pub(super) use self::host::ProcessHost;
pub(super) use self::output::Output;
#[cfg(feature = "guest-http")]
pub(super) use self::run::run;
#[cfg(feature = "guest-lambda")]
pub(super) use self::run::{init_aside, run_watched};
pub(super) use self::start::{main, take_output};
#[cfg(feature = "guest-lambda")]
pub(super) use self::watch::Watch;
