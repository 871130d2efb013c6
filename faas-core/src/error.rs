//! The one error of this crate: a kind, the operation, context, and a source.

use std::error::Error as StdError;
use std::fmt;
use std::str::FromStr;

/// Any error of user code: what an action or a rule may fail with.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// What went wrong, for callers who decide by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The named entity or activation does not exist.
    NotFound,
    /// An entity of this name, or a record of this id, exists already.
    AlreadyExists,
    /// The entity has changed since the revision that the caller gave.
    Conflict,
    /// A name, payload, limit or option is not allowed.
    InvalidArgument,
    /// The backend declares in its `Capability` that it cannot do this.
    Unsupported,
    /// A quota of the namespace is used up.
    Throttled,
    /// The queue is full.
    Overloaded,
    /// A pool has no capacity left.
    Exhausted,
    /// The deadline passed before the platform could do its part.
    DeadlineExceeded,
    /// The action's own initialisation failed.
    InitFailed,
    /// The sandbox died or was lost while it ran.
    SandboxLost,
    /// A backend or a store cannot be reached now.
    Unavailable,
    /// The caller may not do this.
    PermissionDenied,
    /// The platform is shutting down or has shut down.
    Closed,
    /// A defect of the platform or of a backend.
    Internal,
}

impl ErrorKind {
    /// Every kind.
    pub const ALL: &'static [Self] = &[
        Self::NotFound,
        Self::AlreadyExists,
        Self::Conflict,
        Self::InvalidArgument,
        Self::Unsupported,
        Self::Throttled,
        Self::Overloaded,
        Self::Exhausted,
        Self::DeadlineExceeded,
        Self::InitFailed,
        Self::SandboxLost,
        Self::Unavailable,
        Self::PermissionDenied,
        Self::Closed,
        Self::Internal,
    ];

    /// The kind as words, such as `not found`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "not found",
            Self::AlreadyExists => "already exists",
            Self::Conflict => "conflict",
            Self::InvalidArgument => "invalid argument",
            Self::Unsupported => "unsupported",
            Self::Throttled => "throttled",
            Self::Overloaded => "overloaded",
            Self::Exhausted => "exhausted",
            Self::DeadlineExceeded => "deadline exceeded",
            Self::InitFailed => "initialisation failed",
            Self::SandboxLost => "sandbox lost",
            Self::Unavailable => "unavailable",
            Self::PermissionDenied => "permission denied",
            Self::Closed => "closed",
            Self::Internal => "internal error",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Reads what [`as_str`](ErrorKind::as_str) gives.
impl FromStr for ErrorKind {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let found = Self::ALL.iter().copied().find(|kind| kind.as_str() == text);
        found.ok_or_else(|| Error::unknown("kind of error", text, Self::ALL.iter().map(|kind| kind.as_str())))
    }
}

/// Why the platform did not do its job.
///
/// A failed *action* is not an `Error`: it is an activation with another [`Outcome`](crate::Outcome).
/// `Display` is one lower-case line; `{:?}` is a report of several lines with the context and the sources.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    temporary: bool,
    operation: &'static str,
    message: String,
    context: Vec<(&'static str, String)>,
    source: Option<BoxError>,
}

