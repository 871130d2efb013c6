//! A store that outlives runtimes, is durable as far as a platform can tell, counts its commits, and can be out of
//! order.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use faas_core::activation::Attempt;
use faas_core::store::{
    ActivationQuery, Claim, Claimed, Damage, DeadLetter, Entity, EntityKind, Expect, FollowUp, Job,
    JobStatus, MemoryStore, Revision, Store,
};
use faas_core::{Activation, ActivationId, EntityName, Error, ErrorKind, Payload, Timestamp};
use tokio::time::sleep;

#[derive(Clone)]
pub(crate) struct Disk(Arc<Shared>);

struct Shared {
    inner: MemoryStore,
    durable: bool,
    slow: bool,
    /// What was written of jobs and records, by the names of the methods.
    commits: Mutex<Vec<&'static str>>,
    /// The methods that fail, one call each.
    failures: Mutex<VecDeque<&'static str>>,
    /// Those that did.
    failed: Mutex<Vec<&'static str>>,
    /// What is told of jobs that are claimed.
    damage: Mutex<Vec<(ActivationId, Damage)>>,
}

/// Memory that drops no record of a test.
fn ample() -> MemoryStore {
    MemoryStore::new().with_max_records(1_000_000)
}

impl Disk {
    pub(crate) fn new() -> Self {
        Self::holding(ample())
    }

    pub(crate) fn holding(inner: MemoryStore) -> Self {
        Self::with(inner, true, false)
    }

    /// One that takes its time for each write.
    pub(crate) fn slow() -> Self {
        Self::slowly_holding(ample())
    }

    pub(crate) fn slowly_holding(inner: MemoryStore) -> Self {
        Self::with(inner, true, true)
    }

    /// One that is forgotten with its process.
    pub(crate) fn forgetful() -> Self {
        Self::with(ample(), false, false)
    }

    fn with(inner: MemoryStore, durable: bool, slow: bool) -> Self {
        Self(Arc::new(Shared {
            inner,
            durable,
            slow,
            commits: Mutex::default(),
            failures: Mutex::default(),
            failed: Mutex::default(),
            damage: Mutex::default(),
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

    /// Damages a job that nobody has claimed.
    pub(crate) fn damage(&self, id: ActivationId, damage: Damage) {
        self.0.damage.lock().unwrap().push((id, damage));
    }

    /// How many calls failed.
    pub(crate) fn failed(&self) -> usize {
        self.failures().len()
    }

    /// Which calls failed.
    pub(crate) fn failures(&self) -> Vec<&'static str> {
        self.0.failed.lock().unwrap().clone()
    }

    /// No call fails any more that did not by now.
    pub(crate) fn heal(&self) {
        self.0.failures.lock().unwrap().clear();
    }

    /// Writes of jobs or records, which is counted.
    async fn write<T>(
        &self,
        method: &'static str,
        effect: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        self.edit(method, async {
            self.0.commits.lock().unwrap().push(method);
            effect.await
        })
        .await
    }

    /// Writes, unless it is out of order. A slow one can be killed before and after the effect.
    async fn edit<T>(
        &self,
        method: &'static str,
        effect: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        self.pause().await;
        self.check(method)?;
        let done = effect.await;
        self.pause().await;
        done
    }

    fn check(&self, method: &'static str) -> Result<(), Error> {
        let mut failures = self.0.failures.lock().unwrap();
        if failures.front() != Some(&method) {
            return Ok(());
        }
        failures.pop_front();
        self.0.failed.lock().unwrap().push(method);
        Err(Error::new(ErrorKind::Unavailable, "the disk is full"))
    }

    async fn pause(&self) {
        if self.0.slow {
            sleep(Duration::from_millis(1)).await;
        }
    }
}

#[async_trait]
impl Store for Disk {
    fn is_durable(&self) -> bool {
        self.0.durable
    }

    async fn append(&self, record: Activation, follow_up: FollowUp) -> Result<(), Error> {
        self.write("append", self.0.inner.append(record, follow_up)).await
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
        self.edit("put_entity", self.0.inner.put_entity(entity, expect)).await
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
        self.write("accept", self.0.inner.accept(jobs)).await
    }

    async fn begin(&self, job: Job, started: bool) -> Result<Claim, Error> {
        self.write("begin", self.0.inner.begin(job, started)).await
    }

    async fn keyed(&self, key: &str, now: Timestamp) -> Result<Option<ActivationId>, Error> {
        self.0.inner.keyed(key, now).await
    }

    async fn claim(&self, id: ActivationId) -> Result<Claim, Error> {
        self.write("claim", self.0.inner.claim(id)).await
    }

    async fn claim_next(&self, now: Timestamp, limit: usize) -> Result<Vec<Claimed>, Error> {
        let mut claimed = self.write("claim_next", self.0.inner.claim_next(now, limit)).await?;
        for claimed in &mut claimed {
            let damages = self.0.damage.lock().unwrap();
            let damage =
                damages.iter().find(|(id, _)| *id == claimed.job.id).map(|(_, damage)| damage.clone());
            if let Some(Damage::Input(_)) = damage {
                claimed.job.payload = Payload::empty();
            }
            claimed.damage = damage;
        }
        Ok(claimed)
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, Error> {
        self.0.inner.next_due().await
    }

    async fn take_over(&self) -> Result<u64, Error> {
        self.edit("take_over", self.0.inner.take_over()).await
    }

    async fn start(&self, claim: Claim, earlier: Vec<Attempt>) -> Result<(), Error> {
        self.write("start", self.0.inner.start(claim, earlier)).await
    }

    async fn retry(&self, claim: Claim, not_before: Timestamp, earlier: Vec<Attempt>) -> Result<(), Error> {
        self.write("retry", self.0.inner.retry(claim, not_before, earlier)).await
    }

    async fn finish(&self, claim: Claim, record: Activation, follow_up: FollowUp) -> Result<(), Error> {
        self.write("finish", self.0.inner.finish(claim, record, follow_up)).await
    }

    async fn dead_letter(&self, claim: Claim, record: Activation, follow_up: FollowUp) -> Result<(), Error> {
        self.write("dead_letter", self.0.inner.dead_letter(claim, record, follow_up)).await
    }

    async fn dead_letters(&self, query: &ActivationQuery) -> Result<Vec<DeadLetter>, Error> {
        self.0.inner.dead_letters(query).await
    }

    async fn find_dead_letter(&self, id: ActivationId) -> Result<Option<DeadLetter>, Error> {
        self.0.inner.find_dead_letter(id).await
    }

    async fn redrive(&self, id: ActivationId, job: Job) -> Result<(), Error> {
        self.write("redrive", self.0.inner.redrive(id, job)).await
    }

    async fn drop_dead_letter(&self, id: ActivationId) -> Result<(), Error> {
        self.0.inner.drop_dead_letter(id).await
    }

    async fn job(&self, id: ActivationId) -> Result<Option<JobStatus>, Error> {
        self.0.inner.job(id).await
    }

    async fn pending(&self) -> Result<u64, Error> {
        self.check("pending")?;
        self.0.inner.pending().await
    }

    async fn schedules(&self) -> Result<Vec<(EntityName, Timestamp)>, Error> {
        self.0.inner.schedules().await
    }

    async fn put_schedule(&self, name: &EntityName, position: Timestamp) -> Result<(), Error> {
        self.write("put_schedule", self.0.inner.put_schedule(name, position)).await
    }

    async fn delete_schedule(&self, name: &EntityName) -> Result<(), Error> {
        self.0.inner.delete_schedule(name).await
    }
}
