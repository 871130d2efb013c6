//! The process that kills, and counts.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use fastrand::Rng;
use rustix::process::Signal;
use tokio::runtime::Runtime;

use super::check::{Findings, check};
use super::ledger::{Heard, Ledger};
use super::{DIRECTORY, MODE, OpenStore, SEED};
use crate::crash::points::{NAMES, VARIABLE};

/// How often a directory's processes are killed before its books are read. Arbitrary.
const LIFE: u32 = 250;
/// Where the first processes of a directory die: these points are passed before anything else is there, and rarely later.
const FIRST: [&str; 4] =
    ["put_entity.before", "put_entity.after", "put_schedule.before", "put_schedule.after"];
/// How long a process may take to come up, and to end well. Arbitrary.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long a process works at most that dies at a point. Arbitrary.
const LONGEST: Duration = Duration::from_millis(400);
/// How many findings are told of each kind. Arbitrary.
const TOLD: usize = 20;

/// How a harness kills.
pub struct Harness<'a> {
    /// How often.
    pub kills: u32,
    /// What chance is made of.
    pub seed: u64,
    /// A folder for the directories of the store.
    pub folder: &'a Path,
    /// Makes the command that runs [`live`](super::live) in a process of its own.
    pub command: &'a dyn Fn() -> Command,
    /// Opens the store of a directory.
    pub open: &'a OpenStore,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Report {
    /// What chance was made of.
    pub seed: u64,
    /// How often a process was killed.
    pub kills: u32,
    /// How much was accepted, as callers were told.
    pub accepted: usize,
    /// What of it, or of what followed, is not there.
    pub lost: Vec<String>,
    /// What is there, or was run, once too often.
    pub dup: Vec<String>,
    /// What is there and wrong.
    pub wrong: Vec<String>,
    /// At which of the [points](NAMES) a process died.
    pub hit: BTreeSet<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "CRASH seed={} kills={} accepted={} lost={} dup={} failpoints={}/{}",
            self.seed,
            self.kills,
            self.accepted,
            self.lost.len(),
            self.dup.len(),
            self.hit.len(),
            NAMES.len()
        )
    }
}

impl Report {
    /// What does not add up, for people; empty if all does.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let kinds = [("lost", &self.lost), ("dup", &self.dup), ("wrong", &self.wrong)];
        let mut problems: Vec<String> = kinds
            .iter()
            .flat_map(|(kind, list)| list.iter().take(TOLD).map(move |text| format!("{kind}: {text}")))
            .collect();
        let missed = NAMES.iter().filter(|name| !self.hit.contains(**name));
        problems.extend(missed.map(|name| format!("no process died at {name}")));
        problems
    }

    /// Adds what came of a directory. One in which something does not add up stays, to be looked at, with a file that
    /// says what.
    #[expect(clippy::expect_used, reason = "a folder that cannot be written is no place for this")]
    fn add(&mut self, ledger: Ledger, mut findings: Findings, directory: &Path) {
        findings.wrong.extend(ledger.wrong);
        if findings.is_empty() {
            std::fs::remove_dir_all(directory).expect("the directory is removed");
        } else {
            std::fs::write(directory.join("findings.txt"), format!("{findings:#?}")).expect("a file");
        }
        self.accepted += ledger.accepted.len();
        self.hit.extend(ledger.hit);
        self.lost.extend(findings.lost);
        self.dup.extend(findings.dup);
        self.wrong.extend(findings.wrong);
    }
}

