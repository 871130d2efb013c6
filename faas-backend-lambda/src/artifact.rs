//! What a backend was given to run, by the names of actions.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use faas_core::artifact::Manifest;
use faas_core::guest::lambda::ABI;
use faas_core::{EntityName, Error, ErrorKind};

/// An artifact that `cargo faas build --backend lambda` made.
#[derive(Debug)]
pub(crate) struct Artifact {
    pub(crate) manifest: Manifest,
    /// The zip.
    pub(crate) path: PathBuf,
}

impl Artifact {
    fn read(folder: &Path) -> Result<Self, Error> {
        let manifest = Manifest::read(folder, "lambda")?;
        let abi = manifest.description.abi;
        if abi != ABI {
            let text = format!("its function speaks version {abi} of the interface, and this backend {ABI}");
            return Err(Manifest::refusal(folder, &text));
        }
        let path = folder.join(&manifest.file);
        Ok(Self { manifest, path })
    }

    /// The content of the zip.
    ///
    /// # Errors
    /// `NotFound` and `Unavailable` when it cannot be read; `InvalidArgument` when it is not the one of the manifest.
    pub(crate) fn bytes(&self) -> Result<Vec<u8>, Error> {
        let bytes = std::fs::read(&self.path).map_err(|source| {
            let kind = match source.kind() {
                std::io::ErrorKind::NotFound => ErrorKind::NotFound,
                _ => ErrorKind::Unavailable,
            };
            Error::new(kind, format!("cannot read {}: {source}", self.path.display())).with_source(source)
        })?;
        if digest(&bytes) != self.manifest.digest {
            let text = format!("{} is not the file that its manifest tells of", self.path.display());
            return Err(Error::new(ErrorKind::InvalidArgument, text));
        }
        Ok(bytes)
    }
}

/// SHA-256 in hex.
pub(crate) fn digest(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a backend was given, by the names of actions.
#[derive(Debug, Default)]
pub(crate) struct Catalogue(BTreeMap<String, Arc<Artifact>>);

impl Catalogue {
    /// Adds the actions of an artifact's folder.
    pub(crate) fn add_folder(&mut self, folder: &Path) -> Result<(), Error> {
        let artifact = Arc::new(Artifact::read(folder)?);
        for action in &artifact.manifest.description.actions {
            let path = action.name.path();
            if self.0.insert(path.to_owned(), Arc::clone(&artifact)).is_some() {
                let text = format!("the backend is given two actions called '{path}'");
                return Err(Error::new(ErrorKind::AlreadyExists, text));
            }
        }
        Ok(())
    }

    pub(crate) fn find(&self, name: &EntityName) -> Result<&Arc<Artifact>, Error> {
        self.0.get(name.path()).ok_or_else(|| {
            Error::unknown("action of the Lambda backend", name.path(), self.0.keys().map(String::as_str))
        })
    }
}
