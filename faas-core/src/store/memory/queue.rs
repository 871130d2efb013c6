//! The accepted work of a memory store: jobs, claims, dead letters.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use super::records::taken;
use crate::activation::{ActivationId, Attempt};
use crate::error::{Error, ErrorKind};
use crate::store::{ActivationQuery, Claim, Claimed, DeadLetter, IdempotencyKey, Job, JobState, JobStatus};
use crate::units::Timestamp;

/// All jobs that are not finished, and the dead letters.
#[derive(Default)]
pub(super) struct Queue {
    jobs: BTreeMap<ActivationId, JobStatus>,
    /// The jobs that may be claimed at once, in the order in which they are, by namespace. None is empty.
    ready: BTreeMap<Arc<str>, BTreeSet<Place>>,
    /// The jobs that wait for their time.
    delayed: BTreeSet<Place>,
    /// The namespace that had the last turn.
    last: Option<Arc<str>>,
    keys: BTreeMap<Arc<str>, (ActivationId, Timestamp)>,
    /// The same keys by when their time is over.
    expiry: BTreeSet<(Timestamp, Arc<str>)>,
    dead: VecDeque<DeadLetter>,
}

type Place = (Timestamp, Timestamp, ActivationId);

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.jobs.len()
    }

    /// Refuses jobs whose id `has_record`, is queued, or is there twice, and those whose key is taken.
    pub(super) fn check_new(
        &self,
        jobs: &[Job],
        has_record: impl Fn(ActivationId) -> bool,
    ) -> Result<(), Error> {
        let (mut ids, mut keys) = (BTreeSet::new(), BTreeSet::new());
        for job in jobs {
            if !ids.insert(job.id) || self.jobs.contains_key(&job.id) || has_record(job.id) {
                return Err(taken(job.id));
            }
            let Some(IdempotencyKey { key, .. }) = &job.key else { continue };
            if !keys.insert(key) || self.keyed(key, job.accepted).is_some() {
                return Err(Error::new(ErrorKind::AlreadyExists, format!("the key '{key}' is taken")));
            }
        }
        Ok(())
    }

    /// Whether there is a job of that id.
    pub(super) fn has(&self, id: ActivationId) -> bool {
        self.jobs.contains_key(&id)
    }

    pub(super) fn keyed(&self, key: &str, now: Timestamp) -> Option<ActivationId> {
        self.keys.get(key).filter(|(_, until)| *until > now).map(|(id, _)| *id)
    }

    /// Adds jobs that were checked.
    pub(super) fn add(&mut self, jobs: Vec<Job>) {
        for job in jobs {
            self.add_key(&job);
            let status = JobStatus { job, state: JobState::Accepted, attempt: 0, earlier: Vec::new() };
            if status.job.not_before > status.job.accepted {
                self.delayed.insert(place(&status.job));
            } else {
                offer(&mut self.ready, &status.job);
            }
            self.jobs.insert(status.job.id, status);
        }
    }

    fn add_key(&mut self, job: &Job) {
        while let Some(over) = self.expiry.first().filter(|(until, _)| *until <= job.accepted).cloned() {
            self.expiry.remove(&over);
            self.keys.remove(&over.1);
        }
        if let Some(IdempotencyKey { key, until }) = &job.key {
            self.keys.insert(Arc::clone(key), (job.id, *until));
            self.expiry.insert((*until, Arc::clone(key)));
        }
    }

    /// Adds a job that was checked, claimed or started.
    pub(super) fn begin(&mut self, job: Job, started: bool) -> Claim {
        self.add_key(&job);
        let claim = Claim { id: job.id, attempt: 1 };
        let state = if started { JobState::Started } else { JobState::Claimed };
        self.jobs.insert(job.id, JobStatus { job, state, attempt: 1, earlier: Vec::new() });
        claim
    }

    pub(super) fn claim(&mut self, id: ActivationId) -> Result<Claim, Error> {
        let Some(status) = self.jobs.get_mut(&id) else {
            let text = format!("no job {id} waits or runs");
            return Err(Error::new(ErrorKind::NotFound, text).with_context("activation", id));
        };
        if !self.delayed.remove(&place(&status.job)) {
            withdraw(&mut self.ready, &status.job);
        }
        Ok(claim(status))
    }

    pub(super) fn claim_next(&mut self, now: Timestamp, limit: usize) -> Vec<Claimed> {
        while let Some(due) = self.delayed.first().filter(|(not_before, ..)| *not_before <= now).copied() {
            self.delayed.remove(&due);
            if let Some(status) = self.jobs.get(&due.2) {
                offer(&mut self.ready, &status.job);
            }
        }
        let mut claimed = Vec::new();
        while claimed.len() < limit {
            let Some((namespace, place)) = self.next_turn() else { break };
            self.last = Some(namespace);
            if let Some(status) = self.jobs.get_mut(&place.2) {
                withdraw(&mut self.ready, &status.job);
                let state = status.state;
                let claim = claim(status);
                let (job, earlier) = (status.job.clone(), status.earlier.clone());
                claimed.push(Claimed { job, claim, state, earlier, damage: None });
            }
        }
        claimed
    }

    /// The first job of the namespace whose turn it is.
    fn next_turn(&self) -> Option<(Arc<str>, Place)> {
        let later = self
            .last
            .as_deref()
            .and_then(|last| self.ready.range::<str, _>((Bound::Excluded(last), Bound::Unbounded)).next());
        let (namespace, places) = later.or_else(|| self.ready.first_key_value())?;
        Some((Arc::clone(namespace), *places.first()?))
    }

    pub(super) fn next_due(&self) -> Option<Timestamp> {
        let delayed = self.delayed.first().map(|(not_before, ..)| *not_before);
        if self.ready.is_empty() { delayed } else { Some(Timestamp::default()) }
    }

    pub(super) fn take_over(&mut self) -> u64 {
        let mut taken = 0;
        for status in self.jobs.values_mut() {
            status.state = match status.state {
                JobState::Claimed => JobState::Accepted,
                JobState::Started => JobState::Lost,
                JobState::Accepted | JobState::Lost => continue,
            };
            offer(&mut self.ready, &status.job);
            taken += 1;
        }
        taken
    }

    pub(super) fn start(&mut self, claim: Claim, earlier: Vec<Attempt>) -> Result<(), Error> {
        let status = self.claimed(claim)?;
        status.state = JobState::Started;
        status.earlier = earlier;
        Ok(())
    }

    pub(super) fn retry(
        &mut self,
        claim: Claim,
        not_before: Timestamp,
        earlier: Vec<Attempt>,
    ) -> Result<(), Error> {
        let status = self.claimed(claim)?;
        status.state = JobState::Accepted;
        status.job.not_before = not_before;
        status.earlier = earlier;
        let Some(JobStatus { job, .. }) = self.jobs.get(&claim.id) else { return Ok(()) };
        if not_before == job.accepted {
            offer(&mut self.ready, job);
        } else {
            self.delayed.insert(place(job));
        }
        Ok(())
    }

    /// Refuses a claim that does not hold any more.
    pub(super) fn check_claim(&mut self, claim: Claim) -> Result<(), Error> {
        self.claimed(claim).map(|_| ())
    }

    /// Removes a job whose claim was checked.
    pub(super) fn remove(&mut self, id: ActivationId) -> Option<Job> {
        self.jobs.remove(&id).map(|status| status.job)
    }

    pub(super) fn find(&self, id: ActivationId) -> Option<JobStatus> {
        self.jobs.get(&id).cloned()
    }

    /// Keeps a dead letter, and drops the oldest over `max`.
    pub(super) fn bury(&mut self, letter: DeadLetter, max: usize) {
        self.dead.push_back(letter);
        while self.dead.len() > max {
            self.dead.pop_front();
        }
    }

    pub(super) fn dead(&self, query: &ActivationQuery) -> Vec<DeadLetter> {
        let wanted = self.dead.iter().filter(|letter| query.matches(&letter.record)).skip(query.skip);
        wanted.take(query.limit.unwrap_or(usize::MAX)).cloned().collect()
    }

    pub(super) fn find_dead(&self, id: ActivationId) -> Option<&DeadLetter> {
        self.dead.iter().find(|letter| letter.job.id == id)
    }

    /// Drops a dead letter.
    pub(super) fn drop_dead(&mut self, id: ActivationId) -> Result<(), Error> {
        let place = self.dead.iter().position(|letter| letter.job.id == id);
        place.and_then(|place| self.dead.remove(place)).map(drop).ok_or_else(|| no_dead_letter(id))
    }

    /// The entry of a claim that still holds.
    fn claimed(&mut self, claim: Claim) -> Result<&mut JobStatus, Error> {
        let refuse =
            |text: String| Err(Error::new(ErrorKind::Conflict, text).with_context("activation", claim.id));
        let Claim { id, attempt } = claim;
        match self.jobs.get_mut(&id) {
            None => refuse(format!("job {id} is finished")),
            Some(status) if status.attempt != attempt => {
                refuse(format!("attempt {attempt} of job {id} has lost it to attempt {}", status.attempt))
            }
            Some(status) => match status.state {
                JobState::Accepted => refuse(format!("attempt {attempt} of job {id} has given it back")),
                JobState::Lost => refuse(format!("attempt {attempt} of job {id} was given up as lost")),
                JobState::Claimed | JobState::Started => Ok(status),
            },
        }
    }
}

