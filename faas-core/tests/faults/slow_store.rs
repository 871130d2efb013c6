//! A store whose calls wait before and after they take effect, so that a caller can leave in between.

use std::sync::Arc;

use async_trait::async_trait;
use faas_core::activation::Attempt;
use faas_core::store::{
    ActivationQuery, Claim, Claimed, DeadLetter, Entity, EntityKind, Expect, FollowUp, Job, JobStatus,
    MemoryStore, Revision, Store,
};
use faas_core::{Activation, ActivationId, EntityName, Error, Timestamp};
use tokio::time::sleep;

use crate::probe::millis;

pub(crate) struct SlowStore {
    inner: Arc<MemoryStore>,
    durable: bool,
}

impl SlowStore {
    pub(crate) fn new(durable: bool) -> Self {
        Self { inner: Arc::new(MemoryStore::new().with_max_records(100_000)), durable }
    }
}

async fn slowly<T>(effect: impl Future<Output = T>) -> T {
    sleep(millis(1)).await;
    let done = effect.await;
    sleep(millis(1)).await;
    done
}

#[async_trait]
impl Store for SlowStore {
    fn is_durable(&self) -> bool {
        self.durable
    }

    async fn append(&self, record: Activation, follow_up: FollowUp) -> Result<(), Error> {
        slowly(self.inner.append(record, follow_up)).await
    }

    async fn activation(&self, id: ActivationId) -> Result<Option<Activation>, Error> {
        slowly(self.inner.activation(id)).await
    }

    async fn activations(&self, query: &ActivationQuery) -> Result<Vec<Activation>, Error> {
        self.inner.activations(query).await
    }

    async fn count_activations(&self, query: &ActivationQuery) -> Result<u64, Error> {
        self.inner.count_activations(query).await
    }

    async fn put_entity(&self, entity: Entity, expect: Expect) -> Result<Revision, Error> {
        slowly(self.inner.put_entity(entity, expect)).await
    }

    async fn entity(&self, name: &EntityName) -> Result<Option<Entity>, Error> {
        slowly(self.inner.entity(name)).await
    }

    async fn entities(&self, kind: EntityKind, namespace: &str) -> Result<Vec<Entity>, Error> {
        self.inner.entities(kind, namespace).await
    }

    async fn delete_entity(&self, name: &EntityName, expect: Expect) -> Result<(), Error> {
        slowly(self.inner.delete_entity(name, expect)).await
    }

    async fn accept(&self, jobs: Vec<Job>) -> Result<(), Error> {
        slowly(self.inner.accept(jobs)).await
    }

    async fn begin(&self, job: Job, started: bool) -> Result<Claim, Error> {
        slowly(self.inner.begin(job, started)).await
    }

    async fn keyed(&self, key: &str, now: Timestamp) -> Result<Option<ActivationId>, Error> {
        self.inner.keyed(key, now).await
    }

    async fn claim(&self, id: ActivationId) -> Result<Claim, Error> {
        slowly(self.inner.claim(id)).await
    }

    async fn claim_next(&self, now: Timestamp, limit: usize) -> Result<Vec<Claimed>, Error> {
        slowly(self.inner.claim_next(now, limit)).await
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, Error> {
        self.inner.next_due().await
    }

    async fn take_over(&self) -> Result<u64, Error> {
        self.inner.take_over().await
    }

    async fn start(&self, claim: Claim, earlier: Vec<Attempt>) -> Result<(), Error> {
        slowly(self.inner.start(claim, earlier)).await
    }

    async fn retry(&self, claim: Claim, not_before: Timestamp, earlier: Vec<Attempt>) -> Result<(), Error> {
        slowly(self.inner.retry(claim, not_before, earlier)).await
    }

    async fn finish(&self, claim: Claim, record: Activation, follow_up: FollowUp) -> Result<(), Error> {
        slowly(self.inner.finish(claim, record, follow_up)).await
    }

    async fn dead_letter(&self, claim: Claim, record: Activation, follow_up: FollowUp) -> Result<(), Error> {
        slowly(self.inner.dead_letter(claim, record, follow_up)).await
    }

    async fn dead_letters(&self, query: &ActivationQuery) -> Result<Vec<DeadLetter>, Error> {
        self.inner.dead_letters(query).await
    }

    async fn find_dead_letter(&self, id: ActivationId) -> Result<Option<DeadLetter>, Error> {
        self.inner.find_dead_letter(id).await
    }

    async fn redrive(&self, id: ActivationId, job: Job) -> Result<(), Error> {
        slowly(self.inner.redrive(id, job)).await
    }

    async fn drop_dead_letter(&self, id: ActivationId) -> Result<(), Error> {
        slowly(self.inner.drop_dead_letter(id)).await
    }

    async fn job(&self, id: ActivationId) -> Result<Option<JobStatus>, Error> {
        self.inner.job(id).await
    }

    async fn pending(&self) -> Result<u64, Error> {
        self.inner.pending().await
    }

    async fn schedules(&self) -> Result<Vec<(EntityName, Timestamp)>, Error> {
        self.inner.schedules().await
    }

    async fn put_schedule(&self, name: &EntityName, position: Timestamp) -> Result<(), Error> {
        slowly(self.inner.put_schedule(name, position)).await
    }

    async fn delete_schedule(&self, name: &EntityName) -> Result<(), Error> {
        slowly(self.inner.delete_schedule(name)).await
    }
}
