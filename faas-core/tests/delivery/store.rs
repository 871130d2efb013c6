//! A store that outlives runtimes, is durable as far as a platform can tell, counts its commits, and can be out of
//! order.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use faas_core::activation::Attempt;
use faas_core::store::{
    ActivationQuery, Claim, Claimed, DeadLetter, Entity, EntityKind, Expect, FollowUp, Job, JobStatus,
    MemoryStore, Revision, Store,
};
use faas_core::{Activation, ActivationId, EntityName, Error, ErrorKind, Timestamp};

#[derive(Clone)]
pub(crate) struct Disk(Arc<Shared>);

struct Shared {
    inner: MemoryStore,
    durable: bool,
    /// What was written of jobs and records, by the names of the methods.
    commits: Mutex<Vec<&'static str>>,
    /// The methods that fail, one call each.
    failures: Mutex<VecDeque<&'static str>>,
    failed: AtomicUsize,
}

impl Disk {
    pub(crate) fn new() -> Self {
        Self::holding(MemoryStore::new())
    }

    pub(crate) fn holding(inner: MemoryStore) -> Self {
        Self::with(inner, true)
    }

    /// One that is forgotten with its process.
    pub(crate) fn forgetful() -> Self {
        Self::with(MemoryStore::new(), false)
    }

    fn with(inner: MemoryStore, durable: bool) -> Self {
        Self(Arc::new(Shared {
            inner: inner.with_max_records(1_000_000),
            durable,
            commits: Mutex::default(),
            failures: Mutex::default(),
            failed: AtomicUsize::new(0),
        }))
    }

    pub(crate) fn shared(&self) -> Arc<dyn Store> {
        Arc::new(self.clone())
    }

    /// What was written since this was asked last.
    pub(crate) fn commits(&self) -> Vec<&'static str> {
        std::mem::take(&mut *self.0.commits.lock().unwrap())
    }

    /// Lets the next calls of these methods fail, in this order.
    pub(crate) fn fail(&self, methods: impl IntoIterator<Item = &'static str>) {
        self.0.failures.lock().unwrap().extend(methods);
    }

    /// How many calls failed.
    pub(crate) fn failed(&self) -> usize {
        self.0.failed.load(Ordering::SeqCst)
    }

    fn commit(&self, method: &'static str) -> Result<&MemoryStore, Error> {
        let mut failures = self.0.failures.lock().unwrap();
        if failures.front() == Some(&method) {
            failures.pop_front();
            self.0.failed.fetch_add(1, Ordering::SeqCst);
            return Err(Error::new(ErrorKind::Unavailable, "the disk is full"));
        }
        self.0.commits.lock().unwrap().push(method);
        Ok(&self.0.inner)
    }
}

#[async_trait]
impl Store for Disk {
    fn is_durable(&self) -> bool {
        self.0.durable
    }

    async fn append(&self, record: Activation, follow_up: FollowUp) -> Result<(), Error> {
        self.commit("append")?.append(record, follow_up).await
    }

    async fn activation(&self, id: ActivationId) -> Result<Option<Activation>, Error> {
        self.0.inner.activation(id).await
    }

    async fn activations(&self, query: &ActivationQuery) -> Result<Vec<Activation>, Error> {
        self.0.inner.activations(query).await
    }

    async fn count_activations(&self, query: &ActivationQuery) -> Result<u64, Error> {
        self.0.inner.count_activations(query).await
    }

    async fn put_entity(&self, entity: Entity, expect: Expect) -> Result<Revision, Error> {
        self.0.inner.put_entity(entity, expect).await
    }

    async fn entity(&self, name: &EntityName) -> Result<Option<Entity>, Error> {
        self.0.inner.entity(name).await
    }

    async fn entities(&self, kind: EntityKind, namespace: &str) -> Result<Vec<Entity>, Error> {
        self.0.inner.entities(kind, namespace).await
    }

    async fn delete_entity(&self, name: &EntityName, expect: Expect) -> Result<(), Error> {
        self.0.inner.delete_entity(name, expect).await
    }

    async fn accept(&self, jobs: Vec<Job>) -> Result<(), Error> {
        self.commit("accept")?.accept(jobs).await
    }

    async fn begin(&self, job: Job, started: bool) -> Result<Claim, Error> {
        self.commit("begin")?.begin(job, started).await
    }

    async fn keyed(&self, key: &str, now: Timestamp) -> Result<Option<ActivationId>, Error> {
        self.0.inner.keyed(key, now).await
    }

    async fn claim(&self, id: ActivationId) -> Result<Claim, Error> {
        self.commit("claim")?.claim(id).await
    }

    async fn claim_next(&self, now: Timestamp, limit: usize) -> Result<Vec<Claimed>, Error> {
        self.commit("claim_next")?.claim_next(now, limit).await
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, Error> {
        self.0.inner.next_due().await
    }

    async fn take_over(&self) -> Result<u64, Error> {
        self.0.inner.take_over().await
    }

    async fn start(&self, claim: Claim, earlier: Vec<Attempt>) -> Result<(), Error> {
        self.commit("start")?.start(claim, earlier).await
    }

    async fn retry(&self, claim: Claim, not_before: Timestamp, earlier: Vec<Attempt>) -> Result<(), Error> {
        self.commit("retry")?.retry(claim, not_before, earlier).await
    }

    async fn finish(&self, claim: Claim, record: Activation, follow_up: FollowUp) -> Result<(), Error> {
        self.commit("finish")?.finish(claim, record, follow_up).await
    }

    async fn dead_letter(&self, claim: Claim, record: Activation, follow_up: FollowUp) -> Result<(), Error> {
        self.commit("dead_letter")?.dead_letter(claim, record, follow_up).await
    }

    async fn dead_letters(&self, query: &ActivationQuery) -> Result<Vec<DeadLetter>, Error> {
        self.0.inner.dead_letters(query).await
    }

    async fn find_dead_letter(&self, id: ActivationId) -> Result<Option<DeadLetter>, Error> {
        self.0.inner.find_dead_letter(id).await
    }

    async fn redrive(&self, id: ActivationId, job: Job) -> Result<(), Error> {
        self.commit("redrive")?.redrive(id, job).await
    }

    async fn drop_dead_letter(&self, id: ActivationId) -> Result<(), Error> {
        self.0.inner.drop_dead_letter(id).await
    }

    async fn job(&self, id: ActivationId) -> Result<Option<JobStatus>, Error> {
        self.0.inner.job(id).await
    }

    async fn pending(&self) -> Result<u64, Error> {
        self.0.inner.pending().await
    }

    async fn schedules(&self) -> Result<Vec<(EntityName, Timestamp)>, Error> {
        self.0.inner.schedules().await
    }

    async fn put_schedule(&self, name: &EntityName, position: Timestamp) -> Result<(), Error> {
        self.commit("put_schedule")?.put_schedule(name, position).await
    }

    async fn delete_schedule(&self, name: &EntityName) -> Result<(), Error> {
        self.0.inner.delete_schedule(name).await
    }
}
