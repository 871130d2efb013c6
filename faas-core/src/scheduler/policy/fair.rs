//! Fair share between namespaces.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::{Policy, QueuedJob};
use crate::name::Namespace;
use crate::units::nanos;

/// What a job costs at least, so that actions which have not run yet or end at once are counted too.
/// Arbitrary: the step of billing.
const SHORTEST_RUN: Duration = Duration::from_millis(1);

/// How many namespaces without jobs are remembered. Arbitrary; forgetting one lets its next job start as if
/// the namespace had not run before.
const REMEMBERED: usize = 4_096;

/// Admits the job of the namespace that has had the least, so that each gets the same share of the capacity
/// for as long as it has jobs waiting, however many.
///
/// A job costs its weight (slots or MiB) times its expected run time (at least 1 ms). Each namespace has a
/// *start tag*, the virtual time at which its next job is due: that of its last job plus the cost of that
/// job, but not before the virtual time now, which is the start tag of the job admitted last. The smallest
/// tag goes first, ties by arrival; within a namespace the order is arrival. A namespace that has been away
/// is therefore behind at most one job of each other namespace, and gains nothing from having been away.
///
/// Only jobs that had to wait are counted. A queue that is shared can still be filled by one namespace: bound
/// that by [`Quota::concurrent`](crate::scheduler::Quota::concurrent).
///
/// # Source
/// Start-time fair queueing: P. Goyal, H. M. Vin, H. Cheng, SIGCOMM 1996, with equal weights of the flows.
/// Differences: the tag is given when a job becomes the first of its namespace, so that jobs which leave the
/// queue cost nothing; and the busy period, at whose end all tags are forgotten, is taken to end when the
/// queue is empty and the jobs admitted from it have had their expected run time.
#[derive(Default)]
pub struct FairShare {
    /// The start tag of the job admitted last, in units of capacity × nanoseconds, like all tags.
    virtual_time: u128,
    flows: BTreeMap<Namespace, Flow>,
    /// The namespaces with jobs, by start tag and ticket of the first.
    ready: BTreeMap<(u128, u64), Namespace>,
    /// The namespaces without jobs whose start tag is still ahead of the virtual time.
    idle: BTreeSet<(u128, Namespace)>,
    len: usize,
    /// When the jobs admitted so far will have run.
    busy_until: Option<Instant>,
}

/// Units of capacity × nanoseconds. At most 2^96, so that the virtual time does not overflow.
fn cost(job: &QueuedJob) -> u128 {
    u128::from(job.weight) * u128::from(nanos(job.expected_run.max(SHORTEST_RUN)))
}

/// The jobs of one namespace.
#[derive(Default)]
struct Flow {
    start: u128,
    jobs: BTreeMap<u64, QueuedJob>,
}

impl Flow {
    fn place(&self) -> Option<(u128, u64)> {
        self.jobs.first_key_value().map(|(ticket, _)| (self.start, *ticket))
    }
}

impl FairShare {
    /// Takes a namespace out of both orders before its flow changes.
    fn unlink(&mut self, namespace: &Namespace) -> Flow {
        let Some(flow) = self.flows.remove(namespace) else {
            return Flow::default();
        };
        match flow.place() {
            Some(place) => {
                self.ready.remove(&place);
            }
            None => {
                self.idle.remove(&(flow.start, namespace.clone()));
            }
        }
        flow
    }

    /// Puts a namespace where its flow belongs now; one that is owed nothing is forgotten.
    fn link(&mut self, namespace: Namespace, flow: Flow) {
        match flow.place() {
            Some(place) => {
                self.ready.insert(place, namespace.clone());
            }
            None if flow.start <= self.virtual_time => return,
            None => {
                self.idle.insert((flow.start, namespace.clone()));
            }
        }
        self.flows.insert(namespace, flow);
    }

    /// Forgets idle namespaces whose tag no longer matters, or that are too many.
    fn forget(&mut self) {
        while let Some((start, _)) = self.idle.first()
            && (*start <= self.virtual_time || self.idle.len() > REMEMBERED)
        {
            if let Some((_, namespace)) = self.idle.pop_first() {
                self.flows.remove(&namespace);
            }
        }
    }
}

impl Policy for FairShare {
    fn push(&mut self, job: QueuedJob) {
        if self.len == 0 && self.busy_until.is_none_or(|until| until <= job.arrived) {
            *self = Self::default();
        }
        let namespace = job.namespace.clone();
        let mut flow = self.unlink(&namespace);
        if flow.jobs.is_empty() {
            flow.start = flow.start.max(self.virtual_time);
        }
        self.len += usize::from(flow.jobs.insert(job.ticket, job).is_none());
        self.link(namespace, flow);
    }

    fn peek(&self, _now: Instant) -> Option<&QueuedJob> {
        let ((_, ticket), namespace) = self.ready.first_key_value()?;
        self.flows.get(namespace)?.jobs.get(ticket)
    }

    fn pop(&mut self, now: Instant) -> Option<QueuedJob> {
        let namespace = self.ready.first_key_value()?.1.clone();
        let mut flow = self.unlink(&namespace);
        let (_, job) = flow.jobs.pop_first()?;
        self.len -= 1;
        self.virtual_time = flow.start;
        flow.start += cost(&job);
        self.link(namespace, flow);
        self.forget();
        let ends = now.checked_add(job.expected_run).unwrap_or(now);
        self.busy_until = Some(self.busy_until.map_or(ends, |until| until.max(ends)));
        Some(job)
    }

    fn remove(&mut self, job: &QueuedJob) {
        let mut flow = self.unlink(&job.namespace);
        self.len -= usize::from(flow.jobs.remove(&job.ticket).is_some());
        self.link(job.namespace.clone(), flow);
    }

    fn len(&self) -> usize {
        self.len
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(ticket: u64, namespace: &str, base: Instant) -> QueuedJob {
        QueuedJob {
            ticket,
            namespace: Namespace::new(namespace).unwrap(),
            weight: 1,
            arrived: base,
            deadline: base,
            expected_run: Duration::ZERO,
        }
    }

    #[test]
    fn namespaces_that_are_owed_nothing_are_forgotten() {
        let base = Instant::now();
        let mut policy = FairShare::default();
        policy.push(job(0, "busy", base));
        for ticket in 1..=2 * REMEMBERED as u64 {
            policy.push(job(ticket, &format!("n{ticket}"), base));
        }
        while policy.pop(base).is_some() {}
        assert_eq!((policy.flows.len(), policy.idle.len()), (REMEMBERED, REMEMBERED));
        for ticket in 10_000..10_010 {
            policy.push(job(ticket, "busy", base));
        }
        while policy.pop(base).is_some() {}
        assert_eq!(
            (policy.flows.len(), policy.ready.len(), policy.len()),
            (1, 0, 0),
            "their tags have passed"
        );
        policy.push(job(10_010, "late", base + Duration::from_millis(1)));
        assert_eq!((policy.flows.len(), policy.virtual_time), (1, 0), "a new busy period");
    }
}
