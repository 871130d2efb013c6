//! An action that is deployed here. There may be very many.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use faas_core::{ActionSpec, Error, ErrorKind};
use serde_json::Value;

use crate::config::Directory;
use crate::host::World;
use crate::module::Artifact;

/// The annotation that asks for instances that are used again: how often at most.
pub(crate) const REUSE: &str = "wasm-reuse";

/// The annotation that asks for folders of the host, by the names that the backend has for them.
pub(crate) const DIRS: &str = "wasm-dirs";

/// A deployed action: its code, and what it may use.
pub(crate) struct Deployed {
    pub(crate) spec: Arc<ActionSpec>,
    pub(crate) world: Arc<World>,
    pub(crate) artifact: Arc<Artifact>,
    /// Its place in the artifact's list of actions.
    pub(crate) index: u32,
    /// How often one instance may run it; `None` where each run has a fresh one.
    pub(crate) reuse: Option<u64>,
    pub(crate) directories: Vec<(String, Directory)>,
    /// The specification as guests read it, once one wants to.
    encoded: OnceLock<Box<[u8]>>,
    /// Whether an instance of it was made and initialised.
    proven: AtomicBool,
}

impl Deployed {
    /// Binds an action to its code.
    ///
    /// # Errors
    /// `InvalidArgument` for an annotation that asks for what cannot be given, saying what can.
    pub(crate) fn new(
        spec: Arc<ActionSpec>,
        world: Arc<World>,
        artifact: Arc<Artifact>,
        index: u32,
    ) -> Result<Self, Error> {
        let reuse = reuse(&spec)?;
        let directories = directories(&spec, &world.config.directories)?;
        let (encoded, proven) = (OnceLock::new(), AtomicBool::new(false));
        Ok(Self { spec, world, artifact, index, reuse, directories, encoded, proven })
    }

    pub(crate) fn is_command(&self) -> bool {
        self.artifact.is_command()
    }

    pub(crate) fn encoded_spec(&self) -> &[u8] {
        self.encoded.get_or_init(|| serde_json::to_vec(&*self.spec).unwrap_or_default().into_boxed_slice())
    }

    /// Whether [`prove`](Self::prove) was called.
    pub(crate) fn is_proven(&self) -> bool {
        self.proven.load(Ordering::Relaxed)
    }

    /// Notes that an instance of it was made and initialised.
    pub(crate) fn prove(&self) {
        self.proven.store(true, Ordering::Relaxed);
    }
}

fn refused(spec: &ActionSpec, text: String) -> Error {
    Error::new(ErrorKind::InvalidArgument, text).with_context("action", &spec.name)
}

fn reuse(spec: &ActionSpec) -> Result<Option<u64>, Error> {
    let Some(value) = spec.annotations.get(REUSE) else { return Ok(None) };
    let uses = value.as_u64().filter(|uses| *uses > 0);
    let uses = uses.ok_or_else(|| {
        refused(spec, format!("annotation '{REUSE}' is {value}, not how often an instance may run, from 1"))
    })?;
    if spec.needs_fresh_sandbox() {
        let text = format!("'{REUSE}' and '{}' contradict each other", ActionSpec::FRESH_SANDBOX);
        return Err(refused(spec, text));
    }
    if spec.limits.concurrency > 1 {
        let text = format!("an instance runs once at a time: with '{REUSE}' the concurrency must be 1");
        return Err(refused(spec, text));
    }
    Ok(Some(uses))
}

fn directories(
    spec: &ActionSpec,
    known: &BTreeMap<String, Directory>,
) -> Result<Vec<(String, Directory)>, Error> {
    let Some(value) = spec.annotations.get(DIRS) else { return Ok(Vec::new()) };
    let names = value.as_array().map(|names| names.iter().map(Value::as_str).collect::<Option<Vec<_>>>());
    let Some(Some(names)) = names else {
        return Err(refused(spec, format!("annotation '{DIRS}' is {value}, not a list of names")));
    };
    let find = |name: &str| match known.get(name) {
        Some(directory) => Ok((name.to_owned(), directory.clone())),
        None => Err(Error::unknown("folder", name, known.keys().map(String::as_str))),
    };
    names
        .into_iter()
        .map(find)
        .collect::<Result<_, Error>>()
        .map_err(|error| refused(spec, error.message().to_owned()))
}
