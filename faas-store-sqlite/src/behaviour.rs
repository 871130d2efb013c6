//! What a [`Store`] does, done by the thread that writes and by those who read.

use async_trait::async_trait;
use faas_core::activation::Attempt;
use faas_core::store::{
    ActivationQuery, Claim, Claimed, Damage, DeadLetter, Entity, EntityKind, Expect, FollowUp, Job,
    JobStatus, Revision,
};
use faas_core::{Activation, ActivationId, EntityName, Error, Store, Timestamp};

use crate::blobs::Blobs;
use crate::codec;
use crate::rows::key;
use crate::store::{SqliteStore, size_of_follow_up, size_of_jobs, size_of_record};
use crate::write::{ClaimedRow, NewEntity, NewFollowUp, NewJob, NewRecord};

impl SqliteStore {
    async fn seal_record(
        &self,
        record: Activation,
        follow_up: FollowUp,
    ) -> Result<(NewRecord, NewFollowUp), Error> {
        let bytes = size_of_record(&record) + size_of_follow_up(&follow_up);
        self.seal(bytes, move |blobs, inline| {
            let record = NewRecord::seal(&record, blobs, inline)?;
            Ok((record, NewFollowUp::seal(&follow_up, blobs, inline)?))
        })
        .await
    }

    async fn seal_jobs(&self, jobs: Vec<Job>) -> Result<Vec<NewJob>, Error> {
        self.seal(size_of_jobs(&jobs), move |blobs, inline| {
            jobs.iter().map(|job| NewJob::seal(job, blobs, inline)).collect()
        })
        .await
    }

    async fn seal_job(&self, job: Job) -> Result<NewJob, Error> {
        self.seal(job.payload.len(), move |blobs, inline| NewJob::seal(&job, blobs, inline)).await
    }

    async fn end(
        &self,
        claim: Claim,
        record: Activation,
        follow_up: FollowUp,
        bury: bool,
    ) -> Result<(), Error> {
        let (record, follow_up) = self.seal_record(record, follow_up).await?;
        self.write(move |txn| txn.end(claim, &record, &follow_up, bury)).await
    }
}

/// A job as it was claimed.
fn claimed(row: ClaimedRow, blobs: &Blobs) -> Result<Claimed, Error> {
    let ClaimedRow { claim, before, body, damage } = row;
    let read = codec::job_without_damaged_input(&key(claim.id), before.not_before, &body, blobs);
    let (job, is_lost) = read?;
    let damage = match (is_lost, damage) {
        (Some(error), _) => Some(Damage::Input(error.message().to_owned())),
        (None, damage) => damage.map(|error| Damage::Progress(error.message().to_owned())),
    };
    Ok(Claimed { job, claim, state: before.state, earlier: codec::read_earlier(&before.earlier)?, damage })
}

#[async_trait]
impl Store for SqliteStore {
    fn is_durable(&self) -> bool {
        true
    }

    async fn append(&self, record: Activation, follow_up: FollowUp) -> Result<(), Error> {
        let is_event = record.is_event();
        let (record, follow_up) = self.seal_record(record, follow_up).await?;
        if is_event {
            return self.write(move |txn| txn.fire(&record, &follow_up)).await;
        }
        self.write(move |txn| txn.append(&record, &follow_up)).await
    }

    async fn activation(&self, id: ActivationId) -> Result<Option<Activation>, Error> {
        self.read(move |reader| reader.activation(id)).await
    }

    async fn activations(&self, query: &ActivationQuery) -> Result<Vec<Activation>, Error> {
        let query = query.clone();
        self.read(move |reader| reader.activations(&query)).await
    }

    async fn count_activations(&self, query: &ActivationQuery) -> Result<u64, Error> {
        let query = query.clone();
        self.read(move |reader| reader.count_activations(&query)).await
    }

    async fn put_entity(&self, entity: Entity, expect: Expect) -> Result<Revision, Error> {
        let seal = move |blobs: &Blobs, inline| NewEntity::seal(&entity, blobs, inline);
        let entity = self.seal(usize::MAX, seal).await?;
        self.write(move |txn| txn.put_entity(&entity, expect)).await
    }

    async fn entity(&self, name: &EntityName) -> Result<Option<Entity>, Error> {
        let name = name.clone();
        self.read(move |reader| reader.entity(&name)).await
    }

    async fn entities(&self, kind: EntityKind, namespace: &str) -> Result<Vec<Entity>, Error> {
        let namespace = namespace.to_owned();
        self.read(move |reader| reader.entities(kind, &namespace)).await
    }

