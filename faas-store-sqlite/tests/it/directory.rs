//! Who may open which directory.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};

use faas_core::ErrorKind;
use faas_store_sqlite::SqliteStore;
use rusqlite::Connection;

use crate::child::{Holder, open_as};
use crate::full::Tmpfs;
use crate::made::{Folder, keep, numbers};

#[test]
fn a_directory_that_another_process_has_open_is_refused_with_its_number() {
    let folder = Folder::new();
    let holder = Holder::start(&folder.path());
    let error = folder.try_open().unwrap_err();
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Unavailable, true));
    assert!(error.message().contains(&format!("in use by process {};", holder.id())), "{error}");
    drop(holder);
    folder.open();
}

#[test]
fn a_directory_that_this_process_has_open_is_refused() {
    let folder = Folder::new();
    let _store = folder.open();
    let error = folder.try_open().unwrap_err();
    assert!(error.message().contains("in use by this process"), "{error}");
}

#[test]
fn a_directory_is_made_where_its_parent_is_there() {
    let folder = Folder::new();
    folder.open();
    assert!(folder.path().join("store.db").is_file());
    let error = SqliteStore::open(folder.join("no").join("store")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.message().contains("no/store"), "{error}");
}

#[test]
fn a_file_in_place_of_the_directory_is_refused() {
    let folder = Folder::new();
    fs::write(folder.path(), "not a store").unwrap();
    let error = folder.try_open().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.message().contains("is no directory"), "{error}");
}

#[test]
fn a_database_of_a_later_version_is_refused() {
    let folder = Folder::new();
    drop(folder.open());
    let change = |pragma: &str, value: i32| {
        let connection = Connection::open(folder.path().join("store.db")).unwrap();
        connection.pragma_update(None, pragma, value).unwrap();
    };
    change("user_version", 99);
    let error = folder.try_open().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.message().contains("its schema is number 99, and this one knows those up to 1"), "{error}");
    change("user_version", 1);
    drop(folder.open());
    change("application_id", 7);
    let error = folder.try_open().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.message().contains("a database of something else"), "{error}");
}

#[tokio::test]
async fn a_directory_that_may_not_be_written_to_is_refused() {
    let test = "a_directory_that_may_not_be_written_to_is_refused";
    let Some(disk) = Tmpfs::mount(test, 32 << 20) else { return };
    let path = disk.path().join("store");
    let store = SqliteStore::open(&path).unwrap();
    keep(&store, 0..5).await;
    drop(store);
    disk.remount("ro");
    for path in [path.clone(), disk.path().join("other")] {
        let error = SqliteStore::open(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
        assert!(error.message().contains(path.to_str().unwrap()), "{error}");
    }
    disk.remount("rw");
    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(numbers(&store).await.len(), 5);
}

/// A user that has nothing.
const NOBODY: u32 = 65_534;

#[tokio::test]
async fn a_directory_of_another_user_or_without_the_right_to_write_is_refused() {
    let test = "a_directory_of_another_user_or_without_the_right_to_write_is_refused";
    let folder = Folder::new();
    let path = folder.path();
    let store = folder.open();
    keep(&store, 0..5).await;
    drop(store);
    let is_root = fs::metadata(&path).unwrap().uid() == 0;
    let assert_refused = |error: &str| {
        assert!(error.starts_with("PermissionDenied"), "{error}");
        assert!(error.contains(path.to_str().unwrap()), "{error}");
    };
    let set_mode = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    if is_root {
        let Some(error) = open_as(NOBODY, &path) else {
            // Past the harness, which keeps what a test prints that passes.
            let _ = writeln!(std::io::stdout(), "SKIP {test}: other users may not run this program");
            return;
        };
        assert_refused(&error);
        chown(&path, Some(NOBODY), None).unwrap();
        for entry in fs::read_dir(&path).unwrap() {
            chown(entry.unwrap().path(), Some(NOBODY), None).unwrap();
        }
        set_mode(0o555);
        // Root may write all the same.
        assert_refused(&open_as(NOBODY, &path).unwrap());
    } else {
        set_mode(0o555);
        let error = folder.try_open().unwrap_err();
        assert_refused(&format!("{:?} {error}", error.kind()));
    }
    set_mode(0o700);
    let store = folder.open();
    assert_eq!(numbers(&store).await.len(), 5);
    store.check().await.unwrap();
}

#[tokio::test]
async fn a_log_that_another_program_reads_is_left_as_it_is() {
    let folder = Folder::new();
    let store = folder.open();
    keep(&store, 0..20).await;
    let killed = folder.killed();
    drop(store);
    let other = Connection::open(killed.path().join("store.db")).unwrap();
    let count =
        || other.query_row("SELECT count(*) FROM activations", [], |row| row.get::<_, i64>(0)).unwrap();
    other.execute_batch("BEGIN").unwrap();
    assert_eq!(count(), 20);
    let wal = fs::read(killed.path().join("store.db-wal")).unwrap();
    let error = killed.try_open().unwrap_err();
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Unavailable, true));
    assert!(error.message().contains("store.db-wal is in use by another program"), "{error}");
    assert!(fs::read(killed.path().join("store.db-wal")).unwrap() == wal);
    // What was answered is still looked for.
    let copy = killed.killed();
    fs::remove_file(copy.path().join("store.db-wal")).unwrap();
    assert!(copy.try_open().is_err());
    assert_eq!(count(), 20);
    other.execute_batch("COMMIT").unwrap();
    let store = killed.open();
    assert_eq!(numbers(&store).await, (0..20).collect::<Vec<_>>());
    store.check().await.unwrap();
}

#[tokio::test]
async fn a_closed_store_that_another_program_reads_is_opened() {
    let folder = Folder::new();
    let store = folder.open();
    keep(&store, 0..20).await;
    drop(store);
    let other = Connection::open(folder.path().join("store.db")).unwrap();
    let count =
        || other.query_row("SELECT count(*) FROM activations", [], |row| row.get::<_, i64>(0)).unwrap();
    other.execute_batch("BEGIN").unwrap();
    assert_eq!(count(), 20);
    let store = folder.open();
    keep(&store, 20..40).await;
    assert_eq!(count(), 20, "it sees what it saw");
    other.execute_batch("COMMIT").unwrap();
    assert_eq!(count(), 40);
    drop(other);
    drop(store);
    assert_eq!(numbers(&folder.open()).await.len(), 40);
}

#[test]
fn options_come_in_a_url() {
    let folder = Folder::new();
    let url = |options: &str| format!("sqlite:{}{options}", folder.path().display()).parse().unwrap();
    let store =
        SqliteStore::from_url(&url("?durability=normal&max_records=7&max_age=2h&max_jobs=9")).unwrap();
    let config = store.config();
    assert_eq!((config.max_records, config.max_age.as_secs(), config.max_jobs), (7, 7_200, 9));
    assert_eq!(config.durability, faas_store_sqlite::Durability::Normal);
    drop(store);
    for bad in ["?durability=half", "?max_records=many", "?readers=0", "?nonsense=1"] {
        assert_eq!(SqliteStore::from_url(&url(bad)).unwrap_err().kind(), ErrorKind::InvalidArgument, "{bad}");
    }
    for bad in ["sqlite", "sqlite:", "postgres:x"] {
        let error = SqliteStore::from_url(&bad.parse().unwrap()).unwrap_err();
        assert!(error.message().contains("named sqlite:DIR"), "{error}");
    }
}
