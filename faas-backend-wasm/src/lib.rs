#![doc = include_str!("docs.md")]

mod backend;
mod builder;
mod cache;
mod catalogue;
mod compile;
mod config;
mod deployed;
mod describe;
mod digest;
mod engine;
mod error;
mod factory;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod host;
mod imports;
mod inspect;
mod instance;
mod module;
mod pool;
mod sandbox;
mod shared;
mod ticker;
mod workshop;

pub use self::backend::WasmBackend;
pub use self::builder::WasmBuilder;
pub use self::config::{CacheConfig, Directory, ModuleLimits, WasmConfig};
pub use self::describe::describe;

/// The engine of a backend with this configuration, for benchmarks that compare with it.
///
/// # Errors
/// `Unavailable` when there is no room for it.
#[doc(hidden)]
pub fn bench_engine(config: &WasmConfig) -> Result<wasmtime::Engine, faas_core::Error> {
    engine::make(config)
}
