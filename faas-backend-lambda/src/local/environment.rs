//! An execution environment: one program, frozen while it has nothing to do.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

use super::exchange::Exchange;
use super::lifeline::Lifeline;
use super::printed::{PATIENCE, Printed};
use super::program::Program;

/// How long the end of a program that was killed is waited for. Arbitrary.
const KILLING: Duration = Duration::from_secs(2);

/// How long a program has had nothing to do when it is frozen. Arbitrary: one that is called again and again is not to be
/// stopped and woken, thread by thread, for each event.
const REST: Duration = Duration::from_millis(5);

pub(super) struct Environment {
    pub(super) exchange: Exchange,
    pub(super) printed: Printed,
    /// The name of the function, as its events tell it.
    pub(super) arn: String,
    freezes: bool,
    process: Process,
}

/// A program that runs, and all that it started and that did not leave its group.
struct Process {
    /// The number of its group, as long as it is its own.
    group: Mutex<Option<Pid>>,
    kill: Notify,
    exited: watch::Sender<bool>,
    /// Ends it when this process does.
    _lifeline: UnixStream,
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
                // It may have left its group.
                let _ = child.kill().await;
            }
        }
        self.signal(Signal::KILL);
        *self.group.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.exited.send_replace(true);
    }
}

impl Drop for Process {
    /// A runtime that ends takes the task along that keeps this.
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

impl Environment {
    /// Starts the program with these variables and no others. `logs` is how much is kept of what it prints until it is
    /// initialised.
    pub(super) fn start(
        program: &Program,
        variables: BTreeMap<String, String>,
        arn: String,
        freezes: bool,
        logs: u64,
    ) -> io::Result<Arc<Self>> {
        let lifeline = Lifeline::new()?;
        let mut command = Command::new(program.path());
        command.env_clear().envs(variables).current_dir("/").process_group(0).kill_on_drop(true);
        command.stdin(lifeline.stdin()?).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let gone = || io::Error::other("it has ended already");
        let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)).ok_or_else(gone)?;
        let (stdout, stderr) = (child.stdout.take().ok_or_else(gone)?, child.stderr.take().ok_or_else(gone)?);
        let process = Process {
            group: Mutex::new(Some(group)),
            kill: Notify::new(),
            exited: watch::Sender::new(false),
            _lifeline: lifeline.tie(group)?,
        };
        let printed = Printed::new(stdout.into_owned_fd()?, stderr.into_owned_fd()?, logs)?;
        let environment = Arc::new(Self { exchange: Exchange::default(), printed, arn, freezes, process });
        let own = Arc::clone(&environment);
        tokio::spawn(async move { own.follow().await });
        let own = Arc::clone(&environment);
        tokio::spawn(async move { own.process.keep(child).await });
        Ok(environment)
    }

    /// Reads what the program prints until nobody can print any more, or only those who have escaped its end can, and
    /// freezes it whenever it has nothing to do.
    async fn follow(&self) {
        let ended = async {
            self.exited().await;
            sleep(PATIENCE).await;
        };
        tokio::select! {
            () = self.printed.follow() => {}
            () = ended => {}
            () = self.keep_still(), if self.freezes => {}
        }
    }

    /// Stops the program where it is each time that it has had nothing to do for a while. It never ends.
    async fn keep_still(&self) {
        loop {
            let since = self.exchange.resting().await;
            sleep(REST).await;
            self.exchange.freeze(since, || self.process.signal(Signal::STOP));
        }
    }

    /// Lets it go on.
    pub(super) fn thaw(&self) {
        self.process.signal(Signal::CONT);
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
