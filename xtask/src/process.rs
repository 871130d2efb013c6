//! Child processes: never interactive, their output passed on as it comes.

use std::io::{BufRead, BufReader, Write, stdout};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

/// Runs the command to its end; what it prints goes straight to our own output.
pub(crate) fn run(command: &mut Command) -> Result<ExitStatus> {
    command.stdin(Stdio::null()).status().with_context(|| format!("cannot start {}", shown(command)))
}

/// Runs the command to its end and shows each line of its standard output to `line` as well.
///
/// Bytes are passed on untouched; `line` sees them with invalid UTF-8 replaced.
pub(crate) fn stream(command: &mut Command, mut line: impl FnMut(&str)) -> Result<ExitStatus> {
    stream_some(command, |text| {
        line(text);
        true
    })
}

/// The same, showing only those lines that `line` says.
pub(crate) fn stream_some(command: &mut Command, mut line: impl FnMut(&str) -> bool) -> Result<ExitStatus> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", shown(command)))?;
    let output = child.stdout.take().context("the child's output is piped")?;
    let mut output = BufReader::new(output);
    let mut bytes = Vec::new();
    while output.read_until(b'\n', &mut bytes)? > 0 {
        if line(String::from_utf8_lossy(&bytes).trim_end()) {
            stdout().write_all(&bytes)?;
        }
        bytes.clear();
    }
    Ok(child.wait()?)
}

/// Runs the command quietly and returns what it printed; an error carries its standard error.
pub(crate) fn capture(command: &mut Command) -> Result<String> {
    let output =
        command.stdin(Stdio::null()).output().with_context(|| format!("cannot start {}", shown(command)))?;
    ensure!(
        output.status.success(),
        "{} failed: {}",
        shown(command),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8(output.stdout)?)
}

/// Runs the command quietly and returns how it ended, with all that it printed on its error output.
pub(crate) fn collect(command: &mut Command) -> Result<(ExitStatus, String)> {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null());
    let output = quiet.output().with_context(|| format!("cannot start {}", shown(command)))?;
    Ok((output.status, String::from_utf8_lossy(&output.stderr).into_owned()))
}

/// Whether the command starts and succeeds; what it prints is dropped.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

/// Whether the command starts, and succeeds in that time; then it is ended. What it prints is dropped.
pub(crate) fn succeeds_within(command: &mut Command, limit: Duration) -> bool {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let Ok(mut child) = quiet.spawn() else { return false };
    let started = Instant::now();
    while started.elapsed() < limit {
        match child.try_wait() {
            Ok(Some(status)) => return status.success(),
            Ok(None) => thread::sleep(Duration::from_millis(20)),
            Err(_) => break,
        }
    }
    // It is of no use any more, however it ends.
    let _ = child.kill();
    let _ = child.wait();
    false
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

#[cfg(all(test, unix))]
mod tests {
    use std::process::Command;
    use std::time::{Duration, Instant};

    use super::succeeds_within;

    #[test]
    fn a_command_that_hangs_is_ended() {
        let started = Instant::now();
        assert!(!succeeds_within(Command::new("sleep").arg("60"), Duration::from_millis(50)));
        assert!(started.elapsed() < Duration::from_secs(30));
        assert!(succeeds_within(&mut Command::new("true"), Duration::from_secs(30)));
        assert!(!succeeds_within(&mut Command::new("false"), Duration::from_secs(30)));
    }
}
