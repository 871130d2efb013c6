//! Artifacts: what a crate of actions was built to, and the manifest that says what is in it.
//!
//! `cargo faas build` makes a folder for each crate and backend with the artifact and [`MANIFEST`]; a backend
//! takes the folder.

#[cfg(feature = "host")]
use std::path::{Component, Path};

use serde::{Deserialize, Serialize};

use crate::action::{ActionSet, ActionSpec};
#[cfg(feature = "host")]
use crate::error::{Error, ErrorKind};

/// The name of the manifest within the folder of an artifact.
pub const MANIFEST: &str = "manifest.json";

/// The version of the manifest's format that this library reads and writes.
pub const FORMAT: u32 = 1;

/// What an artifact says of itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Description {
    /// The version of the interface between host and guest that it was built for.
    pub abi: u32,
    /// Whether its actions have a state that has to be built before their first run in a sandbox.
    pub init: bool,
    /// Its actions, in the order by which a call names them.
    pub actions: Vec<ActionSpec>,
}

impl Description {
    /// The description of a set of actions.
    #[must_use]
    pub fn of(actions: ActionSet, abi: u32) -> Self {
        let init = actions.has_init();
        Self { abi, init, actions: actions.into_specs() }
    }
}

/// What an artifact was built of, and what is in it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of this format.
    pub format: u32,
    /// The backend that it was built for, such as `wasm`.
    pub backend: String,
    /// The crate that it was built of.
    pub package: String,
    /// The version of the crate.
    pub version: String,
    /// The artifact's file, next to the manifest.
    pub file: String,
    /// The name of the image in it, where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The architecture that it runs on, where the backend has several: `x86_64` or `arm64`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
    /// The SHA-256 of the file, in 64 hex digits.
    pub digest: String,
    /// The size of the file in bytes.
    pub size: u64,
    /// The kind of its actions: `rust`.
    pub kind: String,
    /// The compiler that built it, as it prints its version.
    pub toolchain: String,
    /// What the artifact says of itself.
    #[serde(flatten)]
    pub description: Description,
}

#[cfg(feature = "host")]
impl Manifest {
    /// Reads the manifest of an artifact's folder and checks that it is one for this backend, whose file is within
    /// the folder. The version of the interface is left to the backend.
    ///
    /// # Errors
    /// `NotFound` where there is no manifest, saying how to make one; `InvalidArgument` when it is none or one for
    /// something else; `Unavailable` when it cannot be read.
    pub fn read(folder: &Path, backend: &str) -> Result<Self, Error> {
        let path = folder.join(MANIFEST);
        let text = std::fs::read(&path).map_err(|source| {
            let (kind, text) = match source.kind() {
                std::io::ErrorKind::NotFound => {
                    let folder = folder.display();
                    let how = format!("`cargo faas build --backend {backend}` makes one");
                    (
                        ErrorKind::NotFound,
                        format!("{folder} holds no artifact: there is no {MANIFEST}; {how}"),
                    )
                }
                _ => (ErrorKind::Unavailable, format!("cannot read {}: {source}", path.display())),
            };
            Error::new(kind, text).with_source(source)
        })?;
        let bad = |text: String| Self::refusal(folder, &text);
        let manifest: Self =
            serde_json::from_slice(&text).map_err(|error| bad(format!("it is no manifest: {error}")))?;
        if manifest.format != FORMAT {
            return Err(bad(format!("it has format {}, and this version reads {FORMAT}", manifest.format)));
        }
        if manifest.backend != backend {
            let other = &manifest.backend;
            return Err(bad(format!("it is an artifact for '{other}', not for '{backend}'")));
        }
        let mut parts = Path::new(&manifest.file).components();
        if !matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None)) {
            return Err(bad(format!("its file '{}' is not within the folder", manifest.file)));
        }
        Ok(manifest)
    }

    /// The error of a manifest that a backend cannot take, for the reason that `text` gives.
    #[must_use]
    pub fn refusal(folder: &Path, text: &str) -> Error {
        Error::new(ErrorKind::InvalidArgument, format!("{}: {text}", folder.join(MANIFEST).display()))
    }
}