/// The next claim of a job.
fn claim(status: &mut JobStatus) -> Claim {
    status.attempt = status.attempt.saturating_add(1);
    // Until `start` or `retry` tells of the attempt that was lost, only the state does.
    status.state = match status.state {
        JobState::Accepted | JobState::Claimed => JobState::Claimed,
        JobState::Started | JobState::Lost => JobState::Started,
    };
    Claim { id: status.job.id, attempt: status.attempt }
}

fn place(job: &Job) -> Place {
    (job.not_before, job.accepted, job.id)
}

/// Lets a job be claimed.
fn offer(ready: &mut BTreeMap<Arc<str>, BTreeSet<Place>>, job: &Job) {
    match ready.get_mut(job.namespace()) {
        Some(places) => places.insert(place(job)),
        None => ready.entry(job.namespace().into()).or_default().insert(place(job)),
    };
}

/// Lets a job be claimed no more.
fn withdraw(ready: &mut BTreeMap<Arc<str>, BTreeSet<Place>>, job: &Job) {
    if let Some(places) = ready.get_mut(job.namespace()) {
        places.remove(&place(job));
        if places.is_empty() {
            ready.remove(job.namespace());
        }
    }
}

/// The error of whoever names a dead letter that is none.
pub(super) fn no_dead_letter(id: ActivationId) -> Error {
    Error::new(ErrorKind::NotFound, format!("there is no dead letter {id}")).with_context("activation", id)
}
