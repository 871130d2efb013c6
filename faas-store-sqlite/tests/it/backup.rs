//! Backups, and what is made of them.

use std::fs;
use std::sync::Arc;

use faas_core::ErrorKind;
use faas_store_sqlite::SqliteStore;

use crate::full::Tmpfs;
use crate::made::{Folder, content, files, keep, numbers, open, populate};

#[tokio::test]
async fn a_backup_is_restored_with_everything_in_it() {
    let folder = Folder::new();
    let store = folder.open();
    populate(&store).await;
    let before = content(&store).await.unwrap();
    let (backup, restored) = (folder.join("backup"), folder.join("restored"));
    store.backup(&backup).await.unwrap();
    keep(&store, 500..550).await;
    SqliteStore::restore(&backup, &restored).unwrap();
    for path in [&restored, &backup] {
        let store = open(path).unwrap();
        assert_eq!(content(&store).await.unwrap(), before);
        store.check().await.unwrap();
        keep(&store, [999]).await;
    }
    store.check().await.unwrap();
    assert_eq!(numbers(&store).await.len(), 80);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_made_while_others_write_is_whole() {
    let folder = Folder::new();
    let store = SqliteStore::builder(folder.path()).max_records(200).inline_bytes(16).open().unwrap();
    let store = Arc::new(store);
    keep(&store, 0..100).await;
    let writer = {
        let store = Arc::clone(&store);
        tokio::spawn(async move { keep(&store, 100..600).await })
    };
    let mut backups = 0;
    while !writer.is_finished() {
        let backup = folder.join(&format!("backup-{backups}"));
        store.backup(&backup).await.unwrap();
        let copy = open(&backup).unwrap();
        let kept = numbers(&copy).await;
        let (first, last) = (kept[0], kept[kept.len() - 1]);
        assert_eq!(kept, (first..=last).collect::<Vec<_>>(), "one moment, and no other");
        copy.check().await.unwrap();
        backups += 1;
    }
    writer.await.unwrap();
    assert!(backups > 0);
}

#[tokio::test]
async fn a_backup_takes_no_place_that_is_taken() {
    let folder = Folder::new();
    let store = folder.open();
    let backup = folder.join("backup");
    fs::create_dir(&backup).unwrap();
    assert_eq!(store.backup(&backup).await.unwrap_err().kind(), ErrorKind::AlreadyExists);
    let error = SqliteStore::restore(folder.join("none"), folder.join("restored")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let error = SqliteStore::restore(folder.path(), folder.join("restored")).unwrap_err();
    assert!(error.message().contains("in use by this process"), "{error}");
    assert!(!folder.join("restored").exists());
}

#[tokio::test]
async fn a_damaged_backup_is_not_restored() {
    let folder = Folder::new();
    let store = folder.open();
    populate(&store).await;
    let backup = folder.join("backup");
    store.backup(&backup).await.unwrap();
    let file = files(&backup).pop().unwrap();
    fs::write(&file, "something else").unwrap();
    let error = SqliteStore::restore(&backup, folder.join("restored")).unwrap_err();
    assert!(error.message().contains(file.to_str().unwrap()), "{error}");
    assert!(!folder.join("restored").exists());
    assert!(!folder.join("restored.unfinished").exists());
}

#[tokio::test]
async fn a_backup_is_restored_from_a_disk_that_is_only_read() {
    let Some(disk) = Tmpfs::mount("a_backup_is_restored_from_a_disk_that_is_only_read", 32 << 20) else {
        return;
    };
    let folder = Folder::new();
    let store = folder.open();
    populate(&store).await;
    let before = content(&store).await.unwrap();
    let backup = disk.path().join("backup");
    store.backup(&backup).await.unwrap();
    disk.remount("ro");
    SqliteStore::restore(&backup, folder.join("restored")).unwrap();
    let restored = open(&folder.join("restored")).unwrap();
    assert_eq!(content(&restored).await.unwrap(), before);
    restored.check().await.unwrap();
}

#[tokio::test]
async fn a_backup_without_room_leaves_nothing_and_harms_nothing() {
    let test = "a_backup_without_room_leaves_nothing_and_harms_nothing";
    let Some(disk) = Tmpfs::mount(test, 100 << 10) else { return };
    let folder = Folder::new();
    let store = folder.open();
    populate(&store).await;
    let backup = disk.path().join("backup");
    for _ in 0..2 {
        let error = store.backup(&backup).await.unwrap_err();
        assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Unavailable, true), "{error:?}");
        assert!(error.message().contains("the disk is full"), "{error}");
        assert_eq!(fs::read_dir(disk.path()).unwrap().count(), 0);
    }
    keep(&store, [5_000]).await;
    disk.remount("size=32m");
    store.backup(&backup).await.unwrap();
    drop(store);
    fs::remove_dir_all(folder.path()).unwrap();
    SqliteStore::restore(&backup, folder.path()).unwrap();
    let store = folder.open();
    assert_eq!(numbers(&store).await.len(), 31);
    store.check().await.unwrap();
}
