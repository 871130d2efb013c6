//! What a build tells of its progress, on standard error.

use std::env;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

/// How long a build may take before it says what it is doing. Arbitrary: longer than finding out that there is
/// nothing to do, shorter than patience.
const SLOW: Duration = Duration::from_secs(3);

/// What a build tells of its progress, on standard error.
///
/// Whatever it tells, an error of the compiler is never lost: either it was printed, or it is a source of the
/// [`Error`](faas_core::Error).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Output {
    /// Nothing.
    Quiet,
    /// One line for each step that takes more than three seconds, so that a test does not seem to hang.
    #[default]
    Brief,
    /// Each step, and what cargo and the compiler print, as it comes.
    Full,
}

impl Output {
    /// Says what is done, in the way of cargo's own lines: where each step is told, and nowhere else.
    pub fn status(self, verb: &str, text: impl Display) {
        if self != Self::Full {
            return;
        }
        if colored() {
            say(format_args!("\x1b[1;92m{verb:>12}\x1b[0m {text}"));
        } else {
            say(format_args!("{verb:>12} {text}"));
        }
    }

    /// Says what is done should it take long; the answer is to be dropped when it is done.
    pub(crate) fn when_slow(self, text: String) -> Option<Slow> {
        (self == Self::Brief).then(|| {
            let (done, waiting) = mpsc::channel::<()>();
            thread::spawn(move || {
                if waiting.recv_timeout(SLOW) == Err(RecvTimeoutError::Timeout) {
                    say(text);
                }
            });
            Slow { _done: done }
        })
    }

    /// Passes on what the compiler said.
    pub(crate) fn diagnostic(self, rendered: &str) {
        if self == Self::Full {
            // Cargo leaves its progress bar on the last line.
            let clear = if io::stderr().is_terminal() { "\r\x1b[K" } else { "" };
            let _ = write!(io::stderr().lock(), "{clear}{rendered}");
        }
    }
}

/// A step that is being waited for; dropped, it is over.
pub(crate) struct Slow {
    _done: Sender<()>,
}

/// Whether lines are coloured: as cargo decides it, by its own variable, else by the terminal.
pub(crate) fn colored() -> bool {
    match env::var("CARGO_TERM_COLOR").as_deref() {
        Ok("always") => true,
        Ok("never") => false,
        _ => io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
    }
}

/// Writes a line. That nobody reads it is no reason to fail a build.
fn say(text: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
