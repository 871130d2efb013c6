//! Log lines of an activation, bounded.

use std::fmt;

use serde::{Deserialize, Serialize};
use tracing::level_filters::LevelFilter;

use crate::activation::ActivationId;
use crate::units::Timestamp;

/// The stream that a log line belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// Standard output, and events of level info and below.
    Stdout,
    /// Standard error, and events of level warn and error; also the platform's notices.
    Stderr,
}

/// One line that an activation logged.
///
/// `Display` is OpenWhisk's format: the time padded to 30 columns, the stream, the text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// When it was logged.
    pub at: Timestamp,
    /// Where it was logged.
    pub stream: Stream,
    /// The text, without control characters.
    pub text: String,
}

impl fmt::Display for LogLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stream = match self.stream {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        };
        write!(f, "{:<30} {stream}: {}", self.at.to_string(), self.text)
    }
}

/// The level of a number, as hosts and guests tell each other which lines are recorded: 0 for none and 1 for errors, to 5
/// for everything.
#[must_use]
pub const fn level_of_number(number: u32) -> LevelFilter {
    match number {
        0 => LevelFilter::OFF,
        1 => LevelFilter::ERROR,
        2 => LevelFilter::WARN,
        3 => LevelFilter::INFO,
        4 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    }
}

/// The number of a level; see [`level_of_number`].
#[must_use]
pub fn number_of_level(level: LevelFilter) -> u8 {
    let levels =
        [LevelFilter::ERROR, LevelFilter::WARN, LevelFilter::INFO, LevelFilter::DEBUG, LevelFilter::TRACE];
    levels.iter().fold(0, |number, one| number + u8::from(level >= *one))
}

/// The most lines that one activation keeps, so that a flood of empty lines stays small. Arbitrary.
pub const MAX_LINES: usize = 100_000;

/// Collects the log lines of one activation up to a limit in bytes and [`MAX_LINES`].
///
/// # Behavior
/// - Control characters are escaped, so that no line forges another and terminals stay inert.
/// - The text of each line counts with one byte for its end.
/// - The first line over the limit is cut to what is left, and a notice follows it; later ones are dropped. Source
///   of its text: OpenWhisk.
#[derive(Debug)]
pub struct LogBuffer {
    lines: Vec<LogLine>,
    left: u64,
    limit: u64,
    truncated: bool,
}

impl LogBuffer {
    /// A buffer for at most `limit` bytes; 0 keeps no line and adds no notice.
    #[must_use]
    pub const fn new(limit: u64) -> Self {
        Self { lines: Vec::new(), left: limit, limit, truncated: false }
    }

    /// How many bytes of text still fit.
    #[must_use]
    pub const fn left(&self) -> u64 {
        self.left
    }

    /// Counts a line of so many bytes that somebody else keeps.
    pub(crate) const fn spend(&mut self, bytes: usize) {
        self.left = self.left.saturating_sub(bytes as u64 + 1);
    }

    /// Adds a line, escaped and cut to what is left. Answers with what was added: the line, and the notice if this is
    /// the line that is cut.
    pub fn push(&mut self, at: Timestamp, stream: Stream, text: &str) -> &[LogLine] {
        let before = self.lines.len();
        if !self.truncated {
            self.add(at, stream, text);
        }
        &self.lines[before..]
    }

    fn add(&mut self, at: Timestamp, stream: Stream, text: &str) {
        let text = escape(text, self.left);
        let bytes = text.len() as u64 + 1;
        match self.left.checked_sub(bytes) {
            Some(left) if self.lines.len() < MAX_LINES => {
                self.left = left;
                self.lines.push(LogLine { at, stream, text });
            }
            _ => self.cut(at, stream, text),
        }
    }

