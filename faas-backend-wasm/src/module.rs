//! Modules: where they are, what they are, and how they come into the engine.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use faas_core::{Error, ErrorKind};
use tokio::sync::Mutex;
use wasmtime::{InstancePre, Module, ModuleExport};

use crate::cache::{Index, Known};
use crate::digest::sha256;
use crate::error;
use crate::host::HostState;
use crate::inspect::{Entry, Facts, INIT, INITIALIZE, RUN, START};
use crate::workshop::Workshop;

/// A compiled module up to this size is read by the task that asks for it: that takes less than handing it to
/// another thread and waiting. Arbitrary.
const READ_HERE: u64 = 4 << 20;

/// Where a module is.
pub(crate) enum Source {
    /// In a file, with the digest that a manifest says it has.
    File { path: PathBuf, digest: Option<String> },
    /// In memory.
    Bytes(Bytes),
}

/// A module with all its actions.
pub(crate) struct Artifact {
    source: Source,
    /// Whether its actions have a state to build first; told by a manifest, else its exports tell.
    init: Option<bool>,
    known: OnceLock<Known>,
    /// Boxed, since most of many modules never are.
    loaded: OnceLock<Box<Loaded>>,
    /// Held by whoever looks at it or loads it.
    turn: Mutex<()>,
}

/// A module in the engine, ready to be instantiated.
pub(crate) struct Loaded {
    pub(crate) pre: InstancePre<HostState>,
    pub(crate) memory: ModuleExport,
    /// What runs the action.
    pub(crate) run: ModuleExport,
    /// What has to be called first, in order, and its name.
    pub(crate) first: Vec<(&'static str, ModuleExport)>,
}

impl Artifact {
    pub(crate) fn new(source: Source, init: Option<bool>) -> Self {
        Self { source, init, known: OnceLock::new(), loaded: OnceLock::new(), turn: Mutex::new(()) }
    }

    pub(crate) fn is_command(&self) -> bool {
        self.known.get().is_some_and(|known| known.facts.entry == Entry::Command)
    }

    /// The module in the engine, if it is loaded.
    pub(crate) fn loaded(&self) -> Option<&Loaded> {
        self.loaded.get().map(|loaded| &**loaded)
    }

    /// What the module is. Unless that is known already, it is read and validated.
    ///
    /// # Errors
    /// `NotFound` and `Unavailable` for a file that cannot be read; `InvalidArgument` for a module that cannot run.
    pub(crate) async fn facts(self: &Arc<Self>, workshop: &Arc<Workshop>) -> Result<Facts, Error> {
        if let Some(known) = self.known.get() {
            return Ok(known.facts);
        }
        let name = self.name_in_index();
        if let Some(known) = name.as_ref().and_then(|name| workshop.index()?.get(name)) {
            return Ok(self.known.get_or_init(|| known).facts);
        }
        let _turn = self.turn.lock().await;
        if let Some(known) = self.known.get() {
            return Ok(known.facts);
        }
        let (this, shop) = (Arc::clone(self), Arc::clone(workshop));
        let looking = tokio::task::spawn_blocking(move || this.look(&shop));
        let known = looking.await.map_err(|lost| {
            Error::new(ErrorKind::Internal, "looking at the module panicked").with_source(lost)
        })??;
        if let (Some(index), Some(name)) = (workshop.index(), name) {
            index.put(&name, &known);
        }
        Ok(self.known.get_or_init(|| known).facts)
    }

    /// What the index calls the module.
    fn name_in_index(&self) -> Option<String> {
        match &self.source {
            Source::File { digest: Some(digest), .. } => Some(digest.clone()),
            Source::File { path, digest: None } => Index::name(path),
            Source::Bytes(_) => None,
        }
    }

    fn look(&self, workshop: &Workshop) -> Result<Known, Error> {
        let bytes = self.read(workshop.limits().bytes)?;
        let digest = sha256(&bytes);
        self.check_digest(&digest)?;
        let facts = workshop.inspect(&bytes).map_err(|error| self.named(error))?;
        Ok(Known { digest, facts })
    }

    /// The bytes of the module, of which no more than `most` are read.
    fn read(&self, most: u64) -> Result<Bytes, Error> {
        match &self.source {
            Source::Bytes(bytes) => Ok(bytes.clone()),
            Source::File { path, .. } => read(path, most),
        }
    }

    fn check_digest(&self, found: &str) -> Result<(), Error> {
        let told = match (&self.source, self.known.get()) {
            (Source::File { digest: Some(told), .. }, _) => told,
            (_, Some(known)) => &known.digest,
            _ => return Ok(()),
        };
        if told == found {
            return Ok(());
        }
        let text =
            format!("the module has the digest {found} and should have {told}: build or deploy it again");
        Err(self.named(Error::new(ErrorKind::InvalidArgument, text)))
    }

    fn named(&self, error: Error) -> Error {
        match &self.source {
            Source::File { path, .. } => error.with_context("module", path.display()),
            Source::Bytes(_) => error,
        }
    }

