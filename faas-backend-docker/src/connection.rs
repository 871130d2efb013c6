//! A connection to the HTTP server within a container.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, HOST};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::either::Either;

/// Where the server of a container listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// A socket in a folder that is shared with the container.
    Unix(PathBuf),
    /// A port of the container.
    Tcp(SocketAddr),
    /// A port of this machine that leads there.
    Published(SocketAddr),
}

/// The most headers of a reply, and the most bytes that a connection holds before somebody takes them. Arbitrary.
const MAX_HEADERS: usize = 64;
const BUFFER: usize = 128 << 10;

/// A body up to this is copied out of the buffer that it was read into: a record that keeps a few bytes of it would keep
/// all of that buffer. Arbitrary: some times the least that is read at once.
const COPIED: usize = 32 << 10;

/// How long a server may take to answer when it is asked for nothing. Arbitrary.
const ASKED: Duration = Duration::from_secs(1);

type Socket = Either<UnixStream, TcpStream>;
type Driver = Pin<Box<http1::Connection<TokioIo<Socket>, Full<Bytes>>>>;

/// A connection. Whoever makes a request also drives it, so that it needs no task of its own.
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    /// `None` once it is closed.
    driver: Option<Driver>,
    /// The deadline of the last request. To move one is much cheaper than to make one.
    timer: Option<Pin<Box<Sleep>>>,
}

/// Why there is no reply.
#[derive(Debug)]
pub(crate) enum NoReply {
    /// It did not come in time.
    Late,
    /// The connection broke, or what came is no HTTP.
    Broken(hyper::Error),
}

impl fmt::Display for NoReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Late => f.write_str("no reply came in time"),
            Self::Broken(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for NoReply {}

/// A reply.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// Its body, or the beginning of one that is too long.
    pub(crate) body: Bytes,
    /// How long the body is said to be; `None` where the server does not say.
    pub(crate) length: Option<u64>,
}

impl Address {
    async fn connect(&self) -> io::Result<Socket> {
        match self {
            Self::Unix(path) => UnixStream::connect(path).await.map(Either::Left),
            Self::Tcp(address) | Self::Published(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                Ok(Either::Right(stream))
            }
        }
    }
}

impl Connection {
    pub(crate) async fn open(address: &Address) -> io::Result<Self> {
        let socket = TokioIo::new(address.connect().await?);
        let builder = http1::Builder::new().max_headers(MAX_HEADERS).max_buf_size(BUFFER).handshake(socket);
        let (sender, driver) = builder.await.map_err(io::Error::other)?;
        Ok(Self { sender, driver: Some(Box::pin(driver)), timer: None })
    }

    /// Opens the first connection to a server that may not listen yet.
    ///
    /// At a published port, the engine takes connections as soon as there is a container, and closes them while nobody
    /// listens within. There, the server is first asked for nothing; any answer will do, or none for a while.
    ///
    /// # Source
    /// RFC 9110, section 9.3.7: `OPTIONS *` is a no-op that any server answers.
    pub(crate) async fn first(address: &Address) -> io::Result<Self> {
        let mut connection = Self::open(address).await?;
        let Address::Published(_) = address else { return Ok(connection) };
        let mut request = Request::new(Full::default());
        *request.method_mut() = Method::OPTIONS;
        *request.uri_mut() = Uri::from_static("*");
        request.headers_mut().insert(HOST, HeaderValue::from_static("action"));
        match connection.request(request, 0, Some(ASKED)).await {
            Err(NoReply::Broken(error)) if !error.is_parse() => Err(io::Error::other(error)),
            Ok(_) | Err(_) => Self::open(address).await,
        }
    }

    /// Whether the server has left it open since the last request.
    pub(crate) fn is_open(&mut self) -> bool {
        self.drive(&mut Context::from_waker(std::task::Waker::noop()));
        self.driver.is_some() && !self.sender.is_closed()
    }

    /// Makes a request and reads at most `most` bytes of the reply's body, for no longer than `limit`.
    pub(crate) async fn request(
        &mut self,
        request: Request<Full<Bytes>>,
        most: usize,
        limit: Option<Duration>,
    ) -> Result<Received, NoReply> {
        let Self { sender, driver, timer } = self;
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        let mut exchange = pin!(async {
            sender.ready().await?;
            receive(sender.send_request(request).await?, most).await
        });
        let mut armed = false;
        std::future::poll_fn(|task| {
            // Whatever the exchange waits for, the driver does: to be woken for both would wake the task twice.
            let mut idle = Context::from_waker(std::task::Waker::noop());
            // The first poll hands the request to the driver, the last one takes what the driver has read.
            if let Poll::Ready(received) = exchange.as_mut().poll(&mut idle) {
                return Poll::Ready(received.map_err(NoReply::Broken));
            }
            drive(driver, task);
            if let Poll::Ready(received) = exchange.as_mut().poll(&mut idle) {
                return Poll::Ready(received.map_err(NoReply::Broken));
            }
            let Some(deadline) = deadline else { return Poll::Pending };
            let timer = timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
            if !std::mem::replace(&mut armed, true) {
                timer.as_mut().reset(deadline);
            }
            timer.as_mut().poll(task).map(|()| Err(NoReply::Late))
        })
        .await
    }

    fn drive(&mut self, task: &mut Context<'_>) {
        drive(&mut self.driver, task);
    }
}

/// Lets a connection go on, and forgets one that is closed.
fn drive(driver: &mut Option<Driver>, task: &mut Context<'_>) {
    if let Some(open) = driver
        && open.as_mut().poll(task).is_ready()
    {
        *driver = None;
    }
}

async fn receive(response: Response<Incoming>, most: usize) -> Result<Received, hyper::Error> {
    let (parts, mut body) = response.into_parts();
    let length = parts.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let mut first = Bytes::new();
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        match (first.is_empty(), whole.is_empty()) {
            (true, true) => first = data,
            (_, is_second) => {
                if is_second {
                    whole.extend_from_slice(&first);
                }
                whole.extend_from_slice(&data);
            }
        }
        if first.len().max(whole.len()) > most {
            break;
        }
    }
    let mut body = if whole.is_empty() { first } else { whole.freeze() };
    body.truncate(most);
    if body.len() <= COPIED {
        body = Bytes::copy_from_slice(&body);
    }
    Ok(Received { status: parts.status, headers: parts.headers, body, length })
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_published_port_is_reached_once_somebody_answers_behind_it() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap();
        let engine = tokio::spawn(async move {
            // Nobody listens in the container yet.
            drop(listener.accept().await.unwrap());
            let (mut caller, _) = listener.accept().await.unwrap();
            let mut asked = [0; 64];
            let count = caller.read(&mut asked).await.unwrap();
            caller.write_all(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n").await.unwrap();
            let next = listener.accept().await.unwrap();
            (String::from_utf8_lossy(&asked[..count]).into_owned(), next)
        });
        assert!(Connection::first(&Address::Published(port)).await.is_err());
        let mut connection = Connection::first(&Address::Published(port)).await.unwrap();
        let (asked, _next) = engine.await.unwrap();
        assert!(asked.starts_with("OPTIONS * HTTP/1.1\r\n"), "{asked}");
        assert!(connection.is_open());
    }
}
