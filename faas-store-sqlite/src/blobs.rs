//! Large parts of rows, in files that are named by their digest.
//!
//! A file is complete and on disk before the row that refers to it: written under another name, synced, renamed, and
//! its folder synced. While a caller has a [`Pin`] on a digest nobody removes the file; files that no row refers to and
//! nobody has pinned are found by [`Blobs::find_unused`], which looks while it holds the lock of the pins. Who reads
//! may have seen a row that is gone since: a file stays for those who began before it was found that no row refers to it.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use faas_core::Error;
use sha2::{Digest as _, Sha256};

use crate::error::{damaged, file};
use crate::faults::Fault;
use crate::health::Health;
use crate::points::pass;

/// SHA-256 of a file's content.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Digest([u8; Self::LEN]);

impl Digest {
    pub(crate) const LEN: usize = 32;

    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    pub(crate) fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The digest that is this file name.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        let mut bytes = [0; Self::LEN];
        if name.len() != 2 * Self::LEN || !name.is_ascii() {
            return None;
        }
        for (byte, at) in bytes.iter_mut().zip((0..).step_by(2)) {
            *byte = u8::from_str_radix(&name[at..at + 2], 16).ok()?;
        }
        Some(Self(bytes))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The files of one store; a cheap handle.
#[derive(Clone, Debug)]
pub(crate) struct Blobs(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    health: Arc<Health>,
    pins: Mutex<Pins>,
    /// Numbers the names under which files are written.
    next: AtomicU64,
    /// How many files have, or are about to have, a name that may not be on disk yet.
    unsynced: AtomicU64,
}

#[derive(Debug, Default)]
struct Pins {
    by_digest: HashMap<Digest, usize>,
    /// Goes up with each file that is found unused.
    now: u64,
    /// How many want every file to stay that was used when they began, by when that was.
    all: BTreeMap<u64, usize>,
    /// The files that are to be removed later, and when they were found unused, if nobody has put them since.
    later: HashMap<Digest, Option<u64>>,
    /// The files that were written by who has let go of them since, with a row that refers to them or without.
    written: Vec<Digest>,
}

/// As long as it lives, the file stays.
#[derive(Debug)]
pub(crate) struct Pin {
    digest: Digest,
    blobs: Blobs,
    has_written: bool,
}

impl Pin {
    pub(crate) fn digest(&self) -> Digest {
        self.digest
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut pins = self.blobs.pins();
        if let Some(count) = pins.by_digest.get_mut(&self.digest) {
            *count -= 1;
            if *count == 0 {
                pins.by_digest.remove(&self.digest);
            }
        }
        if self.has_written {
            pins.written.push(self.digest);
        }
    }
}

/// As long as it lives, all files stay that a row referred to when it was made.
#[derive(Debug)]
pub(crate) struct PinAll {
    began: u64,
    blobs: Blobs,
}

impl Drop for PinAll {
    fn drop(&mut self) {
        let mut pins = self.blobs.pins();
        if let Some(count) = pins.all.get_mut(&self.began) {
            *count -= 1;
            if *count == 0 {
                pins.all.remove(&self.began);
            }
        }
    }
}

/// What the names begin with under which files are written.
const UNFINISHED: &str = "unfinished-";

impl Blobs {
    /// The files in `folder`, which is made; what an earlier process did not finish is removed.
    pub(crate) fn open(folder: PathBuf, health: Arc<Health>) -> Result<Self, Error> {
        match fs::create_dir(&folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(file("make the folder", &folder, error));
            }
            _ => {}
        }
        let blobs = Self::within(folder, health);
        for name in blobs.names()? {
            if name.starts_with(UNFINISHED) {
                let path = blobs.0.folder.join(name);
                fs::remove_file(&path).map_err(|error| file("remove", &path, error))?;
            }
        }
        // It may have ended between giving a file its name and syncing that.
        blobs.sync_names()?;
        Ok(blobs)
    }

    /// The files in `folder`, which may be one that nobody writes to.
    pub(crate) fn within(folder: PathBuf, health: Arc<Health>) -> Self {
        let (pins, next, unsynced) = Default::default();
        Self(Arc::new(Inner { folder, health, pins, next, unsynced }))
    }

    pub(crate) fn path(&self, digest: Digest) -> PathBuf {
        self.0.folder.join(digest.to_string())
    }

