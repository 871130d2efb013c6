//! What containers print, made into lines of the logs of activations.

use std::time::Duration;

use faas_core::guest::http::SENTINEL;
use faas_core::log::{LineSplitter, LogBuffer, LogLine, RawLine, Stream};
use faas_core::{Error, Outcome, Status, Timestamp};
use futures_util::{Stream as Frames, StreamExt};
use tokio::time::{Instant, timeout, timeout_at};

use crate::engine::LogFrame;

/// The most that is kept of a line. Arbitrary: a little more than the largest log.
const LONGEST: usize = (10 << 20) + 4;

/// The notices of OpenWhisk where something of the output is missing.
const INCOMPLETE: &str = "There was an issue while collecting your logs. Data might be missing.";
pub(crate) const FAILED: &str =
    "The action did not initialize or run as expected. Log data might be missing.";

/// How long a stream may be silent before its end is no longer waited for. Source: OpenWhisk.
const IDLE: Duration = Duration::from_secs(2);

/// How long output that has no mark at its end is waited for. Arbitrary: what the engine takes to pass it on.
const UNMARKED_IDLE: Duration = Duration::from_millis(100);

/// The lines of both streams of a container, each with the time when its beginning came.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    stdout: Partial,
    stderr: Partial,
}

#[derive(Debug, Default)]
struct Partial {
    splitter: LineSplitter,
    /// When the line began that has not ended.
    began: Option<Timestamp>,
}

/// A line of a container's output.
#[derive(Debug)]
pub(crate) struct Line {
    /// When it began.
    pub(crate) at: Timestamp,
    /// When it ended.
    pub(crate) ended: Timestamp,
    pub(crate) stream: Stream,
    pub(crate) text: String,
}

impl Lines {
    /// Takes a piece of output, and hands over the lines that it ends.
    pub(crate) fn take(&mut self, frame: &LogFrame, mut each: impl FnMut(Line)) {
        let partial = match frame.stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        };
        let mut rest = &frame.bytes[..];
        while !rest.is_empty() {
            let began = *partial.began.get_or_insert(frame.at.unwrap_or_default());
            let (line, after) = partial.splitter.take(rest, LONGEST);
            if let Some(line) = line {
                partial.began = None;
                each(Line::new(began, frame.at.unwrap_or(began), frame.stream, &line));
            }
            rest = after;
        }
    }

    /// Hands over the lines that have begun and not ended.
    pub(crate) fn end(&mut self, mut each: impl FnMut(Line)) {
        for (partial, stream) in [(&mut self.stdout, Stream::Stdout), (&mut self.stderr, Stream::Stderr)] {
            let began = partial.began.take().unwrap_or_default();
            if let Some(line) = partial.splitter.end() {
                each(Line::new(began, began, stream, &line));
            }
        }
    }
}

impl Line {
    fn new(at: Timestamp, ended: Timestamp, stream: Stream, line: &RawLine) -> Self {
        Self { at, ended, stream, text: String::from_utf8_lossy(&line.bytes).into_owned() }
    }

    /// The text without the mark at the end of an activation, and whether it has one. What is printed last may have no
    /// end of its own, and a mark in the midst of a line is none.
    pub(crate) fn unmarked(&self) -> (&str, bool) {
        self.text.strip_suffix(SENTINEL).map_or((&self.text, false), |text| (text, true))
    }
}

/// The output of a container of another image, followed as it comes.
pub(crate) struct Follower<F> {
    frames: F,
    lines: Lines,
    sentinels: bool,
    /// From when on lines are the next activation's, unless it is from when it begins.
    since: Option<Timestamp>,
    over: bool,
}

/// How the call ended whose output is collected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// As it should, after which a runtime marks the end of its output.
    Replied,
    /// With a developer error.
    Failed,
}

impl Ending {
    /// The ending of a run with this outcome.
    pub(crate) fn of(outcome: &Outcome) -> Self {
        match outcome.status() {
            Status::Success | Status::ApplicationError => Self::Replied,
            Status::DeveloperError | Status::InternalError => Self::Failed,
        }
    }
}

impl<F: Frames<Item = Result<LogFrame, Error>> + Send + Unpin> Follower<F> {
    /// Lines `since` then are the first activation's, whenever it begins.
    pub(crate) fn new(frames: F, sentinels: bool, since: Option<Timestamp>) -> Self {
        Self { frames, lines: Lines::default(), sentinels, since, over: false }
    }

    /// Whether nothing more will come: the container has ended, or the engine has.
    pub(crate) const fn is_over(&self) -> bool {
        self.over
    }

