//! Backups while the store is in use, and restoring them.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use faas_core::{Error, ErrorKind};
use rusqlite::Connection;
use rusqlite::backup::Backup;

use crate::blobs::{Blobs, sync_folder};
use crate::check;
use crate::counts::Counts;
use crate::directory::Lock;
use crate::error::{Failure, damaged, file};
use crate::readers::Reader;
use crate::state::{Closed, Layout, Stamp, State, token};

/// Writes a copy of the store as it is at one moment to `to`, which must not be there: itself the directory of a store
/// that was closed.
pub(crate) fn backup(reader: &Reader<'_>, to: &Path) -> Result<(), Failure> {
    let copy = Copy::begin(to)?;
    // One look at the database for all of it: what others write meanwhile is not in the copy.
    let snapshot = reader.connection.unchecked_transaction()?;
    let digests = check::referred(reader)?;
    let database = copy.layout.database();
    let mut target = Connection::open(&database)?;
    Backup::new(reader.connection, &mut target)?.run_to_completion(1_000, std::time::Duration::ZERO, None)?;
    drop(snapshot);
    drop(target);
    let blobs = Blobs::open(copy.layout.blobs(), Arc::default())?;
    for digest in digests {
        let path = reader.blobs.path(digest);
        let length = fs::metadata(&path).map_err(|error| file("look at", &path, error))?.len();
        blobs.put(&reader.blobs.read(digest, usize::try_from(length).unwrap_or(usize::MAX))?)?;
    }
    Ok(copy.finish()?)
}

/// Makes the directory of a store, `to`, which must not be there, of a backup or of a store that nobody has open.
pub(crate) fn restore(from: &Path, to: &Path) -> Result<(), Error> {
    let source = Layout { folder: from.to_owned() };
    if !source.database().is_file() {
        let text = format!("{} is no backup: it has no database", from.display());
        return Err(Error::new(ErrorKind::NotFound, text));
    }
    let lock = Lock::take_to_read(&source)?;
    let closed = State::read(&source)?.is_some_and(|state| state.closed.is_some());
    if !closed {
        let text = format!("{} was not closed: open it, and make a backup of it", from.display());
        return Err(damaged(text));
    }
    let copy = Copy::begin(to)?;
    let (database, target) = (source.database(), copy.layout.database());
    fs::copy(&database, &target).map_err(|error| file("copy to", &target, error))?;
    let blobs = Blobs::open(copy.layout.blobs(), Arc::default())?;
    let kept = Blobs::within(source.blobs(), Arc::default());
    for digest in kept.list()? {
        let path = kept.path(digest);
        let length = fs::metadata(&path).map_err(|error| file("look at", &path, error))?.len();
        blobs.put(&kept.read(digest, usize::try_from(length).unwrap_or(usize::MAX))?)?;
    }
    drop(lock);
    copy.finish()
}

/// A directory in the making, under another name until it is whole.
struct Copy {
    layout: Layout,
    to: PathBuf,
    is_finished: bool,
}

impl Copy {
    fn begin(to: &Path) -> Result<Self, Error> {
        if to.symlink_metadata().is_ok() {
            let text = format!("{} is there already", to.display());
            return Err(Error::new(ErrorKind::AlreadyExists, text));
        }
        let mut name = to.file_name().unwrap_or_default().to_owned();
        name.push(".unfinished");
        let folder = to.with_file_name(name);
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(file("remove", &folder, error));
            }
            _ => {}
        }
        crate::directory::make(&folder)?;
        Ok(Self { layout: Layout { folder }, to: to.to_owned(), is_finished: false })
    }

    /// Checks the copy, notes that it is closed, and gives it its name.
    fn finish(mut self) -> Result<(), Error> {
        let layout = &self.layout;
        let database = layout.database();
        let connection = Connection::open(&database).map_err(Failure::from)?;
        // What is written to it goes to the file itself; who opens the store turns to a log again.
        let read = |row: &rusqlite::Row<'_>| row.get::<_, String>(0);
        connection.pragma_update_and_check(None, "journal_mode", "DELETE", read).map_err(Failure::from)?;
        let blobs = Blobs::open(layout.blobs(), Arc::default())?;
        let reader = Reader { connection: &connection, blobs: &blobs };
        crate::schema::check(&connection, &database)?;
        check::complete(&reader)?;
        let counts = Counts::read(&connection).map_err(Failure::from)?;
        let token = token();
        crate::open::write_token(&connection, &token).map_err(Failure::from)?;
        drop(connection);
        File::open(&database)
            .and_then(|file| file.sync_all())
            .map_err(|error| file("sync", &database, error))?;
        let stamp = Stamp::of(&database).map_err(|error| file("look at", &database, error))?;
        State { closed: Some(Closed { stamp, counts }), tokens: vec![token] }.write(layout)?;
        fs::rename(&layout.folder, &self.to).map_err(|error| file("rename to", &self.to, error))?;
        self.is_finished = true;
        let parent = self.to.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        sync_folder(parent).map_err(|error| file("sync", parent, error))
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        if !self.is_finished {
            // The next backup to the same place would remove it too.
            let _ = fs::remove_dir_all(&self.layout.folder);
        }
    }
}
