//! What this process has of its own among all that use an engine: a name, a folder, and a lock that says that it lives.
//!
//! The engine's containers outlive their process, so each carries the *epoch* of the process that made it. Whoever
//! holds the lock of an epoch is alive; an epoch whose lock can be had is one of a process that is gone.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use faas_core::{Error, ErrorKind};

use crate::error;
use crate::site::{BOOT, EPOCH, HOME};

/// The longest path of a Unix socket. Source: unix(7).
const LONGEST_SOCKET: usize = 107;

/// How old a lock without its name is that was forgotten. Arbitrary: it gets its name at once.
const DRAFTED: Duration = Duration::from_secs(60);

/// The name of a guest's socket in its folder.
pub(crate) const GUEST_SOCKET: &str = "guest";

/// The name of the socket where the host makes requests for a guest.
pub(crate) const EGRESS_SOCKET: &str = "egress";

/// The place of one process.
pub(crate) struct Home {
    /// Which machine and which folder: processes of another home are no business of this one.
    pub(crate) identity: String,
    /// Since when the machine runs: whoever ran before is gone.
    pub(crate) boot: String,
    /// The name of this process.
    pub(crate) epoch: String,
    root: PathBuf,
    /// Held as long as this process uses it.
    lock: File,
    containers: AtomicU64,
}

impl Home {
    /// Makes a home in `folder`, or in the usual one.
    ///
    /// # Errors
    /// `Unavailable` when the folder cannot be used, saying why; `InvalidArgument` when its path is too long for the
    /// sockets of guests.
    pub(crate) fn make(folder: Option<&Path>) -> Result<Self, Error> {
        let root = match folder {
            Some(folder) => std::path::absolute(folder)
                .map_err(|source| error::file(ErrorKind::Unavailable, "cannot use", folder, source))?,
            None => usual_folder(),
        };
        make_folder(&root, 0o700)?;
        check_owner(&root)?;
        let epoch = format!("{:016x}", fastrand::u64(..));
        let longest = root.join(&epoch).join("ffffff").join(EGRESS_SOCKET);
        if longest.as_os_str().len() > LONGEST_SOCKET {
            let text = format!(
                "the folder {} is too long for the sockets of guests, whose paths may have {LONGEST_SOCKET} bytes",
                root.display()
            );
            return Err(Error::new(ErrorKind::InvalidArgument, text));
        }
        let path = root.join(format!("{epoch}.lock"));
        let failed = |source| error::file(ErrorKind::Unavailable, "cannot lock", &path, source);
        // It gets its name once it is locked: nobody finds it without its lock.
        let draft = root.join(format!("{epoch}.draft"));
        let lock =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft).map_err(failed)?;
        lock.lock().map_err(failed)?;
        fs::rename(&draft, &path).map_err(failed)?;
        let identity = format!("{}:{}:{}", machine(), root.display(), folder_identity(&root)?);
        Ok(Self { identity, boot: boot(), epoch, root, lock, containers: AtomicU64::new(0) })
    }

    /// A name for one more container.
    pub(crate) fn next_name(&self) -> (String, u64) {
        let number = self.containers.fetch_add(1, Ordering::Relaxed);
        // What clears folders of old files sees that this one is in use.
        let _ = self.lock.set_modified(std::time::SystemTime::now());
        (format!("faas-{}-{number:x}", self.epoch), number)
    }

    /// Makes the folder that is shared with a container.
    pub(crate) fn share(self: &Arc<Self>, number: u64) -> Result<Shared, Error> {
        let folder = self.root.join(&self.epoch).join(format!("{number:x}"));
        make_folder(&folder, 0o700)?;
        let shared = Shared(folder);
        // Who may enter is told by the folder above; the guest within its container is another user.
        shared.set_mode(0o777)?;
        Ok(shared)
    }

    /// Whether the process of another epoch of this home is gone.
    pub(crate) fn is_gone(&self, epoch: &str) -> bool {
        let is_name = epoch.len() == self.epoch.len() && epoch.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_name || epoch == self.epoch {
            return false;
        }
        match File::open(self.root.join(format!("{epoch}.lock"))) {
            Ok(lock) => is_free(&lock),
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        }
    }

    /// Whether what has these labels was left by a process that is gone, of this home or, where the engine is this
    /// machine's own, of one that was in its place before the machine was started: the usual folders are gone by then.
    pub(crate) fn has_left(&self, labels: &HashMap<String, String>, is_local: bool) -> bool {
        let (Some(home), Some(epoch)) = (labels.get(HOME), labels.get(EPOCH)) else { return false };
        if *home == self.identity {
            return self.is_gone(epoch);
        }
        let place = |identity: &str| identity.rsplit_once(':').map(|(place, _)| place.to_owned());
        let is_older = labels.get(BOOT).is_some_and(|boot| !boot.is_empty() && *boot != self.boot);
        is_local && is_older && !self.boot.is_empty() && place(home) == place(&self.identity)
    }

    /// The epochs of this home that have left something in its folder, and are gone.
    pub(crate) fn gone(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.root).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let mut epochs: Vec<String> =
            names.map(|name| name.strip_suffix(".lock").unwrap_or(&name).to_owned()).collect();
        epochs.sort_unstable();
        epochs.dedup();
        epochs.retain(|epoch| self.is_gone(epoch));
        epochs
    }

    /// Removes the locks of processes that ended before they gave them their names.
    pub(crate) fn forget_drafts(&self) {
        let entries = fs::read_dir(&self.root).into_iter().flatten().flatten();
        for path in
            entries.map(|entry| entry.path()).filter(|path| path.extension() == Some("draft".as_ref()))
        {
            let age = fs::metadata(&path).and_then(|metadata| metadata.modified()).map(|made| made.elapsed());
            // A new one may be about to be locked.
            let is_old = age.is_ok_and(|age| age.is_ok_and(|age| age > DRAFTED));
            if is_old && File::open(&path).is_ok_and(|lock| is_free(&lock)) {
                let _ = fs::remove_file(&path);
            }
        }
    }

    /// Removes what an epoch that is gone has left in the folder.
    pub(crate) fn forget(&self, epoch: &str) {
        let _ = fs::remove_dir_all(self.root.join(epoch));
        let _ = fs::remove_file(self.root.join(format!("{epoch}.lock")));
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // What a container still uses is left to the next sweep.
        let folder = self.root.join(&self.epoch);
        if fs::remove_dir(&folder).is_ok() || !folder.exists() {
            let _ = fs::remove_file(self.root.join(format!("{}.lock", self.epoch)));
        }
    }
}

