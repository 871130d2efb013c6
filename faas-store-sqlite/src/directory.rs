//! The directory of a store, and the lock that keeps it to one process.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use faas_core::{Error, ErrorKind};

use crate::error::file;
use crate::state::Layout;

/// Makes the directory where there is none, within one that there is.
pub(crate) fn make(folder: &Path) -> Result<(), Error> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if folder.is_dir() {
                return Ok(());
            }
            let text = format!("{} is no directory", folder.display());
            Err(Error::new(ErrorKind::InvalidArgument, text))
        }
        Err(error) => Err(file("make the directory", folder, error)),
        // Its own name has to survive too.
        Ok(()) => match folder.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            Some(parent) => crate::blobs::sync_folder(parent).map_err(|error| file("sync", parent, error)),
            None => Ok(()),
        },
    }
}

/// As long as it lives, no other process has the store open. The operating system lets go of it when this one ends,
/// however it ends.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    pub(crate) fn take(layout: &Layout) -> Result<Self, Error> {
        let path = layout.lock();
        let failed = |error| file("open", &path, error);
        let mut options = OpenOptions::new();
        let mut lock =
            options.read(true).write(true).create(true).truncate(false).open(&path).map_err(failed)?;
        hold(layout, &mut lock)?;
        let mut tell = || {
            lock.set_len(0)?;
            lock.seek(SeekFrom::Start(0))?;
            write!(lock, "{}", std::process::id())
        };
        // Only for people: where the disk is full they are not told who it is.
        let _ = tell();
        Ok(Self { _file: lock })
    }

    /// The lock of a store that is only read. Where nothing may be written there may be none.
    pub(crate) fn take_to_read(layout: &Layout) -> Result<Option<Self>, Error> {
        let unwritable = match Self::take(layout) {
            Err(error) if error.kind() == ErrorKind::PermissionDenied => error,
            lock => return lock.map(Some),
        };
        match File::open(layout.lock()) {
            Ok(mut lock) => hold(layout, &mut lock).map(|()| Some(Self { _file: lock })),
            // Who has a store open has made one.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(_) => Err(unwritable),
        }
    }
}

fn hold(layout: &Layout, lock: &mut File) -> Result<(), Error> {
    match lock.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::Error(error)) => Err(file("lock", &layout.lock(), error)),
        Err(TryLockError::WouldBlock) => Err(in_use(layout, lock)),
    }
}

fn in_use(layout: &Layout, lock: &mut File) -> Error {
    let mut pid = String::new();
    let holder = match lock.read_to_string(&mut pid) {
        Ok(_) if pid == std::process::id().to_string() => "this process".to_owned(),
        Ok(_) if !pid.is_empty() && pid.bytes().all(|byte| byte.is_ascii_digit()) => format!("process {pid}"),
        _ => "another process".to_owned(),
    };
    let text =
        format!("{} is in use by {holder}; one process at a time may open it", layout.folder.display());
    Error::new(ErrorKind::Unavailable, text)
}