    /// Loads the module, from the cache or by compiling it. Callers who leave do not stop it.
    ///
    /// # Errors
    /// As from compiling it; `NotFound` and `Unavailable` for a file that cannot be read.
    pub(crate) async fn load(self: &Arc<Self>, workshop: &Arc<Workshop>) -> Result<&Loaded, Error> {
        self.facts(workshop).await?;
        if let Some(loaded) = self.load_here(workshop)? {
            return Ok(loaded);
        }
        let (this, shop) = (Arc::clone(self), Arc::clone(workshop));
        let loading = tokio::spawn(async move {
            let _turn = this.turn.lock().await;
            match this.loaded.get() {
                Some(_) => Ok(()),
                None => this.load_there(&shop).await,
            }
        });
        loading.await.map_err(|lost| {
            Error::new(ErrorKind::Internal, "loading the module panicked").with_source(lost)
        })??;
        self.loaded().ok_or_else(|| Error::new(ErrorKind::Internal, "the module is not loaded"))
    }

    /// Loads a compiled module that is small, without leaving the task.
    fn load_here(&self, workshop: &Workshop) -> Result<Option<&Loaded>, Error> {
        let Some(known) = self.known.get() else { return Ok(None) };
        let small = workshop.cached_size(&known.digest).is_some_and(|bytes| bytes <= READ_HERE);
        if !small {
            return Ok(None);
        }
        match workshop.cached(&known.digest) {
            Some(module) => self.keep(workshop, &module).map(Some),
            None => Ok(None),
        }
    }

    async fn load_there(self: &Arc<Self>, workshop: &Arc<Workshop>) -> Result<(), Error> {
        let Some(digest) = self.known.get().map(|known| known.digest.clone()) else { return Ok(()) };
        let (this, shop) = (Arc::clone(self), Arc::clone(workshop));
        let most = workshop.limits().bytes;
        let found = blocking(move || match shop.cached(&digest) {
            Some(module) => Ok(Err(module)),
            None => {
                let bytes = this.read(most)?;
                this.check_digest(&sha256(&bytes))?;
                Ok(Ok((digest, bytes)))
            }
        });
        let (digest, bytes) = match found.await? {
            Ok(unknown) => unknown,
            Err(module) => return self.keep(workshop, &module).map(|_| ()),
        };
        let compiled = workshop.compile(bytes).await.map_err(|error| self.named(error))?;
        let shop = Arc::clone(workshop);
        let module = blocking(move || shop.admit(&digest, &compiled)).await?;
        self.keep(workshop, &module).map(|_| ())
    }

    fn keep(&self, workshop: &Workshop, module: &Module) -> Result<&Loaded, Error> {
        let loaded = self.link(workshop, module).map_err(|error| self.named(error))?;
        Ok(self.loaded.get_or_init(|| Box::new(loaded)))
    }

    fn link(&self, workshop: &Workshop, module: &Module) -> Result<Loaded, Error> {
        let pre = workshop.linker().instantiate_pre(module).map_err(|source| {
            error::caused(ErrorKind::InvalidArgument, "the module's imports do not fit", source)
        })?;
        let export = |name: &str| {
            module.get_export_index(name).ok_or_else(|| {
                Error::new(ErrorKind::InvalidArgument, format!("the module exports no '{name}'"))
            })
        };
        let run = if self.is_command() { START } else { RUN };
        let mut first = Vec::new();
        if !self.is_command() {
            first.extend(module.get_export_index(INITIALIZE).map(|index| (INITIALIZE, index)));
            let init = module.get_export_index(INIT).filter(|_| self.init.unwrap_or(true));
            first.extend(init.map(|index| (INIT, index)));
        }
        Ok(Loaded { memory: export("memory")?, run: export(run)?, first, pre })
    }
}

/// Runs what blocks where it may.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|lost| Error::new(ErrorKind::Internal, "loading the module panicked").with_source(lost))?
}

/// Reads a module. A longer file is not read, since all that is made of it grows with it, nor is what has no length,
/// such as a pipe or a device, which may have no end either.
pub(crate) fn read(path: &Path, most: u64) -> Result<Bytes, Error> {
    let failed = |source: std::io::Error| {
        let kind = match source.kind() {
            std::io::ErrorKind::NotFound => ErrorKind::NotFound,
            _ => ErrorKind::Unavailable,
        };
        error::file(kind, "cannot read the module", path, source)
    };
    let metadata = std::fs::metadata(path).map_err(failed)?;
    if !metadata.is_file() {
        let text = format!("the module {} is refused: it is no file", path.display());
        return Err(Error::new(ErrorKind::InvalidArgument, text));
    }
    let size = metadata.len();
    if size > most {
        let text = format!("the module {} is refused: it has {size} bytes, over {most}", path.display());
        return Err(Error::new(ErrorKind::InvalidArgument, text));
    }
    std::fs::read(path).map(Bytes::from).map_err(failed)
}
