//! Compiling modules: off the async threads, a few at a time, and each in bounded time.

use std::sync::Arc;
use std::time::Duration;

use faas_core::{Error, ErrorKind};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use wasmtime::Engine;

use crate::error;

pub(crate) struct Compiler {
    engine: Engine,
    /// One permit for each thread. A compilation that takes too long keeps its own until it has ended.
    threads: Arc<Semaphore>,
    limit: Duration,
}

impl Compiler {
    pub(crate) fn new(engine: Engine, threads: usize, limit: Duration) -> Self {
        Self { engine, threads: Arc::new(Semaphore::new(threads.max(1))), limit }
    }

    /// Compiles a module.
    ///
    /// # Errors
    /// `DeadlineExceeded` when it takes too long; `InvalidArgument` when it cannot be compiled.
    pub(crate) async fn compile(&self, module: bytes::Bytes) -> Result<Vec<u8>, Error> {
        let permit = Arc::clone(&self.threads).acquire_owned().await;
        let permit = permit.map_err(|_| Error::new(ErrorKind::Closed, "nothing is compiled any more"))?;
        let engine = self.engine.clone();
        let compiling = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            engine.precompile_module(&module)
        });
        match timeout(self.limit, compiling).await {
            Ok(Ok(Ok(compiled))) => Ok(compiled),
            Ok(Ok(Err(source))) => {
                Err(error::caused(ErrorKind::InvalidArgument, "the module cannot be compiled", source))
            }
            Ok(Err(lost)) => Err(Error::new(ErrorKind::Internal, "the compiler panicked").with_source(lost)),
            Err(_) => {
                let text = format!("compiling the module took longer than {:?}", self.limit);
                Err(Error::new(ErrorKind::DeadlineExceeded, text))
            }
        }
    }
}
