//! What is dropped, and when.

use std::sync::Arc;
use std::time::Duration;

use faas_core::store::{ActivationQuery, FollowUp, Job, Store};
use faas_core::{ErrorKind, Payload};
use faas_store_sqlite::SqliteStore;

use crate::made::{
    Folder, INLINE, at, count, event, files, id, job, keep, keyed, numbers, populate, record, until,
};

#[tokio::test]
async fn the_newest_records_are_kept() {
    let folder = Folder::new();
    let store = SqliteStore::builder(folder.path()).max_records(10).inline_bytes(INLINE).open().unwrap();
    keep(&store, 0..100).await;
    until("ten are left", async || count(&store).await == 10).await;
    assert_eq!(numbers(&store).await, (90..100).collect::<Vec<_>>());
    store.append(record(5), FollowUp::default()).await.unwrap();
    assert!(store.activation(id(5)).await.unwrap().is_some(), "an id whose record was dropped is new again");
    store.check().await.unwrap();
}

#[tokio::test]
async fn records_are_dropped_when_a_newer_one_ends_too_long_after_them() {
    let folder = Folder::new();
    let store = SqliteStore::builder(folder.path()).max_age(Duration::from_secs(10)).open().unwrap();
    keep(&store, 0..50).await;
    until("eleven are left", async || count(&store).await == 11).await;
    assert_eq!(numbers(&store).await, (39..50).collect::<Vec<_>>());
    keep(&store, [1_000]).await;
    until("one is left", async || count(&store).await == 1).await;
    drop(store);
    assert_eq!(numbers(&folder.open()).await, [1_000]);
}

#[tokio::test]
async fn a_lower_bound_is_come_to_while_nobody_writes() {
    let folder = Folder::new();
    let store = folder.open();
    for first in (0..3_000).step_by(100) {
        let records = (first + 1..first + 100).map(record).collect();
        store.append(record(first), FollowUp { records, ..FollowUp::default() }).await.unwrap();
    }
    drop(store);
    let store = SqliteStore::builder(folder.path()).max_records(100).open().unwrap();
    until("a hundred are left", async || count(&store).await == 100).await;
    assert_eq!(numbers(&store).await, (2_900..3_000).collect::<Vec<_>>());
    store.check().await.unwrap();
}

#[tokio::test]
async fn a_lower_bound_of_dead_letters_is_come_to_while_nobody_writes() {
    let folder = Folder::new();
    let store = folder.open();
    for number in 0..300 {
        let claim = store.begin(job(number), true).await.unwrap();
        store.dead_letter(claim, record(number), FollowUp::default()).await.unwrap();
    }
    drop(store);
    let store = SqliteStore::builder(folder.path()).max_records(3).open().unwrap();
    let letters = async || {
        let letters = store.dead_letters(&ActivationQuery::default()).await.unwrap();
        letters.iter().map(|letter| letter.job.id).collect::<Vec<_>>()
    };
    until("three are left", async || letters().await.len() == 3).await;
    assert_eq!(letters().await, [297, 298, 299].map(id));
    store.check().await.unwrap();
}

#[tokio::test]
async fn files_go_with_the_last_row_that_refers_to_them() {
    let folder = Folder::new();
    let store = SqliteStore::builder(folder.path()).max_records(2).inline_bytes(INLINE).open().unwrap();
    let shared = Payload::from_value(&serde_json::json!({ "text": "x".repeat(2_000) })).unwrap();
    let twice = |number| Job { payload: shared.clone(), ..job(number) };
    store.accept(vec![twice(1), twice(2)]).await.unwrap();
    assert_eq!(files(&folder.path()).len(), 1, "the same payload is one file");
    for number in [1, 2] {
        assert_eq!(store.job(id(number)).await.unwrap().unwrap().job.payload, shared);
        let claim = store.claim(id(number)).await.unwrap();
        store.finish(claim, record(3 * number + 1), FollowUp::default()).await.unwrap_err();
        let plain = record(number);
        store.finish(claim, plain, FollowUp::default()).await.unwrap();
    }
    // The inputs and results of records whose number or whose successor is a multiple of three are files too.
    keep(&store, [10, 13, 16]).await;
    until("no file is left", async || files(&folder.path()).is_empty()).await;
    store.check().await.unwrap();
}

