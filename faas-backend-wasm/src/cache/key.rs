//! The key that cached files are authenticated with.

use std::fs;
use std::io::{self, ErrorKind, Read};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use aegis::aegis128x4::Aegis128X4Mac;

use super::replace;

/// The bytes of a key.
const KEY: usize = 16;

/// The bytes of a tag.
pub(super) const TAG: usize = 32;

/// A key that only this user can read.
#[derive(Clone)]
pub(crate) struct Key([u8; KEY]);

/// Makes a tag of what it is given.
///
/// # Source
/// AEGIS-128X4 as a MAC: draft-irtf-cfrg-aegis-aead. It takes a sixteenth of the time of keyed BLAKE3, which would
/// make loading a module twice as slow.
pub(super) type Tagger = Aegis128X4Mac<TAG>;

impl Key {
    /// The key of a folder. The first to ask makes the folder and the key.
    ///
    /// # Errors
    /// When the folder cannot be made, or others may write to it or read the key.
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        make_folder(folder)?;
        check(folder)?;
        let path = folder.join("key");
        if !path.exists() {
            make(&path)?;
        }
        check(&path)?;
        let mut key = [0; KEY];
        fs::File::open(&path)?.read_exact(&mut key)?;
        Ok(Self(key))
    }

    pub(super) fn tagger(&self) -> Tagger {
        Tagger::new(&self.0)
    }
}

fn make_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Makes the key unless somebody else was first: a link, unlike a rename, never replaces.
fn make(path: &Path) -> io::Result<()> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let mut key = [0; KEY];
    getrandom::fill(&mut key).map_err(io::Error::other)?;
    // Threads of one process may be at it at once, too.
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let own = path.with_extension(format!("{}-{number}.new", std::process::id()));
    replace(&own, |file| io::Write::write_all(file, &key))?;
    let linked = fs::hard_link(&own, path);
    let _ = fs::remove_file(&own);
    match linked {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

/// Refuses what is not this user's alone.
#[cfg(unix)]
fn check(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt;
    let metadata = fs::metadata(path)?;
    // Who owns a file can read and change it whatever its mode. A folder may as well be the system's.
    let (owner, is_folder) = (metadata.uid(), metadata.is_dir());
    if own_id().is_some_and(|own| owner != own && !(is_folder && owner == 0)) {
        let text = format!("{} belongs to another user", path.display());
        return Err(io::Error::new(ErrorKind::PermissionDenied, text));
    }
    if metadata.mode() & 0o022 != 0 {
        let text = format!("{} may be written to by others", path.display());
        return Err(io::Error::new(ErrorKind::PermissionDenied, text));
    }
    if metadata.is_file() && metadata.mode() & 0o077 != 0 {
        let text = format!("{} may be read by others", path.display());
        return Err(io::Error::new(ErrorKind::PermissionDenied, text));
    }
    Ok(())
}

/// The number of this user, where the system tells it in a file.
#[cfg(unix)]
fn own_id() -> Option<u32> {
    fs::metadata("/proc/self").ok().map(|own| std::os::unix::fs::MetadataExt::uid(&own))
}

#[cfg(not(unix))]
fn check(path: &Path) -> io::Result<()> {
    fs::metadata(path).map(|_| ())
}
