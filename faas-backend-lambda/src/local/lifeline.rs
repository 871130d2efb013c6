//! What ends a program whose host was killed, and could end nothing any more.
//!
//! The standard input of a program is a socket of a pair, at its end from the beginning; the other one is the host's. Once
//! that is closed, by whatever end of the host, the kernel sends the program's whole group a signal that nobody survives:
//! a program that computes without end never looks whether its host is there, and a frozen one cannot.
//!
//! # Source
//! `F_SETOWN`, `F_SETSIG` and `O_ASYNC` in fcntl(2).

#![expect(unsafe_code, reason = "nobody wraps the calls that name who gets the signals of a file")]

use std::io;
use std::net::Shutdown;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::Stdio;

use rustix::process::Pid;

/// Which signal a file sends. Source: asm-generic/fcntl.h; the libc crate has it for some systems only.
const F_SETSIG: libc::c_int = 10;

/// A pair of sockets for a program that is about to be started.
pub(super) struct Lifeline {
    own: UnixStream,
    theirs: UnixStream,
}

impl Lifeline {
    pub(super) fn new() -> io::Result<Self> {
        let (own, theirs) = UnixStream::pair()?;
        own.shutdown(Shutdown::Write)?;
        Ok(Self { own, theirs })
    }

    /// The standard input of the program.
    pub(super) fn stdin(&self) -> io::Result<Stdio> {
        Ok(OwnedFd::from(self.theirs.try_clone()?).into())
    }

    /// Ties the program's group to the socket that is given back: once that is closed, the group is killed.
    pub(super) fn tie(self, group: Pid) -> io::Result<UnixStream> {
        // These settings are the socket's, whoever holds it; a program that follows this one in its process has them too.
        self.set(libc::F_SETOWN, -group.as_raw_pid())?;
        self.set(F_SETSIG, libc::SIGKILL)?;
        self.set(libc::F_SETFL, libc::O_ASYNC)?;
        Ok(self.own)
    }

    fn set(&self, what: libc::c_int, value: libc::c_int) -> io::Result<()> {
        // SAFETY: the descriptor is open, and these commands take an integer.
        match unsafe { libc::fcntl(self.theirs.as_raw_fd(), what, value) } {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        }
    }
}
