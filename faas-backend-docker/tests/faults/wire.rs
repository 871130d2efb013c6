//! HTTP as it is on the wire: requests and replies that no library has put right.

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// A reply.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let headers = self.head.lines().filter_map(|line| line.split_once(": "));
        headers.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Its status, and its body as text.
    pub(crate) fn told(&self) -> (u16, String) {
        (self.status, String::from_utf8_lossy(&self.body).into_owned())
    }
}

/// A request for `/init` or `/run`, with these headers besides, each with its line feed.
pub(crate) fn request(path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\n{headers}content-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// Reads a reply that tells its length; `None` when the connection ends before.
pub(crate) async fn reply(stream: &mut (impl AsyncRead + Unpin)) -> Option<Reply> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).ok()?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let mut reply = Reply { status, head, body: Vec::new() };
    let length = reply.header("content-length").expect("a length").parse().ok()?;
    reply.body = vec![0; length];
    stream.read_exact(&mut reply.body).await.ok()?;
    Some(reply)
}

/// Sends this and reads the reply.
pub(crate) async fn exchange(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), sent: &[u8]) -> Reply {
    stream.write_all(sent).await.unwrap();
    reply(stream).await.expect("a reply")
}

/// Posts JSON and reads the reply.
pub(crate) async fn post(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    path: &str,
    body: &Value,
) -> Reply {
    exchange(stream, &request(path, "content-type: application/json\r\n", body.to_string().as_bytes())).await
}
