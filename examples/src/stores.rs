//! The stores that the quickstart can keep its activations in.

use std::sync::Arc;

use faas_core::backend::BackendUrl;
use faas_core::store::MemoryStore;
use faas_core::{Error, ErrorKind, Store};
use faas_store_sqlite::SqliteStore;

/// The store that a URL names: `memory`, or `sqlite:DIRECTORY`.
///
/// # Errors
/// `InvalidArgument` for any other; else as from [`SqliteStore::from_url`].
pub(crate) fn open(url: &str) -> Result<Arc<dyn Store>, Error> {
    let url: BackendUrl = url.parse()?;
    match url.scheme() {
        "memory" => Ok(Arc::new(MemoryStore::new())),
        "sqlite" => Ok(Arc::new(SqliteStore::from_url(&url)?)),
        other => {
            let text = format!("no store is named '{other}'; known: memory, sqlite");
            Err(Error::new(ErrorKind::InvalidArgument, text))
        }
    }
}