impl Error {
    /// An error of `kind` that says in `message` what was wrong and what is allowed.
    ///
    /// Kinds that tell of a passing state (`Throttled`, `Overloaded`, `Exhausted`, `Unavailable`) start as
    /// temporary; [`temporary`](Self::temporary) overrides it.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let temporary = matches!(
            kind,
            ErrorKind::Throttled | ErrorKind::Overloaded | ErrorKind::Exhausted | ErrorKind::Unavailable
        );
        let message = message.into();
        Self(Box::new(Inner { kind, temporary, operation: "", message, context: Vec::new(), source: None }))
    }

    /// An unknown name, listing the known ones that are nearest to it (at most eight).
    #[must_use]
    pub fn unknown<'a>(what: &str, name: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        let mut known: Vec<&str> = known.into_iter().collect();
        known.sort_unstable();
        let shared = |k: &str| k.bytes().zip(name.bytes()).take_while(|(a, b)| a == b).count();
        known.sort_by_key(|k| std::cmp::Reverse(shared(k)));
        let list = match known.as_slice() {
            [] => "none is known".to_owned(),
            all if all.len() <= 8 => format!("known: {}", all.join(", ")),
            all => format!("known: {}, and {} more", all[..8].join(", "), all.len() - 8),
        };
        Self::new(ErrorKind::NotFound, format!("no {what} is named '{name}'; {list}"))
    }

    /// The same error, telling which operation failed.
    #[must_use]
    pub fn with_operation(mut self, operation: &'static str) -> Self {
        self.0.operation = operation;
        self
    }

    /// The same error with one more pair of context.
    #[must_use]
    pub fn with_context(mut self, key: &'static str, value: impl fmt::Display) -> Self {
        self.0.context.push((key, value.to_string()));
        self
    }

    /// The same error with the error that caused it.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The same error, marked as worth a retry or not.
    ///
    /// Mark an error as temporary only where user code cannot have started.
    #[must_use]
    pub fn temporary(mut self, temporary: bool) -> Self {
        self.0.temporary = temporary;
        self
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether the same call may succeed later and user code cannot have started.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        self.0.temporary
    }

    /// The operation that failed, such as `invoke`; empty when it was not told.
    #[must_use]
    pub fn operation(&self) -> &'static str {
        self.0.operation
    }

    /// What was wrong and what is allowed, without kind and context.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The value of a context key, such as `activation`.
    #[must_use]
    pub fn context(&self, key: &str) -> Option<&str> {
        self.0.context.iter().find(|(k, _)| *k == key).map(|(_, v)| v.as_str())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { kind, operation, message, .. } = &*self.0;
        if !operation.is_empty() {
            write!(f, "{operation}: ")?;
        }
        write!(f, "{kind}: {message}")
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}{}", if self.0.temporary { " (temporary)" } else { "" })?;
        for (key, value) in &self.0.context {
            write!(f, "\n  {key}: {value}")?;
        }
        let mut source = self.source();
        while let Some(error) = source {
            write!(f, "\n  caused by: {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_is_one_pointer_wide() {
        assert_eq!(size_of::<Result<(), Error>>(), size_of::<usize>());
    }

    #[test]
    fn display_is_one_line_and_debug_a_report() {
        let error = Error::new(ErrorKind::Overloaded, "the queue holds 10 of 10 jobs")
            .with_operation("invoke")
            .with_context("action", "_/greet")
            .with_source("socket closed");
        assert_eq!(error.to_string(), "invoke: overloaded: the queue holds 10 of 10 jobs");
        assert_eq!(
            format!("{error:?}"),
            "invoke: overloaded: the queue holds 10 of 10 jobs (temporary)\n  action: _/greet\n  caused by: socket closed"
        );
        assert_eq!(error.context("action"), Some("_/greet"));
    }

    #[test]
    fn every_kind_is_read_from_its_words() {
        for (n, kind) in ErrorKind::ALL.iter().enumerate() {
            assert_eq!(kind.as_str().parse::<ErrorKind>().unwrap(), *kind);
            assert_eq!(*kind as usize, n, "the list leaves one out");
        }
        let unknown = "not there".parse::<ErrorKind>().unwrap_err();
        assert!(unknown.message().starts_with("no kind of error is named 'not there'; known: not found"));
    }

    #[test]
    fn an_unknown_name_lists_the_nearest_known_ones() {
        let names: Vec<String> = (0..20).map(|n| format!("action{n:02}")).collect();
        let known = names.iter().map(String::as_str).chain(["greet"]);
        let text = Error::unknown("action", "greed", known).to_string();
        assert!(text.starts_with("not found: no action is named 'greed'; known: greet, action00"), "{text}");
        assert!(text.ends_with("and 13 more"), "{text}");
    }
}
