//! What a module says of itself.

use faas_core::Error;
use faas_core::artifact::Description;

/// The actions of a Wasm module. It is run to tell them, by the backend that will run it later: so a module that
/// the backend would refuse is not published.
pub(crate) fn wasm(module: &[u8]) -> Result<Description, Error> {
    faas_backend_wasm::describe(module)
}
