//! A small HTTP server on the loopback interface.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufStream};
use tokio::net::TcpListener;
use tokio::sync::{Barrier, Notify};
use tokio_rustls::TlsAcceptor;

/// How many requests wait for each other at `/together`.
pub(crate) const TOGETHER: usize = 4;

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    seen: Arc<Seen>,
}

struct Seen {
    connections: AtomicUsize,
    /// Heads and bodies of the requests.
    requests: Mutex<Vec<String>>,
    together: Barrier,
    hung_up: Notify,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::listen(None).await
    }

    pub(crate) async fn with_tls(tls: TlsAcceptor) -> Self {
        Self::listen(Some(tls)).await
    }

    async fn listen(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let seen = Arc::new(Seen {
            connections: AtomicUsize::new(0),
            requests: Mutex::default(),
            together: Barrier::new(TOGETHER),
            hung_up: Notify::new(),
        });
        let server = Self { address, seen: Arc::clone(&seen) };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                seen.connections.fetch_add(1, Ordering::SeqCst);
                let (seen, tls) = (Arc::clone(&seen), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        // A client that does not trust the certificate ends the handshake.
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => serve(stream, &seen).await,
                            Err(_) => return,
                        },
                        None => serve(stream, &seen).await,
                    }
                    seen.hung_up.notify_one();
                });
            }
        });
        server
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.seen.requests.lock().expect("no panic").clone()
    }

    /// Completes once a client has closed its connection.
    pub(crate) async fn client_hung_up(&self) {
        self.seen.hung_up.notified().await;
    }
}

/// Answers by path until the client hangs up.
async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, seen: &Seen) {
    let mut stream = BufStream::new(stream);
    while let Some((path, body)) = read(&mut stream, seen).await {
        let answer = match path.as_str() {
            "/silent" => return hear(&mut stream).await,
            "/large" => return pour(&mut stream, "content-length: 9000000", &[b' '; 1 << 16]).await,
            "/endless" => {
                let chunk = [&b"10000\r\n"[..], &[b' '; 1 << 16], b"\r\n"].concat();
                return pour(&mut stream, "transfer-encoding: chunked", &chunk).await;
            }
            "/broken" => b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf".to_vec(),
            "/moved" => answer("302 Found", "location: http://127.0.0.1:1/elsewhere\r\n", b""),
            "/missing" => answer("404 Not Found", "", b"nothing here"),
            "/together" => {
                seen.together.wait().await;
                answer("200 OK", "", b"together")
            }
            _ => answer("200 OK", "set-cookie: a=b\r\nset-cookie: c=d\r\nx-name: gr\u{fc}\u{df}e\r\n", &body),
        };
        let sent = stream.write_all(&answer).await.is_ok() && stream.flush().await.is_ok();
        if !sent || path == "/broken" {
            return;
        }
    }
}

/// Waits until the client hangs up.
async fn hear(stream: &mut (impl AsyncRead + Unpin)) {
    let _ = stream.read_u8().await;
}

/// Sends a body until the client hangs up.
async fn pour(stream: &mut (impl AsyncWrite + Unpin), header: &str, bytes: &[u8]) {
    let head = format!("HTTP/1.1 200 OK\r\n{header}\r\n\r\n");
    let mut sent = stream.write_all(head.as_bytes()).await;
    while sent.is_ok() {
        sent = stream.write_all(bytes).await;
        sent = sent.and(stream.flush().await);
    }
}

fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n", body.len());
    // One byte for each character, so that a header can have bytes that are no UTF-8.
    let mut bytes: Vec<u8> = head.chars().map(|c| u8::try_from(c).expect("a byte")).collect();
    bytes.extend_from_slice(body);
    bytes
}

/// Reads a request: its path and its body.
async fn read(stream: &mut (impl AsyncBufReadExt + Unpin), seen: &Seen) -> Option<(String, Vec<u8>)> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).await.ok()? == 0 {
            return None;
        }
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().expect("a number"))];
    stream.read_exact(&mut body).await.ok()?;
    seen.requests.lock().expect("no panic").push(format!("{head}{}", String::from_utf8_lossy(&body)));
    Some((head.split(' ').nth(1)?.to_owned(), body))
}
