//! The store.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;

use faas_core::backend::BackendUrl;
use faas_core::store::{FollowUp, Job};
use faas_core::{Activation, Error};

use crate::blobs::Blobs;
use crate::builder::SqliteBuilder;
use crate::config::SqliteConfig;
use crate::error::Failure;
use crate::health::Health;
use crate::readers::{Reader, Readers, closed};
use crate::request::{Request, request};
use crate::state::Layout;
use crate::write::Txn;
use crate::{backup, check};

/// What those who read share with the thread that writes.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) readers: Readers,
    pub(crate) blobs: Blobs,
    pub(crate) config: SqliteConfig,
    pub(crate) layout: Layout,
    pub(crate) pending: Arc<AtomicU64>,
    #[cfg_attr(not(feature = "faults"), expect(dead_code, reason = "there is nothing to fail with"))]
    pub(crate) health: Arc<Health>,
}

/// Keeps records, entities and work in a directory, in SQLite.
///
/// Dropping it waits for what was sent to be written, and closes the directory; that takes a moment of the disk's. See the
/// [crate's documentation](crate) for what it promises.
///
/// # Cancel safety
/// As [`Store`](faas_core::Store) says: what was sent is written whole even if its caller has left.
pub struct SqliteStore {
    /// Emptied before the thread is waited for.
    requests: Option<Sender<Request>>,
    thread: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
}

impl SqliteStore {
    pub(crate) fn new(requests: Sender<Request>, thread: JoinHandle<()>, shared: Arc<Shared>) -> Self {
        Self { requests: Some(requests), thread: Some(thread), shared }
    }

    /// Opens the store in a directory, which is made where there is none.
    ///
    /// # Errors
    /// As [`SqliteBuilder::open`].
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, Error> {
        Self::builder(folder).open()
    }

    /// What a store in a directory is made with.
    pub fn builder(folder: impl AsRef<Path>) -> SqliteBuilder {
        SqliteBuilder::new(folder.as_ref())
    }

    /// Opens the store that a URL names, such as `sqlite:data?durability=full&max_records=100000`.
    ///
    /// # Errors
    /// As [`SqliteBuilder::from_url`] and [`SqliteBuilder::open`].
    pub fn from_url(url: &BackendUrl) -> Result<Self, Error> {
        SqliteBuilder::from_url(url)?.open()
    }

    /// What it keeps, and how safely.
    #[must_use]
    pub fn config(&self) -> &SqliteConfig {
        &self.shared.config
    }

