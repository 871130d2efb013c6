//! Accounts for everything that a directory holds after its processes were killed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use faas_core::meter::billed_ms;
use faas_core::store::{ActivationQuery, DeadLetter};
use faas_core::{Activation, ActivationId, ActivationKind, EntityName, Error, Limits, Status, Store};

use super::app::{HOME, MINUTE, PASSING, RETRIES, RULES, SPARE, STEPS, Starts, TICK, VAIN};
use super::ledger::Ledger;

/// How often each kind of work ended well, and how often it ended.
pub(super) type Ends = BTreeMap<String, (u64, u64)>;

/// What the books of a directory come to.
pub(super) struct Found {
    pub(super) findings: Findings,
    pub(super) ends: Ends,
    /// How many runs were recorded as lost whose code had not started.
    pub(super) unstarted: u64,
}

/// What does not add up, each with a line for people.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// What was accepted, or followed from it, and is not there.
    pub(super) lost: Vec<String>,
    /// What is there, or was run, once too often.
    pub(super) dup: Vec<String>,
    /// What is there and wrong.
    pub(super) wrong: Vec<String>,
}

impl Findings {
    pub(super) fn is_empty(&self) -> bool {
        self.lost.is_empty() && self.dup.is_empty() && self.wrong.is_empty()
    }
}

/// All that is there.
struct Books<'a> {
    ledger: &'a Ledger,
    records: BTreeMap<ActivationId, Activation>,
    /// The activations that each one caused.
    caused: BTreeMap<ActivationId, Vec<Activation>>,
    /// The attempts of each activation whose code started.
    starts: BTreeMap<ActivationId, Vec<u32>>,
    letters: Vec<DeadLetter>,
    findings: Findings,
}

/// Looks for what was lost, doubled or is wrong.
///
/// # Errors
/// Those of the store, and `Internal` where the file of starts cannot be read.
pub(super) async fn check(directory: &Path, store: &Arc<dyn Store>, ledger: &Ledger) -> Result<Found, Error> {
    let query = ActivationQuery::default();
    let list = store.activations(&query).await?;
    let mut books = Books {
        ledger,
        records: list.iter().map(|record| (record.id, record.clone())).collect(),
        caused: BTreeMap::new(),
        starts: starts(directory)?,
        letters: store.dead_letters(&query).await?,
        findings: Findings::default(),
    };
    if store.count_activations(&query).await? != list.len() as u64 {
        books.findings.wrong.push("the records are not as many as are counted".to_owned());
    }
    for record in &list {
        if let Some(cause) = record.cause {
            books.caused.entry(cause).or_default().push(record.clone());
        }
    }
    books.accepted();
    books.runs();
    books.composed();
    books.ticks(TICK);
    books.ticks(MINUTE);
    books.dead();
    books.keys();
    let pending = store.pending().await?;
    if pending > 0 || ledger.left != Some(0) {
        books.findings.lost.push(format!("{pending} jobs are left, and {:?} were told", ledger.left));
    }
    if ledger.held != Some(0) {
        books.findings.wrong.push(format!("with nothing to do, the platform held {:?}", ledger.held));
    }
    let spare = store.entity(&EntityName::new(HOME, None, SPARE)?).await?.map(|entity| entity.revision.0);
    let passing = store.entity(&EntityName::new(HOME, None, PASSING)?).await?.is_some();
    books.entities(spare, passing);
    Ok(Found { unstarted: books.unstarted(), findings: books.findings, ends: ends(&list) })
}

fn ends(records: &[Activation]) -> Ends {
    let mut ends = Ends::new();
    for record in records {
        let (well, all) = ends.entry(record.action().path().to_owned()).or_default();
        *well += u64::from(record.status() == Status::Success);
        *all += 1;
    }
    ends
}

fn starts(directory: &Path) -> Result<BTreeMap<ActivationId, Vec<u32>>, Error> {
    let text = std::fs::read_to_string(Starts::file(directory)).map_err(|error| {
        Error::new(faas_core::ErrorKind::Internal, "the file of starts cannot be read").with_source(error)
    })?;
    let mut starts: BTreeMap<ActivationId, Vec<u32>> = BTreeMap::new();
    for line in text.lines() {
        let mut words = line.split(' ');
        if let (Some(Ok(id)), Some(Ok(attempt))) =
            (words.next().map(str::parse::<ActivationId>), words.next().map(str::parse::<u32>))
        {
            starts.entry(id).or_default().push(attempt);
        }
    }
    Ok(starts)
}

