//! The host as a guest sees it: what one instance may use, and what it gave.

pub(crate) mod abi;
mod http;
pub(crate) mod limiter;
pub(crate) mod misuse;
mod output;
mod wasi;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use faas_core::context::Emitted;
use faas_core::guest::wasi::HEADER;
use faas_core::guest::wasi::Reply as ReplyKind;
use faas_core::http::HttpClient;
use faas_core::log::{LogLine, RawLine, Stream, number_of_level};
use faas_core::{ActionSpec, ActivationId, Entropy, Error, Invocation, Payload, Timestamp};
use tokio::time::Instant;
use tracing::level_filters::LevelFilter;
use wasmtime::Memory;
use wasmtime_wasi::p1::WasiP1Ctx;

use self::http::Requests;
pub(crate) use self::output::Output;
use crate::config::WasmConfig;
use crate::deployed::Deployed;
use crate::module::{Artifact, Source};

/// What all instances of a backend share.
pub(crate) struct World {
    pub(crate) config: WasmConfig,
    entropy: OnceLock<Arc<Entropy>>,
    /// The client that was given, or the default one once somebody makes a request.
    http: OnceLock<Option<Arc<dyn HttpClient>>>,
}

impl World {
    pub(crate) fn new(config: WasmConfig, client: Option<Arc<dyn HttpClient>>) -> Self {
        let http = client.map_or_else(OnceLock::new, |client| OnceLock::from(Some(client)));
        Self { config, entropy: OnceLock::new(), http }
    }

    fn http(&self) -> Option<&Arc<dyn HttpClient>> {
        self.http.get_or_init(http::default_client).as_ref()
    }

    pub(crate) fn attach(&self, entropy: &Arc<Entropy>) {
        self.entropy.get_or_init(|| Arc::clone(entropy));
    }

    pub(crate) fn entropy(&self) -> &Arc<Entropy> {
        self.entropy.get_or_init(Arc::default)
    }
}

/// The data of a store: one instance, and the call that it is in.
pub(crate) struct HostState {
    pub(crate) action: Arc<Deployed>,
    /// Known once the instance is there.
    pub(crate) memory: Option<Memory>,
    call: Call,
    output: Output,
    reply: Option<Reply>,
    emitted: Vec<Emitted>,
    /// The bytes of what was emitted.
    emitted_bytes: u64,
    pub(crate) exhausted: bool,
    /// Set when the guest was interrupted because its time is over.
    pub(crate) late: bool,
    wasi: Option<Box<WasiP1Ctx>>,
    requests: Option<Box<Requests>>,
}

/// What the guest is told of the call that it is in.
struct Call {
    id: ActivationId,
    attempt: u32,
    log_level: LevelFilter,
    deadline: Instant,
    input: Payload,
}

/// What the guest replied; the last reply counts.
pub(crate) struct Reply {
    pub(crate) kind: ReplyKind,
    /// Its beginning: all of it, unless it is longer than it may be.
    pub(crate) bytes: Vec<u8>,
    /// How long it was.
    pub(crate) length: usize,
}

/// What is left of a call that has ended.
pub(crate) struct Ended {
    pub(crate) reply: Option<Reply>,
    pub(crate) logs: Vec<LogLine>,
    pub(crate) emitted: Vec<Emitted>,
    /// What a command printed last.
    pub(crate) last_line: Option<RawLine>,
}

impl HostState {
    /// The state of a new instance, which has until `deadline` to initialise.
    pub(crate) fn new(action: Arc<Deployed>, deadline: Instant) -> Self {
        let output = Output::new(action.spec.limits.logs);
        let call = Call {
            id: ActivationId::from_u128(0),
            attempt: 1,
            log_level: LevelFilter::OFF,
            deadline,
            input: Payload::empty(),
        };
        Self {
            action,
            memory: None,
            call,
            output,
            reply: None,
            emitted: Vec::new(),
            emitted_bytes: 0,
            exhausted: false,
            late: false,
            wasi: None,
            requests: None,
        }
    }

    /// The state of an instance that belongs to no action.
    pub(crate) fn of_nobody() -> Result<Self, Error> {
        let spec = Arc::new(ActionSpec::new("nobody")?);
        let world = Arc::new(World::new(WasmConfig::default(), None));
        let artifact = Arc::new(Artifact::new(Source::Bytes(Bytes::new()), None));
        Ok(Self::new(Arc::new(Deployed::new(spec, world, artifact, 0)?), Instant::now()))
    }

    /// Begins a run.
    pub(crate) fn begin(&mut self, invocation: &Invocation, deadline: Instant) {
        self.call = Call {
            id: invocation.id,
            attempt: invocation.attempt,
            log_level: invocation.log_level,
            deadline,
            input: invocation.payload.clone(),
        };
    }

    /// Ends a run, or an initialisation.
    pub(crate) fn end(&mut self) -> Ended {
        let (logs, last_line) = self.output.finish(self.wall(), self.action.is_command());
        self.output.restart(self.action.spec.limits.logs);
        self.call.input = Payload::empty();
        self.emitted_bytes = 0;
        // A reused instance begins its next call without them.
        self.requests = None;
        self.wasi = None;
        let (reply, emitted) = (self.reply.take(), std::mem::take(&mut self.emitted));
        Ended { reply, logs, emitted, last_line }
    }

    /// Takes the reply of an initialisation, if there is one; what it logged stays for the first run.
    pub(crate) fn take_reply(&mut self) -> Option<Reply> {
        self.reply.take()
    }

    /// When the time of the call that it is in is over.
    pub(crate) fn deadline(&self) -> Instant {
        self.call.deadline
    }

    pub(crate) fn input(&self) -> &Payload {
        &self.call.input
    }

    pub(crate) fn id(&self) -> ActivationId {
        self.call.id
    }

    pub(crate) fn entropy(&self) -> &Arc<Entropy> {
        self.action.world.entropy()
    }

    fn wall(&self) -> Timestamp {
        self.entropy().wall_clock()
    }

    fn monotonic(&self) -> Duration {
        self.entropy().since_base(Instant::now())
    }

    /// Adds a line of the platform's to the log.
    pub(crate) fn notice(&self, text: &str) {
        self.output.log(self.wall(), Stream::Stderr, text);
    }

    /// The header of the call, as `ABI.md` lays it out.
    fn header(&self) -> [u8; HEADER] {
        let limits = &self.action.spec.limits;
        let level = u32::from(number_of_level(self.call.log_level));
        let length = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let mut header = [0; HEADER];
        let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &self.call.id.as_u128().to_be_bytes());
        put(16, &self.action.index.to_le_bytes());
        put(20, &self.call.attempt.to_le_bytes());
        put(24, &level.to_le_bytes());
        put(28, &length(self.call.input.len()).to_le_bytes());
        put(32, &nanos(self.entropy().since_base(self.call.deadline)).to_le_bytes());
        put(40, &nanos(limits.timeout).to_le_bytes());
        put(48, &limits.logs.to_le_bytes());
        put(56, &limits.memory.mib().to_le_bytes());
        put(60, &length(self.action.encoded_spec().len()).to_le_bytes());
        header
    }
}
