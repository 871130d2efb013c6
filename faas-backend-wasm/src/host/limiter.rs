//! What one instance may grow to.

use wasmtime::{Error, ResourceLimiter, Result};

use super::HostState;

/// Why a guest was stopped that asked for more memory than it has.
#[derive(Debug)]
pub(crate) struct Exhausted;

impl std::fmt::Display for Exhausted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the memory limit is exhausted")
    }
}

impl std::error::Error for Exhausted {}

/// A guest that asks for more ends at once, as on every backend: none offers it to go on without.
impl ResourceLimiter for HostState {
    fn memory_growing(&mut self, _: usize, desired: usize, maximum: Option<usize>) -> Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        if desired as u64 <= self.action.spec.limits.memory.bytes() {
            return Ok(true);
        }
        self.exhausted = true;
        Err(Error::new(Exhausted))
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> Result<bool> {
        Ok(desired <= self.action.world.config.limits.table_elements)
    }

    fn instances(&self) -> usize {
        1
    }

    fn tables(&self) -> usize {
        1
    }

    fn memories(&self) -> usize {
        1
    }
}