    /// Keeps bytes; when it returns they are on disk.
    pub(crate) fn put(&self, bytes: &[u8]) -> Result<Pin, Error> {
        self.0.health.check()?;
        let digest = Digest::of(bytes);
        {
            let mut pins = self.pins();
            *pins.by_digest.entry(digest).or_default() += 1;
            // A row may refer to it again, and be gone again before that is looked for.
            pins.later.entry(digest).and_modify(|unused| *unused = None);
        }
        let mut pin = Pin { digest, blobs: self.clone(), has_written: false };
        let path = self.path(digest);
        if fs::read(&path).is_ok_and(|found| found == bytes) {
            // Who has written it may not have come to that.
            if self.0.unsynced.load(SeqCst) > 0 {
                self.sync_names()?;
            }
            return Ok(pin);
        }
        // Also if it fails: the name may be there.
        pin.has_written = true;
        let number = self.0.next.fetch_add(1, Relaxed);
        let unfinished = self.0.folder.join(format!("{UNFINISHED}{number}"));
        self.write(&unfinished, &path, bytes).inspect_err(|_| {
            // The next start would remove it too.
            let _ = fs::remove_file(&unfinished);
        })?;
        Ok(pin)
    }

    fn write(&self, unfinished: &Path, path: &Path, bytes: &[u8]) -> Result<(), Error> {
        let mut out = File::create(unfinished).map_err(|error| file("make", unfinished, error))?;
        let faults = &self.0.health.faults;
        let written = faults.file(Fault::Write).and_then(|()| out.write_all(bytes));
        written.map_err(|error| self.failed("write", unfinished, error))?;
        pass("blob.written");
        faults.sync(Fault::Blob, &out).map_err(|error| self.failed("sync", unfinished, error))?;
        pass("blob.synced");
        self.0.unsynced.fetch_add(1, SeqCst);
        fs::rename(unfinished, path).map_err(|error| self.failed("rename to", path, error))?;
        pass("blob.renamed");
        // A name that was not synced is counted for good, so that who finds it makes sure.
        self.sync_names()?;
        self.0.unsynced.fetch_sub(1, SeqCst);
        pass("blob.after");
        Ok(())
    }

    /// Makes sure that the names of all files are on disk.
    fn sync_names(&self) -> Result<(), Error> {
        let Inner { folder, health, .. } = &*self.0;
        let synced = health.faults.file(Fault::Names).and_then(|()| sync_folder(folder));
        synced.map_err(|error| self.failed("sync", folder, error))
    }

    /// What failed for want of room may be tried again with another file; anything else ends all writing.
    fn failed(&self, what: &str, path: &Path, error: io::Error) -> Error {
        let is_full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        let error = file(what, path, error);
        if !is_full {
            self.0.health.fail(&format!("it {}", error.message()));
        }
        error
    }

