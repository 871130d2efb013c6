//! A door for fuzz targets to what reads the modules of strangers.

use faas_core::Error;

use crate::config::{CacheConfig, ModuleLimits, WasmConfig};
use crate::workshop::Workshop;

/// What looks at a module before anything is made of it.
pub struct Inspection(Workshop);

impl Inspection {
    /// One with these limits.
    ///
    /// # Errors
    /// `Unavailable` when there is no room for an engine.
    pub fn new(limits: ModuleLimits) -> Result<Self, Error> {
        let config = WasmConfig { limits, cache: CacheConfig::Off, instances: 1, ..WasmConfig::default() };
        Workshop::new(&config).map(Self)
    }

    /// Looks at a module.
    ///
    /// # Errors
    /// `InvalidArgument` when it cannot run here, with the reason.
    pub fn inspect(&self, module: &[u8]) -> Result<(), Error> {
        self.0.inspect(module).map(|_| ())
    }
}
