#![doc = include_str!("docs.md")]

mod backup;
mod behaviour;
mod blobs;
mod builder;
mod check;
mod codec;
mod config;
mod connection;
mod counts;
mod directory;
mod error;
mod faults;
mod health;
mod open;
#[cfg(not(feature = "faults"))]
mod points;
#[cfg(feature = "faults")]
#[doc(hidden)]
pub mod points;
mod read;
mod readers;
mod request;
mod rows;
mod schema;
mod state;
mod store;
mod tender;
mod wal;
mod write;
mod writer;

pub use self::builder::SqliteBuilder;
pub use self::config::{Durability, SqliteConfig};
#[cfg(feature = "faults")]
#[doc(hidden)]
pub use self::faults::Fault;
pub use self::store::SqliteStore;
