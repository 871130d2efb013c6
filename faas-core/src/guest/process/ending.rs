//! What the program printed last, shown before it ends by its own doing.
//!
//! User code may print and exit, abort or fault before the thread that reads the program's output has run, or after it
//! has read a part of a line. What is in the pipes or begun then would be lost, and with it what explains the end. Only
//! a program that is killed has no time for it.

#![expect(unsafe_code, reason = "the C library has its callers vouch for what runs when a program ends")]

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::OnceLock;

use super::output::{Descriptors, Output};

static OUTPUT: OnceLock<(&Output, Descriptors)> = OnceLock::new();

/// The signals that a program ends itself by, and what was to be done at each before.
static ENDS: [(libc::c_int, OnceLock<libc::sigaction>); 5] = [
    (libc::SIGABRT, OnceLock::new()),
    (libc::SIGSEGV, OnceLock::new()),
    (libc::SIGBUS, OnceLock::new()),
    (libc::SIGILL, OnceLock::new()),
    (libc::SIGFPE, OnceLock::new()),
];

/// Sees to it that an exit, an abort and a fault show what was printed.
pub(super) fn arrange(output: &'static Output) -> io::Result<()> {
    if OUTPUT.set((output, output.descriptors())).is_err() {
        return Ok(());
    }
    // SAFETY: the function has the type that is asked for and lives as long as the program.
    if unsafe { libc::atexit(at_exit) } != 0 {
        return Err(io::Error::other("no function can be called at the end of the program"));
    }
    // SAFETY: actions of zeros are valid ones: no flags, no signal blocked.
    let (mut own, mut before): (libc::sigaction, libc::sigaction) = unsafe { std::mem::zeroed() };
    own.sa_sigaction = on_signal as *const () as libc::sighandler_t;
    // A stack that is used up runs nothing more; the standard library sets up another one for such signals.
    own.sa_flags = libc::SA_ONSTACK | libc::SA_SIGINFO;
    for (signal, kept) in &ENDS {
        // SAFETY: both are actions.
        if unsafe { libc::sigaction(*signal, std::ptr::null(), &raw mut before) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // Before the handler may need it.
        let _ = kept.set(before);
        // SAFETY: the handler calls only what may be called in one, such as read and write, and only tries a lock.
        if unsafe { libc::sigaction(*signal, &raw const own, std::ptr::null_mut()) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

extern "C" fn at_exit() {
    show();
}

/// Shows what was printed, and leaves the rest to whoever handled the signal before.
extern "C" fn on_signal(signal: libc::c_int, info: *mut libc::siginfo_t, cpu: *mut libc::c_void) {
    show();
    let Some(before) = ENDS.iter().find(|(of, _)| *of == signal).and_then(|(_, before)| before.get()) else {
        return;
    };
    match before.sa_sigaction {
        libc::SIG_IGN => {}
        libc::SIG_DFL => {
            // SAFETY: it is what the action was, and `raise` may be called here. The signal comes once this returns.
            unsafe {
                libc::sigaction(signal, before, std::ptr::null_mut());
                libc::raise(signal);
            }
        }
        // SAFETY: it is a function of the type that its flags say, and gets what this one got.
        handler => unsafe {
            if before.sa_flags & libc::SA_SIGINFO == 0 {
                std::mem::transmute::<usize, extern "C" fn(libc::c_int)>(handler)(signal);
            } else {
                type Handler = extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void);
                std::mem::transmute::<usize, Handler>(handler)(signal, info, cpu);
            }
        },
    }
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
