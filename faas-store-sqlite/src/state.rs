//! What a store knows of its directory beside the database: whether it was closed, and what it must find there.
//!
//! `state.json` says how the store was left and names the tokens of which the database must hold one: a new one with each
//! start and each close, so that an older copy of the database is told from the last. It has a checksum: what is counted in
//! it is not counted again. `answered` says up to which frame
//! of the write-ahead log the writes were answered; it is written after each of them, and synced only when the log
//! begins anew, so it never claims more than is on disk.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use faas_core::Error;
use serde::{Deserialize, Serialize};

use crate::blobs::sync_folder;
use crate::counts::Counts;
use crate::error::{damaged, file};
use crate::points::pass;
use crate::wal::{self, Salts};

/// Where everything in a directory is.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) folder: PathBuf,
}

impl Layout {
    pub(crate) fn database(&self) -> PathBuf {
        self.folder.join("store.db")
    }

    pub(crate) fn wal(&self) -> PathBuf {
        self.folder.join("store.db-wal")
    }

    pub(crate) fn blobs(&self) -> PathBuf {
        self.folder.join("blobs")
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.folder.join("lock")
    }

    fn state(&self) -> PathBuf {
        self.folder.join("state.json")
    }

    fn answered(&self) -> PathBuf {
        self.folder.join("answered")
    }
}

/// How the store was left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    /// What the database was when it was closed; `None` while it is open, and after it was left without being closed.
    pub(crate) closed: Option<Closed>,
    /// The database holds one of these. None before it was first written.
    pub(crate) tokens: Vec<String>,
}

/// A state as it is kept, with a checksum over it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    state: State,
    sum: u32,
}

/// A database that was closed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Closed {
    pub(crate) stamp: Stamp,
    pub(crate) counts: Counts,
}

/// What tells a file that somebody else has written to since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stamp {
    bytes: u64,
    /// When it was last modified, in nanoseconds since the epoch.
    modified: u64,
}

impl Stamp {
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        let metadata = fs::metadata(path)?;
        let since = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        let modified = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
        Ok(Self { bytes: metadata.len(), modified })
    }

    pub(crate) fn bytes(self) -> u64 {
        self.bytes
    }
}

impl State {
    /// The state of a directory; `None` when it has none.
    pub(crate) fn read(layout: &Layout) -> Result<Option<Self>, Error> {
        let path = layout.state();
        let text = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text.map_err(|error| file("read", &path, error))?,
        };
        let broken = |why: &str| {
            damaged(format!("{} is damaged: {why}; restore the store from a backup", path.display()))
        };
        let read = serde_json::from_slice(&text);
        let Kept { state, sum } =
            read.map_err(|error: serde_json::Error| broken(&error.to_string()).with_source(error))?;
        // It is over what was read, written out again.
        if state.sum().is_ok_and(|computed| computed == sum) {
            return Ok(Some(state));
        }
        Err(broken("its checksum is not that of its content"))
    }

    fn sum(&self) -> io::Result<u32> {
        Ok(crc32fast::hash(&serde_json::to_vec(self)?))
    }

    /// Puts the state on disk in place of the one before.
    pub(crate) fn write(&self, layout: &Layout) -> Result<(), Error> {
        let (path, unfinished) = (layout.state(), layout.folder.join("state.unfinished"));
        let write = || {
            let mut out = File::create(&unfinished)?;
            let kept = Kept { state: self.clone(), sum: self.sum()? };
            out.write_all(&serde_json::to_vec(&kept)?)?;
            out.sync_all()?;
            pass("state.synced");
            fs::rename(&unfinished, &path)?;
            pass("state.renamed");
            sync_folder(&layout.folder)
        };
        write().map_err(|error| file("write", &path, error))
    }
}

/// A new token.
pub(crate) fn token() -> String {
    format!("{:032x}", fastrand::u128(..))
}

/// How far the writes of the log were answered.
#[derive(Debug)]
pub(crate) struct Answered {
    file: File,
    wal: PathBuf,
    /// The log, once it is written to. SQLite makes no other one while it has it open.
    log: Option<File>,
    frames: u32,
    salts: Salts,
}

const ANSWERED: usize = 16;

impl Answered {
    /// Opens the file, and checks that the log has what it says.
    pub(crate) fn open(layout: &Layout) -> Result<Self, Error> {
        let path = layout.answered();
        let failed = |error| file("open", &path, error);
        let mut options = OpenOptions::new();
        let mut file =
            options.read(true).write(true).create(true).truncate(false).open(&path).map_err(failed)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(failed)?;
        let mut answered = Self { file, wal: layout.wal(), log: None, frames: 0, salts: Salts::default() };
        if let Some((salts, frames)) = read_answered(&bytes) {
            (answered.salts, answered.frames) = (salts, frames);
            answered.check()?;
        }
        Ok(answered)
    }

    fn check(&self) -> Result<(), Error> {
        let Self { wal, frames, salts, .. } = self;
        let most = u64::from(*frames);
        let found = wal::whole_frames(wal, most).map_err(|error| file("read", wal, error))?;
        let what = match found {
            Some((found, whole)) if found == *salts && whole == most => return Ok(()),
            // It began anew with a write that was not answered any more.
            Some((found, _)) if found.0 == salts.0.wrapping_add(1) => return Ok(()),
            Some((found, whole)) if found == *salts => {
                format!("of {most} frames that were answered, it has {whole} whole ones")
            }
            Some(_) => "it is not the log of this database".to_owned(),
            None => format!("it is missing or empty, and {most} of its frames were answered"),
        };
        let name = wal.display();
        Err(damaged(format!(
            "the write-ahead log {name} is damaged: {what}; restore the store from a backup"
        )))
    }

    /// Notes that the writes up to this frame are on disk, before they are answered.
    pub(crate) fn note(&mut self, frames: u32) -> io::Result<()> {
        let salts = match &mut self.log {
            Some(log) => wal::salts(log)?,
            log => wal::salts(log.insert(File::open(&self.wal)?))?,
        };
        let is_anew = salts != self.salts;
        (self.salts, self.frames) = (salts, frames);
        self.put()?;
        if is_anew { self.file.sync_data() } else { Ok(()) }
    }

    /// Claims nothing any more: the log may go.
    pub(crate) fn clear(&mut self) -> io::Result<()> {
        self.frames = 0;
        self.salts = Salts::default();
        self.put()?;
        self.file.sync_all()
    }

    fn put(&mut self) -> io::Result<()> {
        let mut bytes = [0; ANSWERED];
        let words = [self.salts.0, self.salts.1, self.frames];
        for (place, word) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(words) {
            *place = word.to_le_bytes();
        }
        let sum = crc32fast::hash(&bytes[..12]);
        bytes[12..].copy_from_slice(&sum.to_le_bytes());
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&bytes)
    }
}

/// The salts and the number of frames; `None` where it claims nothing.
fn read_answered(bytes: &[u8]) -> Option<(Salts, u32)> {
    let [first, second, frames, sum] = bytes.as_chunks::<4>().0 else { return None };
    let sum = u32::from_le_bytes(*sum);
    let frames = u32::from_le_bytes(*frames);
    let is_whole = crc32fast::hash(&bytes[..12]) == sum;
    (is_whole && frames > 0).then(|| (Salts(u32::from_le_bytes(*first), u32::from_le_bytes(*second)), frames))
}
