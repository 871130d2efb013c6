//! What the engine kept of the output of a container.

use bollard::container::LogOutput;
use bollard::query_parameters::LogsOptions;
use bytes::Bytes;
use faas_core::log::Stream;
use faas_core::{Error, Timestamp};
use futures_util::StreamExt;

use super::Engine;

/// Which output is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogQuery {
    /// From when on.
    pub(crate) since: Timestamp,
    /// Whether what is still to come is wanted too.
    pub(crate) follow: bool,
    /// How many lines are wanted at most, the last ones; all of them unless told.
    pub(crate) last: Option<usize>,
}

/// A piece of output: a line, or a part of one that is long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogFrame {
    /// When the engine got it; `None` where the engine does not say.
    pub(crate) at: Option<Timestamp>,
    pub(crate) stream: Stream,
    /// With its line feed, if that is part of it.
    pub(crate) bytes: Bytes,
}

impl Engine {
    /// The output of a container.
    pub(crate) async fn logs(
        &self,
        id: &str,
        query: LogQuery,
    ) -> Result<impl futures_util::Stream<Item = Result<LogFrame, Error>> + Send + use<>, Error> {
        // The engine counts in whole seconds; the rest is left to whoever reads.
        let since = i32::try_from(query.since.millis() / 1000).unwrap_or(i32::MAX).saturating_sub(1);
        let options = LogsOptions {
            follow: query.follow,
            stdout: true,
            stderr: true,
            since: since.max(0),
            until: 0,
            timestamps: true,
            tail: query.last.map_or_else(|| "all".to_owned(), |last| last.to_string()),
        };
        let frames = self.docker().await?.logs(id, Some(options));
        let frames = frames.map(|frame| {
            let frame = frame
                .map_err(|refusal| crate::error::of_engine("read the output of a container", refusal))?;
            Ok(LogFrame::of(frame))
        });
        Ok(frames.boxed())
    }
}

impl LogFrame {
    /// Takes the time off, which the engine puts before each frame with a space.
    fn of(output: LogOutput) -> Self {
        let stream = match output {
            LogOutput::StdErr { .. } => Stream::Stderr,
            _ => Stream::Stdout,
        };
        let bytes = output.into_bytes();
        let split = bytes.iter().position(|byte| *byte == b' ').filter(|end| *end <= 40);
        let at = split.and_then(|end| std::str::from_utf8(&bytes[..end]).ok()?.parse().ok());
        match (split, at) {
            (Some(end), Some(at)) => Self { at: Some(at), stream, bytes: bytes.slice(end + 1..) },
            _ => Self { at: None, stream, bytes },
        }
    }
}
