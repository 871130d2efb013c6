//! The invariants that hold after every fault, checked in one place.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use faas_core::log::MAX_LINES;
use faas_core::store::{ActivationQuery, EntityKind};
use faas_core::{Activation, ActivationId, Limits, Platform, Status, meter};
use faas_testkit::mock::MockFactory;
use tokio::time::timeout;

use crate::probe::Probe;

/// What a test knows of the run that it made.
#[derive(Default)]
pub(crate) struct Check<'a> {
    probe: Option<&'a Probe>,
    mock: Option<(&'a MockFactory, u64)>,
    accepted: Vec<ActivationId>,
    retries: u32,
    successes: u64,
}

impl<'a> Check<'a> {
    /// At least so many activations succeeded (I11).
    pub(crate) fn successes(successes: u64) -> Self {
        Self { successes, ..Self::default() }
    }

    /// The code that ran was this probe's (I2).
    pub(crate) fn probe(mut self, probe: &'a Probe) -> Self {
        self.probe = Some(probe);
        self
    }

    /// It ran in the sandboxes of this factory, in so many MiB (I3, I4).
    pub(crate) fn mock(mut self, mock: &'a MockFactory, budget: u64) -> Self {
        self.mock = Some((mock, budget));
        self
    }

    /// These were accepted (I1).
    pub(crate) fn accepted(mut self, ids: impl IntoIterator<Item = ActivationId>) -> Self {
        self.accepted.extend(ids);
        self
    }

    /// No action may start more than `retries` + 1 times (I2).
    pub(crate) fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// Drains the platform, checks everything and gives the records, oldest first.
    pub(crate) async fn run(self, app: &Platform) -> Vec<Activation> {
        let drained = timeout(Duration::from_secs(7 * 86_400), app.drain()).await;
        assert!(drained.is_ok(), "I10: accepted work does not finish: {:?}", app.stats());
        let stats = app.stats();
        assert_eq!(stats.in_flight, 0, "I10: {stats:?}");
        assert_eq!(app.store().pending().await.unwrap(), 0, "I10: jobs are left in the store");
        until_free(app).await;
        let mut records = app.activations(&ActivationQuery::default()).await.unwrap();
        records.reverse();
        let ids: BTreeSet<ActivationId> = records.iter().map(|record| record.id).collect();
        assert_eq!(ids.len(), records.len(), "I1: an activation has two records");
        let counted: u64 = stats.finished.iter().sum();
        assert_eq!(counted, records.len() as u64, "I1: counted and kept records differ: {stats:?}");
        let lost: Vec<_> = self.accepted.iter().filter(|id| !ids.contains(id)).collect();
        assert!(lost.is_empty(), "I1: accepted without a record: {lost:?}");
        records.iter().for_each(check_record);
        self.check_starts(&records);
        self.check_mock(app).await;
        check_revisions(app).await;
        let succeeded = stats.finished(Status::Success);
        assert!(succeeded >= self.successes, "I11: {succeeded} of {} succeeded", self.successes);
        records
    }

    fn check_starts(&self, records: &[Activation]) {
        let Some(probe) = self.probe else { return };
        let by_id: BTreeMap<_, _> = records.iter().map(|record| (record.id, record)).collect();
        for (id, starts) in probe.starts() {
            let record = by_id.get(&id).unwrap_or_else(|| panic!("I1: {id} ran and has no record"));
            let count = u32::try_from(starts.len()).unwrap();
            assert!(count <= record.attempts, "I2: {count} starts in {} attempts", record.attempts);
            for start in starts {
                let seen = (start.action.as_str(), start.version);
                let recorded = (record.action().as_str(), record.revision.version);
                assert_eq!(seen, recorded, "the code that ran is not the recorded revision");
            }
        }
        for record in records {
            assert!(record.attempts <= self.retries + 1, "I2: {} attempts of {}", record.attempts, record.id);
        }
    }

    async fn check_mock(&self, app: &Platform) {
        let Some((mock, budget)) = self.mock else { return };
        assert_eq!(mock.violations(), Vec::<String>::new(), "I4");
        assert!(mock.peak_memory() <= budget, "I3: {} MiB of {budget}", mock.peak_memory());
        let pool = app.health().await.backends[0].health.pool.expect("a pool's statistics");
        assert_eq!(pool.leased, 0, "I3: {pool:?}");
        assert_eq!(pool.memory, mock.memory(), "I3: the pool's count and the truth differ");
    }
}

/// Slots return to 0. A blocking thread may keep its own for a while, so this waits for it.
async fn until_free(app: &Platform) {
    for _ in 0..1_000_000 {
        if app.stats().backends.iter().all(|backend| backend.in_use == 0 && backend.queued == 0) {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("I3: capacity is still in use: {:?}", app.stats());
}

fn check_record(record: &Activation) {
    assert!(record.start <= record.end, "I6: {record:?}");
    let billable = record.times.billable();
    assert_eq!(record.end, record.start.after(billable), "I6: {record:?}");
    let ran = record.attempts > 0;
    assert!(ran || record.billed_ms == 0, "I5: billed without an attempt: {record:?}");
    // A failure of the platform may cost nothing, or what attempts before it have cost.
    if record.attempts == 1 && record.status() != Status::InternalError {
        assert_eq!(record.billed_ms, meter::billed_ms(billable), "I5: {record:?}");
    }
    let bytes: usize = record.logs.iter().map(|line| line.text.len() + 1).sum();
    // The notice of truncation is the platform's own line.
    assert!(bytes as u64 <= Limits::MAX_LOGS + 200, "I7: {bytes} bytes of logs");
    assert!(record.logs.len() <= MAX_LINES + 1, "I7: {} lines", record.logs.len());
    for line in &record.logs {
        assert!(!line.text.contains(|c: char| c.is_control() && c != '\t'), "I7: {line:?}");
        if let Some((_, owner)) = line.text.split_once("own=") {
            assert_eq!(owner, record.id.to_string(), "I7: a line of another activation");
        }
    }
    assert!(record.outcome.result().len() <= faas_core::outcome::MAX_RESULT, "a result over the limit");
}

/// No two entities have one revision (I9).
async fn check_revisions(app: &Platform) {
    let mut revisions = BTreeSet::new();
    let kinds = [EntityKind::Action, EntityKind::Sequence, EntityKind::Trigger, EntityKind::Rule];
    for kind in kinds {
        for entity in app.entities(kind).await.unwrap() {
            assert!(revisions.insert(entity.revision), "I9: {:?} was given twice", entity.revision);
        }
    }
}
