//! Where modules are looked at, compiled, kept and linked.

use bytes::Bytes;
use faas_core::{Error, ErrorKind};
use wasmparser::WasmFeatures;
use wasmtime::{Engine, Linker, Module};

use crate::cache::{self, Cache, Index};
use crate::compile::Compiler;
use crate::config::{ModuleLimits, WasmConfig};
use crate::host::HostState;
use crate::inspect::{Facts, Imports, Inspector};
use crate::{engine, error, imports};

/// An engine with all that modules need to come into it.
pub(crate) struct Workshop {
    engine: Engine,
    features: WasmFeatures,
    linker: Linker<HostState>,
    imports: Imports,
    limits: ModuleLimits,
    compiler: Compiler,
    cache: Option<(Cache, Index)>,
}

impl Workshop {
    pub(crate) fn new(config: &WasmConfig) -> Result<Self, Error> {
        let engine = engine::make(config)?;
        let linker = imports::make(&engine)?;
        let imports = imports::types(&engine, &linker)?;
        let cache = Cache::open(&config.cache, &engine).map(|cache| {
            let index = cache.index(&config.limits);
            (cache, index)
        });
        Ok(Self {
            features: engine.get_wasm_features(),
            compiler: Compiler::new(engine.clone(), config.compile_threads, config.compile_timeout),
            engine,
            linker,
            imports,
            limits: config.limits,
            cache,
        })
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(crate) fn linker(&self) -> &Linker<HostState> {
        &self.linker
    }

    pub(crate) fn limits(&self) -> &ModuleLimits {
        &self.limits
    }

    pub(crate) fn index(&self) -> Option<&Index> {
        self.cache.as_ref().map(|(_, index)| index)
    }

    /// Validates a module and says what it is.
    pub(crate) fn inspect(&self, bytes: &[u8]) -> Result<Facts, Error> {
        let inspector = Inspector { limits: &self.limits, features: self.features, imports: &self.imports };
        inspector.inspect(bytes)
    }

    /// The size of the compiled module on disk.
    pub(crate) fn cached_size(&self, digest: &str) -> Option<u64> {
        self.cache.as_ref().and_then(|(cache, _)| cache.size(digest))
    }

    /// The compiled module from the disk.
    pub(crate) fn cached(&self, digest: &str) -> Option<Module> {
        self.cache.as_ref().and_then(|(cache, _)| cache.load(&self.engine, digest))
    }

    pub(crate) async fn compile(&self, module: Bytes) -> Result<Vec<u8>, Error> {
        self.compiler.compile(module).await
    }

    /// Keeps what the compiler just made, and loads it: from the file if there is one, whose pages need no memory of
    /// their own.
    pub(crate) fn admit(&self, digest: &str, compiled: &[u8]) -> Result<Module, Error> {
        if let Some((cache, _)) = &self.cache {
            cache.store(digest, compiled);
            if let Some(module) = cache.load(&self.engine, digest) {
                return Ok(module);
            }
        }
        cache::load::compiled(&self.engine, compiled).map_err(|source| {
            error::caused(ErrorKind::InvalidArgument, "the module does not fit into the engine", source)
        })
    }
}
