//! Columns that are not what was written there, though SQLite finds nothing amiss.

use faas_core::store::{ActivationQuery, Expect, FollowUp, Job, Store};
use faas_core::{Error, ErrorKind};
use faas_store_sqlite::SqliteStore;

use crate::damaged::alter;
use crate::made::{Folder, at, entity, files, id, job, keyed, payload, populate, record};

fn assert_damaged(error: &Error, what: &str) {
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Unavailable, false), "{what}: {error}");
    let says = ["damaged", "is missing"];
    assert!(says.iter().any(|text| error.message().contains(text)), "{what}: {error}");
}

#[tokio::test]
async fn a_check_compares_every_column_with_what_else_says_it() {
    let folder = Folder::new();
    let store = folder.open();
    populate(&store).await;
    drop(store);
    for alteration in [
        "UPDATE activations SET namespace = namespace + 1 WHERE seq = 3",
        "UPDATE activations SET name = name + 1 WHERE seq = 3",
        "UPDATE activations SET start = start + 1 WHERE seq = 3",
        "UPDATE activations SET end = end - 1 WHERE seq = 3",
        "UPDATE activations SET files = 1 - files WHERE seq = 3",
        "UPDATE jobs SET namespace = namespace + 1 WHERE phase = 1",
        "UPDATE jobs SET turn = turn + 1 WHERE phase = 2",
        "UPDATE jobs SET phase = 2, turn = namespace WHERE state = 2",
        "UPDATE jobs SET files = 1 - files WHERE phase = 2",
        "UPDATE jobs SET attempt = attempt + 1 WHERE phase = 1",
        "UPDATE keys SET until = until - 1",
        "UPDATE dead_letters SET namespace = namespace + 1",
        "UPDATE dead_letters SET name = name + 1",
        "UPDATE dead_letters SET start = start + 1",
        "UPDATE dead_letters SET due = due + 1",
        "UPDATE entities SET kind = kind + 1",
        "UPDATE entities SET revision = revision + 1",
        "UPDATE schedules SET position = position + 1",
        "UPDATE names SET text = text || 's'",
        "UPDATE blobs SET refs = refs - 1",
        "DELETE FROM blobs WHERE digest = (SELECT max(digest) FROM blobs)",
        "UPDATE meta SET value = replace(value, '6', '4') WHERE key = 'revision'",
        "DELETE FROM meta WHERE key = 'revision'",
    ] {
        let copy = folder.killed();
        alter(&copy.path(), alteration);
        assert_damaged(&copy.open().check().await.unwrap_err(), alteration);
    }
    folder.open().check().await.unwrap();
}

#[tokio::test]
async fn no_list_has_a_record_that_it_is_not_about() {
    let folder = Folder::new();
    let store = folder.open();
    populate(&store).await;
    drop(store);
    alter(&folder.path(), "UPDATE names SET text = 'other' WHERE text = 'greet'");
    alter(&folder.path(), "UPDATE activations SET start = start + 1000000000000 WHERE seq = 3");
    let store = folder.open();
    let all = ActivationQuery::default();
    let (others, late) = (
        ActivationQuery { name: Some("other".to_owned()), ..all.clone() },
        ActivationQuery { since: Some(at(500)), ..all.clone() },
    );
    assert_damaged(&store.activations(&others).await.unwrap_err(), "records of another name");
    assert_damaged(&store.dead_letters(&others).await.unwrap_err(), "dead letters of another name");
    assert_damaged(&store.activations(&late).await.unwrap_err(), "records of another time");
    assert_eq!(store.activations(&all).await.unwrap().len(), 30);
}

#[tokio::test]
async fn a_key_whose_time_is_damaged_is_not_taken_again() {
    let folder = Folder::new();
    let store = folder.open();
    store.accept(vec![keyed(1, "key")]).await.unwrap();
    drop(store);
    alter(&folder.path(), "UPDATE keys SET until = until - 1000000000000000");
    let store = folder.open();
    assert_damaged(&store.keyed("key", at(2)).await.unwrap_err(), "looked up");
    assert_damaged(&store.accept(vec![keyed(2, "key")]).await.unwrap_err(), "accepted");
    assert_eq!(store.pending().await.unwrap(), 1);
}

#[tokio::test]
async fn a_file_stays_where_it_is_not_known_who_needs_it() {
    let folder = Folder::new();
    let store = folder.open();
    let shared = |number| Job { payload: payload(3), ..job(number) };
    store.accept(vec![shared(1), shared(4)]).await.unwrap();
    drop(store);
    alter(&folder.path(), "UPDATE blobs SET refs = 1");
    let store = SqliteStore::builder(folder.path()).open().unwrap();
    let claim = store.claim(id(1)).await.unwrap();
    store.finish(claim, record(1), FollowUp::default()).await.unwrap();
    drop(store);
    let store = folder.open();
    assert_eq!(store.job(id(4)).await.unwrap().unwrap().job, shared(4));
    assert_eq!(files(&folder.path()).len(), 1);
}

#[tokio::test]
async fn a_revision_that_is_damaged_gives_no_other() {
    for alteration in ["SET value = '1 7'", "SET value = 'one'", "SET key = 'revisioo'"] {
        let folder = Folder::new();
        let store = folder.open();
        store.put_entity(entity(1), Expect::Absent).await.unwrap();
        drop(store);
        alter(&folder.path(), &format!("UPDATE meta {alteration} WHERE key = 'revision'"));
        let store = folder.open();
        assert_damaged(&store.put_entity(entity(2), Expect::Absent).await.unwrap_err(), alteration);
    }
    let folder = Folder::new();
    let store = folder.open();
    store.put_entity(entity(1), Expect::Absent).await.unwrap();
    drop(store);
    alter(&folder.path(), "UPDATE entities SET kind = kind + 1");
    let store = folder.open();
    assert_damaged(&store.put_entity(entity(1), Expect::Any).await.unwrap_err(), "of another kind");
}
