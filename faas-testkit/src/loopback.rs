//! A small HTTP server on the loopback interface, for tests of the requests that actions make.

#![expect(clippy::missing_panics_doc, reason = "it is for tests, which panic where something is wrong")]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// A server that answers with what it is sent: on `/silent` never, on `/together/N` once so many requests wait for it,
/// and on `/missing` with the status 404.
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    requests: Mutex<Vec<String>>,
    /// The requests that wait for each other.
    waiting: AtomicUsize,
    arrived: Notify,
    hung_up: AtomicUsize,
}

impl Server {
    /// Starts it on a port of its own.
    pub async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let server = Self { address, seen: Arc::default() };
        let seen = Arc::clone(&server.seen);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                seen.connections.fetch_add(1, Ordering::SeqCst);
                let seen = Arc::clone(&seen);
                tokio::spawn(async move {
                    let _ = serve(stream, &seen).await;
                    seen.hung_up.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        server
    }

    /// The URL of a path.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The connections so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    /// The connections that have ended.
    #[must_use]
    pub fn hung_up(&self) -> usize {
        self.seen.hung_up.load(Ordering::SeqCst)
    }

    /// Heads and bodies of the requests.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        self.seen.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Answers until the client hangs up: `/silent` never, `/together/N` once so many requests wait for it, all others
/// with their body.
async fn serve(stream: TcpStream, seen: &Seen) -> std::io::Result<()> {
    let mut stream = BufStream::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head).await? == 0 {
                return Ok(());
            }
        }
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.map_or(0, |length| length.parse().expect("a length"))];
        stream.read_exact(&mut body).await?;
        seen.requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(format!("{head}{}", String::from_utf8_lossy(&body)));
        let path = head.split(' ').nth(1).unwrap_or_default();
        if path == "/silent" {
            let _ = stream.read_u8().await;
            return Ok(());
        }
        if let Some(count) = path.strip_prefix("/together/") {
            let count: usize = count.parse().expect("a number");
            seen.waiting.fetch_add(1, Ordering::SeqCst);
            seen.arrived.notify_waiters();
            loop {
                let arrived = seen.arrived.notified();
                if seen.waiting.load(Ordering::SeqCst) >= count {
                    break;
                }
                arrived.await;
            }
        }
        let status = if path == "/missing" { "404 Not Found" } else { "200 OK" };
        let head = format!("HTTP/1.1 {status}\r\nx-name: loopback\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(&body).await?;
        stream.flush().await?;
    }
}
