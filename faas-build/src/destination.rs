//! Where an artifact goes besides its folder.

use std::fs;
use std::path::{Path, PathBuf};

use faas_build::{Artifact, Output};
use faas_core::{Error, ErrorKind};

/// The backend that takes images.
const DOCKER: &str = "docker";

/// Where an artifact goes besides its folder.
pub(crate) enum Destination {
    /// Nowhere: the backend takes the folder.
    Folder,
    /// To a file, for an engine that is elsewhere.
    File(PathBuf),
    /// Into an engine, if there is one.
    Engine,
}

impl Destination {
    /// Where what is built for that backend goes, if the user named that file.
    pub(crate) fn of(backend: &str, file: Option<PathBuf>) -> Result<Self, Error> {
        match file {
            None if backend == DOCKER => Ok(Self::Engine),
            None => Ok(Self::Folder),
            Some(file) if backend == DOCKER => Ok(Self::File(file)),
            Some(_) => {
                let text = format!(
                    "--output is for the image that --backend {DOCKER} builds; for '{backend}' there is none"
                );
                Err(Error::new(ErrorKind::InvalidArgument, text))
            }
        }
    }

    /// Brings the artifact there.
    pub(crate) fn take(&self, artifact: &Artifact, progress: Output) -> Result<(), Error> {
        match self {
            Self::Folder => Ok(()),
            Self::File(file) => {
                // What is there may be a pipe, so it is written to as it is.
                let written = fs::read(artifact.file()).and_then(|archive| fs::write(file, archive));
                written.map_err(|error| {
                    let text = format!("cannot write {}", file.display());
                    Error::new(ErrorKind::Internal, text).with_source(error)
                })?;
                progress.status("Written", file.display());
                Ok(())
            }
            Self::Engine => load(artifact, progress),
        }
    }
}

/// Loads the image into the engine that the Docker backend would use. That there is none is told, and no failure: the
/// image is loaded when its actions are deployed.
fn load(artifact: &Artifact, progress: Output) -> Result<(), Error> {
    let name = artifact.manifest.image.as_deref().unwrap_or_default();
    match loaded(&artifact.file(), name) {
        Ok(true) => progress.status("Loaded", name),
        Ok(false) => progress.status("Present", format_args!("{name} in the engine")),
        Err(error) if error.kind() == ErrorKind::Unavailable => {
            progress.status("Note", format_args!("{name} is not loaded yet: {}", error.message()));
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Whether the engine did not have the image.
#[cfg(unix)]
fn loaded(archive: &Path, name: &str) -> Result<bool, Error> {
    use faas_backend_docker::{Loaded, load_image};

    load_image(archive, name).map(|loaded| loaded == Loaded::Loaded)
}

/// On other systems the backend cannot look for one.
#[cfg(not(unix))]
fn loaded(archive: &Path, _: &str) -> Result<bool, Error> {
    let text = format!("run `docker load --input {}`", archive.display());
    Err(Error::new(ErrorKind::Unavailable, text))
}
