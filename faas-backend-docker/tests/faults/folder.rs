//! Folders for what backends share with their containers.

use std::ops::Deref;
use std::path::{Path, PathBuf};

/// A folder of a test's own, once a backend has made it. Dropped, it is gone, also where the test failed.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        let name = format!("faas-t-{}-{:x}", std::process::id(), fastrand::u32(..));
        Self(std::env::temp_dir().join(name))
    }
}

impl Deref for Folder {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
