//! What a backend was given to run, by the names of actions.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use faas_core::artifact::Manifest;
use faas_core::guest::http::VERSION;
use faas_core::{ActionSpec, EntityName, Error, ErrorKind, Shape};

use crate::config::Runtime;
use crate::engine::check_name;
use crate::site::Plan;
use crate::supply::Image;

/// The kind of actions that are compiled into an image by `cargo faas build`.
pub(crate) const RUST: &str = "rust";

/// The kind of actions that are an image of somebody else's. Source: OpenWhisk.
pub(crate) const BLACKBOX: &str = "blackbox";

/// The largest code of an action, in bytes as it is sent. Source: OpenWhisk.
const MAX_CODE: usize = 48 << 20;

/// What an action's code is.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// It is in the image of an artifact.
    Artifact(Image),
    /// It is an image that speaks the action interface.
    Image(String),
    /// It is given to a runtime.
    Code(Arc<Code>),
}

/// Code for a runtime.
#[derive(Debug)]
pub(crate) struct Code {
    pub(crate) kind: String,
    pub(crate) runtime: Runtime,
    /// As it is sent: text, or base64 where it is binary.
    pub(crate) text: String,
    pub(crate) binary: bool,
    pub(crate) main: String,
}

impl Code {
    /// Code in bytes: what is no text, such as a zip, is sent as base64.
    pub(crate) fn new(kind: &str, runtime: Runtime, bytes: Vec<u8>, main: String) -> Result<Self, Error> {
        let is_archive = bytes.starts_with(b"PK\x03\x04")
            || bytes.starts_with(b"\x1f\x8b")
            || bytes.starts_with(b"\x7fELF");
        let (text, binary) = match String::from_utf8(bytes) {
            Ok(text) if !is_archive => (text, false),
            Ok(text) => (STANDARD.encode(text), true),
            Err(error) => (STANDARD.encode(error.into_bytes()), true),
        };
        if text.is_empty() {
            return Err(Error::new(ErrorKind::InvalidArgument, "the code is empty"));
        }
        if text.len() > MAX_CODE {
            let text = format!("the code has {} bytes as it is sent, and {MAX_CODE} are allowed", text.len());
            return Err(Error::new(ErrorKind::InvalidArgument, text));
        }
        Ok(Self { kind: kind.to_owned(), runtime, text, binary, main })
    }
}

/// What a backend was given, by the names of actions.
#[derive(Debug, Default)]
pub(crate) struct Catalogue(BTreeMap<String, Source>);

impl Catalogue {
    /// Adds the actions of an artifact that `cargo faas build` made.
    pub(crate) fn add_folder(&mut self, folder: &Path) -> Result<(), Error> {
        let (manifest, image) = read_manifest(folder)?;
        for action in &manifest.description.actions {
            self.add(action.name.path(), Source::Artifact(image.clone()))?;
        }
        Ok(())
    }

    /// Adds an image that is one action.
    pub(crate) fn add_image(&mut self, action: &str, image: &str) -> Result<(), Error> {
        check_name(image)?;
        self.add(action, Source::Image(image.to_owned()))
    }

    /// Adds code that a runtime runs.
    pub(crate) fn add_code(&mut self, action: &str, code: Code) -> Result<(), Error> {
        check_name(&code.runtime.image)?;
        self.add(action, Source::Code(Arc::new(code)))
    }

    fn add(&mut self, action: &str, source: Source) -> Result<(), Error> {
        let name: EntityName = action.parse()?;
        match self.0.insert(name.path().to_owned(), source) {
            None => Ok(()),
            Some(_) => {
                let text = format!("the backend is given two actions called '{}'", name.path());
                Err(Error::new(ErrorKind::AlreadyExists, text))
            }
        }
    }

    pub(crate) fn find(&self, name: &EntityName) -> Result<&Source, Error> {
        self.0.get(name.path()).ok_or_else(|| {
            Error::unknown("action of the Docker backend", name.path(), self.0.keys().map(String::as_str))
        })
    }

    /// The shape of the containers of an action, and how they are made.
    pub(crate) fn shape(&self, spec: &ActionSpec) -> Result<(Shape, Plan), Error> {
        let memory = spec.limits.memory;
        let (kind, mut plan) = match self.find(&spec.name)? {
            Source::Artifact(image) => (RUST, Plan { is_own: true, ..Plan::new(image.clone(), memory) }),
            Source::Image(image) => (BLACKBOX, Plan::new(Image::Registry(image.clone()), memory)),
            Source::Code(code) => (code.kind.as_str(), Plan::of(&code.runtime, memory)),
        };
        plan.reaches_out = !plan.is_own && !spec.egress.is_none();
        Ok((shape(kind, &plan), plan))
    }
}

/// The shape of the containers of a plan.
pub(crate) fn shape(kind: &str, plan: &Plan) -> Shape {
    let network = if plan.reaches_out { " with network" } else { "" };
    let artifact = format!("{}{network}", plan.image.name());
    Shape { kind: kind.into(), memory: plan.memory, artifact: Some(artifact.into()) }
}

/// Reads the manifest of an artifact's folder.
fn read_manifest(folder: &Path) -> Result<(Manifest, Image), Error> {
    let manifest = Manifest::read(folder, "docker")?;
    let bad = |text: &str| Manifest::refusal(folder, text);
    let abi = manifest.description.abi;
    if abi.to_string() != VERSION {
        let text = format!("its guest speaks version {abi} of the interface, and this backend {VERSION}");
        return Err(bad(&text));
    }
    let name = manifest.image.clone().ok_or_else(|| bad("it names no image"))?;
    check_name(&name).map_err(|error| bad(error.message()))?;
    let image = Image::File { path: folder.join(&manifest.file), name };
    Ok((manifest, image))
}
