//! The jobs that wait, and what is free for them.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::capacity::Stripes;
use super::permit::Permit;
use super::policy::{Policy, QueuedJob};

/// The state behind the scheduler's lock.
///
/// # Behavior
/// - While `shut`, all free units are in `pot` (or about to come, in the hands of someone who waits for the
///   lock), and nobody is admitted but from here.
/// - The policy holds exactly the jobs of `waiting`.
pub(super) struct Queue {
    pub(super) shut: bool,
    pub(super) closed: bool,
    pub(super) pot: u64,
    policy: Box<dyn Policy>,
    waiting: BTreeMap<u64, Waiting>,
    /// The same jobs by deadline.
    expiry: BTreeSet<(Instant, u64)>,
    next_ticket: u64,
    /// Those who wait until nothing is in use.
    idlers: Vec<oneshot::Sender<()>>,
}

/// A job in the queue with the one who waits for it.
struct Waiting {
    job: QueuedJob,
    /// The stripe that its permit goes back to: that of the thread that asked.
    home: usize,
    sender: oneshot::Sender<Permit>,
}

/// What is to be done when the lock has been released: granting wakes tasks.
#[derive(Default)]
pub(super) struct Decided {
    grants: Vec<(oneshot::Sender<Permit>, Permit)>,
    /// Dropping a sender tells its receiver that there will be no permit.
    pub(super) gone: Vec<oneshot::Sender<Permit>>,
    idle: Vec<oneshot::Sender<()>>,
}

impl Decided {
    /// Tells everybody. Returns the units of those who had left.
    pub(super) fn announce(self) -> u64 {
        for idler in self.idle {
            // One who has left needs no answer.
            let _ = idler.send(());
        }
        drop(self.gone);
        let refused = self.grants.into_iter().filter_map(|(sender, permit)| sender.send(permit).err());
        refused.map(Permit::disarm).sum()
    }
}

impl Queue {
    pub(super) fn new(policy: Box<dyn Policy>) -> Self {
        Self {
            shut: false,
            closed: false,
            pot: 0,
            policy,
            waiting: BTreeMap::new(),
            expiry: BTreeSet::new(),
            next_ticket: 0,
            idlers: Vec::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Takes all free units into the pot, so that everybody has to come here.
    pub(super) fn shut(&mut self, stripes: &Stripes) {
        if !self.shut {
            self.shut = true;
            self.pot = stripes.shut();
        }
    }

    /// Lets everybody take from the stripes again when nobody waits. What was closed stays shut.
    pub(super) fn open_if_nobody_waits(&mut self, stripes: &Stripes) {
        if self.shut && !self.closed && self.waiting.is_empty() && self.idlers.is_empty() {
            self.shut = false;
            stripes.open(std::mem::take(&mut self.pot));
        }
    }

    pub(super) fn take(&mut self, units: u64) -> bool {
        let enough = self.pot >= units;
        if enough {
            self.pot -= units;
        }
        enough
    }

    /// Adds a job and returns what its permit will come through, and the job with its ticket.
    pub(super) fn join(&mut self, mut job: QueuedJob) -> (oneshot::Receiver<Permit>, QueuedJob) {
        let (sender, receiver) = oneshot::channel();
        job.ticket = self.next_ticket;
        self.next_ticket += 1;
        self.expiry.insert((job.deadline, job.ticket));
        self.policy.push(job.clone());
        let waiting = Waiting { job: job.clone(), home: Stripes::home(), sender };
        self.waiting.insert(job.ticket, waiting);
        (receiver, job)
    }

    /// Takes a job out if it still waits.
    pub(super) fn leave(&mut self, ticket: u64) -> Option<oneshot::Sender<Permit>> {
        let waiting = self.waiting.remove(&ticket)?;
        self.expiry.remove(&(waiting.job.deadline, ticket));
        self.policy.remove(&waiting.job);
        Some(waiting.sender)
    }

    /// Takes out the jobs whose deadline has passed.
    pub(super) fn expire(&mut self, now: Instant, decided: &mut Decided) {
        while let Some(&(deadline, ticket)) = self.expiry.first()
            && deadline <= now
        {
            self.expiry.pop_first();
            decided.gone.extend(self.leave(ticket));
        }
    }

    /// Admits jobs in the policy's order until the next one does not fit.
    pub(super) fn dispatch(&mut self, now: Instant, stripes: &Stripes, capacity: u32, decided: &mut Decided) {
        self.expire(now, decided);
        while let Some(next) = self.policy.peek(now) {
            // What is here is believed, not the policy's copy: capacity must hold under any policy.
            let next = self.waiting.entry(next.ticket);
            if matches!(&next, Entry::Occupied(waiting) if u64::from(waiting.get().job.weight) > self.pot) {
                break;
            }
            if self.policy.pop(now).is_none() {
                break;
            }
            if let Entry::Occupied(waiting) = next {
                let Waiting { job, home, sender } = waiting.remove();
                self.expiry.remove(&(job.deadline, job.ticket));
                self.pot -= u64::from(job.weight);
                decided.grants.push((sender, Permit::held(stripes.stripe(home), job.weight)));
            }
        }
        self.idlers.retain(|idler| !idler.is_closed());
        if self.pot == u64::from(capacity) && self.waiting.is_empty() {
            decided.idle.append(&mut self.idlers);
        }
        self.open_if_nobody_waits(stripes);
    }

    /// Waits until nothing is in use.
    pub(super) fn await_idle(&mut self) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        self.idlers.push(sender);
        receiver
    }

    /// Takes everybody out and lets nobody in again.
    pub(super) fn close(&mut self, decided: &mut Decided) {
        self.closed = true;
        self.expiry.clear();
        for (_, waiting) in std::mem::take(&mut self.waiting) {
            self.policy.remove(&waiting.job);
            decided.gone.push(waiting.sender);
        }
    }
}
