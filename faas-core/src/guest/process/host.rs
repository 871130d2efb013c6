//! The host as a program of its own has it: its own clock, and the seed that each run brings.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::output::Output;
use crate::action::BoxFuture;
use crate::activation::ActivationId;
use crate::context::Host;
use crate::error::{Error, ErrorKind};
use crate::http::{HttpClient, HttpRequest, HttpResponse};
use crate::log::LogLine;
use crate::units::Timestamp;

pub(in crate::guest) struct ProcessHost {
    output: &'static Output,
    started: Instant,
    /// The state of the generator of random numbers.
    random: AtomicU64,
    /// Who makes requests, if anybody does.
    client: Option<Arc<dyn HttpClient>>,
}

impl ProcessHost {
    pub(in crate::guest) fn new(output: &'static Output, client: Option<Arc<dyn HttpClient>>) -> Self {
        let random = AtomicU64::new(RandomState::new().hash_one(std::process::id()));
        Self { output, started: Instant::now(), random, client }
    }

    /// Has random numbers made of this seed from now on.
    pub(in crate::guest) fn seed(&self, seed: u64) {
        self.random.store(seed, Ordering::Relaxed);
    }
}

impl Host for ProcessHost {
    #[expect(clippy::disallowed_methods, reason = "the clock of a program of its own is the machine's")]
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
        match &self.client {
            Some(client) => client.send(request),
            None => {
                let error = Error::new(ErrorKind::Unsupported, "this host makes no HTTP requests");
                Box::pin(std::future::ready(Err(error)))
            }
        }
    }

    fn settle(&self, end: bool) {
        self.output.settle(end);
    }

    fn echo(&self, activation: ActivationId, line: &LogLine) {
        self.output.show(activation, line);
    }
}