    /// The bytes of that digest.
    pub(crate) fn read(&self, digest: Digest, length: usize) -> Result<Bytes, Error> {
        let path = self.path(digest);
        let mut bytes = Vec::with_capacity(length.min(1 << 24));
        let most = u64::try_from(length).unwrap_or(u64::MAX).saturating_add(1);
        let read = File::open(&path).and_then(|file| file.take(most).read_to_end(&mut bytes));
        match read {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(damaged(format!("the file {} is missing, which a row refers to", path.display())))
            }
            Err(error) => Err(file("read", &path, error)),
            Ok(_) if Digest::of(&bytes) == digest => Ok(bytes.into()),
            Ok(_) => Err(damaged(format!("the file {} is damaged: it has another digest", path.display()))),
        }
    }

    /// Notes that the file of a digest is to be removed, and since when, unless somebody has pinned it. Not if `is_used`
    /// says that a row refers to it, which is told.
    pub(crate) fn find_unused(
        &self,
        digest: Digest,
        is_used: impl FnOnce() -> Result<bool, Error>,
    ) -> Result<bool, Error> {
        let mut pins = self.pins();
        if pins.later.get(&digest).is_some_and(Option::is_some) {
            return Ok(true);
        }
        let unused = if pins.by_digest.contains_key(&digest) {
            None
        } else if is_used()? {
            pins.later.remove(&digest);
            return Ok(false);
        } else {
            pins.now += 1;
            Some(pins.now)
        };
        pins.later.insert(digest, unused);
        Ok(true)
    }

    /// Takes the files that were written since it was last asked, by who has let go of them: what they were for may have
    /// been refused.
    pub(crate) fn take_written(&self) -> Vec<Digest> {
        std::mem::take(&mut self.pins().written)
    }

    /// Removes the file of a digest that was found unused, and tells whether it did: not where somebody has put it since,
    /// or may still read it.
    pub(crate) fn remove_unused(&self, digest: Digest) -> Result<bool, Error> {
        let mut pins = self.pins();
        let Some(Some(unused)) = pins.later.get(&digest).copied() else { return Ok(false) };
        if pins.all.first_key_value().is_some_and(|(began, _)| *began < unused) {
            return Ok(false);
        }
        pins.later.remove(&digest);
        let path = self.path(digest);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(file("remove", &path, error)),
            _ => {
                pass("file.removed");
                Ok(true)
            }
        }
    }

    /// Keeps all files that rows refer to now.
    pub(crate) fn pin_all(&self) -> PinAll {
        let mut pins = self.pins();
        let began = pins.now;
        *pins.all.entry(began).or_default() += 1;
        PinAll { began, blobs: self.clone() }
    }

    /// The digests of the files that are there.
    pub(crate) fn list(&self) -> Result<Vec<Digest>, Error> {
        Ok(self.names()?.iter().filter_map(|name| Digest::from_name(name)).collect())
    }

    fn names(&self) -> Result<Vec<String>, Error> {
        let read = || -> io::Result<_> {
            let entries = fs::read_dir(&self.0.folder)?;
            entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
        };
        read().map_err(|error| file("list", &self.0.folder, error))
    }

    fn pins(&self) -> MutexGuard<'_, Pins> {
        self.0.pins.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes sure that the names in a folder are on disk.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    // Windows has no such call, and needs none.
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;
    use std::sync::Arc;

    use super::{Blobs, Health};
    use crate::faults::Fault;

    /// What Unix says of a disk that is full.
    const ENOSPC: i32 = 28;

    /// A folder by the name of a test.
    fn folder(test: &str) -> PathBuf {
        std::env::temp_dir().join(format!("faas-store-{test}-{}", std::process::id()))
    }

    #[test]
    fn files_go_while_others_read_who_cannot_have_seen_them() {
        let folder = folder("seen");
        let blobs = Blobs::open(folder.clone(), Arc::default()).unwrap();
        let remove = |digest| {
            assert!(blobs.find_unused(digest, || Ok(false)).unwrap());
            blobs.remove_unused(digest).unwrap()
        };
        let first = blobs.pin_all();
        let digest = blobs.put(b"one").unwrap().digest();
        assert!(!remove(digest));
        let second = blobs.pin_all();
        assert!(!remove(digest));
        drop(first);
        assert!(remove(digest), "the second began later");
        drop(second);
        let first = blobs.pin_all();
        drop(blobs.put(b"one").unwrap());
        assert!(!remove(digest));
        // A row refers to it again while another one begins to read, and is gone again.
        let pin = blobs.put(b"one").unwrap();
        let second = blobs.pin_all();
        drop((pin, first));
        assert!(!remove(digest));
        let third = blobs.pin_all();
        drop(second);
        assert!(remove(digest));
        drop(third);
        assert_eq!(blobs.list().unwrap(), []);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_file_that_is_there_is_relied_on_once_its_name_is_on_disk() {
        let folder = folder("names");
        let health = Arc::new(Health::default());
        let open = || Blobs::open(folder.clone(), Arc::clone(&health));
        let without_room = |what: &dyn Fn() -> bool| {
            health.faults.fail_next(Fault::Names, ENOSPC);
            !what()
        };
        let blobs = open().unwrap();
        for _ in 0..2 {
            assert!(
                without_room(&|| blobs.put(b"one").is_ok()),
                "by whom it was written, and who has found it"
            );
        }
        blobs.put(b"one").unwrap();
        drop(blobs);
        assert!(without_room(&|| open().is_ok()), "of an earlier process");
        let blobs = open().unwrap();
        // Nothing is left to be synced.
        assert!(!without_room(&|| blobs.put(b"one").is_ok()));
        fs::remove_dir_all(folder).unwrap();
    }
}
