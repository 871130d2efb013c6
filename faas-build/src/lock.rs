//! One build at a time in each target folder, among all processes.
//!
//! Cargo locks the folder that it builds in, but not the shim that it builds nor the artifact that comes of it.

use std::fs::{self, File, TryLockError};
use std::io::{Seek, Write};
use std::path::Path;

use faas_core::Error;

use crate::failure;
use crate::output::Output;

/// The right to build; dropped, it is another's.
pub(crate) struct Lock {
    _file: File,
}

/// Waits for the right to build, saying for whom. `purpose` is what others are told meanwhile.
pub(crate) fn acquire(path: &Path, purpose: &str, output: Output) -> Result<Lock, Error> {
    let failed = |error| failure::io("lock", path, error);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    let mut file =
        File::options().read(true).write(true).create(true).truncate(false).open(path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let owner = owner(path);
            output.status("Blocking", format_args!("until {owner} is done"));
            let _slow = output.when_slow(format!("{purpose}: waiting for {owner}"));
            file.lock().map_err(failed)?;
        }
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    // What the file says is for people: where it cannot be written, the lock is as good.
    let text = format!("process {}, {purpose}", std::process::id());
    let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(text.as_bytes()));
    Ok(Lock { _file: file })
}

/// Who has the lock, as far as it says so: on some systems a locked file cannot be read.
fn owner(path: &Path) -> String {
    let owner = fs::read_to_string(path).ok().filter(|owner| !owner.is_empty());
    owner.unwrap_or_else(|| "another process".to_owned())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use super::{Output, acquire, owner};
    use crate::scratch;

    #[test]
    fn one_waits_for_the_other_and_can_tell_who_it_is() {
        let path = scratch::folder("lock").join("build.lock");
        let first = acquire(&path, "building one", Output::Quiet).expect("the lock");
        assert_eq!(owner(&path), format!("process {}, building one", std::process::id()));
        let released = AtomicBool::new(false);
        thread::scope(|scope| {
            let second = scope.spawn(|| {
                let lock = acquire(&path, "building two", Output::Quiet).expect("the lock");
                (lock, released.load(Ordering::SeqCst))
            });
            released.store(true, Ordering::SeqCst);
            drop(first);
            assert!(second.join().expect("no panic").1, "the second did not wait");
        });
    }
}
