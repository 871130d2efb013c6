//! What the program prints: lines of the log of the activation that runs, shown outside as they come.
//!
//! Standard output and standard error become pipes that this program reads itself, so that what user code prints
//! past `tracing` travels with the reply. A thread reads them while user code runs; whoever adds a line or ends an
//! activation reads what has come so far, so that nothing is late.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::stdio::{dup2_stderr, dup2_stdout};

use crate::activation::ActivationId;
use crate::context::ContextInner;
use crate::log::{LineSplitter, LogLine, RawLine, Stream, label};

/// How much is read at once. Arbitrary: what a pipe holds.
const CHUNK: usize = 64 << 10;

/// The most of a line that is kept while no activation runs whose limit would tell. Arbitrary.
const LONGEST: usize = 16 << 10;

/// The program's output. There is one.
pub(in crate::guest) struct Output {
    /// What standard output and standard error were, in this order.
    outside: [File; 2],
    inside: Mutex<Inside>,
    /// Whether lines are shown with the activation that they belong to: the host asked for envelopes.
    labelled: OnceLock<()>,
}

struct Inside {
    sources: [Source; 2],
    running: Vec<Arc<ContextInner>>,
}

/// One of the pipes.
struct Source {
    pipe: File,
    stream: Stream,
    line: LineSplitter,
}

/// The descriptors that the program reads its output from and shows it on, by pairs.
pub(in crate::guest) type Descriptors = [(RawFd, RawFd); 2];

/// How often the lock is tried by who ends the program. Arbitrary: it is held for as long as it takes to read a pipe.
const TRIES: u32 = 1000;