    fn cut(&mut self, at: Timestamp, stream: Stream, mut text: String) {
        self.truncated = true;
        let mut keep = usize::try_from(self.left.saturating_sub(1)).unwrap_or(usize::MAX).min(text.len());
        while !text.is_char_boundary(keep) {
            keep -= 1;
        }
        text.truncate(keep);
        self.left = 0;
        if !text.is_empty() && self.lines.len() < MAX_LINES {
            self.lines.push(LogLine { at, stream, text });
        }
        if self.limit > 0 {
            let text = format!(
                "Logs were truncated because the total bytes size exceeds the limit of {} bytes.",
                self.limit
            );
            self.lines.push(LogLine { at, stream: Stream::Stderr, text });
        }
    }

    /// The lines, with the notice if some were cut.
    #[must_use]
    pub fn into_lines(self) -> Vec<LogLine> {
        self.lines
    }
}

/// Puts the activation and the time before a line, as guests show it to whoever looks at their sandbox from outside.
#[must_use]
pub fn label(activation: ActivationId, line: &LogLine) -> String {
    format!("{activation} {} {}", line.at, line.text)
}

/// Reads a line that [`label`] has labelled: the activation, the time and the text.
///
/// ```
/// use faas_core::log::read_label;
/// assert_eq!(read_label("an ordinary line"), None);
/// let (_, _, text) = read_label("0000000000000000000000000000000f 2026-01-01T00:00:00.000000000Z hello").unwrap();
/// assert_eq!(text, "hello");
/// ```
#[must_use]
pub fn read_label(line: &str) -> Option<(ActivationId, Timestamp, &str)> {
    let (id, rest) = line.split_once(' ')?;
    let (at, text) = rest.split_once(' ')?;
    Some((id.parse().ok()?, at.parse().ok()?, text))
}

/// Splits what a stream writes into lines, keeping no more of a line than anybody will read.
#[derive(Debug, Default)]
pub struct LineSplitter {
    bytes: Vec<u8>,
    length: usize,
}

/// A line as it was written, without its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawLine {
    /// Its beginning: all of it, unless it is longer than what is kept.
    pub bytes: Vec<u8>,
    /// How long it was.
    pub length: usize,
}

impl LineSplitter {
    /// Takes bytes up to the end of a line, keeping at most `most` of the line. Answers with the line, if it ended, and
    /// the bytes that follow.
    pub fn take<'a>(&mut self, bytes: &'a [u8], most: usize) -> (Option<RawLine>, &'a [u8]) {
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let (part, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
        let room = most.saturating_sub(self.bytes.len()).min(part.len());
        self.bytes.extend_from_slice(&part[..room]);
        self.length = self.length.saturating_add(part.len());
        match end {
            Some(_) => (Some(self.cut()), &rest[1..]),
            None => (None, rest),
        }
    }

    /// What is kept of the line that has begun and not ended.
    #[cfg(all(any(feature = "guest-http", feature = "guest-lambda"), unix))]
    pub(crate) fn begun(&self) -> &[u8] {
        &self.bytes
    }

    /// The line that has begun and not ended, if there is one.
    pub fn end(&mut self) -> Option<RawLine> {
        (self.length > 0).then(|| self.cut())
    }

    fn cut(&mut self) -> RawLine {
        let Self { mut bytes, length } = std::mem::take(self);
        if length == bytes.len() && bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
        RawLine { bytes, length }
    }
}

