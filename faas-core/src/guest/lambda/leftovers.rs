//! What the system would hand on to a program that replaces this one: its open files, the processes that it started, and
//! what lies in Lambda's folder for temporary files.

#![expect(unsafe_code, reason = "descriptors that others have opened are only numbers here")]

use std::collections::HashMap;
use std::fs;
use std::os::fd::{BorrowedFd, RawFd};
use std::path::Path;

use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};
use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, waitpid};

/// The open files that a program which replaces this one would have.
pub(super) fn inherited() -> Vec<RawFd> {
    let numbers = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let numbers = numbers.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers.filter(|number| flags(*number).is_some_and(|flags| !flags.contains(FdFlags::CLOEXEC))).collect()
}

/// Has no open files handed on but those, and ends the processes that this one has started.
pub(super) fn clear(kept: &[RawFd]) {
    for number in inherited().into_iter().filter(|number| !kept.contains(number)) {
        // SAFETY: it is only used for this call, which fails for a descriptor that was closed meanwhile.
        let _ = fcntl_setfd(unsafe { BorrowedFd::borrow_raw(number) }, FdFlags::CLOEXEC);
    }
    let own = getpid();
    let parents = parents();
    for (id, parent) in &parents {
        if descends(*id, own, &parents) {
            let _ = kill_process(*id, Signal::KILL);
        }
        if *parent == own {
            // Nobody else would see its end.
            let _ = waitpid(Some(*id), WaitOptions::empty());
        }
    }
}

/// Where Lambda puts the program, and where alone it may write. Source: "Lambda runtimes" and "Configure ephemeral storage",
/// AWS Lambda Developer Guide.
const OWN: (&str, &str) = ("/var/task/bootstrap", "/tmp");

/// Empties the folder for temporary files, if it is this environment's own: anywhere but at Lambda it is everybody's.
pub(super) fn empty_own_folder() {
    if std::env::current_exe().is_ok_and(|program| program == Path::new(OWN.0)) {
        empty(Path::new(OWN.1));
    }
}

/// Removes what is in a folder, as far as that can be done.
fn empty(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let _ = if is_folder { fs::remove_dir_all(entry.path()) } else { fs::remove_file(entry.path()) };
    }
}

fn flags(number: RawFd) -> Option<FdFlags> {
    // SAFETY: it is only used for this call, which fails for a descriptor that was closed meanwhile.
    fcntl_getfd(unsafe { BorrowedFd::borrow_raw(number) }).ok()
}

/// The processes there are, with their parents. Source: proc(5).
fn parents() -> HashMap<Pid, Pid> {
    let stats = fs::read_dir("/proc").into_iter().flatten().flatten();
    let stats = stats.filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok());
    let parent = |stat: String| {
        let id = Pid::from_raw(stat.split(' ').next()?.parse().ok()?)?;
        // The name may have any character in it.
        let after_name = stat.rsplit(')').next()?;
        Some((id, Pid::from_raw(after_name.split_whitespace().nth(1)?.parse().ok()?)?))
    };
    stats.filter_map(parent).collect()
}

/// Whether a process was started by that one, or by one that was.
fn descends(mut id: Pid, from: Pid, parents: &HashMap<Pid, Pid>) -> bool {
    // What is read one after the other need not fit together, and might have a cycle.
    for _ in 0..parents.len() {
        match parents.get(&id) {
            Some(parent) if *parent == from => return true,
            Some(parent) => id = *parent,
            None => return false,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_folder_is_emptied_and_what_its_links_lead_to_is_not() {
        let root = std::env::temp_dir().join(format!("faas-leftovers-{}", std::process::id()));
        let (folder, other) = (root.join("tmp"), root.join("other"));
        fs::create_dir_all(folder.join("deep/er")).unwrap();
        fs::create_dir_all(&other).unwrap();
        for file in [folder.join("secret"), folder.join("deep/er/secret"), other.join("kept")] {
            fs::write(file, "planted").unwrap();
        }
        symlink(&other, folder.join("link")).unwrap();
        empty(&folder);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
        assert!(other.join("kept").exists());
        fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn anywhere_but_at_lambda_nothing_is_emptied() {
        let file = std::env::temp_dir().join(format!("faas-leftovers-kept-{}", std::process::id()));
        fs::write(&file, "of somebody else").unwrap();
        empty_own_folder();
        assert!(file.exists());
        fs::remove_file(&file).unwrap();
    }
}
