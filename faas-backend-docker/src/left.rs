//! What an action printed that did not reply, found in the output of its container.

use faas_core::log::{LogBuffer, LogLine, MAX_LINES, Stream, read_label};
use faas_core::{ActivationId, Error, Timestamp};
use futures_util::StreamExt;

use crate::engine::{Engine, LogQuery};
use crate::output::{Line, Lines};

/// How many lines of a container's output are read first, and then, by which time all of those of an activation mostly
/// are found: an engine takes long to read what lies before. Arbitrary.
const LAST: [Option<usize>; 3] = [Some(1000), Some(20_000), None];

/// The lines that an activation left in the output of a container that did not reply: those that a Rust guest labelled
/// with its id and, where nothing `else_runs` beside it, those without a label that came since it `began`. In other
/// containers there are no labels, and no `activation` is told.
pub(crate) async fn lines(
    engine: &Engine,
    container: &str,
    activation: Option<ActivationId>,
    began: Timestamp,
    else_runs: bool,
    limit: u64,
) -> Result<Vec<LogLine>, Error> {
    let mut found = Vec::new();
    for last in LAST {
        let mut left = Left::new(activation, began, else_runs, limit);
        let mut output = Lines::default();
        let query = LogQuery { since: began, follow: false, last };
        let mut frames = engine.logs(container, query).await?;
        let (mut count, mut is_whole) = (0, false);
        while let Some(frame) = frames.next().await {
            let frame = frame?;
            is_whole |= frame.at.is_some_and(|at| at < began);
            count += 1;
            output.take(&frame, |line| left.take(line));
        }
        output.end(|line| left.take(line));
        found = left.found;
        if is_whole || last.is_none_or(|last| count < last) {
            break;
        }
    }
    // The engine reads the two streams one beside the other. A line that is cut and the notice that follows it on
    // standard error are of the same time.
    found.sort_by_key(|line| (line.at, line.stream == Stream::Stderr));
    let mut logs = LogBuffer::new(limit);
    for line in found {
        let text = match (activation, line.unmarked()) {
            (None, ("", true)) => continue,
            (None, (text, _)) => text,
            (Some(_), _) => &line.text,
        };
        logs.push(line.at, line.stream, text);
    }
    Ok(logs.into_lines())
}

/// The lines of an activation among all that a container has printed.
struct Left {
    activation: Option<ActivationId>,
    began: Timestamp,
    else_runs: bool,
    found: Vec<Line>,
    /// How many bytes more are kept: twice what the log holds, so that it is seen there that it is too small.
    room: usize,
}

impl Left {
    fn new(activation: Option<ActivationId>, began: Timestamp, else_runs: bool, limit: u64) -> Self {
        let room = usize::try_from(limit).unwrap_or(usize::MAX).saturating_mul(2).saturating_add(1024);
        Self { activation, began, else_runs, found: Vec::new(), room }
    }

    fn take(&mut self, line: Line) {
        let line = match self.activation.and_then(|own| Some((own, read_label(&line.text)?))) {
            Some((own, (id, at, text))) if id == own => Line { at, text: text.to_owned(), ..line },
            Some(_) => return,
            None if self.else_runs || line.at < self.began => return,
            None => line,
        };
        if let Some(room) = self.room.checked_sub(line.text.len())
            && self.found.len() < 2 * MAX_LINES
        {
            self.room = room;
            self.found.push(line);
        }
    }
}
