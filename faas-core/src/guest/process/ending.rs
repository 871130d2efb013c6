//! What the program printed last, shown before it ends by its own doing.
//!
//! User code may print and exit, or abort, before the thread that reads the program's output has run, or after it has
//! read a part of a line. What is in the pipes or begun then would be lost, and with it what explains the end.

#![expect(unsafe_code, reason = "the C library has its callers vouch for what runs when a program ends")]

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::OnceLock;

use super::output::{Descriptors, Output};

static OUTPUT: OnceLock<(&Output, Descriptors)> = OnceLock::new();

/// Sees to it that an exit and an abort show what was printed.
pub(super) fn arrange(output: &'static Output) -> io::Result<()> {
    if OUTPUT.set((output, output.descriptors())).is_err() {
        return Ok(());
    }
    // SAFETY: the function has the type that is asked for and lives as long as the program.
    if unsafe { libc::atexit(at_exit) } != 0 {
        return Err(io::Error::other("no function can be called at the end of the program"));
    }
    // SAFETY: an action of zeros is a valid one: no flags, no signal blocked.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = on_abort as *const () as libc::sighandler_t;
    // A stack that is used up runs nothing more; the standard library sets up another one for such signals.
    action.sa_flags = libc::SA_ONSTACK;
    // SAFETY: the handler calls only functions that may be called in one, such as read and write, and only tries a lock.
    match unsafe { libc::sigaction(libc::SIGABRT, &raw const action, std::ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

extern "C" fn at_exit() {
    show();
}

/// The C library ends the program itself once this returns.
extern "C" fn on_abort(_: libc::c_int) {
    show();
}

/// Shows the lines that have begun and copies what the pipes hold, without allocating.
fn show() {
    let Some((output, descriptors)) = OUTPUT.get() else { return };
    output.unshown(|n, begun| {
        let (from, into) = descriptors[n];
        // SAFETY: both are descriptors of the program's output, which is never closed.
        let (from, into) = unsafe { (BorrowedFd::borrow_raw(from), BorrowedFd::borrow_raw(into)) };
        copy(begun, into);
        let mut chunk = [0_u8; 1024];
        while let Ok(length @ 1..) = rustix::io::read(from, &mut chunk) {
            copy(&chunk[..length], into);
        }
    });
}

fn copy(mut bytes: &[u8], into: BorrowedFd<'_>) {
    while !bytes.is_empty() {
        let Ok(written @ 1..) = rustix::io::write(into, bytes) else { return };
        bytes = &bytes[written..];
    }
}
