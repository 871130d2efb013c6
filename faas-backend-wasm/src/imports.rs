//! What a guest may import: the linker, and its types for whoever looks at modules.

use faas_core::{Error, ErrorKind};
use wasmtime::{Engine, Extern, FuncType, Linker, Store, ValType};

use crate::error;
use crate::host::{HostState, abi};
use crate::inspect::{Imports, Signature};

/// The functions that guests import, and their types.
pub(crate) fn make(engine: &Engine) -> Result<Linker<HostState>, Error> {
    abi::linker(engine)
        .map_err(|source| error::caused(ErrorKind::Internal, "the imports of guests are no imports", source))
}

/// The types of all that the linker has.
pub(crate) fn types(engine: &Engine, linker: &Linker<HostState>) -> Result<Imports, Error> {
    let mut store = Store::new(engine, HostState::of_nobody()?);
    let found: Vec<(String, String, Extern)> = linker
        .iter(&mut store)
        .map(|(module, name, item)| (module.to_owned(), name.to_owned(), item))
        .collect();
    let typed = found.into_iter().filter_map(|(module, name, item)| match item {
        Extern::Func(function) => Some(((module, name), signature(&function.ty(&store)))),
        _ => None,
    });
    Ok(typed.collect())
}

fn signature(of: &FuncType) -> Signature {
    let list = |types: Vec<ValType>| types.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    format!("({}) -> ({})", list(of.params().collect()), list(of.results().collect()))
}