impl Books<'_> {
    /// I1: what was accepted has its record.
    fn accepted(&mut self) {
        for (id, what) in &self.ledger.accepted {
            if !self.records.contains_key(id) {
                self.findings.lost.push(format!("{id} ({what}) has no record"));
            }
        }
    }

    /// How many runs were given up as lost though no code had started: their process was killed in between.
    fn unstarted(&self) -> u64 {
        let lost = self.records.values().filter(|record| {
            let runs = record.revision.kind == ActivationKind::Action;
            runs && record.status() == Status::InternalError && !record.usage_known
        });
        lost.filter(|record| !self.starts.contains_key(&record.id)).count() as u64
    }

    /// I2, I5, I6, I7: each run is within what is allowed, and its record tells of it truly.
    fn runs(&mut self) {
        let Findings { lost, dup, wrong } = &mut self.findings;
        for (id, attempts) in &self.starts {
            let Some(record) = self.records.get(id) else {
                lost.push(format!("{id} ran and has no record"));
                continue;
            };
            let distinct: BTreeSet<_> = attempts.iter().collect();
            if attempts.len() > allowed(record) || distinct.len() < attempts.len() {
                dup.push(format!("{id} ({}) ran as attempts {attempts:?}", record.action()));
            }
            if attempts.iter().any(|attempt| *attempt > record.attempts) {
                wrong
                    .push(format!("{id} ran as attempts {attempts:?}, and {} are recorded", record.attempts));
            }
        }
        for (id, record) in &self.records {
            let runs = record.revision.kind == ActivationKind::Action;
            if runs && record.status() == Status::Success && !self.starts.contains_key(id) {
                lost.push(format!("{id} ({}) succeeded without a run", record.action()));
            }
            let is_billed = !runs || is_billed(record);
            let is_counted = !runs || record.attempts as usize <= record.earlier.len() + 1;
            if record.start > record.end || !is_billed || !is_counted {
                wrong.push(format!("{record:?}"));
            }
            let bytes: usize = record.logs.iter().map(|line| line.text.len()).sum();
            let is_own =
                |text: &str| text.rsplit_once("run of ").is_none_or(|(_, own)| own == id.to_string());
            if bytes as u64 > Limits::MAX_LOGS || !record.logs.iter().all(|line| is_own(&line.text)) {
                wrong.push(format!("the log of {id} is not its own: {:?}", record.logs));
            }
        }
    }

    /// Sequences, fan-outs and outboxes: all that follows is there, once.
    fn composed(&mut self) {
        for record in self.records.values() {
            let caused = self.caused.get(&record.id).map_or(&[][..], Vec::as_slice);
            let of = |name: &str| caused.iter().filter(|child| child.action().path() == name).count();
            let (name, is_success) = (record.action().path(), record.status() == Status::Success);
            let wanted: Vec<(&str, usize)> = match name {
                "chain" if is_success => STEPS.iter().map(|step| (*step, 1)).collect(),
                "nest" if is_success => vec![("primed", 1), ("chain", 1)],
                "burst" => vec![("once", RULES.len()), ("ruled", 1)],
                "ripple" => vec![("ripple-work", 1)],
                _ if name == TICK.0 || name == MINUTE.0 => vec![("on-tick", 1)],
                "emit" if is_success => vec![("ripple", 1)],
                "doomed" => vec![("undertaker", 1)],
                _ => continue,
            };
            for (child, count) in wanted {
                let (what, found) = (format!("{name} {} caused", record.id), of(child));
                let list = if found < count { &mut self.findings.lost } else { &mut self.findings.dup };
                if found != count {
                    list.push(format!("{what} {found} of {child} and not {count}"));
                }
            }
            for step in STEPS.iter().filter(|step| name == "chain" && of(step) > 1) {
                self.findings.dup.push(format!("chain {} ran {step} {} times", record.id, of(step)));
            }
        }
    }

    /// No tick of a schedule is lost or doubled: each tells how many it stands for.
    fn ticks(&mut self, (name, every): (&str, Duration)) {
        let ticks = self.records.values().filter(|record| record.action().path() == name);
        let mut ticks: Vec<_> = ticks
            .map(|tick| (tick.id.made_at().millis(), tick.outcome.result().to_value()["missed"].as_u64()))
            .collect();
        ticks.sort_unstable();
        let every = u64::try_from(every.as_millis()).unwrap_or(u64::MAX);
        for pair in ticks.windows(2) {
            let (passed, told) = ((pair[1].0 - pair[0].0) / every, pair[1].1.unwrap_or(0) + 1);
            let text = || format!("after the {name} at {} one tells of {told}, and {passed} came", pair[0].0);
            match passed.cmp(&told) {
                std::cmp::Ordering::Greater => self.findings.lost.push(text()),
                std::cmp::Ordering::Less => self.findings.dup.push(text()),
                std::cmp::Ordering::Equal => {}
            }
        }
    }

    /// What can only fail is a dead letter, until it is run again, which then is one.
    fn dead(&mut self) {
        let letters: BTreeSet<_> = self.letters.iter().map(|letter| letter.job.id).collect();
        if letters.len() < self.letters.len() {
            self.findings.dup.push("a dead letter is there twice".to_owned());
        }
        for record in self.records.values() {
            let id = record.id;
            let (is_letter, is_gone) = match record.action().path() {
                "doomed" => {
                    let caused = self.caused.get(&id).into_iter().flatten();
                    (
                        letters.contains(&id),
                        caused.filter(|child| child.action().path() == "doomed").count() > 0,
                    )
                }
                // One that was about to be dropped may be there or not.
                "spent" if self.ledger.dropping.contains(&id) && !self.ledger.dropped.contains(&id) => {
                    continue;
                }
                "spent" => (letters.contains(&id), self.ledger.dropped.contains(&id)),
                _ => continue,
            };
            match (is_letter, is_gone) {
                (false, false) => self.findings.lost.push(format!("{id} is no dead letter")),
                (true, true) => self.findings.dup.push(format!("{id} is a dead letter still")),
                _ => {}
            }
        }
    }

    /// A key stands for one activation.
    fn keys(&mut self) {
        for (key, ids) in self.ledger.keys.iter().filter(|(_, ids)| ids.len() > 1) {
            self.findings.dup.push(format!("key {key} stands for {ids:?}"));
        }
    }

    /// I9: revisions grow with each change, and the last one that was told is there.
    fn entities(&mut self, kept: Option<u64>, passing: bool) {
        let told = &self.ledger.revisions;
        // The first change of a process may change nothing.
        let grows = |pair: &[(u64, bool)]| pair[0].0 < pair[1].0 || pair[0] == pair[1];
        if !told.windows(2).all(grows) {
            self.findings.wrong.push(format!("revisions did not grow: {told:?}"));
        }
        if let Some((last, _)) = told.last().filter(|(last, _)| kept.is_none_or(|kept| kept < *last)) {
            self.findings.lost.push(format!("revision {last} was told, and {kept:?} is kept"));
        }
        match self.ledger.passing {
            Some(true) if !passing => self.findings.lost.push(format!("{PASSING} is not there")),
            Some(false) if passing => self.findings.dup.push(format!("{PASSING} is there again")),
            _ => {}
        }
    }
}

/// I5: the bill is that of all attempts, and an attempt whose usage is unknown costs nothing.
fn is_billed(record: &Activation) -> bool {
    let earlier: u64 = record.earlier.iter().map(|attempt| attempt.billed_ms).sum();
    let Some(last) = record.billed_ms.checked_sub(earlier) else { return false };
    let ran = record.start_kind.is_some() && record.usage_known;
    last == if ran { billed_ms(record.times.init.saturating_add(record.times.run)) } else { 0 }
}

/// How often the code of an activation may start.
fn allowed(record: &Activation) -> usize {
    match record.action().path() {
        "again" | "on-tick" | "ruled" => 1 + RETRIES as usize,
        "doomed" | "spent" => 1 + VAIN as usize,
        _ => 1,
    }
}
