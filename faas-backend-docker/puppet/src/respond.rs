//! The floor of the benchmarks: the least that a process in a container can do to answer.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;

/// Answers every `request` bytes that come over the socket with `reply` bytes, on one connection after the other.
pub(crate) fn run(socket: &str, request: usize, reply: usize) -> io::Result<()> {
    let listener = UnixListener::bind(socket)?;
    fs::set_permissions(socket, fs::Permissions::from_mode(0o666))?;
    let (mut asked, answer) = (vec![0; request], vec![b'r'; reply]);
    for connection in listener.incoming() {
        let mut connection = connection?;
        while connection.read_exact(&mut asked).is_ok() {
            connection.write_all(&answer)?;
        }
    }
    Ok(())
}
