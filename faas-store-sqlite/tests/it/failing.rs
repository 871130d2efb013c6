//! Disks that fail.

use faas_core::ErrorKind;
use faas_core::store::{FollowUp, Store};
use faas_store_sqlite::{Durability, Fault, SqliteStore};
use rusqlite::ffi::{SQLITE_FULL, SQLITE_IOERR, SQLITE_IOERR_FSYNC};

use crate::child::write_too_much_and_fail;
use crate::made::{Folder, files, id, job, keep, numbers, record, until};

/// What Unix says of a disk that fails, and of one that is full.
const EIO: i32 = 5;
const ENOSPC: i32 = 28;

#[tokio::test]
async fn a_sync_that_failed_ends_all_writing_and_reading_goes_on() {
    let folder = Folder::new();
    let store = folder.open();
    keep(&store, 0..5).await;
    store.fail_next_commit(SQLITE_IOERR_FSYNC);
    for number in [5, 6] {
        let error = store.append(record(number), FollowUp::default()).await.unwrap_err();
        assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Unavailable, false));
        assert!(error.message().contains("writes no more, since a commit failed"), "{error}");
    }
    for error in [
        store.accept(vec![job(9)]).await.unwrap_err(),
        // Its payload would be a file.
        store.accept(vec![job(3)]).await.unwrap_err(),
        store.take_over().await.unwrap_err(),
        store.claim(id(1)).await.unwrap_err(),
    ] {
        assert!(error.message().contains("writes no more"), "{error}");
    }
    assert_eq!(numbers(&store).await, [0, 1, 2, 3, 4]);
    assert_eq!(store.pending().await.unwrap(), 0);
    drop(store);
    let store = folder.open();
    assert_eq!(numbers(&store).await, [0, 1, 2, 3, 4]);
    keep(&store, [5]).await;
}

#[tokio::test]
async fn a_transaction_that_cannot_begin_for_the_disk_ends_all_writing() {
    let folder = Folder::new();
    let store = folder.open();
    keep(&store, 0..5).await;
    store.fail_next(Fault::Begin, SQLITE_FULL);
    let error = store.append(record(5), FollowUp::default()).await.unwrap_err();
    assert!(error.is_temporary(), "{error}");
    store.fail_next(Fault::Begin, SQLITE_IOERR);
    for _ in 0..2 {
        let error = store.append(record(5), FollowUp::default()).await.unwrap_err();
        assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Unavailable, false));
    }
    let error = store.accept(vec![job(9)]).await.unwrap_err();
    assert!(error.message().contains("writes no more, since a statement failed"), "{error}");
    assert_eq!(numbers(&store).await, [0, 1, 2, 3, 4]);
    drop(store);
    keep(&folder.open(), [5]).await;
}

#[tokio::test]
async fn a_commit_without_room_is_undone_and_the_next_is_made() {
    let folder = Folder::new();
    let store = folder.open();
    store.fail_next_commit(SQLITE_FULL);
    let error = store.accept(vec![job(1), job(2)]).await.unwrap_err();
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Unavailable, true));
    assert!(error.message().contains("nothing of this call was written"), "{error}");
    assert_eq!(store.pending().await.unwrap(), 0);
    store.accept(vec![job(1), job(2)]).await.unwrap();
    assert_eq!(store.pending().await.unwrap(), 2);
    assert_eq!(store.claim_next(crate::made::at(100), 10).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_commit_that_failed_once_it_was_written_may_be_there_at_the_next_start() {
    let folder = Folder::new();
    let store = folder.open();
    keep(&store, 0..5).await;
    store.fail_next(Fault::Written, SQLITE_IOERR_FSYNC);
    // Its payload is a file.
    let error = store.accept(vec![job(9)]).await.unwrap_err();
    assert!(error.message().contains("writes no more, since a commit failed"), "{error}");
    assert!(
        !error.is_temporary() && error.message().contains("whether the last writes are there"),
        "{error}"
    );
    store.append(record(5), FollowUp::default()).await.unwrap_err();
    drop(store);
    let store = folder.open();
    store.check().await.unwrap();
    assert_eq!(numbers(&store).await, [0, 1, 2, 3, 4]);
    assert_eq!(store.pending().await.unwrap(), 1, "it was there, and is counted");
    assert_eq!(store.claim_next(crate::made::at(100), 10).await.unwrap().len(), 1);
    assert_eq!(store.take_over().await.unwrap(), 1);
}

#[tokio::test]
async fn a_file_or_a_name_that_cannot_be_written_or_synced_ends_all_writing() {
    for (fault, what) in
        [(Fault::Write, "cannot write"), (Fault::Blob, "cannot sync"), (Fault::Names, "cannot sync")]
    {
        let folder = Folder::new();
        let store = folder.open();
        keep(&store, [1]).await;
        let before = files(&folder.path()).len();
        store.fail_next(fault, EIO);
        // Its payload would be a file.
        let error = store.accept(vec![job(3)]).await.unwrap_err();
        assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Unavailable, false), "{fault:?}");
        assert!(error.message().contains(what), "{error}");
        for error in [
            store.accept(vec![job(6)]).await.unwrap_err(),
            store.append(record(2), FollowUp::default()).await.unwrap_err(),
        ] {
            assert!(error.message().contains("writes no more, since") && !error.is_temporary(), "{error}");
            assert!(error.message().contains(what), "{error}");
        }
        assert_eq!(numbers(&store).await, [1]);
        drop(store);
        let store = folder.open();
        assert_eq!((store.pending().await.unwrap(), numbers(&store).await.len()), (0, 1));
        until("what was not accepted is gone", async || files(&folder.path()).len() == before).await;
        store.accept(vec![job(3)]).await.unwrap();
        store.check().await.unwrap();
    }
}

