//! As much of HTTP as a scripted engine and its guests need.

use std::io;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufStream};

/// What a connection is made of.
pub(super) trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Socket for S {}

/// A connection of somebody who asks.
pub(super) type Caller = BufStream<Box<dyn Socket>>;

/// What is asked.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) method: String,
    /// The path without the version of the API.
    pub(super) path: String,
    pub(super) query: String,
    pub(super) body: Vec<u8>,
}

impl Asked {
    /// The next request of a connection; `None` once it is closed.
    pub(super) async fn read(caller: &mut Caller) -> io::Result<Option<Self>> {
        let mut line = String::new();
        if caller.read_line(&mut line).await? == 0 {
            return Ok(None);
        }
        let mut words = line.split_whitespace();
        let mut word = || words.next().unwrap_or_default().to_owned();
        let (method, target) = (word(), word());
        let mut length = 0;
        loop {
            let mut header = String::new();
            caller.read_line(&mut header).await?;
            let Some((name, value)) = header.split_once(':') else { break };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        let mut body = vec![0; length];
        caller.read_exact(&mut body).await?;
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let path = match path.strip_prefix("/v").and_then(|rest| rest.split_once('/')) {
            Some((version, rest)) if version.starts_with(|c: char| c.is_ascii_digit()) => format!("/{rest}"),
            _ => path.to_owned(),
        };
        Ok(Some(Self { method, path, query: query.to_owned(), body }))
    }

    /// A parameter of the query.
    pub(super) fn parameter(&self, name: &str) -> Option<String> {
        let pairs = self.query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.into_iter().find(|(key, _)| *key == name).map(|(_, value)| decoded(value))
    }
}

/// Text of a query without its escapes.
fn decoded(text: &str) -> String {
    let mut bytes = text.bytes();
    let mut plain = Vec::new();
    while let Some(byte) = bytes.next() {
        let digits = |bytes: &mut std::str::Bytes<'_>| {
            let pair = [bytes.next()?, bytes.next()?];
            u8::from_str_radix(std::str::from_utf8(&pair).ok()?, 16).ok()
        };
        plain.push(match byte {
            b'%' => digits(&mut bytes).unwrap_or(b'%'),
            b'+' => b' ',
            byte => byte,
        });
    }
    String::from_utf8(plain).unwrap()
}

/// An answer as it is written.
pub(super) fn answer(status: u16, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status} Told\r\nContent-Type: application/json\r\n{headers}Content-Length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// Writes all of it.
pub(super) async fn write(caller: &mut Caller, bytes: &[u8]) -> io::Result<()> {
    caller.write_all(bytes).await?;
    caller.flush().await
}

/// Waits until whoever asked has left.
pub(super) async fn left(caller: &mut Caller) {
    let mut rest = [0; 64];
    while caller.read(&mut rest).await.is_ok_and(|count| count > 0) {}
}
