//! Writing files so that nobody sees half of one, and only where that changes something.

use std::fs;
use std::io;
use std::path::Path;

use faas_core::Error;

use crate::failure;

/// Writes the file unless it has that content already; returns whether it had not.
///
/// Cargo goes by the time of the last change, so an unchanged file is left alone.
pub(crate) fn update(path: &Path, content: &[u8]) -> Result<bool, Error> {
    let changed = fs::read(path).map_or(true, |present| present != content);
    if changed {
        replace(path, content)?;
    }
    Ok(changed)
}

/// Writes the file at once: under a name of this process's own, which then becomes the file's.
pub(crate) fn replace(path: &Path, content: &[u8]) -> Result<(), Error> {
    let write = || -> io::Result<()> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.tmp", std::process::id()));
        let temporary = path.with_file_name(name);
        fs::write(&temporary, content)?;
        fs::rename(&temporary, path).inspect_err(|_| drop(fs::remove_file(&temporary)))
    };
    write().map_err(|error| failure::io("write", path, error))
}
