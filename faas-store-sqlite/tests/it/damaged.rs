//! Jobs that are damaged on disk.

use std::fs::{self, File};
use std::path::Path;

use faas_core::store::{ActivationQuery, Damage, FollowUp, JobState, Store};
use faas_core::{BoxError, LocalBackend, Platform, Status, SubmitOptions, action, actions};
use faas_store_sqlite::SqliteStore;
use serde_json::{Value, json};

use crate::made::{Folder, at, files, id, job, record};

/// Changes the database of a store that is closed as a disk does: nothing but the bytes is another.
pub(crate) fn alter(store: &Path, sql: &str) {
    let path = store.join("store.db");
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.pragma_update(None, "writable_schema", true).unwrap();
    assert!(connection.execute(sql, []).unwrap() > 0, "{sql}");
    drop(connection);
    File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
}

/// Removes the file that holds this payload.
fn lose(store: &Path, payload: &[u8]) {
    let file = files(store).into_iter().find(|file| fs::read(file).unwrap() == payload);
    fs::remove_file(file.unwrap()).unwrap();
}

#[tokio::test]
async fn a_job_whose_payload_is_lost_stands_in_nobodys_way() {
    let folder = Folder::new();
    let store = SqliteStore::builder(folder.path()).inline_bytes(16).open().unwrap();
    store.accept((0..4).map(job).collect()).await.unwrap();
    let victim = store.job(id(2)).await.unwrap().unwrap().job.payload;
    lose(&folder.path(), victim.as_bytes());
    let claimed = store.claim_next(at(100), 10).await.unwrap();
    assert_eq!(claimed.iter().map(|claimed| claimed.job.id).collect::<Vec<_>>(), [0, 1, 2, 3].map(id));
    let error = store.job(id(2)).await.unwrap_err();
    assert!(!error.is_temporary(), "{error}");
    for claimed in claimed {
        let number = claimed.job.accepted.nanos().saturating_sub(at(0).nanos()) / 1_000_000_000;
        match claimed.damage {
            Some(Damage::Input(why)) => assert!(number == 2 && why.contains("is missing"), "{why}"),
            damage => assert_eq!((damage, claimed.job), (None, job(number))),
        }
        store.finish(claimed.claim, record(number), FollowUp::default()).await.unwrap();
    }
    assert_eq!(store.pending().await.unwrap(), 0);
}

#[action]
fn echo(input: Value) -> Value {
    input
}
actions![echo];

#[tokio::test]
async fn a_platform_ends_a_job_whose_payload_is_lost() -> Result<(), BoxError> {
    let folder = Folder::new();
    let platform = async || {
        let store = SqliteStore::builder(folder.path()).inline_bytes(16).open()?;
        Platform::builder().backend(LocalBackend::new()).actions(actions()).store(store).build().await
    };
    let app = platform().await?;
    let input = json!({ "text": "of which the file is lost" });
    let later = SubmitOptions::new().run_after(std::time::Duration::from_millis(100));
    let lost = app.submit_with("echo", &input, later.clone()).await?;
    lose(&folder.path(), serde_json::to_string(&input)?.as_bytes());
    app.drain().await;
    let record = app.activation(lost).await?;
    assert_eq!((record.status(), &record.input), (Status::InternalError, &None));
    assert!(record.outcome.error().unwrap().contains("is missing"), "{record:?}");
    assert!(app.dead_letters(&ActivationQuery::default()).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_job_whose_row_is_damaged_stands_in_nobodys_way() {
    let alterations = [
        ("attempt = 7", JobState::Lost),
        ("state = 9", JobState::Lost),
        ("earlier = x'5b5d'", JobState::Lost),
        ("sum = sum + 1", JobState::Lost),
    ];
    for (alteration, state) in alterations {
        for is_claimed in [false, true] {
            let folder = Folder::new();
            let store = folder.open();
            store.accept((1..4).map(job).collect()).await.unwrap();
            if is_claimed {
                store.claim(id(2)).await.unwrap();
            }
            drop(store);
            alter(
                &folder.path(),
                &format!(
                    "UPDATE jobs SET {alteration} WHERE id = (SELECT id FROM jobs ORDER BY id LIMIT 1 OFFSET 1)"
                ),
            );
            let store = folder.open();
            store.take_over().await.unwrap();
            let mut claimed = store.claim_next(at(100), 10).await.unwrap();
            claimed.sort_by_key(|claimed| claimed.job.id);
            assert_eq!(claimed.len(), 3, "{alteration}");
            assert!(claimed[0].damage.is_none() && claimed[2].damage.is_none());
            assert!(matches!(&claimed[1].damage, Some(Damage::Progress(why)) if why.contains("damaged")));
            assert_eq!((&claimed[1].job, claimed[1].state), (&job(2), state), "{alteration}");
            store.dead_letter(claimed[1].claim, record(2), FollowUp::default()).await.unwrap();
            assert_eq!(store.find_dead_letter(id(2)).await.unwrap().unwrap().job, job(2));
            assert_eq!(store.pending().await.unwrap(), 2);
        }
    }
}

#[tokio::test]
async fn a_job_of_which_nothing_can_be_read_is_set_aside() {
    for alteration in ["attempt = -1", "body = x'00'", "due = 'soon'"] {
        let folder = Folder::new();
        let store = folder.open();
        store.accept((1..4).map(job).collect()).await.unwrap();
        drop(store);
        alter(&folder.path(), &format!("UPDATE jobs SET {alteration} WHERE id = (SELECT min(id) FROM jobs)"));
        for _ in 0..2 {
            let store = folder.open();
            store.take_over().await.unwrap();
            let claimed = store.claim_next(at(100), 10).await.unwrap();
            assert_eq!(claimed.iter().map(|claimed| claimed.job.id).collect::<Vec<_>>(), [2, 3].map(id));
            assert!(!store.job(id(1)).await.unwrap_err().is_temporary(), "{alteration}");
            assert!(store.claim_next(at(100), 10).await.unwrap().is_empty());
        }
    }
}

#[tokio::test]
async fn an_index_that_has_what_is_not_there_is_told() {
    for alteration in ["DELETE FROM jobs WHERE id = (SELECT min(id) FROM jobs)", "UPDATE jobs SET phase = 0"]
    {
        let folder = Folder::new();
        let store = folder.open();
        store.accept(vec![job(1)]).await.unwrap();
        drop(store);
        // SQLite keeps an index up to date only with rows that it thinks are in it.
        alter(
            &folder.path(),
            "UPDATE sqlite_schema SET sql = replace(sql, 'phase > 0', 'phase > 8') WHERE name = 'jobs_turn'",
        );
        alter(&folder.path(), alteration);
        alter(
            &folder.path(),
            "UPDATE sqlite_schema SET sql = replace(sql, 'phase > 8', 'phase > 0') WHERE name = 'jobs_turn'",
        );
        let store = folder.open();
        let error = store.claim_next(at(100), 10).await.unwrap_err();
        assert!(error.message().contains("its index has job"), "{error}");
    }
}
