//! What a guest writes: lines of its log, and the result of a command.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use async_trait::async_trait;
use bytes::Bytes;
use faas_core::log::{LineSplitter, LogBuffer, LogLine, RawLine, Stream};
use faas_core::outcome::MAX_RESULT;
use faas_core::{Entropy, Timestamp};
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

/// The output of one activation, shared with the streams that the guest writes to.
#[derive(Clone)]
pub(crate) struct Output(Arc<Mutex<Lines>>);

struct Lines {
    logs: LogBuffer,
    stdout: LineSplitter,
    stderr: LineSplitter,
    /// Of a command: the last line of its standard output so far, which is no log line.
    last: Option<Held>,
}

/// A whole line that is held back.
struct Held {
    line: RawLine,
    at: Timestamp,
}

/// A line that is no longer than this is kept whole where it may be a result.
const LONGEST: usize = MAX_RESULT + 1;

/// How much a guest writes at once: what is copied out of its memory before any of it is dropped. Arbitrary.
const CHUNK: usize = 64 << 10;

impl Output {
    pub(crate) fn new(log_limit: u64) -> Self {
        Self(Arc::new(Mutex::new(Lines {
            logs: LogBuffer::new(log_limit),
            stdout: LineSplitter::default(),
            stderr: LineSplitter::default(),
            last: None,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many bytes of a line are worth reading: a little more than still fit.
    pub(crate) fn room(&self) -> usize {
        usize::try_from(self.lock().logs.left()).unwrap_or(usize::MAX).saturating_add(4)
    }

    /// Adds a line of the log.
    pub(crate) fn log(&self, at: Timestamp, stream: Stream, text: &str) {
        self.lock().logs.push(at, stream, text);
    }

    /// Ends the activation: unfinished lines are lines. The last line of a command's output is its result.
    pub(crate) fn finish(&self, at: Timestamp, command: bool) -> (Vec<LogLine>, Option<RawLine>) {
        let mut lines = self.lock();
        lines.end(Stream::Stdout, at, command);
        lines.end(Stream::Stderr, at, command);
        let last = lines.last.take().map(|held| held.line);
        let logs = std::mem::replace(&mut lines.logs, LogBuffer::new(0));
        drop(lines);
        (logs.into_lines(), last)
    }

    /// Starts the log of the next activation.
    pub(crate) fn restart(&self, log_limit: u64) {
        self.lock().logs = LogBuffer::new(log_limit);
    }

    /// What a guest writes to as one of its standard streams.
    pub(crate) fn pipe(&self, stream: Stream, entropy: &Arc<Entropy>, command: bool) -> Pipe {
        Pipe { output: self.clone(), stream, entropy: Arc::clone(entropy), command }
    }
}

impl Lines {
    fn splitter(&mut self, stream: Stream) -> &mut LineSplitter {
        match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        }
    }

    fn write(&mut self, stream: Stream, bytes: &[u8], at: Timestamp, command: bool) {
        let holds = command && stream == Stream::Stdout;
        let mut rest = bytes;
        while !rest.is_empty() {
            let left = usize::try_from(self.logs.left()).unwrap_or(usize::MAX).saturating_add(4);
            let most = if holds { left.max(LONGEST) } else { left };
            let (line, after) = self.splitter(stream).take(rest, most);
            if let Some(line) = line {
                self.complete(stream, at, line, holds);
            }
            rest = after;
        }
    }

    /// Takes a line that has ended.
    fn complete(&mut self, stream: Stream, at: Timestamp, line: RawLine, holds: bool) {
        if !holds {
            return self.push(stream, at, &line.bytes);
        }
        // Empty lines at the end are no result, and may not hide it.
        if line.bytes.is_empty() && self.last.is_some() {
            return;
        }
        if let Some(before) = self.last.replace(Held { line, at }) {
            self.push(Stream::Stdout, before.at, &before.line.bytes);
        }
    }

    fn end(&mut self, stream: Stream, at: Timestamp, command: bool) {
        if let Some(line) = self.splitter(stream).end() {
            self.complete(stream, at, line, command && stream == Stream::Stdout);
        }
    }

    fn push(&mut self, stream: Stream, at: Timestamp, bytes: &[u8]) {
        self.logs.push(at, stream, &String::from_utf8_lossy(bytes));
    }
}

/// One of a guest's standard streams.
#[derive(Clone)]
pub(crate) struct Pipe {
    output: Output,
    stream: Stream,
    entropy: Arc<Entropy>,
    command: bool,
}

impl IsTerminal for Pipe {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Pipe {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    // The default writes from a task of its own, which could come after the end of the activation.
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[async_trait]
impl OutputStream for Pipe {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.take(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(CHUNK)
    }
}

#[async_trait]
impl Pollable for Pipe {
    async fn ready(&mut self) {}
}

impl Pipe {
    fn take(&self, bytes: &[u8]) {
        self.output.lock().write(self.stream, bytes, self.entropy.wall_clock(), self.command);
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.take(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
