//! Where an artifact goes besides its folder.

use std::fs;
use std::path::PathBuf;

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
            Self::Folder | Self::Engine => Ok(()),
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
        }
    }
}
