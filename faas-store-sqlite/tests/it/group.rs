//! Writes that share a commit.

use std::sync::Arc;

use faas_core::ErrorKind;
use faas_core::store::{FollowUp, Store};
use rusqlite::ffi::SQLITE_FULL;

use crate::made::{Folder, job, keep, numbers, record};

/// Starts as many appends at once as there are numbers, and tells which succeed.
async fn at_once(store: &Arc<faas_store_sqlite::SqliteStore>, numbers: Vec<u64>) -> Vec<Option<ErrorKind>> {
    let tasks: Vec<_> = numbers
        .into_iter()
        .map(|number| {
            let store = Arc::clone(store);
            tokio::spawn(async move {
                let follow_up = FollowUp::from(vec![job(10_000 + number)]);
                store.append(record(number), follow_up).await.err().map(|error| error.kind())
            })
        })
        .collect();
    let mut kinds = Vec::new();
    for task in tasks {
        kinds.push(task.await.unwrap());
    }
    kinds
}

#[tokio::test]
async fn a_request_that_is_refused_takes_nothing_along() {
    let folder = Folder::new();
    let store = Arc::new(folder.open());
    // Each third is refused when its record was already added, for its job that is known.
    store.accept((0..100).step_by(3).map(|number| job(10_000 + number)).collect()).await.unwrap();
    let kinds = at_once(&store, (0..100).collect()).await;
    for (number, kind) in (0..).zip(kinds) {
        let expected = (number % 3 == 0).then_some(ErrorKind::AlreadyExists);
        assert_eq!(kind, expected, "{number}");
    }
    let kept: Vec<u64> = (0..100).filter(|number| number % 3 != 0).collect();
    assert_eq!(numbers(&store).await, kept);
    assert_eq!(store.pending().await.unwrap(), 100);
    store.check().await.unwrap();
}

#[tokio::test]
async fn requests_whose_commit_has_no_room_are_all_told_and_can_be_repeated() {
    let folder = Folder::new();
    let store = Arc::new(folder.open());
    keep(&store, [500]).await;
    store.fail_next_commit(SQLITE_FULL);
    let kinds = at_once(&store, (0..100).collect()).await;
    let refused: Vec<u64> =
        (0..).zip(&kinds).filter(|(_, kind)| kind.is_some()).map(|(number, _)| number).collect();
    assert!(!refused.is_empty() && kinds.iter().flatten().all(|kind| *kind == ErrorKind::Unavailable));
    assert_eq!(numbers(&store).await.len(), 101 - refused.len());
    assert_eq!(store.pending().await.unwrap(), 100 - refused.len() as u64);
    assert!(at_once(&store, refused).await.iter().all(Option::is_none));
    assert_eq!(numbers(&store).await, (0..100).chain([500]).collect::<Vec<_>>());
}

#[tokio::test]
async fn who_leaves_has_written_all_or_nothing() {
    let folder = Folder::new();
    let store = Arc::new(folder.open());
    for number in 0..50 {
        let store = Arc::clone(&store);
        let task = tokio::spawn(async move {
            let follow_up = FollowUp::from(vec![job(10_000 + number)]);
            store.append(record(number), follow_up).await
        });
        if number % 2 == 0 {
            tokio::task::yield_now().await;
        }
        task.abort();
    }
    // It comes after all that was sent.
    keep(&store, [999]).await;
    let kept = numbers(&store).await;
    assert_eq!(store.pending().await.unwrap(), kept.len() as u64 - 1);
    for number in kept.iter().filter(|number| **number != 999) {
        assert!(store.job(crate::made::id(10_000 + number)).await.unwrap().is_some());
    }
}
