//! Asking an engine whether it is there.

use std::env;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use super::HOST;

/// How long an engine may take for each step of an answer. Arbitrary: it takes a millisecond.
const PATIENCE: Duration = Duration::from_secs(3);

/// Whether an engine answers: the one of the environment, else one at the usual places.
///
/// One that is reached in another way than by a plain socket is taken on trust.
pub(super) fn any_answers() -> bool {
    match env::var(HOST) {
        Ok(host) if !host.is_empty() => answers(&host),
        _ => usual(|name| env::var_os(name).filter(|folder| !folder.is_empty()).map(PathBuf::from))
            .into_iter()
            .any(|path| answers(&format!("unix://{}", path.display()))),
    }
}

/// Where the sockets of engines usually are: the user's own before the system's, Docker's before Podman's, as the
/// Docker backend looks for them.
fn usual(variable: impl Fn(&str) -> Option<PathBuf>) -> Vec<PathBuf> {
    let runtime = variable("XDG_RUNTIME_DIR");
    let of_user = [
        runtime.as_ref().map(|folder| folder.join("docker.sock")),
        variable("HOME").map(|folder| folder.join(".docker/run/docker.sock")),
        runtime.as_ref().map(|folder| folder.join("podman/podman.sock")),
    ];
    let of_system = ["/var/run/docker.sock", "/run/podman/podman.sock"].map(PathBuf::from);
    of_user.into_iter().flatten().chain(of_system).collect()
}

/// Whether an engine answers at the address.
pub(super) fn answers(host: &str) -> bool {
    if let Some(path) = host.strip_prefix("unix://") {
        return unix(path).unwrap_or(false);
    }
    let plain = env::var_os("DOCKER_TLS_VERIFY").is_none_or(|value| value.is_empty());
    match host.strip_prefix("tcp://").filter(|_| plain) {
        Some(address) => tcp(address.trim_end_matches('/')).unwrap_or(false),
        None => true,
    }
}

#[cfg(unix)]
fn unix(path: &str) -> io::Result<bool> {
    let socket = std::os::unix::net::UnixStream::connect(path)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    ping(socket)
}

#[cfg(not(unix))]
fn unix(_: &str) -> io::Result<bool> {
    Ok(false)
}

fn tcp(address: &str) -> io::Result<bool> {
    let address = address.to_socket_addrs()?.next().ok_or(io::ErrorKind::NotFound)?;
    let socket = TcpStream::connect_timeout(&address, PATIENCE)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    ping(socket)
}

/// Whether the other side answers as an engine does.
fn ping(mut socket: impl Read + Write) -> io::Result<bool> {
    socket.write_all(b"GET /_ping HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut head = [0; "HTTP/1.1 200".len()];
    socket.read_exact(&mut head)?;
    Ok(head.starts_with(b"HTTP/1.") && head.ends_with(b" 200"))
}

#[cfg(all(test, unix))]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixListener;
    use std::path::{Path, PathBuf};
    use std::thread;

    use super::{answers, usual};
    use crate::scratch::Scratch;

    /// Whether what is at the other end of a socket counts as an engine when it says that.
    fn says(name: &str, said: &'static str) -> bool {
        let machine = Scratch::new(name);
        let listener = UnixListener::bind(machine.path("s")).expect("a socket");
        let other = thread::spawn(move || {
            let (mut socket, _) = listener.accept().expect("a caller");
            let mut asked = [0; 16];
            socket.read_exact(&mut asked).expect("a request");
            socket.write_all(said.as_bytes()).expect("an answer");
            asked.starts_with(b"GET /_ping HTTP/")
        });
        let answers = answers(&format!("unix://{}", machine.path("s").display()));
        assert!(other.join().expect("no panic"));
        answers
    }

    #[test]
    fn an_engine_is_known_by_its_answer() {
        assert!(says("ping-ok", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK"));
        assert!(!says("ping-bad", "HTTP/1.1 500 Internal Server Error\r\n\r\n"));
        assert!(!says("ping-other", "SSH-2.0-OpenSSH_9.2p1\r\n"));
        assert!(!says("ping-short", "HTTP"));
        let machine = Scratch::new("ping-none");
        assert!(!answers(&format!("unix://{}", machine.path("none").display())));
    }

    #[test]
    fn the_users_own_engine_comes_before_that_of_the_system() {
        let places = usual(|name| (name == "XDG_RUNTIME_DIR").then(|| PathBuf::from("/run/user/1")));
        assert_eq!(places.first().map(PathBuf::as_path), Some(Path::new("/run/user/1/docker.sock")));
        assert_eq!(places.len(), 4);
        assert_eq!(usual(|_| None).first().map(PathBuf::as_path), Some(Path::new("/var/run/docker.sock")));
    }
}
