//! From compiled bytes to a module: the one place that trusts them.
#![allow(unsafe_code, reason = "compiled code is run as it is, so the engine has its caller vouch for it")]

use std::fs::File;

use wasmtime::{Engine, Module, Result};

/// The module in a file whose tag was found right: then this user's process wrote it, from what the compiler made.
pub(super) fn file(engine: &Engine, file: File) -> Result<Module> {
    // SAFETY: the caller has authenticated the whole of this open file with the key of the cache, which is readable
    // by this user alone; only what the compiler gave is ever tagged with it. Whoever could change the file between
    // the two is this user, who can as well change this process.
    unsafe { Module::deserialize_open_file(engine, file) }
}

/// The module that the compiler of this very engine has just made.
pub(crate) fn compiled(engine: &Engine, bytes: &[u8]) -> Result<Module> {
    // SAFETY: the only caller hands over what `Engine::precompile_module` returned, unchanged.
    unsafe { Module::deserialize(engine, bytes) }
}