#[tokio::test]
async fn files_that_nothing_refers_to_go_at_the_next_start_and_no_others() {
    let folder = Folder::new();
    let store = folder.open();
    populate(&store).await;
    drop(store);
    let before = files(&folder.path()).len();
    let blobs = folder.path().join("blobs");
    std::fs::write(blobs.join("a".repeat(64)), "of a write that was never committed").unwrap();
    std::fs::write(blobs.join("unfinished-7"), "of a write that was never finished").unwrap();
    let store = folder.open();
    until("they are gone", async || files(&folder.path()).len() == before).await;
    store.check().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_come_and_go_are_there_for_whoever_reads() {
    let folder = Folder::new();
    let store = SqliteStore::builder(folder.path()).max_records(3).inline_bytes(16).open().unwrap();
    let store = Arc::new(store);
    // All records share files that lose their last row and get a new one all the time.
    let writer = {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            for number in 0..500_u64 {
                let result = faas_core::Outcome::success(crate::made::payload(number % 2));
                let record = faas_core::Record { outcome: result, input: None, ..(*record(number)).clone() };
                store.append(record.into(), FollowUp::default()).await.unwrap();
            }
        })
    };
    let mut seen = 0;
    while !writer.is_finished() {
        seen += store.activations(&ActivationQuery::default()).await.unwrap().len();
    }
    writer.await.unwrap();
    assert!(seen > 0);
    store.check().await.unwrap();
}

#[tokio::test]
async fn the_queue_is_bounded_but_for_what_follows() {
    let folder = Folder::new();
    let store = SqliteStore::builder(folder.path()).max_jobs(2).open().unwrap();
    store.accept(vec![job(1)]).await.unwrap();
    let error = store.accept(vec![job(2), job(3)]).await.unwrap_err();
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Overloaded, true));
    assert!(error.message().contains("1 of 2 jobs, 2 more"), "{error}");
    assert_eq!(store.accept(vec![job(1), job(2)]).await.unwrap_err().kind(), ErrorKind::AlreadyExists);
    store.begin(job(2), true).await.unwrap();
    assert_eq!(store.begin(job(3), true).await.unwrap_err().kind(), ErrorKind::Overloaded);
    let follow_up = FollowUp::from(vec![job(3), job(4)]);
    store.append(record(9), follow_up).await.unwrap();
    assert_eq!(store.pending().await.unwrap(), 4);
    let error = store.append(event(8), FollowUp::from(vec![job(5)])).await.unwrap_err();
    assert_eq!((error.kind(), store.activation(id(8)).await.unwrap()), (ErrorKind::Overloaded, None));
    assert!(store.job(id(5)).await.unwrap().is_none());
    store.append(event(8), FollowUp::default()).await.unwrap();
    store.begin(Job { cause: Some(id(2)), ..job(5) }, false).await.unwrap();
    assert_eq!(store.pending().await.unwrap(), 5);
}

#[tokio::test]
async fn dead_letters_are_bounded_and_keys_end() {
    let folder = Folder::new();
    let store = SqliteStore::builder(folder.path()).max_records(2).open().unwrap();
    for number in 1..=3 {
        let claim = store.begin(job(number), true).await.unwrap();
        store.dead_letter(claim, record(number), FollowUp::default()).await.unwrap();
    }
    let letters = store.dead_letters(&ActivationQuery::default()).await.unwrap();
    assert_eq!(letters.iter().map(|letter| letter.job.id).collect::<Vec<_>>(), [id(2), id(3)]);
    store.accept(vec![keyed(4, "key")]).await.unwrap();
    assert_eq!(store.keyed("key", at(999_999)).await.unwrap(), Some(id(4)));
    let late = Job { accepted: at(1_000_000), ..keyed(5, "other") };
    store.accept(vec![late]).await.unwrap();
    drop(store);
    let connection = rusqlite::Connection::open(folder.path().join("store.db")).unwrap();
    let keys: i64 = connection.query_row("SELECT count(*) FROM keys", [], |row| row.get(0)).unwrap();
    assert_eq!(keys, 1, "a key whose time is over makes room");
}

#[tokio::test]
async fn files_of_what_was_refused_go() {
    let folder = Folder::new();
    let store = SqliteStore::builder(folder.path()).max_jobs(1).inline_bytes(16).open().unwrap();
    store.accept(vec![job(0)]).await.unwrap();
    let of_one = files(&folder.path()).len();
    for number in 1..20 {
        assert_eq!(store.accept(vec![job(number)]).await.unwrap_err().kind(), ErrorKind::Overloaded);
    }
    until("only those of the job are left", async || {
        // What was refused last is looked for with the next write.
        store.put_schedule(&crate::made::name("nightly"), at(1)).await.unwrap();
        files(&folder.path()).len() == of_one
    })
    .await;
    store.check().await.unwrap();
}
