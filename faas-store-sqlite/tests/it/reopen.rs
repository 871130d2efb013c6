//! What was answered is there after a close, and after a kill.

use std::fs;
use std::time::Duration;

use faas_core::ErrorKind;
use faas_core::store::{ActivationQuery, Expect, FollowUp, JobState, Store};
use faas_store_sqlite::{Durability, SqliteStore};

use crate::child;
use crate::made::{Folder, content, entity, files, id, job, keep, name, numbers, populate, record, until};

#[tokio::test]
async fn everything_is_there_after_a_close_and_after_a_kill() {
    let folder = Folder::new();
    let store = folder.open();
    populate(&store).await;
    let before = content(&store).await.unwrap();
    assert!(files(&folder.path()).len() > 10, "large payloads are files");
    let killed = folder.killed();
    drop(store);
    for folder in [&folder, &killed] {
        let store = folder.open();
        assert_eq!(content(&store).await.unwrap(), before);
        store.check().await.unwrap();
    }
}

#[tokio::test]
async fn claims_end_when_the_next_process_takes_over() {
    let folder = Folder::new();
    let store = folder.open();
    populate(&store).await;
    let killed = folder.killed();
    drop(store);
    for folder in [&folder, &killed] {
        let store = folder.open();
        assert_eq!(store.take_over().await.unwrap(), 2);
        let state = async |number| store.job(id(number)).await.unwrap().unwrap().state;
        assert_eq!((state(100).await, state(101).await), (JobState::Accepted, JobState::Lost));
        let claimed = store.claim_next(crate::made::at(4_000), 100).await.unwrap();
        assert_eq!(claimed.len(), 11, "all but the one that waits for its time");
        assert_eq!(store.take_over().await.unwrap(), 11);
    }
}

#[tokio::test]
async fn revisions_go_on_where_they_were() {
    let folder = Folder::new();
    let store = folder.open();
    populate(&store).await;
    let last = store.put_entity(entity(7), Expect::Absent).await.unwrap();
    store.delete_entity(&name("entity7"), Expect::Any).await.unwrap();
    drop(store);
    let store = folder.open();
    assert!(store.put_entity(entity(7), Expect::Absent).await.unwrap() > last);
}

