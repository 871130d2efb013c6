//! Bytes that are not what was written.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

use faas_core::{Error, ErrorKind};

use crate::made::{Content, Folder, content, files, keep, open, populate};

/// A store that was closed, and one that was killed, with what they hold.
struct Whole {
    closed: Folder,
    killed: Folder,
    content: Content,
}

async fn whole() -> Whole {
    let closed = Folder::new();
    let store = closed.open();
    populate(&store).await;
    let content = content(&store).await.unwrap();
    let killed = closed.killed();
    drop(store);
    Whole { closed, killed, content }
}

/// What a store tells that is opened, and looked through if `check` says so.
async fn told(path: &Path, check: bool) -> Result<Content, Error> {
    let store = open(path)?;
    if check {
        store.check().await?;
    }
    content(&store).await
}

/// Asserts that an error says that something is damaged.
fn assert_damaged(error: &Error, what: &str) {
    assert!(!error.is_temporary(), "{what}: {error}");
    let kinds = [ErrorKind::Unavailable, ErrorKind::Unsupported, ErrorKind::InvalidArgument];
    assert!(kinds.contains(&error.kind()), "{what}: {error:?}");
}

/// Changes a file in so many ways, each in a copy of the store, and counts how often that was noticed. Where it was not,
/// everything has to be as it was.
async fn change(
    whole: &Folder,
    expected: &Content,
    rounds: u64,
    check: bool,
    how: impl Fn(u64, &Path),
) -> u64 {
    let mut noticed = 0;
    for round in 0..rounds {
        let copy = whole.killed();
        how(round, &copy.path());
        match told(&copy.path(), check).await {
            Ok(content) => assert_eq!(content, *expected, "round {round} gives wrong data"),
            Err(error) => {
                assert_damaged(&error, &format!("round {round}"));
                noticed += 1;
            }
        }
    }
    noticed
}

fn flip(path: &Path, at: u64, mask: u8) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    byte[0] ^= mask;
    file.write_all_at(&byte, at).unwrap();
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).unwrap().len()
}

/// The bytes of a page.
const PAGE: u64 = 2048;

/// How long the part of the log is whose writes were answered.
fn answered(path: &Path) -> u64 {
    let answered = fs::read(path.join("answered")).unwrap();
    let frames = u32::from_le_bytes(answered[8..12].try_into().unwrap());
    assert!(frames > 0);
    32 + u64::from(frames) * (24 + PAGE)
}

#[tokio::test]
async fn a_flipped_byte_of_the_database_is_noticed_or_harmless() {
    let Whole { closed, content, .. } = whole().await;
    let database = |path: &Path| path.join("store.db");
    let mut rng = fastrand::Rng::with_seed(1);
    let places: Vec<u64> = (0..60).map(|_| rng.u64(..length(&database(&closed.path())))).collect();
    let flipped = |round: u64, path: &Path| {
        flip(&database(path), places[usize::try_from(round).unwrap()], 1 << (round % 8));
    };
    let noticed = change(&closed, &content, 60, false, flipped).await;
    // Most of a small database is room.
    assert!(noticed > 5, "{noticed}");
    // A disk that forgets does not change the time of the file: then a check tells.
    let unseen = |round: u64, path: &Path| {
        let modified = fs::metadata(database(path)).unwrap().modified().unwrap();
        flipped(round, path);
        File::options().write(true).open(database(path)).unwrap().set_modified(modified).unwrap();
    };
    assert_eq!(change(&closed, &content, 60, true, unseen).await, noticed);
}

#[tokio::test]
async fn a_cut_or_zeroed_database_is_noticed() {
    let Whole { closed, content, .. } = whole().await;
    let cut = |round: u64, path: &Path| {
        let database = path.join("store.db");
        let file = File::options().write(true).open(&database).unwrap();
        let length = length(&database);
        if round.is_multiple_of(2) {
            file.set_len(length * round / 20).unwrap();
        } else {
            file.write_all_at(&[0; 3 * 2048], length * round / 22 / PAGE * PAGE).unwrap();
        }
    };
    assert_eq!(change(&closed, &content, 20, false, cut).await, 20);
}

#[tokio::test]
async fn any_change_of_the_answered_log_is_noticed() {
    let Whole { killed, content, .. } = whole().await;
    let end = answered(&killed.path());
    let changed = |round: u64, path: &Path| {
        let wal = path.join("store.db-wal");
        let file = File::options().write(true).open(&wal).unwrap();
        let place = fastrand::Rng::with_seed(round).u64(..end);
        match round {
            0 => fs::remove_file(&wal).unwrap(),
            1 => file.set_len(0).unwrap(),
            2 => file.set_len(end - 1).unwrap(),
            // The last frame, and the header.
            3 => flip(&wal, end - 1, 1),
            4 => flip(&wal, 17, 1),
            _ => match round % 3 {
                0 => flip(&wal, place, 1 << (round % 8)),
                1 => file.set_len(place).unwrap(),
                _ => file.write_all_at(&[0x55; 64], place.min(end - 64)).unwrap(),
            },
        }
    };
    assert_eq!(change(&killed, &content, 40, false, changed).await, 40);
    let copy = killed.killed();
    fs::remove_file(copy.path().join("store.db-wal")).unwrap();
    let error = copy.try_open().unwrap_err();
    assert!(error.message().contains("it is missing or empty"), "{error}");
    assert_eq!(told(&killed.path(), true).await.unwrap(), content);
}