    async fn delete_entity(&self, name: &EntityName, expect: Expect) -> Result<(), Error> {
        let name = name.clone();
        self.write(move |txn| txn.delete_entity(&name, expect)).await
    }

    async fn accept(&self, jobs: Vec<Job>) -> Result<(), Error> {
        let jobs = self.seal_jobs(jobs).await?;
        self.write(move |txn| txn.accept(&jobs)).await
    }

    async fn begin(&self, job: Job, started: bool) -> Result<Claim, Error> {
        let job = self.seal_job(job).await?;
        self.write(move |txn| txn.begin(&job, started)).await
    }

    async fn keyed(&self, key: &str, now: Timestamp) -> Result<Option<ActivationId>, Error> {
        let key = key.to_owned();
        self.read(move |reader| reader.keyed(&key, now)).await
    }

    async fn claim(&self, id: ActivationId) -> Result<Claim, Error> {
        self.write(move |txn| txn.claim(id)).await
    }

    /// A job of which not even the action can be read is claimed and left so, with an error in the log, rather than given
    /// to anybody or standing in the way of others.
    async fn claim_next(&self, now: Timestamp, limit: usize) -> Result<Vec<Claimed>, Error> {
        let rows = self.write(move |txn| txn.claim_next(now, limit)).await?;
        let bytes = rows.iter().map(|row| row.body.len() + 64).sum();
        let blobs = self.blobs();
        let read = move |_: &Blobs, _| {
            let read = |row: ClaimedRow| {
                let id = row.claim.id;
                let is_lost = |error: &Error| tracing::error!(%id, %error, "a job cannot be read");
                claimed(row, &blobs).inspect_err(is_lost).ok()
            };
            Ok(rows.into_iter().filter_map(read).collect())
        };
        self.seal(bytes, read).await
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, Error> {
        self.read(|reader| reader.next_due()).await
    }

    async fn take_over(&self) -> Result<u64, Error> {
        self.write(|txn| txn.take_over()).await
    }

    async fn start(&self, claim: Claim, earlier: Vec<Attempt>) -> Result<(), Error> {
        let earlier = codec::earlier(&earlier)?;
        self.write(move |txn| txn.start(claim, earlier.clone())).await
    }

    async fn retry(&self, claim: Claim, not_before: Timestamp, earlier: Vec<Attempt>) -> Result<(), Error> {
        let earlier = codec::earlier(&earlier)?;
        self.write(move |txn| txn.retry(claim, not_before, earlier.clone())).await
    }

    async fn finish(&self, claim: Claim, record: Activation, follow_up: FollowUp) -> Result<(), Error> {
        self.end(claim, record, follow_up, false).await
    }

    async fn dead_letter(&self, claim: Claim, record: Activation, follow_up: FollowUp) -> Result<(), Error> {
        self.end(claim, record, follow_up, true).await
    }

    async fn dead_letters(&self, query: &ActivationQuery) -> Result<Vec<DeadLetter>, Error> {
        let query = query.clone();
        self.read(move |reader| reader.dead_letters(&query)).await
    }

    async fn find_dead_letter(&self, id: ActivationId) -> Result<Option<DeadLetter>, Error> {
        self.read(move |reader| reader.find_dead_letter(id)).await
    }

    async fn redrive(&self, id: ActivationId, job: Job) -> Result<(), Error> {
        let job = self.seal_job(job).await?;
        self.write(move |txn| txn.redrive(id, &job)).await
    }

    async fn drop_dead_letter(&self, id: ActivationId) -> Result<(), Error> {
        self.write(move |txn| txn.drop_dead_letter(id)).await
    }

    async fn job(&self, id: ActivationId) -> Result<Option<JobStatus>, Error> {
        self.read(move |reader| reader.job(id)).await
    }

    async fn pending(&self) -> Result<u64, Error> {
        Ok(self.pending_now())
    }

    async fn schedules(&self) -> Result<Vec<(EntityName, Timestamp)>, Error> {
        self.read(|reader| reader.schedules()).await
    }

    async fn put_schedule(&self, name: &EntityName, position: Timestamp) -> Result<(), Error> {
        let name = name.clone();
        self.write(move |txn| txn.put_schedule(&name, position)).await
    }

    async fn delete_schedule(&self, name: &EntityName) -> Result<(), Error> {
        let name = name.clone();
        self.write(move |txn| txn.delete_schedule(&name)).await
    }
}
