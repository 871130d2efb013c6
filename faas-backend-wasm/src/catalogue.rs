//! The modules that a backend was given, by the names of their actions.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use faas_core::artifact::Manifest;
use faas_core::{EntityName, Error, ErrorKind};

use crate::inspect::ABI;
use crate::module::{Artifact, Source};

/// Actions with the module that has their code, and their place in it.
#[derive(Default)]
pub(crate) struct Catalogue {
    actions: BTreeMap<String, (Arc<Artifact>, u32)>,
}

impl Catalogue {
    /// Adds the actions of an artifact that `cargo faas build` made.
    pub(crate) fn add_folder(&mut self, folder: &Path) -> Result<(), Error> {
        let manifest = read_manifest(folder)?;
        let source =
            Source::File { path: folder.join(&manifest.file), digest: Some(manifest.digest.clone()) };
        let artifact = Arc::new(Artifact::new(source, Some(manifest.description.init)));
        for (index, action) in (0..).zip(&manifest.description.actions) {
            self.add(action.name.path(), &artifact, index)?;
        }
        Ok(())
    }

    /// Adds a module that is one action, in a file.
    pub(crate) fn add_file(&mut self, action: &str, path: &Path) -> Result<(), Error> {
        let source = Source::File { path: path.to_owned(), digest: None };
        self.add(action, &Arc::new(Artifact::new(source, None)), 0)
    }

    /// Adds a module that is one action, in memory.
    pub(crate) fn add_bytes(&mut self, action: &str, bytes: Bytes) -> Result<(), Error> {
        self.add(action, &Arc::new(Artifact::new(Source::Bytes(bytes), None)), 0)
    }

    fn add(&mut self, action: &str, artifact: &Arc<Artifact>, index: u32) -> Result<(), Error> {
        let name: EntityName = action.parse()?;
        match self.actions.insert(name.path().to_owned(), (Arc::clone(artifact), index)) {
            None => Ok(()),
            Some(_) => {
                let text = format!("two modules have an action called '{}'", name.path());
                Err(Error::new(ErrorKind::AlreadyExists, text))
            }
        }
    }

    /// The module with the code of an action.
    pub(crate) fn find(&self, name: &EntityName) -> Result<(&Arc<Artifact>, u32), Error> {
        match self.actions.get(name.path()) {
            Some((artifact, index)) => Ok((artifact, *index)),
            None => {
                let known = self.actions.keys().map(String::as_str);
                Err(Error::unknown("action of a module", name.path(), known))
            }
        }
    }
}

/// Reads the manifest of an artifact's folder.
fn read_manifest(folder: &Path) -> Result<Manifest, Error> {
    let manifest = Manifest::read(folder, "wasm")?;
    let abi = manifest.description.abi;
    if abi != ABI {
        let text = format!("its module speaks version {abi} of the guest interface, and this backend {ABI}");
        return Err(Manifest::refusal(folder, &text));
    }
    Ok(manifest)
}
