//! What is known of modules that were looked at before, so that a start with many of them reads none.

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use super::key::{Key, TAG};
use super::replace;
use crate::inspect::Facts;

/// The most modules that are remembered; beyond, the index begins anew. Arbitrary.
const MOST: usize = 100_000;

/// A module that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Known {
    /// The SHA-256 of the module.
    pub(crate) digest: String,
    pub(crate) facts: Facts,
}

/// Known modules, by the digest that a manifest tells, or by path, size and time of change.
pub(crate) struct Index {
    path: PathBuf,
    key: Key,
    known: Mutex<HashMap<String, Known>>,
}

impl Index {
    /// Reads the index; one that was not written here, or is damaged, is empty.
    pub(super) fn open(path: PathBuf, key: Key) -> Self {
        let known = Mutex::new(read(&path, &key).unwrap_or_default());
        Self { path, key, known }
    }

    /// How a file is named that has no digest yet.
    pub(crate) fn name(path: &Path) -> Option<String> {
        let metadata = fs::metadata(path).ok()?;
        let changed = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?.as_nanos();
        let path = std::path::absolute(path).ok()?;
        Some(format!("{}|{}|{changed}", path.display(), metadata.len()))
    }

    pub(crate) fn get(&self, name: &str) -> Option<Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Remembers a module. Another process may be writing as well: the last one's index stays, and what it lacks is
    /// looked at again.
    pub(crate) fn put(&self, name: String, module: Known) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(name, module);
        let Ok(bytes) = serde_json::to_vec(&*known) else { return };
        drop(known);
        let tag = tag(&self.key, &bytes);
        let written = replace(&self.path, |file| {
            file.write_all(&tag)?;
            file.write_all(&bytes)
        });
        if let Err(error) = written {
            tracing::debug!(file = %self.path.display(), %error, "what is known of modules is not kept");
        }
    }
}

fn read(path: &Path, key: &Key) -> Option<HashMap<String, Known>> {
    let bytes = fs::read(path).ok()?;
    let (tag, content) = bytes.split_first_chunk::<TAG>()?;
    let right = self::tag(key, content) == *tag;
    right.then(|| serde_json::from_slice(content).ok()).flatten()
}

fn tag(key: &Key, content: &[u8]) -> [u8; TAG] {
    let mut tagger = key.tagger();
    tagger.update(content);
    tagger.finalize()
}
