//! How single values stand in columns.

use faas_core::store::{EntityKind, JobState};
use faas_core::{ActivationId, Timestamp};

use crate::codec::{Kind, checksum};
use crate::error::{Failure, damaged};

/// A time as a signed number in the same order: SQLite has no unsigned ones.
pub(crate) fn time(at: Timestamp) -> i64 {
    at.nanos().cast_signed() ^ i64::MIN
}

/// The time that was made such a number.
pub(crate) fn timestamp(number: i64) -> Timestamp {
    Timestamp::from_nanos((number ^ i64::MIN).cast_unsigned())
}

/// An id in the order of ids.
pub(crate) fn key(id: ActivationId) -> [u8; 16] {
    id.as_u128().to_be_bytes()
}

pub(crate) fn id(bytes: &[u8]) -> Result<ActivationId, Failure> {
    let number = bytes.try_into().map(u128::from_be_bytes);
    let broken = |_| damaged("the database is damaged: an id in it has not 16 bytes").into();
    number.map(ActivationId::from_u128).map_err(broken)
}

pub(crate) fn state_number(state: JobState) -> i64 {
    match state {
        JobState::Accepted => 0,
        JobState::Claimed => 1,
        JobState::Started => 2,
        JobState::Lost => 3,
    }
}

pub(crate) fn state(number: i64) -> Result<JobState, Failure> {
    let states = [JobState::Accepted, JobState::Claimed, JobState::Started, JobState::Lost];
    let state = usize::try_from(number).ok().and_then(|number| states.get(number).copied());
    state.ok_or_else(|| damaged("the database is damaged: a job in it has no state").into())
}

pub(crate) fn kind_number(kind: EntityKind) -> i64 {
    match kind {
        EntityKind::Action => 0,
        EntityKind::Sequence => 1,
        EntityKind::Trigger => 2,
        EntityKind::Rule => 3,
        EntityKind::Package => 4,
    }
}

/// A count as SQLite takes it.
pub(crate) fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Where a job stands: what of its row changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) state: JobState,
    pub(crate) attempt: u32,
    pub(crate) not_before: Timestamp,
    pub(crate) accepted: Timestamp,
    /// What became of its attempts, encoded.
    pub(crate) earlier: Vec<u8>,
}

impl Standing {
    /// The same under its next claim.
    pub(crate) fn claimed(&self) -> Self {
        // Until `start` or `retry` tells of the attempt that was lost, only the state does.
        let state = match self.state {
            JobState::Accepted | JobState::Claimed => JobState::Claimed,
            JobState::Started | JobState::Lost => JobState::Started,
        };
        Self { state, attempt: self.attempt.saturating_add(1), ..self.clone() }
    }

    /// The checksum of a job's changing columns.
    pub(crate) fn sum(&self, id: ActivationId) -> u32 {
        let times = [time(self.not_before).to_le_bytes(), time(self.accepted).to_le_bytes()];
        let attempt = self.attempt.to_le_bytes();
        let state = state_number(self.state).to_le_bytes();
        checksum(Kind::Claim, &[&key(id), &state, &attempt, &times[0], &times[1], &self.earlier])
    }
}

/// Refuses a row whose checksum is another.
pub(crate) fn check_sum(what: &str, found: u32, kept: u32) -> Result<(), Failure> {
    if found == kept {
        return Ok(());
    }
    Err(damaged(format!("the database is damaged: {what} has a wrong checksum")).into())
}
