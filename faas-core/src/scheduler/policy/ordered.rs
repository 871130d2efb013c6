//! Orders that follow from the job alone: by a key, then by arrival.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::{Policy, QueuedJob};

/// A queue that is ordered by a key of the job, ties by arrival.
pub(super) struct Ordered<K> {
    key: fn(&QueuedJob) -> K,
    jobs: BTreeMap<(K, u64), QueuedJob>,
}

impl<K: Ord> Ordered<K> {
    /// An empty queue that is ordered by `key`.
    pub(super) fn by(key: fn(&QueuedJob) -> K) -> Self {
        Self { key, jobs: BTreeMap::new() }
    }

    fn place(&self, job: &QueuedJob) -> (K, u64) {
        ((self.key)(job), job.ticket)
    }
}

impl<K: Ord + Send + 'static> Policy for Ordered<K> {
    fn push(&mut self, job: QueuedJob) {
        self.jobs.insert(self.place(&job), job);
    }

    fn peek(&self, _now: Instant) -> Option<&QueuedJob> {
        self.jobs.first_key_value().map(|(_, job)| job)
    }

    fn pop(&mut self, _now: Instant) -> Option<QueuedJob> {
        self.jobs.pop_first().map(|(_, job)| job)
    }

    fn remove(&mut self, job: &QueuedJob) {
        self.jobs.remove(&self.place(job));
    }

    fn len(&self) -> usize {
        self.jobs.len()
    }
}
