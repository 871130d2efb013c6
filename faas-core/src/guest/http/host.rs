//! The host as a program in a container has it: its own clock, the seed that each run brings, and the socket where
//! HTTP requests are made.

use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::Instant;

use super::output::Output;
use crate::action::BoxFuture;
use crate::activation::ActivationId;
use crate::context::Host;
use crate::error::{Error, ErrorKind};
use crate::http::{HttpRequest, HttpResponse, MAX_BODY, MAX_HEAD, decode_response, encode_request};
use crate::log::LogLine;
use crate::units::Timestamp;

/// The largest response in its encoding: a body, and a head that may take four bytes for each.
const LARGEST: u64 = (MAX_BODY + 4 * MAX_HEAD + 1) as u64;

pub(super) struct GuestHost {
    output: &'static Output,
    started: Instant,
    /// The state of the generator of random numbers.
    random: AtomicU64,
    /// The socket where the host makes requests, if it does.
    egress: Option<PathBuf>,
}

impl GuestHost {
    pub(super) fn new(output: &'static Output, egress: Option<PathBuf>) -> Self {
        let random = AtomicU64::new(RandomState::new().hash_one(std::process::id()));
        Self { output, started: Instant::now(), random, egress }
    }

    /// Has random numbers made of this seed from now on.
    pub(super) fn seed(&self, seed: u64) {
        self.random.store(seed, Ordering::Relaxed);
    }
}

impl Host for GuestHost {
    #[expect(clippy::disallowed_methods, reason = "a container's clock is the machine's")]
    fn wall(&self) -> Timestamp {
        SystemTime::now().into()
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }

    /// Source: SplitMix64, by Guy Steele, Doug Lea and Christine Flood, "Fast splittable pseudorandom number
    /// generators", 2014.
    fn random(&self) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut z = self.random.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn http(&self, request: HttpRequest) -> BoxFuture<'static, Result<HttpResponse, Error>> {
        let Some(path) = self.egress.clone() else {
            let error = Error::new(ErrorKind::Unsupported, "this host makes no HTTP requests");
            return Box::pin(std::future::ready(Err(error)));
        };
        Box::pin(async move {
            let lost = |error: std::io::Error| {
                Error::new(ErrorKind::Unavailable, "the host that makes requests is gone").with_source(error)
            };
            decode_response(exchange(path, &encode_request(&request)).await.map_err(lost)?)
        })
    }

    fn settle(&self, end: bool) {
        self.output.settle(end);
    }

    fn echo(&self, activation: ActivationId, line: &LogLine) {
        self.output.show(activation, line);
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