/// Whether nobody holds a lock. Whoever looks at the same time is not in the way.
fn is_free(lock: &File) -> bool {
    match lock.try_lock_shared() {
        Ok(()) => true,
        Err(TryLockError::WouldBlock | TryLockError::Error(_)) => false,
    }
}

/// A folder that is shared with one container. Dropping it removes it.
pub(crate) struct Shared(PathBuf);

impl Shared {
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Lets nobody but this user write to the folder any more, once the guest has made its socket there: what code of
    /// an action writes must not end up on a disk of the host.
    pub(crate) fn close(&self) -> Result<(), Error> {
        self.set_mode(0o755)
    }

    fn set_mode(&self, mode: u32) -> Result<(), Error> {
        fs::set_permissions(&self.0, fs::Permissions::from_mode(mode))
            .map_err(|source| error::file(ErrorKind::Unavailable, "cannot share", &self.0, source))
    }

    /// The socket that the guest listens on.
    pub(crate) fn guest_socket(&self) -> PathBuf {
        self.0.join(GUEST_SOCKET)
    }

    /// The socket where requests are made for the guest.
    pub(crate) fn egress_socket(&self) -> PathBuf {
        self.0.join(EGRESS_SOCKET)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A folder of this user's that survives no restart of the machine.
fn usual_folder() -> PathBuf {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    match runtime.filter(|folder| folder.is_dir()) {
        Some(runtime) => runtime.join("faas"),
        None => std::env::temp_dir().join(format!("faas-{}", user())),
    }
}

/// The number of this user.
fn user() -> u32 {
    fs::metadata("/proc/self").map_or(0, |metadata| metadata.uid())
}

fn make_folder(folder: &Path, mode: u32) -> Result<(), Error> {
    let made = fs::DirBuilder::new().recursive(true).mode(mode).create(folder);
    made.map_err(|source| error::file(ErrorKind::Unavailable, "cannot make the folder", folder, source))
}

/// A folder that somebody else owns, or may write to, could be changed under us.
fn check_owner(folder: &Path) -> Result<(), Error> {
    let metadata = fs::symlink_metadata(folder)
        .map_err(|source| error::file(ErrorKind::Unavailable, "cannot look at", folder, source))?;
    let is_ours = !cfg!(target_os = "linux") || metadata.uid() == user();
    if metadata.is_dir() && is_ours && metadata.mode() & 0o022 == 0 {
        return Ok(());
    }
    let text = format!(
        "{} is not a folder that belongs to this user and that no other one may write to",
        folder.display()
    );
    Err(Error::new(ErrorKind::PermissionDenied, text))
}

fn read(path: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?.trim().to_owned();
    (!text.is_empty()).then_some(text)
}

/// What tells this machine from others that may use the same engine.
fn machine() -> String {
    let known = read("/etc/machine-id").or_else(|| read("/proc/sys/kernel/hostname"));
    known.unwrap_or_else(|| "unknown".to_owned())
}

/// What tells this start of the machine from others; nothing where that is not known.
fn boot() -> String {
    read("/proc/sys/kernel/random/boot_id").unwrap_or_default()
}

/// What tells a folder from others with its path: containers with the engine's socket within may be of one image, and so
/// of one machine by its number, and services of one machine may have a `/tmp` each.
fn folder_identity(folder: &Path) -> Result<String, Error> {
    let metadata = fs::metadata(folder)
        .map_err(|source| error::file(ErrorKind::Unavailable, "cannot look at", folder, source))?;
    let made = metadata.created().ok().and_then(|made| made.duration_since(UNIX_EPOCH).ok());
    // Numbers of devices are not kept when a container is started again, so that they are second best.
    let made = made.map_or_else(|| u128::from(metadata.dev()), |made| made.as_nanos());
    Ok(format!("{:x}-{made:x}", metadata.ino()))
}
