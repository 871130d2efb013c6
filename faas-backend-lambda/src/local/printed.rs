//! What the program of an environment prints.
//!
//! A function answers with the log of its activation. What it printed matters only where it did not answer.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use faas_core::log::{LineSplitter, LogBuffer, LogLine, MAX_LINES, RawLine, Stream, read_label};
use faas_core::{ActivationId, Timestamp};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::watch;
use tokio::time::timeout;

/// How long the rest of what a program printed that has ended is waited for: processes that it started may hold on to
/// its output. Arbitrary.
const PATIENCE: Duration = Duration::from_millis(200);

/// How much is read at once. Arbitrary: what a pipe holds.
const CHUNK: usize = 64 << 10;

pub(super) struct Printed {
    kept: Mutex<Kept>,
    /// How many streams have not ended.
    open: watch::Sender<usize>,
}

#[derive(Default)]
struct Kept {
    activation: Option<ActivationId>,
    limit: u64,
    lines: Vec<LogLine>,
    /// How many bytes more are kept: twice what the log holds, so that it is seen there that it is too small.
    room: usize,
}

impl Printed {
    pub(super) fn new() -> Self {
        Self { kept: Mutex::default(), open: watch::Sender::new(0) }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what an activation prints from now on, and forgets what was there.
    pub(super) fn begin(&self, activation: ActivationId, limit: u64) {
        let room = usize::try_from(limit).unwrap_or(usize::MAX).saturating_mul(2).saturating_add(1024);
        *self.lock() = Kept { activation: Some(activation), limit, lines: Vec::new(), room };
    }

    /// Forgets what was printed, and keeps no more.
    pub(super) fn end(&self) {
        *self.lock() = Kept::default();
    }

    /// Counts a stream in that is to be read.
    pub(super) fn opened(&self) {
        self.open.send_modify(|open| *open += 1);
    }

    /// Reads a stream to its end.
    pub(super) async fn read(&self, mut from: impl AsyncRead + Unpin, stream: Stream) {
        let mut splitter = LineSplitter::default();
        let mut chunk = vec![0; CHUNK];
        while let Ok(length @ 1..) = from.read(&mut chunk).await {
            let mut rest = &chunk[..length];
            let mut kept = self.lock();
            while !rest.is_empty() {
                let (line, after) = splitter.take(rest, kept.room);
                if let Some(line) = line {
                    kept.take(stream, &line);
                }
                rest = after;
            }
        }
        if let Some(line) = splitter.end() {
            self.lock().take(stream, &line);
        }
        self.open.send_modify(|open| *open -= 1);
    }

    /// The log of the activation whose program has ended.
    pub(super) async fn rest(&self) -> Vec<LogLine> {
        let _ = timeout(PATIENCE, self.open.subscribe().wait_for(|open| *open == 0)).await;
        let Kept { mut lines, limit, .. } = std::mem::take(&mut *self.lock());
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

impl Kept {
    /// Keeps a line of the activation, or of nobody in particular.
    fn take(&mut self, stream: Stream, line: &RawLine) {
        if self.activation.is_none() || self.lines.len() >= 2 * MAX_LINES {
            return;
        }
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
}
