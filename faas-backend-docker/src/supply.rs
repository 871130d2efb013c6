//! Seeing to it that images are there.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};

use faas_core::{Error, ErrorKind};
use tokio::sync::Mutex;

use crate::engine::{Engine, Pull};

/// An image, and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Image {
    /// The file of an artifact.
    File {
        /// The file.
        path: PathBuf,
        /// The image's name.
        name: String,
    },
    /// A registry, unless the engine has it; it is an action by itself.
    Registry(String),
    /// The same for the image of a runtime.
    Runtime(String),
}

impl Image {
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::File { name, .. } | Self::Registry(name) | Self::Runtime(name) => name,
        }
    }
}

/// Gets images into the engine.
pub(crate) struct Supply {
    engine: Arc<Engine>,
    pull: Pull,
    /// Whether an image was got since this process began, by its name. An entry is locked while its image is got: it is
    /// got once, and nobody waits for that of somebody else.
    images: StdMutex<BTreeMap<String, Arc<Mutex<bool>>>>,
}

impl Supply {
    pub(crate) fn new(engine: Arc<Engine>, pull: Pull) -> Self {
        Self { engine, pull, images: StdMutex::default() }
    }

    /// Sees to it that the image of an action that is deployed is there, and anew where that is the policy.
    pub(crate) async fn for_deployment(&self, image: &Image) -> Result<(), Error> {
        let anew = match image {
            Image::File { .. } => false,
            Image::Registry(name) => self.pull.insists(name),
            Image::Runtime(_) => self.pull == Pull::Always,
        };
        let entry = self.entry(image);
        let mut got = entry.lock().await;
        if anew || !*got {
            self.get(image, anew).await?;
            *got = true;
        }
        Ok(())
    }

    /// Gets an image that the engine does not have any more.
    pub(crate) async fn restore(&self, image: &Image) -> Result<(), Error> {
        let entry = self.entry(image);
        let _one = entry.lock().await;
        self.get(image, false).await
    }

    /// There are no more entries than images that the backend was given.
    fn entry(&self, image: &Image) -> Arc<Mutex<bool>> {
        let mut images = self.images.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(images.entry(image.name().to_owned()).or_default())
    }

    async fn get(&self, image: &Image, anew: bool) -> Result<(), Error> {
        match image {
            Image::File { path, name } if !self.engine.has_image(name).await? => {
                self.engine.load_image(path).await?;
                if self.engine.has_image(name).await? {
                    return Ok(());
                }
                let text = format!("the file {} does not contain the image '{name}'", path.display());
                Err(Error::new(ErrorKind::InvalidArgument, text))
            }
            Image::File { .. } => Ok(()),
            Image::Registry(name) | Image::Runtime(name) => {
                self.engine.ensure_image(name, self.pull, anew).await
            }
        }
    }
}
