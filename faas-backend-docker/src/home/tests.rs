//! What processes see of each other.

use super::*;

fn folder(test: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("faas-home-{test}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    folder
}

#[test]
fn a_home_is_told_to_be_alive_until_it_is_dropped() {
    let folder = folder("alive");
    let one = Home::make(Some(&folder)).unwrap();
    let two = Home::make(Some(&folder)).unwrap();
    assert!(!two.is_gone(&one.epoch) && two.gone().is_empty());
    let shared = Arc::new(one);
    let left = shared.share(5).unwrap();
    let (epoch, kept) = (shared.epoch.clone(), left.path().to_owned());
    std::mem::forget(left);
    drop(shared);
    assert_eq!(two.gone(), std::slice::from_ref(&epoch));
    two.forget(&epoch);
    assert!(!kept.exists() && two.gone().is_empty());
    assert!(two.is_gone(&epoch), "one without a lock file is gone as well");
    drop(two);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    fs::remove_dir(&folder).unwrap();
}

#[test]
fn processes_that_look_at_the_same_time_both_see_who_is_gone() {
    let folder = folder("looks");
    let (one, two) = (Home::make(Some(&folder)).unwrap(), Home::make(Some(&folder)).unwrap());
    let gone = "0123456789abcdef";
    let lock = folder.join(format!("{gone}.lock"));
    fs::write(&lock, "").unwrap();
    let looked_at = File::open(&lock).unwrap();
    assert!(is_free(&looked_at));
    assert!(one.is_gone(gone) && two.is_gone(gone) && !one.is_gone(&two.epoch));
    drop((one, two));
    fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_lock_that_never_got_its_name_is_removed_once_it_is_old() {
    let folder = folder("drafts");
    let home = Home::make(Some(&folder)).unwrap();
    let drafts = ["new", "old", "held"].map(|name| folder.join(format!("{name}.draft")));
    let files = drafts.each_ref().map(|draft| File::create(draft).unwrap());
    let then = std::time::SystemTime::now() - 2 * DRAFTED;
    files[1].set_modified(then).unwrap();
    files[2].set_modified(then).unwrap();
    files[2].lock().unwrap();
    home.forget_drafts();
    assert_eq!(drafts.map(|draft| draft.exists()), [true, false, true]);
    drop(home);
    fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn an_epoch_that_is_none_is_left_alone() {
    let folder = folder("names");
    let home = Home::make(Some(&folder)).unwrap();
    for epoch in ["", "..", "../../etc", "x", &home.epoch, "00000000000000zz"] {
        assert!(!home.is_gone(epoch), "{epoch}");
    }
    drop(home);
    fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_folder_that_others_may_write_to_is_refused() {
    let folder = folder("open");
    fs::create_dir_all(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
    let error = Home::make(Some(&folder)).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_path_too_long_for_sockets_is_refused() {
    let folder = folder("long").join("x".repeat(100));
    let error = Home::make(Some(&folder)).err().unwrap();
    assert!(error.message().contains("too long for the sockets"), "{error}");
    fs::remove_dir_all(folder.parent().unwrap()).unwrap();
}

#[test]
fn another_folder_in_the_same_place_is_another_home() {
    let (folder, elsewhere) = (folder("place"), folder("elsewhere"));
    let (one, same) = (Home::make(Some(&folder)).unwrap(), Home::make(Some(&folder)).unwrap());
    assert_eq!(one.identity, same.identity);
    // As a container of the same image has it, or a service with a `/tmp` of its own.
    fs::rename(&folder, &elsewhere).unwrap();
    let other = Home::make(Some(&folder)).unwrap();
    assert_ne!(one.identity, other.identity);
    let labels = |home: &Home, boot: &str| {
        let labels = [(HOME, &*home.identity), (EPOCH, &*home.epoch), (BOOT, boot)];
        labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
    };
    assert!(other.is_gone(&one.epoch), "its lock is elsewhere");
    assert!(!other.has_left(&labels(&one, &one.boot), true), "and yet it lives");
    // What an earlier start of the machine has left is that of a process that is gone, if it was this machine.
    assert!(other.has_left(&labels(&one, "earlier"), true));
    assert!(!other.has_left(&labels(&one, "earlier"), false));
    assert!(!other.has_left(&labels(&one, ""), true));
    assert!(!other.has_left(&labels(&other, &other.boot), true), "it lives");
    drop((one, same, other));
    for folder in [folder, elsewhere] {
        fs::remove_dir_all(folder).unwrap();
    }
}