#[tokio::test]
async fn what_comes_after_the_answered_log_was_never_promised() {
    let Whole { killed, content, .. } = whole().await;
    let torn = |_: u64, path: &Path| {
        let wal = File::options().write(true).open(path.join("store.db-wal")).unwrap();
        wal.write_all_at(&[0x77; 6_000], answered(path)).unwrap();
    };
    assert_eq!(change(&killed, &content, 1, true, torn).await, 0);
}

#[tokio::test]
async fn a_changed_file_of_a_payload_is_an_error_that_names_it() {
    let Whole { closed, .. } = whole().await;
    let all = files(&closed.path());
    for (round, file) in all.iter().enumerate() {
        let whole = fs::read(file).unwrap();
        match round % 4 {
            0 => fs::remove_file(file).unwrap(),
            1 => File::options().write(true).open(file).unwrap().set_len(9).unwrap(),
            2 => fs::write(file, vec![0; whole.len()]).unwrap(),
            _ => flip(file, 5, 4),
        }
        let store = closed.open();
        let error = store.check().await.unwrap_err();
        assert!(error.message().contains(file.to_str().unwrap()), "{error}");
        let error = content(&store).await.unwrap_err();
        assert_damaged(&error, "read");
        assert!(error.message().contains(file.to_str().unwrap()), "{error}");
        drop(store);
        fs::write(file, whole).unwrap();
    }
    closed.open().check().await.unwrap();
}

#[tokio::test]
async fn an_older_database_in_place_of_the_last_is_refused() {
    let folder = Folder::new();
    let (path, old) = (folder.path().join("store.db"), folder.join("old.db"));
    let store = folder.open();
    keep(&store, 0..5).await;
    drop(store);
    fs::copy(&path, &old).unwrap();
    let store = folder.open();
    keep(&store, 5..10).await;
    let killed = folder.killed();
    drop(store);
    for folder in [&folder, &killed] {
        fs::copy(&old, folder.path().join("store.db")).unwrap();
        let _ = fs::remove_file(folder.path().join("store.db-wal"));
        let error = folder.try_open().unwrap_err();
        assert_damaged(&error, "older");
    }
    let error = folder.try_open().unwrap_err();
    assert!(error.message().contains("an older one"), "{error}");
}

#[tokio::test]
async fn a_log_beside_a_closed_database_is_refused() {
    let Whole { closed, killed, .. } = whole().await;
    fs::copy(killed.path().join("store.db-wal"), closed.path().join("store.db-wal")).unwrap();
    let error = closed.try_open().unwrap_err();
    assert!(error.message().contains("store.db-wal is not of this database"), "{error}");
    fs::remove_file(closed.path().join("store.db-wal")).unwrap();
    closed.open();
}

#[tokio::test]
async fn a_database_or_a_state_that_is_missing_is_told() {
    let Whole { closed, killed, .. } = whole().await;
    for folder in [closed, killed] {
        for file in ["store.db", "state.json"] {
            let copy = folder.killed();
            fs::remove_file(copy.path().join(file)).unwrap();
            let error = copy.try_open().unwrap_err();
            assert_damaged(&error, file);
            assert!(error.message().contains(file), "{error}");
        }
        fs::write(folder.path().join("state.json"), "{").unwrap();
        assert!(folder.try_open().unwrap_err().message().contains("state.json is damaged"));
    }
}

#[tokio::test]
async fn a_flipped_bit_of_the_state_is_told() {
    let Whole { closed, killed, content } = whole().await;
    for folder in [closed, killed] {
        let state = folder.path().join("state.json");
        let whole = fs::read(&state).unwrap();
        let bits = (0..whole.len()).flat_map(|at| (0..8).map(move |bit| (at, 1 << bit)));
        for (at, mask) in bits {
            let mut flipped = whole.clone();
            flipped[at] ^= mask;
            fs::write(&state, &flipped).unwrap();
            let error = folder.try_open().unwrap_err();
            assert_damaged(&error, "state");
            assert!(error.message().contains("state.json is damaged"), "{error}");
        }
        fs::write(&state, whole).unwrap();
        assert_eq!(told(&folder.path(), true).await.unwrap(), content);
    }
}
