//! The process that kills, and counts.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use fastrand::Rng;
use rustix::process::{Pid, Signal, kill_process};
use tokio::runtime::Runtime;

use super::check::{Found, check};
use super::ledger::{Heard, Ledger};
use super::points::{NAMES, VARIABLE};
use super::{CheckStore, DIRECTORY, MODE, OpenStore, SEED};

/// How often a directory's processes are killed before its books are read. Arbitrary.
const LIFE: u32 = 100;
/// Where the first processes of a directory die: these points are passed before anything else is there, and rarely later.
const FIRST: [&str; 4] =
    ["put_entity.before", "put_entity.after", "put_schedule.before", "put_schedule.after"];
/// How long a process may take to come up, and to end well. Arbitrary.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long a process works at most that dies at a point. Arbitrary.
const LONGEST: Duration = Duration::from_millis(400);
/// How many findings are told of each kind. Arbitrary.
const TOLD: usize = 20;
/// How many runs one kill may cost whose code had not started. Arbitrary: it is two or three.
const UNSTARTED: u64 = 16;
/// What can only fail.
const DOOMED: [&str; 2] = ["doomed", "spent"];

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
    /// Looks through the store of a directory that no process has open.
    pub check: &'a CheckStore,
    /// The points that the store has of its own, besides [`NAMES`]: it [passes](super::pass) each while the app works.
    pub points: &'a [&'static str],
    /// Those that it passes only while it is closed.
    pub closing: &'a [&'static str],
    /// Is told what came of it so far, each time that the books of a directory were read.
    pub progress: &'a dyn Fn(&Report),
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
    /// The points at which a process is to die at least once.
    pub points: Vec<&'static str>,
    /// At which of them one died.
    pub hit: BTreeSet<String>,
    /// How often each kind of work ended well, and how often it ended.
    pub ends: BTreeMap<String, (u64, u64)>,
    /// How many runs were given up as lost whose code had not started.
    pub unstarted: u64,
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
            self.points.len()
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
        let missed = self.points.iter().filter(|name| !self.hit.contains(**name));
        problems.extend(missed.map(|name| format!("no process died at {name}")));
        if self.unstarted > UNSTARTED * u64::from(self.kills) {
            problems.push(format!("{} runs were given up as lost that had not started", self.unstarted));
        }
        // Work that is always given up adds up, too.
        let well = self.ends.iter().filter(|(kind, _)| !DOOMED.contains(&kind.as_str()));
        let given_up = well.filter(|(_, (well, all))| well * 3 < *all);
        problems
            .extend(given_up.map(|(kind, (well, all))| format!("only {well} of {all} {kind} ended well")));
        problems
    }

    /// Adds what came of a directory. One in which something does not add up stays, to be looked at, with a file that
    /// says what.
    #[expect(clippy::expect_used, reason = "a folder that cannot be written is no place for this")]
    fn add(&mut self, ledger: Ledger, found: Found, directory: &Path) {
        let Found { mut findings, ends, unstarted } = found;
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
        self.unstarted += unstarted;
        for (kind, (well, all)) in ends {
            let sum = self.ends.entry(kind).or_default();
            *sum = (sum.0 + well, sum.1 + all);
        }
    }
}

