//! What the program of an environment prints.
//!
//! A function answers with the log of its activation. What it printed matters only where it did not answer.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use faas_core::guest::NO_ACTIVATION;
use faas_core::log::{LineSplitter, LogBuffer, LogLine, MAX_LINES, RawLine, Stream, read_label};
use faas_core::{ActivationId, Timestamp};
use tokio::net::unix::pipe;
use tokio::sync::watch;
use tokio::time::timeout;

/// How long the rest of what a program printed that has ended is waited for: processes that it started may hold on to
/// its output. Arbitrary.
pub(super) const PATIENCE: Duration = Duration::from_millis(200);

/// How much is read at once. Arbitrary: what a pipe holds.
const CHUNK: usize = 64 << 10;

/// How often that is read at once, so that a program that prints without a pause does not hold its host up. Arbitrary.
const CHUNKS: usize = 16;

pub(super) struct Printed {
    /// Standard output and standard error, in this order.
    pipes: [Arc<pipe::Receiver>; 2],
    kept: Mutex<Kept>,
    /// How many of the streams have not ended.
    open: watch::Sender<usize>,
}

struct Kept {
    lines: [LineSplitter; 2],
    log: Log,
    chunk: Vec<u8>,
}

/// The log of the activation that runs, if one does.
#[derive(Default)]
struct Log {
    activation: Option<ActivationId>,
    limit: u64,
    lines: Vec<LogLine>,
    /// How many bytes more are kept: twice what the log holds, so that it is seen there that it is too small.
    room: usize,
}

impl Printed {
    /// What is printed to these pipes, at first by an initialisation.
    pub(super) fn new(stdout: OwnedFd, stderr: OwnedFd, limit: u64) -> io::Result<Self> {
        let pipe = |pipe| pipe::Receiver::from_owned_fd(pipe).map(Arc::new);
        let kept =
            Kept { lines: Default::default(), log: Log::of(NO_ACTIVATION, limit), chunk: vec![0; CHUNK] };
        Ok(Self {
            pipes: [pipe(stdout)?, pipe(stderr)?],
            kept: Mutex::new(kept),
            open: watch::Sender::new(2),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what an activation prints from now on, and forgets what was printed before.
    pub(super) fn begin(&self, activation: ActivationId, limit: u64) {
        let mut kept = self.lock();
        kept.log = Log::default();
        self.read(&mut kept);
        kept.lines = Default::default();
        kept.log = Log::of(activation, limit);
    }

    /// Forgets what was printed, and keeps no more.
    pub(super) fn end(&self) {
        self.lock().log = Log::default();
    }

    /// Reads both streams as they come, to their ends.
    pub(super) async fn follow(&self) {
        tokio::join!(self.follow_one(0), self.follow_one(1));
    }

    async fn follow_one(&self, n: usize) {
        while self.pipes[n].readable().await.is_ok() {
            let mut kept = self.lock();
            let Kept { chunk, .. } = &mut *kept;
            match self.pipes[n].try_read(chunk) {
                Ok(0) => break,
                Ok(length) => kept.take(n, length),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => break,
            }
        }
        self.open.send_modify(|open| *open -= 1);
    }

    /// Reads what is in the pipes now, whether or not anybody was told that there is something.
    fn read(&self, kept: &mut Kept) {
        for (n, pipe) in self.pipes.iter().enumerate() {
            for _ in 0..CHUNKS {
                let Ok(length @ 1..) = rustix::io::read(pipe, &mut kept.chunk) else { break };
                kept.take(n, length);
            }
        }
    }

    /// The log of the activation so far; no more of it is kept.
    pub(super) fn so_far(&self) -> Vec<LogLine> {
        let mut kept = self.lock();
        self.read(&mut kept);
        for n in [0, 1] {
            if let Some(line) = kept.lines[n].end() {
                kept.log.add(n, &line);
            }
        }
        std::mem::take(&mut kept.log).into_lines()
    }

    /// The log of the activation whose program has ended.
    pub(super) async fn rest(&self) -> Vec<LogLine> {
        let _ = timeout(PATIENCE, self.open.subscribe().wait_for(|open| *open == 0)).await;
        self.so_far()
    }
}

impl Kept {
    /// Takes what was read of a stream into the chunk.
    fn take(&mut self, n: usize, length: usize) {
        let Self { lines, log, chunk } = self;
        let mut rest = &chunk[..length];
        while !rest.is_empty() {
            let (line, after) = lines[n].take(rest, log.room);
            if let Some(line) = line {
                log.add(n, &line);
            }
            rest = after;
        }
    }
}

impl Log {
    fn of(activation: ActivationId, limit: u64) -> Self {
        let room = usize::try_from(limit).unwrap_or(usize::MAX).saturating_mul(2).saturating_add(1024);
        Self { activation: Some(activation), limit, lines: Vec::new(), room }
    }

    /// Keeps a line of the activation, or of nobody in particular.
    fn add(&mut self, n: usize, line: &RawLine) {
        if self.activation.is_none() || self.lines.len() >= 2 * MAX_LINES {
            return;
        }
        let stream = [Stream::Stdout, Stream::Stderr][n];
        let text = String::from_utf8_lossy(&line.bytes);
        let (at, text) = match read_label(&text) {
            Some((activation, at, text)) if Some(activation) == self.activation => (at, text),
            Some(_) => return,
            None => (Timestamp::from(SystemTime::now()), &*text),
        };
        if let Some(room) = self.room.checked_sub(text.len()) {
            self.room = room;
            self.lines.push(LogLine { at, stream, text: text.to_owned() });
        }
    }

    fn into_lines(self) -> Vec<LogLine> {
        let Self { mut lines, limit, .. } = self;
        // The two streams are read one beside the other. A line that is cut and the notice that follows it on standard
        // error are of the same time.
        lines.sort_by_key(|line| (line.at, line.stream == Stream::Stderr));
        let mut log = LogBuffer::new(limit);
        for line in lines {
            log.push(line.at, line.stream, &line.text);
        }
        log.into_lines()
    }
}
