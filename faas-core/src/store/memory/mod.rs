//! The store that keeps everything in this process.

mod entities;
mod queue;
mod records;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use self::entities::Entities;
use self::queue::Queue;
use self::records::Records;
use super::{
    ActivationQuery, Claim, Claimed, DeadLetter, Entity, EntityKind, Expect, FollowUp, Job, JobStatus,
    Revision, Store,
};
use crate::activation::{Activation, ActivationId, Attempt};
use crate::error::{Error, ErrorKind};
use crate::name::EntityName;
use crate::units::Timestamp;

/// Keeps records, entities and work in memory, the records bounded by count and age.
///
/// # What is kept
/// - Of the records that one thread appends, at least the newest `max_records`. Those of several threads are dropped
///   in blocks of at most 64, so that at least the newest 15/16 of `max_records` are kept, and never more than
///   18/16 of it. Below 2,048 the bound is exact, at the price of a lock that all appends share.
/// - Age counts back from the latest end of a record rather than from a clock, so that a store under a seeded
///   clock behaves the same and a store that nothing happens to keeps what it has. Records that ended more than
///   17/16 of `max_age` before are dropped.
/// - An id whose record was dropped counts as new again.
/// - The newest `max_records` dead letters.
/// - All entities. All jobs: [`accept`](Store::accept) and events from outside are `Overloaded` over `max_jobs`, while
///   jobs that follow from others are always taken, so that what was accepted can always finish.
///
/// ```
/// use faas_core::store::MemoryStore;
/// use std::time::Duration;
/// let store = MemoryStore::new().with_max_records(10_000).with_max_age(Duration::from_secs(3_600));
/// # let _ = store;
/// ```
pub struct MemoryStore {
    records: Records,
    entities: Mutex<Entities>,
    /// Locked before any shard of the records.
    queue: Mutex<Queue>,
    schedules: Mutex<BTreeMap<EntityName, Timestamp>>,
    max_records: usize,
    max_age: Duration,
    max_jobs: usize,
}

impl MemoryStore {
    /// The number of records that are kept unless told: about 4 MiB without their logs and results. Arbitrary, but
    /// not by much more: when the records outgrow the processor's cache, an append takes twice as long.
    pub const DEFAULT_MAX_RECORDS: usize = 10_000;
    /// The age up to which records are kept unless told. Arbitrary.
    pub const DEFAULT_MAX_AGE: Duration = Duration::from_secs(24 * 60 * 60);
    /// The number of jobs that are accepted unless told. Arbitrary.
    pub const DEFAULT_MAX_JOBS: usize = 100_000;

    /// An empty store with the default bounds.
    #[must_use]
    pub fn new() -> Self {
        Self {
            records: Records::new(Self::DEFAULT_MAX_RECORDS, Self::DEFAULT_MAX_AGE),
            entities: Mutex::default(),
            queue: Mutex::default(),
            schedules: Mutex::default(),
            max_records: Self::DEFAULT_MAX_RECORDS,
            max_age: Self::DEFAULT_MAX_AGE,
            max_jobs: Self::DEFAULT_MAX_JOBS,
        }
    }

    /// The same store, emptied of records, that keeps so many.
    #[must_use]
    pub fn with_max_records(mut self, max_records: usize) -> Self {
        self.max_records = max_records;
        self.records = Records::new(max_records, self.max_age);
        self
    }

    /// The same store, emptied of records, that keeps them for so long.
    #[must_use]
    pub fn with_max_age(mut self, max_age: Duration) -> Self {
        self.max_age = max_age;
        self.records = Records::new(self.max_records, max_age);
        self
    }

    /// The same store with another bound on the jobs that it accepts.
    #[must_use]
    pub fn with_max_jobs(mut self, max_jobs: usize) -> Self {
        self.max_jobs = max_jobs;
        self
    }

