//! What a Wasm backend may use.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use faas_core::MemoryMib;

/// What a [`WasmBackend`](crate::WasmBackend) may use. [`WasmBuilder`](crate::WasmBuilder) sets it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct WasmConfig {
    /// The name of the backend.
    pub name: String,
    /// The memory limits of all activations that run at once, together.
    pub memory: MemoryMib,
    /// The memory of instances that are kept for reuse, on top of that; actions ask for it by the annotation
    /// `wasm-reuse`.
    pub reuse_memory: MemoryMib,
    /// The instances that there may be at once. Each reserves 4 GiB of address space, and no memory.
    pub instances: u32,
    /// Where compiled modules are kept.
    pub cache: CacheConfig,
    /// The time between two epochs: how long a guest may compute before others have their turn, and how late a
    /// timeout may come.
    pub tick: Duration,
    /// Whether guests count the instructions that they execute, for the record's `fuel`. It slows them down.
    pub fuel: bool,
    /// How long one module may take to compile.
    pub compile_timeout: Duration,
    /// How many modules are compiled at once.
    pub compile_threads: usize,
    /// What a module may have.
    pub limits: ModuleLimits,
    /// The folders of the host that actions may ask for by name, with the annotation `wasm-dirs`.
    pub directories: BTreeMap<String, Directory>,
}

impl Default for WasmConfig {
    /// A name of `wasm`, 2 GiB, 256 MiB for reuse, 1,000 instances, the user's cache folder, epochs of 1 ms, no fuel,
    /// 60 s to compile and half of the processors for it, no folders.
    ///
    /// # Source
    /// The memory is that of a pool's default; the number of instances is wasmtime's; all else is arbitrary.
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            name: "wasm".to_owned(),
            memory: MemoryMib::new(2048),
            reuse_memory: MemoryMib::new(256),
            instances: 1_000,
            cache: CacheConfig::Default,
            tick: Duration::from_millis(1),
            fuel: false,
            compile_timeout: Duration::from_secs(60),
            compile_threads: (processors / 2).max(1),
            limits: ModuleLimits::default(),
            directories: BTreeMap::new(),
        }
    }
}

/// How late a timeout may come where a guest is looked at so often: once in an epoch, and the thread that looks may be
/// late.
pub(crate) const fn granularity(tick: Duration) -> Duration {
    tick.saturating_mul(20)
}

/// Where compiled modules are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CacheConfig {
    /// In the user's cache folder: `$XDG_CACHE_HOME/faas/wasm`, else `~/.cache/faas/wasm`; nowhere if there is neither.
    #[default]
    Default,
    /// In this folder.
    Folder(PathBuf),
    /// Nowhere: every process compiles for itself.
    Off,
}

/// A folder of the host that an action may be given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory {
    /// Where it is.
    pub path: PathBuf,
    /// Whether it may be written to.
    pub writable: bool,
}

/// What a module may have, so that reading, compiling and loading it stays bounded. All of them are arbitrary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ModuleLimits {
    /// The bytes of the module; 64 MiB.
    pub bytes: u64,
    /// Its functions; 50,000.
    pub functions: u32,
    /// The bytes of one function's code, on whose size compiling it depends more than linearly; 1 MiB.
    pub function_bytes: u32,
    /// The elements of a table; 20,000.
    pub table_elements: usize,
    /// Its globals, types, imports and exports, each; 10,000.
    pub items: u32,
}

impl Default for ModuleLimits {
    fn default() -> Self {
        Self {
            bytes: 64 << 20,
            functions: 50_000,
            function_bytes: 1 << 20,
            table_elements: 20_000,
            items: 10_000,
        }
    }
}
