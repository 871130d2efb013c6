//! The store of SQLite: the suite of all stores, and what only a store on disk has to do.

#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a claim that does not hold panics, in the functions that tests share too"
)]

mod backup;
mod child;
mod columns;
mod corrupt;
mod damaged;
mod directory;
mod failing;
mod full;
mod group;
mod made;
mod readme;
mod reopen;
mod retention;
mod turns;

mod conformance {
    use faas_store_sqlite::SqliteStore;
    use faas_testkit::store_conformance;
    use faas_testkit::store_suite::{MAX_JOBS, StoreSubject};

    use crate::made::Folder;

    store_conformance!(
        StoreSubject::new("sqlite", || async {
            // Each test has a thread of its own, and the folder goes with that, after the store.
            thread_local! { static FOLDER: Folder = Folder::new(); }
            let builder = SqliteStore::builder(FOLDER.with(Folder::path)).max_jobs(MAX_JOBS as u64);
            builder.inline_bytes(64).open().unwrap()
        }),
        ran = 81
    );
}