    /// Ends a job, and keeps it as a dead letter if `bury` says so.
    fn end(&self, claim: Claim, record: Activation, follow_up: FollowUp, bury: bool) -> Result<(), Error> {
        let mut queue = lock(&self.queue);
        queue.check_claim(claim)?;
        if record.id != claim.id {
            let text = format!("the record is of activation {}, not of job {}", record.id, claim.id);
            return Err(Error::new(ErrorKind::InvalidArgument, text));
        }
        self.write(&mut queue, record.clone(), follow_up)?;
        let job = queue.remove(claim.id);
        if let Some(job) = job.filter(|_| bury) {
            queue.bury(DeadLetter { job, record }, self.max_records);
        }
        Ok(())
    }

    /// Keeps a record and what follows from it, all or nothing.
    fn write(&self, queue: &mut Queue, record: Activation, follow_up: FollowUp) -> Result<(), Error> {
        let FollowUp { jobs, records, schedule } = follow_up;
        let mut ids: Vec<_> = records.iter().map(|record| record.id).collect();
        ids.push(record.id);
        ids.sort_unstable();
        let twice = ids.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0]);
        let known =
            records.iter().map(|record| record.id).find(|id| queue.has(*id) || self.records.contains(*id));
        if let Some(id) = twice.or(known) {
            return Err(records::taken(id));
        }
        queue.check_new(&jobs, |id| ids.binary_search(&id).is_ok() || self.records.contains(id))?;
        self.records.append(record)?;
        for record in records {
            // Refused only if another thread appended it this very moment: then it is there.
            let _ = self.records.append(record);
        }
        queue.add(jobs);
        if let Some((name, position)) = schedule {
            lock(&self.schedules).insert(name, position);
        }
        Ok(())
    }

    fn check_new(&self, queue: &Queue, jobs: &[Job]) -> Result<(), Error> {
        queue.check_new(jobs, |id| self.records.contains(id))
    }

    /// Refuses jobs that are known, or too many.
    fn check_room(&self, queue: &Queue, jobs: &[Job]) -> Result<(), Error> {
        self.check_new(queue, jobs)?;
        let (held, max) = (queue.len(), self.max_jobs);
        if jobs.len() > max.saturating_sub(held) {
            let text = format!("the queue holds {held} of {max} jobs, {} more do not fit", jobs.len());
            return Err(Error::new(ErrorKind::Overloaded, text));
        }
        Ok(())
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore")
            .field("max_records", &self.max_records)
            .field("max_age", &self.max_age)
            .field("max_jobs", &self.max_jobs)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for MemoryStore {
    fn is_durable(&self) -> bool {
        false
    }

    async fn append(&self, record: Activation, follow_up: FollowUp) -> Result<(), Error> {
        if follow_up.is_empty() {
            return self.records.append(record);
        }
        let mut queue = lock(&self.queue);
        if record.is_event() && !follow_up.jobs.is_empty() {
            self.check_room(&queue, &follow_up.jobs)?;
        }
        self.write(&mut queue, record, follow_up)
    }

    async fn activation(&self, id: ActivationId) -> Result<Option<Activation>, Error> {
        Ok(self.records.find(id))
    }

    async fn activations(&self, query: &ActivationQuery) -> Result<Vec<Activation>, Error> {
        Ok(self.records.list(query))
    }

    async fn count_activations(&self, query: &ActivationQuery) -> Result<u64, Error> {
        Ok(self.records.count(query) as u64)
    }

    async fn put_entity(&self, entity: Entity, expect: Expect) -> Result<Revision, Error> {
        lock(&self.entities).put(entity, expect)
    }

    async fn entity(&self, name: &EntityName) -> Result<Option<Entity>, Error> {
        Ok(lock(&self.entities).find(name))
    }

    async fn entities(&self, kind: EntityKind, namespace: &str) -> Result<Vec<Entity>, Error> {
        Ok(lock(&self.entities).list(kind, namespace))
    }

    async fn delete_entity(&self, name: &EntityName, expect: Expect) -> Result<(), Error> {
        lock(&self.entities).delete(name, expect)
    }

    async fn accept(&self, jobs: Vec<Job>) -> Result<(), Error> {
        let mut queue = lock(&self.queue);
        self.check_room(&queue, &jobs)?;
        queue.add(jobs);
        Ok(())
    }

    async fn begin(&self, job: Job, started: bool) -> Result<Claim, Error> {
        let mut queue = lock(&self.queue);
        match job.cause {
            Some(_) => self.check_new(&queue, std::slice::from_ref(&job))?,
            None => self.check_room(&queue, std::slice::from_ref(&job))?,
        }
        Ok(queue.begin(job, started))
    }

    async fn keyed(&self, key: &str, now: Timestamp) -> Result<Option<ActivationId>, Error> {
        Ok(lock(&self.queue).keyed(key, now))
    }

    async fn claim(&self, id: ActivationId) -> Result<Claim, Error> {
        lock(&self.queue).claim(id)
    }

    async fn claim_next(&self, now: Timestamp, limit: usize) -> Result<Vec<Claimed>, Error> {
        Ok(lock(&self.queue).claim_next(now, limit))
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, Error> {
        Ok(lock(&self.queue).next_due())
    }

    async fn take_over(&self) -> Result<u64, Error> {
        Ok(lock(&self.queue).take_over())
    }

    async fn start(&self, claim: Claim, earlier: Vec<Attempt>) -> Result<(), Error> {
        lock(&self.queue).start(claim, earlier)
    }

    async fn retry(&self, claim: Claim, not_before: Timestamp, earlier: Vec<Attempt>) -> Result<(), Error> {
        lock(&self.queue).retry(claim, not_before, earlier)
    }

    async fn finish(&self, claim: Claim, record: Activation, follow_up: FollowUp) -> Result<(), Error> {
        self.end(claim, record, follow_up, false)
    }

    async fn dead_letter(&self, claim: Claim, record: Activation, follow_up: FollowUp) -> Result<(), Error> {
        self.end(claim, record, follow_up, true)
    }

    async fn dead_letters(&self, query: &ActivationQuery) -> Result<Vec<DeadLetter>, Error> {
        Ok(lock(&self.queue).dead(query))
    }

    async fn find_dead_letter(&self, id: ActivationId) -> Result<Option<DeadLetter>, Error> {
        Ok(lock(&self.queue).find_dead(id).cloned())
    }

    async fn redrive(&self, id: ActivationId, job: Job) -> Result<(), Error> {
        let mut queue = lock(&self.queue);
        queue.find_dead(id).ok_or_else(|| queue::no_dead_letter(id))?;
        self.check_room(&queue, std::slice::from_ref(&job))?;
        queue.drop_dead(id)?;
        queue.add(vec![job]);
        Ok(())
    }

    async fn drop_dead_letter(&self, id: ActivationId) -> Result<(), Error> {
        lock(&self.queue).drop_dead(id)
    }

    async fn job(&self, id: ActivationId) -> Result<Option<JobStatus>, Error> {
        Ok(lock(&self.queue).find(id))
    }

    async fn pending(&self) -> Result<u64, Error> {
        Ok(lock(&self.queue).len() as u64)
    }

    async fn schedules(&self) -> Result<Vec<(EntityName, Timestamp)>, Error> {
        Ok(lock(&self.schedules).iter().map(|(name, position)| (name.clone(), *position)).collect())
    }

    async fn put_schedule(&self, name: &EntityName, position: Timestamp) -> Result<(), Error> {
        lock(&self.schedules).insert(name.clone(), position);
        Ok(())
    }

    async fn delete_schedule(&self, name: &EntityName) -> Result<(), Error> {
        lock(&self.schedules).remove(name);
        Ok(())
    }
}

/// The lock of a mutex whose data no panic leaves half-written.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
