//! The floor of the benchmarks: the least that a process in a container can do to answer.

use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;

/// Answers every `request` bytes that come over the socket, or over TCP where it is called `tcp`, with `reply` bytes, on
/// one connection after the other.
pub(crate) fn run(socket: &str, request: usize, reply: usize) -> io::Result<()> {
    if socket == "tcp" {
        for connection in TcpListener::bind("0.0.0.0:8080")?.incoming() {
            let connection = connection?;
            connection.set_nodelay(true)?;
            attend(connection, request, reply)?;
        }
        return Ok(());
    }
    let listener = UnixListener::bind(socket)?;
    fs::set_permissions(socket, fs::Permissions::from_mode(0o666))?;
    for connection in listener.incoming() {
        attend(connection?, request, reply)?;
    }
    Ok(())
}

fn attend(mut connection: impl Read + Write, request: usize, reply: usize) -> io::Result<()> {
    let (mut asked, answer) = (vec![0; request], vec![b'r'; reply]);
    while connection.read_exact(&mut asked).is_ok() {
        connection.write_all(&answer)?;
    }
    Ok(())
}
