//! A store around a store that dies before or after a step.

use std::sync::Arc;

use async_trait::async_trait;
use faas_core::activation::Attempt;
use faas_core::store::{
    ActivationQuery, Claim, Claimed, DeadLetter, Entity, EntityKind, Expect, FollowUp, Job, JobStatus,
    Revision,
};
use faas_core::{Activation, ActivationId, EntityName, Error, Store, Timestamp};

use super::points::pass;

/// A store whose every write is between two [points](super::points::NAMES).
pub(super) struct MortalStore(pub(super) Arc<dyn Store>);

/// A call between the points of its name.
macro_rules! mortal {
    ($self:ident . $name:ident ( $($argument:expr),* )) => {{
        pass(concat!(stringify!($name), ".before"));
        let done = $self.0.$name($($argument),*).await;
        pass(concat!(stringify!($name), ".after"));
        done
    }};
}

#[async_trait]
impl Store for MortalStore {
    fn is_durable(&self) -> bool {
        self.0.is_durable()
    }

    async fn append(&self, record: Activation, follow_up: FollowUp) -> Result<(), Error> {
        mortal!(self.append(record, follow_up))
    }

    async fn activation(&self, id: ActivationId) -> Result<Option<Activation>, Error> {
        self.0.activation(id).await
    }

    async fn activations(&self, query: &ActivationQuery) -> Result<Vec<Activation>, Error> {
        self.0.activations(query).await
    }

    async fn count_activations(&self, query: &ActivationQuery) -> Result<u64, Error> {
        self.0.count_activations(query).await
    }

    async fn put_entity(&self, entity: Entity, expect: Expect) -> Result<Revision, Error> {
        mortal!(self.put_entity(entity, expect))
    }

    async fn entity(&self, name: &EntityName) -> Result<Option<Entity>, Error> {
        self.0.entity(name).await
    }

    async fn entities(&self, kind: EntityKind, namespace: &str) -> Result<Vec<Entity>, Error> {
        self.0.entities(kind, namespace).await
    }

    async fn delete_entity(&self, name: &EntityName, expect: Expect) -> Result<(), Error> {
        mortal!(self.delete_entity(name, expect))
    }

    async fn accept(&self, jobs: Vec<Job>) -> Result<(), Error> {
        mortal!(self.accept(jobs))
    }

    async fn begin(&self, job: Job, started: bool) -> Result<Claim, Error> {
        mortal!(self.begin(job, started))
    }

    async fn keyed(&self, key: &str, now: Timestamp) -> Result<Option<ActivationId>, Error> {
        self.0.keyed(key, now).await
    }

    async fn claim(&self, id: ActivationId) -> Result<Claim, Error> {
        self.0.claim(id).await
    }

    async fn claim_next(&self, now: Timestamp, limit: usize) -> Result<Vec<Claimed>, Error> {
        mortal!(self.claim_next(now, limit))
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, Error> {
        self.0.next_due().await
    }

    async fn take_over(&self) -> Result<u64, Error> {
        mortal!(self.take_over())
    }

    async fn start(&self, claim: Claim, earlier: Vec<Attempt>) -> Result<(), Error> {
        mortal!(self.start(claim, earlier))
    }

    async fn retry(&self, claim: Claim, not_before: Timestamp, earlier: Vec<Attempt>) -> Result<(), Error> {
        mortal!(self.retry(claim, not_before, earlier))
    }

    async fn finish(&self, claim: Claim, record: Activation, follow_up: FollowUp) -> Result<(), Error> {
        mortal!(self.finish(claim, record, follow_up))
    }

    async fn dead_letter(&self, claim: Claim, record: Activation, follow_up: FollowUp) -> Result<(), Error> {
        mortal!(self.dead_letter(claim, record, follow_up))
    }

    async fn dead_letters(&self, query: &ActivationQuery) -> Result<Vec<DeadLetter>, Error> {
        self.0.dead_letters(query).await
    }

    async fn find_dead_letter(&self, id: ActivationId) -> Result<Option<DeadLetter>, Error> {
        self.0.find_dead_letter(id).await
    }

    async fn redrive(&self, id: ActivationId, job: Job) -> Result<(), Error> {
        mortal!(self.redrive(id, job))
    }

    async fn drop_dead_letter(&self, id: ActivationId) -> Result<(), Error> {
        mortal!(self.drop_dead_letter(id))
    }

    async fn job(&self, id: ActivationId) -> Result<Option<JobStatus>, Error> {
        self.0.job(id).await
    }

    async fn pending(&self) -> Result<u64, Error> {
        self.0.pending().await
    }

    async fn schedules(&self) -> Result<Vec<(EntityName, Timestamp)>, Error> {
        self.0.schedules().await
    }

    async fn put_schedule(&self, name: &EntityName, position: Timestamp) -> Result<(), Error> {
        mortal!(self.put_schedule(name, position))
    }

    async fn delete_schedule(&self, name: &EntityName) -> Result<(), Error> {
        mortal!(self.delete_schedule(name))
    }
}
