//! The socket where the host makes the HTTP requests of actions.

use std::path::PathBuf;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::action::BoxFuture;
use crate::error::{Error, ErrorKind};
use crate::http::{
    HttpClient, HttpRequest, HttpResponse, MAX_BODY, MAX_HEAD, decode_response, encode_request,
};

/// The largest response in its encoding: a body, and a head that may take four bytes for each.
const LARGEST: u64 = (MAX_BODY + 4 * MAX_HEAD + 1) as u64;

/// Has the host make requests, on a connection for each.
pub(super) struct Egress(pub(super) PathBuf);

impl HttpClient for Egress {
    fn send(&self, request: HttpRequest) -> BoxFuture<'static, Result<HttpResponse, Error>> {
        let path = self.0.clone();
        Box::pin(async move {
            let lost = |error: std::io::Error| {
                Error::new(ErrorKind::Unavailable, "the host that makes requests is gone").with_source(error)
            };
            decode_response(exchange(path, &encode_request(&request)).await.map_err(lost)?)
        })
    }
}

/// Sends a request and reads the response, each after its length in eight bytes, least significant first.
async fn exchange(path: PathBuf, request: &[u8]) -> std::io::Result<Bytes> {
    let mut stream = UnixStream::connect(path).await?;
    stream.write_u64_le(request.len() as u64).await?;
    stream.write_all(request).await?;
    let length = stream.read_u64_le().await?;
    let mut response = Vec::new();
    stream.take(length.min(LARGEST)).read_to_end(&mut response).await?;
    if response.len() as u64 != length {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    Ok(response.into())
}
