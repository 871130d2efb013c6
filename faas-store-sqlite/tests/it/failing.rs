//! Commits that fail.

use faas_core::ErrorKind;
use faas_core::store::{FollowUp, Store};
use rusqlite::ffi::{SQLITE_FULL, SQLITE_IOERR_FSYNC};

use crate::made::{Folder, id, job, keep, numbers, record};

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