/// When a process is killed.
enum Death {
    /// So long after it is up.
    Later(Duration),
    /// So long after it was started, which it may spend in coming up.
    Early(Duration),
    /// When it has passed a point so often.
    At(&'static str, u32),
}

impl Harness<'_> {
    /// Kills as often as it shall, and accounts for everything.
    ///
    /// # Panics
    /// When a process cannot be started, does not come up, or does not end well when it should.
    #[must_use]
    #[expect(clippy::expect_used, reason = "without processes and a store there is nothing to check")]
    pub fn run(&self) -> Report {
        let runtime = Runtime::new().expect("a runtime");
        let mut rng = Rng::with_seed(self.seed);
        let mut report = Report { seed: self.seed, ..Report::default() };
        // Each point when it is first passed, and after that when chance says.
        let mut points =
            NAMES.iter().map(|name| (*name, 1)).chain(NAMES.iter().map(|name| (*name, 6)).cycle());
        while report.kills < self.kills {
            let directory = self.folder.join(format!("life-{}", report.kills));
            std::fs::create_dir_all(&directory).expect("a directory");
            let mut ledger = Ledger::default();
            let mut first = FIRST.iter();
            for _ in 0..LIFE.min(self.kills - report.kills) {
                let death = match rng.u32(0..10) {
                    _ if first.len() > 0 => {
                        first.next().map_or(Death::Later(Duration::ZERO), |name| Death::At(name, 1))
                    }
                    0..5 => points.next().map_or(Death::Later(Duration::ZERO), |(name, most)| {
                        Death::At(name, rng.u32(1..=most))
                    }),
                    5..9 => Death::Later(Duration::from_micros(rng.u64(0..60_000))),
                    _ => Death::Early(Duration::from_micros(rng.u64(0..15_000))),
                };
                self.kill(&directory, &mut ledger, &death, rng.u64(..));
                report.kills += 1;
            }
            self.drain(&directory, &mut ledger);
            let findings = runtime.block_on(async {
                let store = (self.open)(directory.clone()).await.expect("the store opens");
                check(&directory, &store, &ledger).await.expect("the store can be read")
            });
            report.add(ledger, findings, &directory);
        }
        report
    }

    /// Starts a process, and kills it.
    #[expect(clippy::expect_used, reason = "without processes there is nothing to check")]
    fn kill(&self, directory: &Path, ledger: &mut Ledger, death: &Death, seed: u64) {
        let mut command = self.command(directory, "work", seed);
        if let Death::At(name, count) = death {
            command.env(VARIABLE, format!("{name}:{count}"));
        }
        let mut victim = Victim::start(&mut command);
        let mut until = victim.started + PATIENCE;
        if let Death::Early(after) = death {
            until = victim.started + *after;
        }
        while let Some(line) = victim.line(until) {
            if ledger.take(&line) == Heard::Ready {
                until = match death {
                    Death::Later(after) => Instant::now() + *after,
                    Death::At(..) => Instant::now() + LONGEST,
                    Death::Early(_) => until,
                };
            }
        }
        let _ = victim.child.kill();
        let status = victim.child.wait().expect("the end of the process");
        if status.signal() != Some(Signal::KILL.as_raw()) {
            ledger.wrong.push(format!("a process ended by itself, with {status}"));
        }
        for line in victim.rest() {
            ledger.take(&line);
        }
    }

    /// Has a process let everything come to its end.
    fn drain(&self, directory: &Path, ledger: &mut Ledger) {
        let mut last = Victim::start(&mut self.command(directory, "drain", 0));
        let until = last.started + PATIENCE;
        while let Some(line) = last.line(until) {
            ledger.take(&line);
        }
        let _ = last.child.kill();
        let status = last.child.wait();
        assert!(
            ledger.left.is_some() && status.as_ref().is_ok_and(std::process::ExitStatus::success),
            "the process that should end well ended with {status:?}"
        );
    }

    fn command(&self, directory: &Path, mode: &str, seed: u64) -> Command {
        let mut command = (self.command)();
        command.env(DIRECTORY, directory).env(MODE, mode).env(SEED, seed.to_string());
        command
    }
}

/// A process that is to be killed.
struct Victim {
    child: Child,
    started: Instant,
    lines: Receiver<String>,
}

impl Victim {
    #[expect(clippy::expect_used, reason = "without processes there is nothing to check")]
    fn start(command: &mut Command) -> Self {
        let started = Instant::now();
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("a process is started");
        let out = BufReader::new(child.stdout.take().expect("its output"));
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in out.split(b'\n').map_while(Result::ok) {
                if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                    return;
                }
            }
        });
        Self { child, started, lines }
    }

    /// The next line, unless the time is over or the process is gone.
    fn line(&self, until: Instant) -> Option<String> {
        self.lines.recv_timeout(until.saturating_duration_since(Instant::now())).ok()
    }

    /// What it had told before it was gone.
    fn rest(&self) -> Vec<String> {
        self.lines.iter().collect()
    }
}

/// The directory of a process that is to be killed, if this is one.
pub(super) fn directory() -> Option<PathBuf> {
    std::env::var_os(DIRECTORY).map(PathBuf::from)
}
