//! Compiled modules on disk.
//!
//! A file is named by what it was compiled from and by what: the digest of the module, the version of the engine and
//! its settings. It ends with a tag made with a key that only this user can read, over its name and its content; what
//! has no right tag was not written here, or is damaged, and is compiled again. Files are written under another name
//! and renamed, so that nobody sees half of one.

mod index;
mod key;
pub(crate) mod load;

use std::fs::{self, File};
use std::hash::{Hash, Hasher};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use sha2::{Digest as _, Sha256};
use wasmtime::{Engine, Module};

pub(crate) use self::index::{Index, Known};
use self::key::{Key, TAG};
use crate::config::{CacheConfig, ModuleLimits};
use crate::digest::hex;

/// What all files of one engine are named for.
const FORMAT: &str = "faas wasm cache, format 1";

/// The bytes that all files may have together; the oldest are removed beyond. Arbitrary.
const MOST: u64 = 2 << 30;

/// The bytes that are read at once. Arbitrary: they stay in the processor's cache.
const CHUNK: usize = 128 << 10;

/// A folder of compiled modules, for one engine.
pub(crate) struct Cache {
    folder: PathBuf,
    key: Key,
    /// A hash over what a compiled module depends on besides the module.
    engine: [u8; 32],
}

impl Cache {
    /// Opens the cache that the configuration names. Without one that can be trusted there is none, which a warning
    /// tells.
    pub(crate) fn open(config: &CacheConfig, engine: &Engine) -> Option<Self> {
        let folder = match config {
            CacheConfig::Off => return None,
            CacheConfig::Folder(folder) => folder.clone(),
            CacheConfig::Default => default_folder()?,
        };
        match Key::open(&folder) {
            Ok(key) => Some(Self { folder, key, engine: fingerprint(engine) }),
            Err(error) => {
                let folder = folder.display();
                tracing::warn!(%folder, %error, "compiled modules are not kept");
                None
            }
        }
    }

    /// The file of a module by the module's digest.
    fn file(&self, digest: &str) -> (PathBuf, String) {
        let of = Sha256::new().chain_update(self.engine).chain_update(digest).finalize();
        let name = format!("{}.cwasm", hex(&of));
        (self.folder.join(&name), name)
    }

    /// The compiled module, if there is one that was written here.
    pub(crate) fn load(&self, engine: &Engine, digest: &str) -> Option<Module> {
        let (path, name) = self.file(digest);
        let mut file = File::open(&path).ok()?;
        match self.is_ours(&mut file, &name) {
            Ok(true) => {}
            Ok(false) => {
                tracing::warn!(file = %path.display(), "a cached module is damaged or foreign, and compiled again");
                let _ = fs::remove_file(&path);
                return None;
            }
            Err(error) => {
                tracing::warn!(file = %path.display(), %error, "a cached module cannot be read, and is compiled again");
                return None;
            }
        }
        match load::file(engine, file) {
            Ok(module) => Some(module),
            Err(error) => {
                tracing::warn!(file = %path.display(), %error, "a cached module is of no use, and compiled again");
                let _ = fs::remove_file(&path);
                None
            }
        }
    }

    /// How many bytes loading the compiled module reads.
    pub(crate) fn size(&self, digest: &str) -> Option<u64> {
        fs::metadata(self.file(digest).0).ok().map(|file| file.len())
    }

    /// Whether the file ends with the tag of its name and content.
    fn is_ours(&self, file: &mut File, name: &str) -> io::Result<bool> {
        let Some(content) = file.metadata()?.len().checked_sub(TAG as u64) else { return Ok(false) };
        let mut tagger = self.key.tagger();
        tagger.update(name.as_bytes());
        let mut chunk = vec![0; CHUNK];
        let mut reader = Read::take(&mut *file, content);
        loop {
            match reader.read(&mut chunk)? {
                0 => break,
                read => tagger.update(&chunk[..read]),
            };
        }
        let mut tag = [0; TAG];
        file.read_exact(&mut tag)?;
        file.rewind()?;
        Ok(tagger.finalize() == tag)
    }

    /// Keeps a compiled module. One that cannot be kept is compiled again next time, which a warning tells.
    pub(crate) fn store(&self, digest: &str, compiled: &[u8]) {
        let (path, name) = self.file(digest);
        let mut tagger = self.key.tagger();
        tagger.update(name.as_bytes());
        tagger.update(compiled);
        let tag = tagger.finalize();
        let written = replace(&path, |file| {
            file.write_all(compiled)?;
            file.write_all(&tag)
        });
        if let Err(error) = written {
            tracing::warn!(file = %path.display(), %error, "a compiled module cannot be kept");
        }
        prune(&self.folder, MOST);
    }

    /// What was found out about modules by earlier processes that looked at them as this one would: by the same
    /// version and under the same limits.
    pub(crate) fn index(&self, limits: &ModuleLimits) -> Index {
        let looked = format!("{} {limits:?}", env!("CARGO_PKG_VERSION"));
        let of = Sha256::new().chain_update(self.engine).chain_update(looked).finalize();
        Index::open(self.folder.join(format!("{}.index", hex(&of[..8]))), self.key.clone())
    }
}

fn default_folder() -> Option<PathBuf> {
    let of_user = std::env::var_os("XDG_CACHE_HOME").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    let folder = of_user.or_else(|| std::env::home_dir().map(|home| home.join(".cache")));
    Some(folder?.join("faas").join("wasm"))
}

/// A hash over the version of the engine, its settings and this format.
fn fingerprint(engine: &Engine) -> [u8; 32] {
    struct Into256(Sha256);
    impl Hasher for Into256 {
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }

        fn finish(&self) -> u64 {
            0
        }
    }
    let mut hasher = Into256(Sha256::new());
    hasher.write(FORMAT.as_bytes());
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hasher.0.finalize().into()
}

/// Writes a file of this user's alone under another name, and renames it.
fn replace(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let temporary = path.with_extension(format!("{}-{number}.tmp", std::process::id()));
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(&temporary).and_then(|mut file| write(&mut file));
    let renamed = written.and_then(|()| fs::rename(&temporary, path));
    if renamed.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    renamed
}

/// Removes the oldest compiled modules, and what was never finished, until `most` bytes are left.
fn prune(folder: &Path, most: u64) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut files: Vec<(SystemTime, u64, PathBuf)> = entries
        .flatten()
        .filter(|entry| {
            let path = entry.path();
            path.extension().is_some_and(|extension| extension == "cwasm" || extension == "tmp")
        })
        .filter_map(|entry| {
            let metadata = entry.metadata().ok()?;
            Some((metadata.modified().ok()?, metadata.len(), entry.path()))
        })
        .collect();
    let mut total: u64 = files.iter().map(|(_, bytes, _)| bytes).sum();
    if total <= most {
        return;
    }
    files.sort();
    for (_, bytes, path) in files {
        if total <= most {
            return;
        }
        if fs::remove_file(path).is_ok() {
            total -= bytes;
        }
    }
}

#[cfg(test)]
mod tests;