#[tokio::test]
async fn a_store_that_was_killed_again_and_again_has_everything() {
    let folder = Folder::new();
    let mut current = folder;
    for round in 0..10 {
        let store = current.open();
        assert_eq!(numbers(&store).await, (0..round * 20).collect::<Vec<_>>());
        keep(&store, round * 20..round * 20 + 20).await;
        let next = current.killed();
        drop(store);
        current = next;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_process_was_answered_is_there() {
    let folder = Folder::new();
    for _ in 0..5 {
        let answered = child::append_until_killed(&folder.path());
        assert!(!answered.is_empty());
        let store = folder.open();
        for number in answered {
            assert!(store.activation(id(number)).await.unwrap().is_some(), "{number} was answered");
        }
        store.check().await.unwrap();
        drop(store);
        fs::remove_dir_all(folder.path()).unwrap();
    }
}

#[tokio::test]
async fn normal_durability_survives_a_close_and_a_kill() {
    let folder = Folder::new();
    let open =
        |folder: &Folder| SqliteStore::builder(folder.path()).durability(Durability::Normal).open().unwrap();
    let store = open(&folder);
    keep(&store, 0..20).await;
    let killed = folder.killed();
    drop(store);
    for folder in [&folder, &killed] {
        assert_eq!(numbers(&open(folder)).await, (0..20).collect::<Vec<_>>());
        assert_eq!(numbers(&folder.open()).await.len(), 20, "the durability is no matter of the file");
    }
}

#[tokio::test]
async fn normal_durability_moves_the_log_to_the_database_within_seconds() {
    let folder = Folder::new();
    let store = SqliteStore::builder(folder.path()).durability(Durability::Normal).open().unwrap();
    keep(&store, 0..20).await;
    // A database without its log is what a loss of power leaves in the worst case.
    until("all is in the database", async || {
        let copy = folder.killed();
        std::fs::remove_file(copy.path().join("store.db-wal")).unwrap();
        let copy = rusqlite::Connection::open(copy.path().join("store.db")).unwrap();
        copy.query_row("SELECT count(*) FROM activations", [], |row| row.get(0)) == Ok(20)
    })
    .await;
}

#[tokio::test]
async fn normal_durability_moves_the_log_to_the_database_however_many_files_go() {
    let folder = Folder::new();
    let store = SqliteStore::builder(folder.path()).durability(Durability::Normal).max_records(1);
    let store = store.inline_bytes(16).open().unwrap();
    let is_moved = || {
        // The database alone: files come and go.
        let copy = folder.join("copy.db");
        fs::copy(folder.path().join("store.db"), &copy).unwrap();
        let copy = rusqlite::Connection::open(copy).unwrap();
        let count = copy.query_row("SELECT count(*) FROM activations", [], |row| row.get::<_, i64>(0));
        count.is_ok_and(|count| count > 0)
    };
    // Each record has the files of the one before removed. All of them are too few for the length of the log to count.
    for number in 0..200 {
        keep(&store, [number]).await;
        if is_moved() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the log is not moved");
}

#[tokio::test]
async fn normal_durability_keeps_files_until_no_loss_of_power_brings_their_rows_back() {
    let folder = Folder::new();
    let store = SqliteStore::builder(folder.path()).durability(Durability::Normal).max_records(1);
    let store = store.inline_bytes(16).open().unwrap();
    keep(&store, [0]).await;
    let of_one = files(&folder.path()).len();
    let database = rusqlite::Connection::open(folder.path().join("store.db")).unwrap();
    until("the log is moved", async || {
        let (frames, moved): (i64, i64) = database
            .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| Ok((row.get(1)?, row.get(2)?)))
            .unwrap();
        frames == moved
    })
    .await;
    // While this one reads, what follows stays in the log.
    database.execute_batch("BEGIN; SELECT count(*) FROM activations").unwrap();
    keep(&store, 1..5).await;
    // Longer than it takes to remove them.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let copy = folder.killed();
    fs::remove_file(copy.path().join("store.db-wal")).unwrap();
    let copied = copy.open();
    copied.check().await.unwrap();
    assert_eq!(numbers(&copied).await, [0]);
    database.execute_batch("COMMIT").unwrap();
    until("those of the last record are left", async || files(&folder.path()).len() == of_one).await;
    assert_eq!(numbers(&store).await, [4]);
    store.check().await.unwrap();
}

#[tokio::test]
async fn a_store_of_normal_durability_opens_after_a_loss_of_power_at_any_time() {
    let folder = Folder::new();
    let open =
        |folder: &Folder| SqliteStore::builder(folder.path()).durability(Durability::Normal).open().unwrap();
    let without_log = |folder: &Folder| {
        let copy = folder.killed();
        fs::remove_file(copy.path().join("store.db-wal")).unwrap();
        copy
    };
    let store = open(&folder);
    let new = without_log(&folder);
    keep(&store, 0..20).await;
    let (killed, written) = (folder.killed(), without_log(&folder));
    drop(store);
    let store = open(&folder);
    let reopened = without_log(&folder);
    drop(store);
    let store = open(&killed);
    let reopened_after_a_kill = without_log(&killed);
    drop(store);
    for (folder, expected) in
        [(new, 0..1), (written, 0..21), (reopened, 20..21), (reopened_after_a_kill, 20..21)]
    {
        let store = open(&folder);
        let numbers = numbers(&store).await;
        // Whole, and older: those from the first on.
        assert_eq!(numbers, (0..numbers.len() as u64).collect::<Vec<_>>());
        assert!(expected.contains(&numbers.len()), "{numbers:?} are there");
        store.check().await.unwrap();
        keep(&store, [100]).await;
    }
}

#[tokio::test]
async fn the_log_begins_anew_and_nothing_is_lost() {
    let folder = Folder::new();
    let store = folder.open();
    let wal = folder.path().join("store.db-wal");
    let (mut number, mut longest) = (0, 0);
    // About six frames each; far more than the log is let to have.
    while number < 6_000 {
        let records = (number + 1..number + 20).map(record).collect();
        store.append(record(number), FollowUp { records, ..FollowUp::default() }).await.unwrap();
        number += 20;
        keep(&store, [1_000_000 + number]).await;
        longest = longest.max(fs::metadata(&wal).unwrap().len());
    }
    let killed = folder.killed();
    drop(store);
    assert!(longest < 64 << 20, "{longest}");
    assert!(!wal.exists(), "a closed store has no log");
    let store = killed.open();
    let count = store.count_activations(&ActivationQuery::default()).await.unwrap();
    assert_eq!(count, 6_000 + 300);
}

#[tokio::test]
async fn a_job_is_not_accepted_again_after_a_start() {
    let folder = Folder::new();
    let store = folder.open();
    store.accept(vec![job(1)]).await.unwrap();
    keep(&store, [2]).await;
    drop(store);
    let store = folder.open();
    for number in [1, 2] {
        let error = store.accept(vec![job(number)]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    }
}

#[test]
fn a_runtime_that_ends_while_it_reads_leaves_the_store_to_be_closed() {
    let folder = Folder::new();
    let store = std::sync::Arc::new(folder.open());
    for _ in 0..5 {
        let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
        for number in 0..10 {
            let store = std::sync::Arc::clone(&store);
            runtime.spawn(async move { store.activation(id(number)).await });
        }
        runtime.block_on(tokio::task::yield_now());
        // Most of what was to be read never is.
        runtime.shutdown_background();
    }
    drop(store);
    folder.open();
}