    /// The directory that it is in.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.shared.layout.folder
    }

    /// Looks through everything: the structure of the database, its indexes, every row and every file. Others read and
    /// write meanwhile.
    ///
    /// # Errors
    /// `Unavailable`, naming the first thing that is damaged.
    ///
    /// # Cancel safety
    /// It only reads; once begun it goes on when it is dropped.
    pub async fn check(&self) -> Result<(), Error> {
        self.read(check::complete).await
    }

    /// Writes a copy of everything, as it is at one moment, to a directory that is not there yet. Others read and write
    /// meanwhile. The copy is a store that was closed: [`restore`](Self::restore) it, or open it.
    ///
    /// # Errors
    /// `AlreadyExists` when the directory is there; `Unavailable` when something is damaged or the disk is full.
    ///
    /// # Cancel safety
    /// Once begun it goes on when it is dropped. A directory of that name appears only when it is whole.
    pub async fn backup(&self, to: impl AsRef<Path>) -> Result<(), Error> {
        let to = to.as_ref().to_owned();
        let done = self.read(move |reader| backup::backup(reader, &to)).await;
        done.map_err(|error| error.with_operation("back up the store"))
    }

    /// Makes the directory of a store, which must not be there yet, of a backup, and looks through it. It waits for the
    /// disk.
    ///
    /// # Errors
    /// `NotFound` when there is no backup; `AlreadyExists` when the directory is there; `Unavailable` when the backup is
    /// damaged or in use, or the disk is full.
    pub fn restore(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<(), Error> {
        let done = backup::restore(from.as_ref(), to.as_ref());
        done.map_err(|error| error.with_operation("restore the store"))
    }

    /// Has the next commit fail with this code of SQLite.
    #[cfg(feature = "faults")]
    #[doc(hidden)]
    pub fn fail_next_commit(&self, code: i32) {
        self.fail_next(crate::Fault::Commit, code);
    }

    /// Has the disk fail the next time with this code, see [`Fault`](crate::Fault).
    #[cfg(feature = "faults")]
    #[doc(hidden)]
    pub fn fail_next(&self, fault: crate::Fault, code: i32) {
        self.shared.health.faults.fail_next(fault, code);
    }

    /// When the commits of the thread that writes are synced, as SQLite tells it.
    ///
    /// # Errors
    /// As every write.
    #[cfg(feature = "faults")]
    #[doc(hidden)]
    pub async fn synchronous(&self) -> Result<i64, Error> {
        self.write(|txn| Ok(txn.connection.pragma_query_value(None, "synchronous", |row| row.get(0))?)).await
    }

    /// Has the thread that writes do `work` within a transaction, and waits until that is committed.
    pub(crate) async fn write<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnMut(&mut Txn<'_>) -> Result<T, Failure> + Send + 'static,
    {
        let (request, answer) = request(work);
        let requests = self.requests.as_ref().ok_or_else(closed)?;
        requests.send(request).map_err(|_| closed())?;
        answer.await
    }

    /// Reads on a thread that may wait for the disk.
    pub(crate) async fn read<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Reader<'_>) -> Result<T, Failure> + Send + 'static,
    {
        self.shared.readers.permit().await?.forget();
        // Goes with the work, also when a runtime that ends never does it.
        let permit = Permit(Arc::clone(&self.shared));
        let read = tokio::task::spawn_blocking(move || {
            let Permit(shared) = &permit;
            shared.readers.read(&shared.blobs, work)
        });
        read.await.map_err(|_| closed())?
    }

    /// Makes rows of what a caller gave; on a thread that may wait for the disk if some of it goes to files.
    pub(crate) async fn seal<T, F>(&self, bytes: usize, seal: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Blobs, usize) -> Result<T, Error> + Send + 'static,
    {
        let inline = self.shared.config.inline_bytes;
        if bytes <= inline {
            return seal(&self.shared.blobs, inline);
        }
        let shared = Arc::clone(&self.shared);
        let sealed = tokio::task::spawn_blocking(move || seal(&shared.blobs, inline));
        sealed.await.map_err(|_| closed())?
    }

    pub(crate) fn pending_now(&self) -> u64 {
        self.shared.pending.load(Relaxed)
    }

    pub(crate) fn blobs(&self) -> Blobs {
        self.shared.blobs.clone()
    }
}

/// A permit to read that goes to another thread.
struct Permit(Arc<Shared>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.readers.give_back();
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore")
            .field("folder", &self.shared.layout.folder)
            .field("config", &self.shared.config)
            .finish_non_exhaustive()
    }
}

/// About how many bytes a record takes.
pub(crate) fn size_of_record(record: &Activation) -> usize {
    let logs: usize = record.logs.iter().map(|line| line.text.len() + 64).sum();
    let earlier: usize = record.earlier.iter().map(|attempt| attempt.error.len() + 256).sum();
    let input = record.input.as_ref().map_or(0, faas_core::Payload::len);
    record.outcome.result().len() + logs + earlier + input
}

/// About how many bytes jobs take.
pub(crate) fn size_of_jobs(jobs: &[Job]) -> usize {
    jobs.iter().map(|job| job.payload.len() + 256).sum()
}

/// About how many bytes what follows takes.
pub(crate) fn size_of_follow_up(follow_up: &FollowUp) -> usize {
    size_of_jobs(&follow_up.jobs)
        + follow_up.records.iter().map(|record| size_of_record(record) + 256).sum::<usize>()
}
