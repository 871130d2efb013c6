//! What the example `quickstart` is made of.
//!
//! [`earthquakes`] has the actions and is all that a guest is built of; the rest belongs to the program that
//! runs them, and comes with the feature `host`.

#[cfg(feature = "host")]
mod backends;
#[cfg(feature = "host")]
pub mod catalogue;
#[cfg(feature = "host")]
pub mod cli;
#[cfg(feature = "host")]
mod digest;
#[cfg(feature = "host")]
pub mod follow;
#[cfg(feature = "host")]
pub mod report;
#[cfg(feature = "host")]
mod stores;
#[cfg(feature = "host")]
mod table;

pub mod earthquakes;

pub use earthquakes::actions;
