//! Waiting for programs no longer than they may take.

use std::io::Read;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

/// How long what a program wrote before it ended may take to arrive. Arbitrary: it is in a pipe already, unless a
/// program that it started has the pipe too.
const DRAIN: Duration = Duration::from_secs(1);

/// How the process ended; `None` if it had to be ended.
pub(crate) fn wait(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let started = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if started.elapsed() < limit => thread::sleep(Duration::from_millis(5)),
            Ok(None) | Err(_) => break,
        }
    }
    let _ = child.kill();
    let _ = child.wait();
    None
}

/// How the program ended and what it printed; `None` if it had to be ended.
pub(crate) fn output(command: &mut Command, limit: Duration) -> std::io::Result<Option<Output>> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let (stdout, stderr) = (child.stdout.take().map(collect), child.stderr.take().map(collect));
    let Some(status) = wait(&mut child, limit) else { return Ok(None) };
    let arrived = |bytes: Option<Receiver<Vec<u8>>>| bytes.and_then(|bytes| bytes.recv_timeout(DRAIN).ok());
    let (stdout, stderr) = (arrived(stdout).unwrap_or_default(), arrived(stderr).unwrap_or_default());
    Ok(Some(Output { status, stdout, stderr }))
}

/// Reads all that comes through the pipe, on a thread of its own.
fn collect(mut pipe: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What could be read is worth showing whatever came then; that nobody wants it any more is no matter.
        let _ = pipe.read_to_end(&mut bytes);
        let _ = sender.send(bytes);
    });
    receiver
}

#[cfg(all(test, unix))]
mod tests {
    use std::process::Command;
    use std::time::{Duration, Instant};

    use super::output;

    #[test]
    fn a_program_is_waited_for_only_so_long() {
        let started = Instant::now();
        let slow = output(Command::new("sleep").arg("60"), Duration::from_millis(50)).expect("sleep");
        assert!(slow.is_none() && started.elapsed() < Duration::from_secs(30));
        let limit = Duration::from_secs(30);
        let said = output(Command::new("sh").args(["-c", "echo out; echo err >&2; exit 3"]), limit);
        let said = said.expect("a shell").expect("an end");
        assert_eq!(
            (said.status.code(), &*said.stdout, &*said.stderr),
            (Some(3), &b"out\n"[..], &b"err\n"[..])
        );
        assert!(output(&mut Command::new("/nowhere/at/all"), limit).is_err());
    }
}
