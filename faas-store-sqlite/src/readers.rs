//! A few connections that read.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use faas_core::{Error, ErrorKind};
use rusqlite::{Connection, OptionalExtension, Params, Row};
use tokio::sync::Semaphore;

use crate::blobs::Blobs;
use crate::connection;
use crate::error::{Failure, sqlite};

/// Connections that read, each by one caller at a time.
#[derive(Debug)]
pub(crate) struct Readers {
    database: PathBuf,
    idle: Mutex<Vec<Connection>>,
    /// As many as there may be connections.
    permits: Semaphore,
    most: u32,
}

impl Readers {
    pub(crate) fn new(database: PathBuf, most: usize) -> Self {
        let most = u32::try_from(most).unwrap_or(u32::MAX).max(1);
        let permits = Semaphore::new(usize::try_from(most).unwrap_or(usize::MAX));
        Self { database, idle: Mutex::default(), permits, most }
    }

    /// Waits for a connection to be free: until the permit is dropped, one is.
    pub(crate) async fn permit(&self) -> Result<tokio::sync::SemaphorePermit<'_>, Error> {
        self.permits.acquire().await.map_err(|_| closed())
    }

    /// Gives back a permit that was forgotten.
    pub(crate) fn give_back(&self) {
        self.permits.add_permits(1);
    }

    /// Reads with a connection, on the caller's thread.
    pub(crate) fn read<T>(
        &self,
        blobs: &Blobs,
        work: impl FnOnce(&Reader<'_>) -> Result<T, Failure>,
    ) -> Result<T, Error> {
        // Before the first look at the database: what a row refers to stays until it was read.
        let _pinned = blobs.pin_all();
        let idle = self.idle().pop();
        let connection = idle.map_or_else(|| connection::reader(&self.database), Ok);
        let connection = connection.map_err(|error| sqlite(&error))?;
        let answer = work(&Reader { connection: &connection, blobs });
        if !self.permits.is_closed() {
            self.idle().push(connection);
        }
        Ok(answer?)
    }

    /// Closes all connections, and waits for those that read.
    pub(crate) fn close(&self) {
        while self.permits.try_acquire_many(self.most).is_err() {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        self.permits.close();
        self.idle().clear();
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The error of a call that came when the store was being closed.
pub(crate) fn closed() -> Error {
    Error::new(ErrorKind::Unavailable, "the store is closed").temporary(false)
}

/// A connection that reads, and the files.
pub(crate) struct Reader<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) blobs: &'a Blobs,
}

impl Reader<'_> {
    /// The only row of a statement that is kept prepared, if there is one.
    pub(crate) fn find<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> Result<T, Failure>,
    ) -> Result<Option<T>, Failure> {
        let mut statement = self.connection.prepare_cached(sql)?;
        let row = statement.query_row(params, |row| Ok(read(row))).optional()?;
        row.transpose()
    }

    /// All rows of a statement that is kept prepared.
    pub(crate) fn list<T>(
        &self,
        sql: &str,
        params: impl Params,
        mut read: impl FnMut(&Row<'_>) -> Result<T, Failure>,
    ) -> Result<Vec<T>, Failure> {
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query(params)?;
        let mut list = Vec::new();
        while let Some(row) = rows.next()? {
            list.push(read(row)?);
        }
        Ok(list)
    }
}
