//! Made-up machines for tests: folders with files that are removed afterwards.

use std::fs;
use std::path::PathBuf;

/// A folder below the system's one for temporary files.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// An empty folder; `name` is that of its test.
    pub(crate) fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("xtask-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder for temporary files");
        Self(folder)
    }

    /// A path within it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Makes an empty file, and the folders that it is in.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("it is within the folder")).expect("a folder");
        // What is there may be a link, which is not to be followed.
        let _ = fs::remove_file(&path);
        fs::write(&path, "").expect("a file");
        path
    }

    /// Makes a program that ends well, or badly: a link to the system's, since one that was just written may still
    /// be open for writing in a process that another test is starting.
    #[cfg(unix)]
    pub(crate) fn program(&self, name: &str, ends_well: bool) -> PathBuf {
        let path = self.file(name);
        fs::remove_file(&path).expect("it is ours");
        let of = if ends_well { "/bin/true" } else { "/bin/false" };
        std::os::unix::fs::symlink(of, &path).expect("a link");
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