/// Escapes control characters, working on no more of the text than can fit into `left` bytes.
fn escape(text: &str, left: u64) -> String {
    let end = usize::try_from(left.saturating_add(4)).unwrap_or(usize::MAX).min(text.len());
    let end = (end..=text.len()).find(|i| text.is_char_boundary(*i)).unwrap_or(text.len());
    let text = &text[..end];
    if !text.contains(char::is_control) {
        return text.to_owned();
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\t' => escaped.push(c),
            c if c.is_control() => escaped.extend(c.escape_default()),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Timestamp = Timestamp::from_millis(0);

    fn texts(limit: u64, input: &[&str]) -> Vec<String> {
        let mut buffer = LogBuffer::new(limit);
        for text in input {
            buffer.push(AT, Stream::Stdout, text);
        }
        buffer.into_lines().into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn the_limit_is_exact_and_a_notice_follows() {
        assert_eq!(texts(8, &["abc", "def"]), ["abc", "def"]);
        let notice = "Logs were truncated because the total bytes size exceeds the limit of 7 bytes.";
        assert_eq!(texts(7, &["abc", "def", "g"]), ["abc", "de", notice]);
        assert_eq!(texts(0, &["abc"]), Vec::<String>::new());
        assert_eq!(texts(7, &["äöüä"])[0], "äöü");
    }

    #[test]
    fn a_flood_keeps_memory_bounded() {
        let line = "x".repeat(1 << 20);
        let mut buffer = LogBuffer::new(1000);
        for _ in 0..1000 {
            buffer.push(AT, Stream::Stdout, &line);
            buffer.push(AT, Stream::Stdout, "");
        }
        let lines = buffer.into_lines();
        assert_eq!(lines.len(), 2);
        assert!(lines[0].text.capacity() < 2000);
    }

    #[test]
    fn a_flood_of_empty_lines_ends_at_the_line_limit() {
        let mut buffer = LogBuffer::new(u64::MAX);
        for _ in 0..MAX_LINES * 2 {
            buffer.push(AT, Stream::Stdout, "");
        }
        assert_eq!(buffer.into_lines().len(), MAX_LINES + 1);
    }

    #[test]
    fn a_stream_is_split_into_lines_that_are_kept_as_far_as_they_are_read() {
        let mut splitter = LineSplitter::default();
        let mut lines = Vec::new();
        for part in [&b"on"[..], b"e\r\n\ntwo is too long", b" by far\n", b"rest"] {
            let mut rest = part;
            while let (Some(line), after) = splitter.take(rest, 6) {
                lines.push((String::from_utf8(line.bytes).unwrap(), line.length));
                rest = after;
            }
        }
        let kept: Vec<_> = lines.iter().map(|(text, length)| (text.as_str(), *length)).collect();
        assert_eq!(kept, [("one", 4), ("", 0), ("two is", 22)]);
        assert_eq!(splitter.end(), Some(RawLine { bytes: b"rest".to_vec(), length: 4 }));
        assert_eq!(splitter.end(), None);
    }

    #[test]
    fn levels_keep_their_number() {
        for (number, level) in (0..).zip([LevelFilter::OFF, LevelFilter::ERROR, LevelFilter::WARN]) {
            assert_eq!(number_of_level(level), number);
        }
        for number in 0..=5 {
            assert_eq!(number_of_level(level_of_number(number.into())), number);
        }
        assert_eq!((number_of_level(LevelFilter::TRACE), level_of_number(5)), (5, LevelFilter::TRACE));
    }

    #[test]
    fn control_characters_are_inert() {
        assert_eq!(texts(100, &["a\x1b[31mred\nnext\u{7f}\tend"]), ["a\\u{1b}[31mred\\nnext\\u{7f}\tend"]);
    }

    #[test]
    fn a_label_is_told_from_text_that_only_looks_like_one() {
        let (id, at) = (ActivationId::from_u128(7), Timestamp::from_millis(5));
        for text in ["hello there", ""] {
            let line = LogLine { at, stream: Stream::Stdout, text: text.into() };
            assert_eq!(read_label(&label(id, &line)), Some((id, at, text)));
        }
        for text in ["", "hello", "a b c", &format!("{id} today x"), &format!("{id}0 {at} x")] {
            assert_eq!(read_label(text), None, "{text}");
        }
    }

    #[test]
    fn a_line_prints_in_openwhisk_format() {
        let line = LogLine { at: AT, stream: Stream::Stdout, text: "hello".into() };
        assert_eq!(line.to_string(), "1970-01-01T00:00:00.000000000Z stdout: hello");
    }
}
