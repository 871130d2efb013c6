//! An execution environment: one program, frozen while it has nothing to do.

use std::collections::BTreeMap;
use std::io;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use faas_core::log::Stream;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use super::exchange::Exchange;
use super::printed::Printed;
use super::program::Program;

/// How long the end of a program that was killed is waited for. Arbitrary.
const KILLING: Duration = Duration::from_secs(2);

pub(super) struct Environment {
    pub(super) exchange: Exchange,
    pub(super) printed: Printed,
    /// The name of the function, as its events tell it.
    pub(super) arn: String,
    freezes: bool,
    process: Process,
}

/// A program that runs, and all that it started.
struct Process {
    /// The number of its group, as long as it is its own.
    group: Mutex<Option<Pid>>,
    kill: Notify,
    exited: watch::Sender<bool>,
}

impl Process {
    fn signal(&self, signal: Signal) {
        let group = self.group.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(group) = *group {
            // One that has just ended needs no signal.
            let _ = kill_process_group(group, signal);
        }
    }

    /// Waits for the end of the program, and ends what it has started.
    async fn keep(&self, mut child: Child) {
        tokio::select! {
            _ = child.wait() => {}
            () = self.kill.notified() => {
                self.signal(Signal::KILL);
                let _ = child.wait().await;
            }
        }
        self.signal(Signal::KILL);
        *self.group.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.exited.send_replace(true);
    }
}

impl Environment {
    /// Starts the program with these variables and no others.
    pub(super) fn start(
        program: &Program,
        variables: BTreeMap<String, String>,
        arn: String,
        freezes: bool,
    ) -> io::Result<Arc<Self>> {
        let mut command = Command::new(program.path());
        command.env_clear().envs(variables).current_dir("/").process_group(0).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let process =
            Process { group: Mutex::new(group), kill: Notify::new(), exited: watch::Sender::new(false) };
        let environment =
            Arc::new(Self { exchange: Exchange::default(), printed: Printed::new(), arn, freezes, process });
        if let Some(pipe) = stdout {
            environment.printed.opened();
            let own = Arc::clone(&environment);
            tokio::spawn(async move { own.printed.read(pipe, Stream::Stdout).await });
        }
        if let Some(pipe) = stderr {
            environment.printed.opened();
            let own = Arc::clone(&environment);
            tokio::spawn(async move { own.printed.read(pipe, Stream::Stderr).await });
        }
        let own = Arc::clone(&environment);
        tokio::spawn(async move { own.process.keep(child).await });
        Ok(environment)
    }

    /// Stops the program where it is.
    pub(super) fn freeze(&self) {
        if self.freezes {
            self.process.signal(Signal::STOP);
        }
    }

    /// Lets it go on.
    pub(super) fn thaw(&self) {
        if self.freezes {
            self.process.signal(Signal::CONT);
        }
    }

    /// Waits until the program has ended.
    pub(super) async fn exited(&self) {
        let _ = self.process.exited.subscribe().wait_for(|exited| *exited).await;
    }

    /// Ends the program and all that it started.
    pub(super) async fn end(&self) {
        self.process.kill.notify_one();
        if timeout(KILLING, self.exited()).await.is_err() {
            tracing::warn!("the program of a function does not end, though it was killed");
        }
    }

    /// Has it ended, by somebody who does not wait for that.
    pub(super) fn abandon(&self) {
        self.process.kill.notify_one();
    }
}