    /// Collects the lines of an activation that `began` then, until `end` at most. What came before belongs to nobody.
    ///
    /// # Source
    /// OpenWhisk's log collection: up to a sentinel on both streams, at most 2 s of silence, and twice as many seconds
    /// altogether as the limit has MB, 10 at least.
    pub(crate) async fn collect(
        &mut self,
        began: Timestamp,
        limit: u64,
        ending: Ending,
        end: Instant,
    ) -> Vec<LogLine> {
        let seconds = (limit >> 20).max(5) * 2;
        let end = end.min(Instant::now() + Duration::from_secs(seconds));
        let waits_for_marks = self.sentinels && ending == Ending::Replied;
        let idle = if waits_for_marks { IDLE } else { UNMARKED_IDLE };
        let mut logs = LogBuffer::new(limit);
        let mut missing = [Stream::Stdout, Stream::Stderr].to_vec();
        let since = self.since.take().unwrap_or(began);
        let mut last = began;
        let mut take = |line: Line| {
            last = last.max(line.at);
            let (text, is_marked) = line.unmarked();
            // One that comes late, or that an action has printed, is none of the next activation's.
            if is_marked && line.ended >= began {
                missing.retain(|stream| *stream != line.stream);
            }
            if line.at < since {
                tracing::debug!(text, "a container printed while no activation ran");
            } else if !is_marked || !text.is_empty() {
                logs.push(line.at, line.stream, text);
            }
            missing.is_empty()
        };
        let mut marked = false;
        // Looked at each time, because what is always ready is never late.
        while !(self.over || waits_for_marks && marked) && Instant::now() < end {
            let Ok(Ok(next)) = timeout_at(end, timeout(idle, self.frames.next())).await else { break };
            match next {
                Some(Ok(frame)) => self.lines.take(&frame, |line| marked = take(line)),
                Some(Err(_)) | None => self.over = true,
            }
        }
        self.lines.end(|line| marked = take(line));
        let notice = match ending {
            Ending::Failed => Some(FAILED),
            Ending::Replied if self.over || waits_for_marks && !marked => Some(INCOMPLETE),
            Ending::Replied => None,
        };
        let mut lines = logs.into_lines();
        if let Some(text) = notice.filter(|_| limit > 0) {
            lines.push(LogLine { at: last, stream: Stream::Stderr, text: text.to_owned() });
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use bytes::Bytes;
    use futures_util::stream;

    use super::*;

    fn frame(ms: u64, stream: Stream, text: &str) -> LogFrame {
        LogFrame {
            at: Some(Timestamp::from_millis(ms)),
            stream,
            bytes: Bytes::copy_from_slice(text.as_bytes()),
        }
    }

    /// Frames that come at once, and then nothing more while the stream stays open.
    fn open(frames: Vec<LogFrame>) -> impl Frames<Item = Result<LogFrame, Error>> + Send + Unpin {
        stream::iter(frames.into_iter().map(Ok)).chain(stream::pending())
    }

    async fn collected(frames: Vec<LogFrame>, sentinels: bool, ending: Ending) -> Vec<String> {
        let mut follower = Follower::new(open(frames), sentinels, None);
        let end = Instant::now() + Duration::from_secs(60);
        let lines = follower.collect(Timestamp::from_millis(100), 1000, ending, end).await;
        lines.into_iter().map(|line| format!("{:?} {}", line.stream, line.text)).collect()
    }

    const MARK: &str = "XXX_THE_END_OF_A_WHISK_ACTIVATION_XXX\n";

    #[tokio::test(start_paused = true)]
    async fn lines_end_at_a_mark_on_both_streams_and_what_came_before_is_nobodys() {
        let frames = vec![
            frame(50, Stream::Stdout, "stray\n"),
            frame(101, Stream::Stdout, "a long "),
            frame(102, Stream::Stderr, "beside\n"),
            frame(103, Stream::Stdout, &format!("line\n{MARK}")),
            frame(104, Stream::Stderr, MARK),
            frame(105, Stream::Stdout, "of the next one\n"),
        ];
        let begun = Instant::now();
        let lines = collected(frames, true, Ending::Replied).await;
        assert_eq!(lines, ["Stderr beside", "Stdout a long line"]);
        assert!(begun.elapsed() < Duration::from_millis(1));
    }

    #[tokio::test(start_paused = true)]
    async fn what_came_since_then_is_the_first_ones_and_no_mark_of_it_ends_its_log() {
        let frames = vec![
            frame(20, Stream::Stdout, "nobody's\n"),
            frame(50, Stream::Stdout, &format!("loading\n{MARK}")),
            frame(51, Stream::Stderr, MARK),
            frame(101, Stream::Stdout, &format!("own\n{MARK}")),
            frame(102, Stream::Stderr, MARK),
        ];
        let mut follower = Follower::new(open(frames), true, Some(Timestamp::from_millis(50)));
        let end = Instant::now() + Duration::from_secs(60);
        let lines = follower.collect(Timestamp::from_millis(100), 1000, Ending::Replied, end).await;
        assert_eq!(lines.iter().map(|line| line.text.as_str()).collect::<Vec<_>>(), ["loading", "own"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_mark_that_is_missing_is_waited_for_and_told() {
        let begun = Instant::now();
        let lines = collected(
            vec![frame(101, Stream::Stdout, "one\n"), frame(102, Stream::Stdout, MARK)],
            true,
            Ending::Replied,
        )
        .await;
        assert_eq!(lines, ["Stdout one", &format!("Stderr {INCOMPLETE}")]);
        assert_eq!(begun.elapsed().as_millis() / 10, IDLE.as_millis() / 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_run_is_not_waited_for_and_says_so() {
        let lines = collected(vec![frame(101, Stream::Stdout, "no end")], true, Ending::Failed).await;
        assert_eq!(lines, ["Stdout no end", &format!("Stderr {FAILED}")]);
        let lines = collected(vec![frame(101, Stream::Stdout, "plain\n")], false, Ending::Replied).await;
        assert_eq!(lines, ["Stdout plain"]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_endless_stream_is_cut_at_the_total_time() {
        let count = Arc::new(Mutex::new(0_u64));
        let counted = Arc::clone(&count);
        let endless = stream::unfold((), move |()| {
            let count = Arc::clone(&counted);
            async move {
                tokio::time::sleep(Duration::from_millis(500)).await;
                *count.lock().unwrap() += 1;
                Some((Ok(frame(200, Stream::Stdout, "again\n")), ()))
            }
        });
        let begun = Instant::now();
        let mut follower = Follower::new(endless.boxed(), true, None);
        let end = begun + Duration::from_secs(60);
        let lines = follower.collect(Timestamp::from_millis(100), 1000, Ending::Replied, end).await;
        assert_eq!(begun.elapsed().as_secs(), 10);
        assert_eq!(lines.last().unwrap().text, INCOMPLETE);
        assert!((19..=20).contains(&*count.lock().unwrap()), "one comes every half second");
    }
}