#[tokio::test]
async fn a_file_without_room_is_refused_and_can_be_written_again() {
    let folder = Folder::new();
    let store = folder.open();
    // After the last but one, the file is there with a name that may not be on disk.
    for fault in [Fault::Write, Fault::Blob, Fault::Names, Fault::Names] {
        store.fail_next(fault, ENOSPC);
        let error = store.accept(vec![job(3)]).await.unwrap_err();
        assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Unavailable, true), "{fault:?}");
        assert!(error.message().contains("the disk is full"), "{error}");
    }
    store.accept(vec![job(3)]).await.unwrap();
    assert_eq!(store.pending().await.unwrap(), 1);
    store.check().await.unwrap();
}

#[tokio::test]
async fn an_end_of_the_answered_log_that_cannot_be_noted_ends_all_writing() {
    let folder = Folder::new();
    let store = folder.open();
    keep(&store, 0..5).await;
    store.fail_next(Fault::Answered, EIO);
    // It is on disk all the same.
    keep(&store, [5]).await;
    let error = store.append(record(6), FollowUp::default()).await.unwrap_err();
    assert!(error.message().contains("how far the log was answered could not be noted"), "{error}");
    assert!(!error.is_temporary());
    drop(store);
    let store = folder.open();
    assert_eq!(numbers(&store).await, [0, 1, 2, 3, 4, 5]);
    keep(&store, [6]).await;
}

#[tokio::test]
async fn a_checkpoint_that_failed_ends_all_writing_and_nothing_is_lost() {
    let folder = Folder::new();
    let store = SqliteStore::builder(folder.path()).durability(Durability::Normal).open().unwrap();
    store.fail_next(Fault::Checkpoint, SQLITE_IOERR_FSYNC);
    let mut number = 0;
    until("a checkpoint fails", async || match store.append(record(number), FollowUp::default()).await {
        Ok(()) => {
            number += 1;
            false
        }
        Err(error) => {
            assert!(error.message().contains("writes no more, since a checkpoint failed"), "{error}");
            !error.is_temporary()
        }
    })
    .await;
    let kept: Vec<u64> = (0..number).collect();
    assert!(number > 0);
    assert_eq!(numbers(&store).await, kept);
    drop(store);
    let store = folder.open();
    assert_eq!(numbers(&store).await, kept);
    keep(&store, [number]).await;
}

#[tokio::test]
async fn commits_are_synced_unless_the_durability_is_normal() {
    let folder = Folder::new();
    for (durability, synchronous) in [(Durability::Full, 2), (Durability::Normal, 1)] {
        let store = SqliteStore::builder(folder.path()).durability(durability).open().unwrap();
        assert_eq!(store.synchronous().await.unwrap(), synchronous, "{durability:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_fails_within_a_statement_ends_all_writing() {
    let folder = Folder::new();
    let errors = write_too_much_and_fail(&folder.path());
    assert_eq!(errors.len(), 2);
    assert!(errors[0].contains("the database failed: disk I/O error"), "{errors:?}");
    assert!(errors[1].contains("writes no more, since a transaction was given up"), "{errors:?}");
    let store = folder.open();
    assert_eq!(numbers(&store).await, [0, 1, 2, 3, 4]);
    assert_eq!(store.pending().await.unwrap(), 0);
    store.check().await.unwrap();
    keep(&store, [5]).await;
}
