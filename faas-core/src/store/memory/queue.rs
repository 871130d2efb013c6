//! The accepted work of a memory store: jobs, claims, dead letters.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::records::taken;
use crate::activation::{Activation, ActivationId};
use crate::error::{Error, ErrorKind};
use crate::store::{Claim, Job, JobState};
use crate::units::Timestamp;

/// All jobs that are not finished, and the dead letters.
#[derive(Default)]
pub(super) struct Queue {
    jobs: BTreeMap<ActivationId, Entry>,
    /// The jobs that nobody has claimed, in the order in which they are claimed.
    unclaimed: BTreeSet<(Timestamp, Timestamp, ActivationId)>,
    dead: VecDeque<(Job, Activation)>,
}

struct Entry {
    job: Job,
    state: JobState,
    /// The number of the last attempt; 0 before the first.
    attempt: u32,
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.jobs.len()
    }

    /// Refuses jobs whose id `has_record`, is queued, or is there twice.
    pub(super) fn check_new(
        &self,
        jobs: &[Job],
        has_record: impl Fn(ActivationId) -> bool,
    ) -> Result<(), Error> {
        let mut ids = BTreeSet::new();
        let known = |id: ActivationId| self.jobs.contains_key(&id) || has_record(id);
        match jobs.iter().find(|job| !ids.insert(job.id) || known(job.id)) {
            Some(job) => Err(taken(job.id)),
            None => Ok(()),
        }
    }

    /// Adds jobs that were checked.
    pub(super) fn add(&mut self, jobs: Vec<Job>) {
        for job in jobs {
            self.unclaimed.insert(place(&job));
            self.jobs.insert(job.id, Entry { job, state: JobState::Accepted, attempt: 0 });
        }
    }

    pub(super) fn claim(&mut self, id: ActivationId) -> Result<Claim, Error> {
        let Some(entry) = self.jobs.get_mut(&id) else {
            let text = format!("no job {id} waits or runs");
            return Err(Error::new(ErrorKind::NotFound, text).with_context("activation", id));
        };
        self.unclaimed.remove(&place(&entry.job));
        Ok(entry.claim())
    }

    pub(super) fn claim_next(&mut self, now: Timestamp, limit: usize) -> Vec<(Job, Claim)> {
        let mut claimed = Vec::new();
        while claimed.len() < limit {
            let Some(&next) = self.unclaimed.first().filter(|(not_before, ..)| *not_before <= now) else {
                break;
            };
            self.unclaimed.remove(&next);
            if let Some(entry) = self.jobs.get_mut(&next.2) {
                claimed.push((entry.job.clone(), entry.claim()));
            }
        }
        claimed
    }

    pub(super) fn start(&mut self, claim: Claim) -> Result<(), Error> {
        self.claimed(claim)?.state = JobState::Started;
        Ok(())
    }

    pub(super) fn retry(&mut self, claim: Claim, not_before: Timestamp) -> Result<(), Error> {
        let entry = self.claimed(claim)?;
        entry.state = JobState::Accepted;
        entry.job.not_before = not_before;
        let place = place(&entry.job);
        self.unclaimed.insert(place);
        Ok(())
    }

    /// Refuses a claim that does not hold any more.
    pub(super) fn check_claim(&mut self, claim: Claim) -> Result<(), Error> {
        self.claimed(claim).map(|_| ())
    }

    /// Removes a job whose claim was checked.
    pub(super) fn remove(&mut self, id: ActivationId) -> Option<Job> {
        self.jobs.remove(&id).map(|entry| entry.job)
    }

    pub(super) fn find(&self, id: ActivationId) -> Option<(Job, JobState, u32)> {
        self.jobs.get(&id).map(|entry| (entry.job.clone(), entry.state, entry.attempt))
    }

    /// Keeps a dead letter, and drops the oldest over `max`.
    pub(super) fn bury(&mut self, job: Job, record: Activation, max: usize) {
        self.dead.push_back((job, record));
        if self.dead.len() > max {
            self.dead.pop_front();
        }
    }

    pub(super) fn dead(&self, limit: usize) -> Vec<(Job, Activation)> {
        self.dead.iter().take(limit).cloned().collect()
    }

    /// The entry of a claim that still holds.
    fn claimed(&mut self, claim: Claim) -> Result<&mut Entry, Error> {
        let refuse =
            |text: String| Err(Error::new(ErrorKind::Conflict, text).with_context("activation", claim.id));
        let Claim { id, attempt } = claim;
        match self.jobs.get_mut(&id) {
            None => refuse(format!("job {id} is finished")),
            Some(entry) if entry.attempt != attempt => {
                refuse(format!("attempt {attempt} of job {id} has lost it to attempt {}", entry.attempt))
            }
            Some(entry) if entry.state == JobState::Accepted => {
                refuse(format!("attempt {attempt} of job {id} has given it back"))
            }
            Some(entry) => Ok(entry),
        }
    }
}

impl Entry {
    fn claim(&mut self) -> Claim {
        self.attempt = self.attempt.saturating_add(1);
        self.state = JobState::Claimed;
        Claim { id: self.job.id, attempt: self.attempt }
    }
}

fn place(job: &Job) -> (Timestamp, Timestamp, ActivationId) {
    (job.not_before, job.accepted, job.id)
}