impl Output {
    /// Takes standard output and standard error over, and begins to read them.
    pub(in crate::guest) fn take() -> io::Result<&'static Self> {
        static OUTPUT: OnceLock<Output> = OnceLock::new();
        let outside =
            [File::from(rustix::io::dup(io::stdout())?), File::from(rustix::io::dup(io::stderr())?)];
        for file in &outside {
            rustix::io::fcntl_setfd(file, rustix::io::FdFlags::CLOEXEC)?;
        }
        let (stdout, stderr) = (pipe()?, pipe()?);
        dup2_stdout(&stdout.1)?;
        dup2_stderr(&stderr.1)?;
        let source =
            |pipe: OwnedFd, stream| Source { pipe: pipe.into(), stream, line: LineSplitter::default() };
        let sources = [source(stdout.0, Stream::Stdout), source(stderr.0, Stream::Stderr)];
        let inside = Mutex::new(Inside { sources, running: Vec::new() });
        let output = OUTPUT.get_or_init(|| Self { outside, inside, labelled: OnceLock::new() });
        std::thread::Builder::new().name("output".to_owned()).spawn(|| output.follow())?;
        Ok(output)
    }

    /// Makes standard output and standard error again what they were, for the program that follows this one.
    #[cfg(feature = "guest-lambda")]
    pub(in crate::guest) fn give_back(&self) -> io::Result<()> {
        dup2_stdout(&self.outside[0])?;
        dup2_stderr(&self.outside[1])?;
        Ok(())
    }

    pub(in crate::guest) fn descriptors(&self) -> Descriptors {
        let inside = self.lock();
        [0, 1].map(|n: usize| (inside.sources[n].pipe.as_raw_fd(), self.outside[n].as_raw_fd()))
    }

    /// Calls `show` with what was read of a line and not shown yet, for each stream, while nobody reads more. A signal
    /// handler may call it: it allocates nothing, and whoever does not release the lock is not waited for.
    pub(in crate::guest) fn unshown(&self, show: impl Fn(usize, &[u8])) {
        let inside = (0..TRIES).find_map(|_| match self.inside.try_lock() {
            Ok(inside) => Some(inside),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => {
                std::thread::yield_now();
                None
            }
        });
        for n in [0, 1] {
            show(n, inside.as_ref().map_or(&[], |inside| inside.sources[n].line.begun()));
        }
    }

    /// Has lines shown with the activation that they belong to from now on.
    pub(in crate::guest) fn label(&self) {
        let _ = self.labelled.set(());
    }

    /// Counts an activation in: what is printed from now on is its own, unless others run beside it.
    pub(in crate::guest) fn begin(&'static self, activation: Arc<ContextInner>) -> Began {
        let mut inside = self.lock();
        self.read(&mut inside);
        inside.running.push(Arc::clone(&activation));
        Began { output: self, activation }
    }

    /// Has what was printed so far reach the log; at the `end` of an activation also a line that has no end.
    pub(in crate::guest) fn settle(&self, end: bool) {
        let mut inside = self.lock();
        self.read(&mut inside);
        if end {
            for n in [0, 1] {
                if let Some(line) = inside.sources[n].line.end() {
                    self.deliver(&inside.running, inside.sources[n].stream, &line);
                }
            }
        }
    }

    /// Shows a line of an activation outside.
    pub(in crate::guest) fn show(&self, activation: ActivationId, line: &LogLine) {
        let text = match self.labelled.get() {
            Some(()) => format!("{}\n", label(activation, line)),
            None => format!("{}\n", line.text),
        };
        self.write(line.stream, text.as_bytes());
    }

    /// Shows what belongs to no activation.
    pub(in crate::guest) fn write(&self, stream: Stream, bytes: &[u8]) {
        let mut file = match stream {
            Stream::Stdout => &self.outside[0],
            Stream::Stderr => &self.outside[1],
        };
        // Nobody may listen any more, which is no reason to fail an action.
        let _ = file.write_all(bytes);
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads whatever comes, for as long as the program runs.
    fn follow(&self) {
        let pipes: Vec<File> =
            self.lock().sources.iter().filter_map(|source| source.pipe.try_clone().ok()).collect();
        loop {
            let mut waiting: Vec<PollFd<'_>> =
                pipes.iter().map(|pipe| PollFd::new(pipe, PollFlags::IN)).collect();
            match poll(&mut waiting, None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => self.read(&mut self.lock()),
                Err(_) => return,
            }
        }
    }

    /// Reads what both pipes have.
    fn read(&self, inside: &mut Inside) {
        let Inside { sources, running } = inside;
        for source in sources {
            // Mostly there is nothing to read, so the large buffer is made when there is much.
            let mut chunk = [0; 512];
            let mut long = Vec::new();
            loop {
                let buffer = if long.is_empty() { &mut chunk[..] } else { &mut long[..] };
                let Ok(length) = source.pipe.read(buffer) else { break };
                if length == 0 {
                    break;
                }
                let full = length == buffer.len();
                let mut rest = &buffer[..length];
                while !rest.is_empty() {
                    let room = room(running);
                    let (ended, after) = source.line.take(rest, room);
                    let line = match ended {
                        // One that is too long already is not waited for: nobody may live to see its end.
                        None if source.line.begun().len() >= room => source.line.end(),
                        ended => ended,
                    };
                    if let Some(line) = line {
                        self.deliver(running, source.stream, &line);
                    }
                    rest = after;
                }
                if full && long.is_empty() {
                    long = vec![0; CHUNK];
                }
            }
        }
    }

    /// Adds a line to the log of the one activation that runs. One that several may have printed, or none, is shown
    /// outside as it is.
    fn deliver(&self, running: &[Arc<ContextInner>], stream: Stream, line: &RawLine) {
        let text = String::from_utf8_lossy(&line.bytes);
        let is_taken = match running {
            [one] => one.add_line(stream, &text),
            _ => false,
        };
        if !is_taken {
            self.write(stream, format!("{text}\n").as_bytes());
        }
    }
}

/// How much of a line is worth keeping: a little more than still fits into the log.
fn room(running: &[Arc<ContextInner>]) -> usize {
    match running {
        [one] => usize::try_from(one.out().logs.left()).unwrap_or(usize::MAX).saturating_add(4),
        _ => LONGEST,
    }
}

/// An activation that is counted in. Dropping it counts it out.
pub(in crate::guest) struct Began {
    output: &'static Output,
    activation: Arc<ContextInner>,
}

impl Drop for Began {
    fn drop(&mut self) {
        self.output.lock().running.retain(|running| !Arc::ptr_eq(running, &self.activation));
    }
}

/// A pipe: what is read from does not wait, what is written to does.
fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (from, into) = pipe_with(PipeFlags::CLOEXEC)?;
    let flags = fcntl_getfl(&from)?;
    fcntl_setfl(&from, flags | OFlags::NONBLOCK)?;
    Ok((from, into))
}
