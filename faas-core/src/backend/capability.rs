//! What a backend can do, as data: every honest difference between backends.

use std::fmt;
use std::time::Duration;

use crate::error::{Error, ErrorKind};

/// What happens to a run whose caller left, or whose time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancel {
    /// It is killed wherever it is.
    Kills,
    /// It stops at its next await point; code that never awaits runs on.
    AtAwait,
    /// It runs to its end, unheard.
    Abandons,
}

/// What is left of the logs of a run that was killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogsAfterKill {
    /// All of them.
    Full,
    /// The last so many bytes.
    Tail(u64),
    /// None.
    None,
}

/// What a backend can do. It gates calls, selects conformance behaviours, and is printed in the documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capability {
    /// What happens to a run whose caller left.
    pub cancel: Cancel,
    /// What is left of the logs of a run that was killed.
    pub logs_after_kill: LogsAfterKill,
    /// Whether the memory limit is enforced.
    pub enforces_memory: bool,
    /// Whether a loop that never awaits is stopped at the limit.
    pub stops_cpu_loop: bool,
    /// Whether an action that ends its process ends only its sandbox.
    pub survives_exit: bool,
    /// Whether an action is kept from the host's file system, environment and process.
    pub isolates: bool,
    /// Whether idle sandboxes can be paused.
    pub pauses: bool,
    /// Whether sandboxes can be made ready ahead of invocations.
    pub prewarms: bool,
    /// Whether an action can be given network access.
    pub egress: bool,
    /// Whether each activation gets an instance with nothing left of earlier ones.
    pub fresh_instance: bool,
    /// Whether output written past `tracing`, such as by `println!`, is in the logs.
    pub captures_stdout: bool,
    /// How late a timeout may come.
    pub timeout_granularity: Duration,
    /// The longest timeout of an action.
    pub max_timeout: Duration,
    /// The largest payload and result, in bytes.
    pub max_payload: u64,
    /// How much of a log is kept whatever else a run hands over, in bytes, where the action's limit is not below that.
    pub max_logs: u64,
}

impl Capability {
    /// The rows of the table in which a capability is documented: names and values.
    #[must_use]
    pub fn rows(&self) -> [(&'static str, String); 15] {
        let yes = |is: bool| if is { "yes" } else { "no" }.to_owned();
        [
            ("cancelled run", self.cancel.to_string()),
            ("logs after a kill", self.logs_after_kill.to_string()),
            ("enforces the memory limit", yes(self.enforces_memory)),
            ("stops a CPU-bound loop", yes(self.stops_cpu_loop)),
            ("survives an exit", yes(self.survives_exit)),
            ("isolates from the host", yes(self.isolates)),
            ("pauses idle sandboxes", yes(self.pauses)),
            ("prewarms", yes(self.prewarms)),
            ("network access", yes(self.egress)),
            ("fresh instance per activation", yes(self.fresh_instance)),
            ("captures raw stdout", yes(self.captures_stdout)),
            ("timeout granularity", format!("{:?}", self.timeout_granularity)),
            ("longest timeout", format!("{:?}", self.max_timeout)),
            ("largest payload", format!("{} bytes", self.max_payload)),
            ("largest log", format!("{} bytes", self.max_logs)),
        ]
    }

    /// Checks an action's timeout against what the backend offers.
    ///
    /// # Errors
    /// `Unsupported`, naming the value and the range.
    pub fn check_timeout(&self, timeout: Duration) -> Result<(), Error> {
        if timeout <= self.max_timeout {
            return Ok(());
        }
        let text = format!("timeout {timeout:?} is over the backend's longest, {:?}", self.max_timeout);
        Err(Error::new(ErrorKind::Unsupported, text))
    }
}

impl fmt::Display for Cancel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kills => "killed",
            Self::AtAwait => "stops at its next await",
            Self::Abandons => "runs on unheard",
        })
    }
}

impl fmt::Display for LogsAfterKill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("all"),
            Self::Tail(bytes) => write!(f, "the last {bytes} bytes"),
            Self::None => f.write_str("none"),
        }
    }
}
