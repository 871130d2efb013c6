//! Disks that are full.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use faas_core::store::{FollowUp, Store};
use faas_core::{ErrorKind, Payload};
use faas_store_sqlite::SqliteStore;

use crate::made::{Folder, id, job, keep, numbers, record};

/// A small file system in memory.
pub(crate) struct Tmpfs(Folder);

impl Tmpfs {
    /// One of so many bytes; `None`, which is told, where this user may not mount any.
    pub(crate) fn mount(test: &str, bytes: u64) -> Option<Self> {
        let folder = Folder::new();
        fs::create_dir(folder.path()).unwrap();
        let size = format!("size={bytes}");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder.path());
        let mounted = mount.stderr(Stdio::null()).status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(Self(folder));
        }
        // Past the harness, which keeps what a test prints that passes.
        let _ = writeln!(std::io::stdout(), "SKIP {test}: no file system can be mounted by this user");
        None
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.0.path()
    }

    pub(crate) fn remount(&self, how: &str) {
        let how = format!("remount,{how}");
        let status = Command::new("mount").args(["-o", &how]).arg(self.path()).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

/// Takes all the room that is left.
fn fill(path: &Path) {
    let mut filler = fs::File::create(path).unwrap();
    for size in [1 << 16, 1 << 12, 1] {
        while filler.write_all(&vec![0; size]).is_ok() {}
    }
}

#[tokio::test]
async fn a_full_disk_refuses_writes_loses_nothing_and_is_written_again_once_there_is_room() {
    let test = "a_full_disk_refuses_writes_loses_nothing_and_is_written_again_once_there_is_room";
    let Some(disk) = Tmpfs::mount(test, 24 << 20) else { return };
    let path = disk.path().join("store");
    let store = SqliteStore::builder(&path).inline_bytes(4 << 10).open().unwrap();
    store.accept(vec![job(900)]).await.unwrap();
    let filler = disk.path().join("filler");
    let (mut number, mut refused) = (0, 0);
    for round in 0..3 {
        keep(&store, number..number + 50).await;
        number += 50;
        fill(&filler);
        // What is written over in the log has room for a while.
        for attempt in 0..20_000_u64 {
            match store.append(record(number), FollowUp::default()).await {
                Ok(()) => number += 1,
                Err(error) => {
                    assert_eq!(
                        (error.kind(), error.is_temporary()),
                        (ErrorKind::Unavailable, true),
                        "{error:?}"
                    );
                    assert!(error.message().contains("the disk is full"), "{error}");
                    refused += 1;
                    break;
                }
            }
            assert!(attempt < 19_999, "the disk is never full");
        }
        let large = Payload::from_value(&serde_json::json!({ "text": "x".repeat(1 << 20) })).unwrap();
        let large = faas_core::store::Job { payload: large, ..job(901) };
        let error = store.accept(vec![large]).await.unwrap_err();
        assert!(error.message().contains("the disk is full") && error.is_temporary(), "{error:?}");
        assert_eq!(numbers(&store).await, (0..number).collect::<Vec<_>>(), "what is there can be read");
        assert_eq!(store.pending().await.unwrap(), 1, "in round {round}");
        fs::remove_file(&filler).unwrap();
        // What was refused was not done, so it can be.
        keep(&store, [number]).await;
        number += 1;
    }
    assert!(refused >= 3);
    store.check().await.unwrap();
    drop(store);
    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(numbers(&store).await, (0..number).collect::<Vec<_>>());
    assert!(store.job(id(900)).await.unwrap().is_some());
    store.check().await.unwrap();
}

#[tokio::test]
async fn a_store_opens_on_a_full_disk_or_says_that_it_is_full() {
    let test = "a_store_opens_on_a_full_disk_or_says_that_it_is_full";
    let Some(disk) = Tmpfs::mount(test, 24 << 20) else { return };
    let path = disk.path().join("store");
    let store = SqliteStore::open(&path).unwrap();
    keep(&store, 0..50).await;
    drop(store);
    fill(&disk.path().join("filler"));
    match SqliteStore::open(&path) {
        Ok(store) => assert_eq!(numbers(&store).await.len(), 50),
        Err(error) => assert!(error.message().contains("the disk is full"), "{error:?}"),
    }
    let error = SqliteStore::open(disk.path().join("other")).unwrap_err();
    assert!(error.message().contains("the disk is full"), "{error:?}");
    fs::remove_file(disk.path().join("filler")).unwrap();
    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(numbers(&store).await, (0..50).collect::<Vec<_>>());
}