/// When and how a process ends.
#[derive(Debug)]
enum Death {
    /// So long after it is up.
    Later(Duration),
    /// So long after it was started, which it may spend in coming up.
    Early(Duration),
    /// When it has passed a point so often.
    At(&'static str, u32),
    /// When it passes a point after it was asked to end, so long after it is up.
    Closing(&'static str, Duration),
    /// It is asked to end so long after it is up, and left to it.
    Asked(Duration),
}

impl Death {
    /// How long a process works that is up.
    fn after(&self) -> Duration {
        match self {
            Self::Later(after) | Self::Early(after) | Self::Closing(_, after) | Self::Asked(after) => *after,
            Self::At(..) => LONGEST,
        }
    }
}

/// Which points had their turn.
#[derive(Default)]
struct Chosen {
    point: Turn,
    closing: Turn,
}

#[derive(Default)]
struct Turn(usize);

impl Turn {
    /// The point after one at which a process has died, if none has there: what comes next may be what that one left to do.
    fn following(&mut self, points: &[&'static str], hit: impl Fn(&&str) -> bool) -> Option<&'static str> {
        let next = (self.0 + 1) % points.len();
        let is_next = hit(&points[self.0]) && !hit(&points[next]);
        is_next.then(|| {
            self.0 = next;
            points[next]
        })
    }

    /// The next point at which no process has died yet, or else the next one, and whether one has.
    fn next(&mut self, points: &[&'static str], hit: impl Fn(&&str) -> bool) -> (&'static str, bool) {
        let after = self.0 + 1;
        let turns = (after..after + points.len()).map(|turn| turn % points.len());
        let missed = turns.clone().find(|turn| !hit(&points[*turn]));
        self.0 = missed.unwrap_or(after % points.len());
        (points[self.0], missed.is_none())
    }
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
        let points: Vec<_> = NAMES.iter().chain(self.points).copied().collect();
        let mut report = Report { seed: self.seed, ..Report::default() };
        report.points = points.iter().chain(self.closing).copied().collect();
        let mut chosen = Chosen::default();
        while report.kills < self.kills {
            let directory = self.folder.join(format!("life-{}", report.kills));
            std::fs::create_dir_all(&directory).expect("a directory");
            let mut ledger = Ledger::default();
            let mut first = FIRST.iter();
            for _ in 0..LIFE.min(self.kills - report.kills) {
                let hit = |name: &&str| report.hit.contains(*name) || ledger.hit.contains(*name);
                let death = match first.next().copied().or_else(|| chosen.point.following(&points, hit)) {
                    Some(name) => Death::At(name, 1),
                    None => self.death(&mut rng, &mut chosen, &points, hit),
                };
                self.end(&directory, &mut ledger, &death, rng.u64(..));
                report.kills += 1;
                if rng.u32(0..10) == 0 {
                    let after = Duration::from_micros(rng.u64(0..30_000));
                    self.end(&directory, &mut ledger, &Death::Asked(after), rng.u64(..));
                }
            }
            self.drain(&directory, &mut ledger);
            let mut found = runtime.block_on(async {
                let store = (self.open)(directory.clone()).await.expect("the store opens");
                check(&directory, &store, &ledger).await.expect("the store can be read")
            });
            found.findings.wrong.extend(runtime.block_on((self.check)(directory.clone())).err());
            report.add(ledger, found, &directory);
            (self.progress)(&report);
        }
        report
    }

    /// What chance has a process die of.
    fn death(
        &self,
        rng: &mut Rng,
        chosen: &mut Chosen,
        points: &[&'static str],
        hit: impl Fn(&&str) -> bool,
    ) -> Death {
        match rng.u32(0..20) {
            0..9 => {
                let (name, is_hit) = chosen.point.next(points, hit);
                Death::At(name, if is_hit { rng.u32(1..=6) } else { 1 })
            }
            9 if !self.closing.is_empty() => {
                let after = Duration::from_micros(rng.u64(0..30_000));
                Death::Closing(chosen.closing.next(self.closing, hit).0, after)
            }
            9..18 => Death::Later(Duration::from_micros(rng.u64(0..60_000))),
            _ => Death::Early(Duration::from_micros(rng.u64(0..15_000))),
        }
    }

    /// Starts a process, and ends it.
    #[expect(clippy::expect_used, reason = "without processes there is nothing to check")]
    fn end(&self, directory: &Path, ledger: &mut Ledger, death: &Death, seed: u64) {
        let mut command = self.command(directory, "work", seed);
        match death {
            Death::At(name, count) => drop(command.env(VARIABLE, format!("{name}:{count}"))),
            Death::Closing(name, _) => drop(command.env(VARIABLE, format!("{name}:1"))),
            Death::Later(_) | Death::Early(_) | Death::Asked(_) => {}
        }
        let mut victim = Victim::start(&mut command);
        let is_early = matches!(death, Death::Early(_));
        let mut until = victim.started + if is_early { death.after() } else { PATIENCE };
        let mut is_up = false;
        while let Some(line) = victim.line(until) {
            if ledger.take(&line) == Heard::Ready {
                is_up = true;
                if !is_early {
                    until = Instant::now() + death.after();
                }
            }
        }
        if matches!(death, Death::Closing(..) | Death::Asked(_)) {
            victim.ask_to_end();
            let until = Instant::now() + PATIENCE;
            while let Some(line) = victim.line(until) {
                ledger.take(&line);
            }
        }
        let _ = victim.child.kill();
        let status = victim.child.wait().expect("the end of the process");
        for line in victim.rest() {
            ledger.take(&line);
        }
        let was_killed = status.signal() == Some(Signal::KILL.as_raw());
        let is_expected = match death {
            Death::Asked(_) => status.success(),
            Death::Closing(..) => was_killed || status.success(),
            Death::Later(_) | Death::Early(_) | Death::At(..) => was_killed,
        };
        if !is_expected {
            ledger.wrong.push(format!("a process that was to end by {death:?} ended with {status}"));
        }
        // At a point it may have died before.
        if matches!(death, Death::Later(_) | Death::Closing(..) | Death::Asked(_)) && !is_up {
            ledger.wrong.push("a process did not come up".to_owned());
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

    /// Has it end as systems do that stop a service.
    fn ask_to_end(&self) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // One that has just ended needs no signal.
            let _ = kill_process(pid, Signal::TERM);
        }
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
