//! What callers read.

use std::fmt::Write;

use faas_core::store::{ActivationQuery, DeadLetter, Entity, EntityKind, JobStatus, Revision};
use faas_core::{Activation, ActivationId, EntityName, Timestamp};
use rusqlite::types::Value;
use rusqlite::{Row, params, params_from_iter};

use crate::blobs::Blobs;
use crate::codec;
use crate::error::{Failure, damaged};
use crate::readers::Reader;
use crate::rows::{self, check_sum, key, kind_number, number, time, timestamp};
use crate::write::{RawStanding, entity_sum, key_sum, letter_sum, schedule_sum};

impl Reader<'_> {
    pub(crate) fn activation(&self, id: ActivationId) -> Result<Option<Activation>, Failure> {
        let sql = "SELECT body FROM activations WHERE id = ?1";
        self.find(sql, params![key(id)], |row| {
            Ok(codec::record(&key(id), row.get_ref(0)?.as_blob().unwrap_or_default(), self.blobs)?)
        })
    }

    pub(crate) fn activations(&self, query: &ActivationQuery) -> Result<Vec<Activation>, Failure> {
        let Conditions { index, text, mut values } = Conditions::of(query);
        let sql = format!(
            "SELECT id, body FROM activations INDEXED BY {index} {text} ORDER BY start DESC, id DESC LIMIT ? OFFSET ?"
        );
        values.push(query.limit.map_or(-1, number).into());
        values.push(number(query.skip).into());
        self.list(&sql, params_from_iter(values), |row| {
            let record = read_record(row, 0, self.blobs)?;
            fits(&record, query.matches(&record))?;
            Ok(record)
        })
    }

    pub(crate) fn count_activations(&self, query: &ActivationQuery) -> Result<u64, Failure> {
        let Conditions { index, text, values } = Conditions::of(query);
        let sql = format!("SELECT count(*) FROM activations INDEXED BY {index} {text}");
        let count = self.find(&sql, params_from_iter(values), |row| Ok(row.get::<_, i64>(0)?))?;
        Ok(count.unwrap_or_default().cast_unsigned())
    }

    pub(crate) fn entity(&self, name: &EntityName) -> Result<Option<Entity>, Failure> {
        let sql = "SELECT name, kind, revision, sum, body FROM entities WHERE name = ?1";
        self.find(sql, [name.as_str()], |row| self.read_entity(row))
    }

    pub(crate) fn entities(&self, kind: EntityKind, namespace: &str) -> Result<Vec<Entity>, Failure> {
        // A zero comes right after a slash.
        let (from, to) = (format!("{namespace}/"), format!("{namespace}0"));
        let sql = "SELECT name, kind, revision, sum, body FROM entities \
                   WHERE name >= ?1 AND name < ?2 AND kind = ?3 ORDER BY name";
        self.list(sql, params![from, to, kind_number(kind)], |row| self.read_entity(row))
    }

    /// Reads `name, kind, revision, sum, body`.
    pub(crate) fn read_entity(&self, row: &Row<'_>) -> Result<Entity, Failure> {
        let name: String = row.get(0)?;
        let revision = Revision(row.get::<_, i64>(2)?.cast_unsigned());
        check_sum(&format!("the entity '{name}'"), entity_sum(&name, row.get(1)?, revision), row.get(3)?)?;
        Ok(codec::entity(&name, revision, row.get_ref(4)?.as_blob().unwrap_or_default(), self.blobs)?)
    }

    pub(crate) fn keyed(&self, key: &str, now: Timestamp) -> Result<Option<ActivationId>, Failure> {
        let sql = "SELECT id, until, sum FROM keys WHERE key = ?1";
        let found = self.find(sql, [key.as_bytes()], |row| read_key(row, key.as_bytes(), 0))?;
        Ok(found.filter(|(_, until)| *until > now).map(|(id, _)| id))
    }

    pub(crate) fn next_due(&self) -> Result<Option<Timestamp>, Failure> {
        let sql = "SELECT 1 FROM jobs INDEXED BY jobs_turn WHERE phase > 0 AND phase = 2 LIMIT 1";
        if self.find(sql, [], |_| Ok(()))?.is_some() {
            return Ok(Some(Timestamp::default()));
        }
        let sql = "SELECT due FROM jobs INDEXED BY jobs_turn WHERE phase > 0 AND phase = 1 AND turn = 0 \
                   ORDER BY due LIMIT 1";
        Ok(self.find(sql, [], |row| Ok(row.get(0)?))?.map(timestamp))
    }

    pub(crate) fn job(&self, id: ActivationId) -> Result<Option<JobStatus>, Failure> {
        let sql = "SELECT state, attempt, due, accepted, earlier, sum, body FROM jobs WHERE id = ?1";
        self.find(sql, params![key(id)], |row| {
            let standing = RawStanding::read(row)?.checked(id)?;
            let body = row.get_ref(6)?.as_blob().unwrap_or_default();
            let job = codec::job(&key(id), standing.not_before, body, self.blobs)?;
            let earlier = codec::read_earlier(&standing.earlier)?;
            Ok(JobStatus { job, state: standing.state, attempt: standing.attempt, earlier })
        })
    }

    pub(crate) fn dead_letters(&self, query: &ActivationQuery) -> Result<Vec<DeadLetter>, Failure> {
        let Conditions { text, mut values, .. } = Conditions::of(query);
        let sql = format!(
            "SELECT id, due, sum, job, record FROM dead_letters {text} ORDER BY seq LIMIT ? OFFSET ?"
        );
        values.push(query.limit.map_or(-1, number).into());
        values.push(number(query.skip).into());
        self.list(&sql, params_from_iter(values), |row| {
            let letter = read_dead_letter(row, self.blobs)?;
            fits(&letter.record, query.matches(&letter.record))?;
            Ok(letter)
        })
    }

    pub(crate) fn find_dead_letter(&self, id: ActivationId) -> Result<Option<DeadLetter>, Failure> {
        let sql = "SELECT id, due, sum, job, record FROM dead_letters WHERE id = ?1";
        self.find(sql, params![key(id)], |row| read_dead_letter(row, self.blobs))
    }

    pub(crate) fn schedules(&self) -> Result<Vec<(EntityName, Timestamp)>, Failure> {
        self.list("SELECT name, position, sum FROM schedules ORDER BY name", [], read_schedule)
    }
}

/// Reads `id, body` from column `at` on.
pub(crate) fn read_record(row: &Row<'_>, at: usize, blobs: &Blobs) -> Result<Activation, Failure> {
    let id = row.get_ref(at)?.as_blob().unwrap_or_default();
    Ok(codec::record(id, row.get_ref(at + 1)?.as_blob().unwrap_or_default(), blobs)?)
}

/// Refuses a record whose row says something else.
pub(crate) fn fits(record: &Activation, fits: bool) -> Result<(), Failure> {
    if fits {
        return Ok(());
    }
    let text =
        format!("the database is damaged: a column of activation {} is not what its record says", record.id);
    Err(damaged(text).into())
}

/// Reads `id, due, sum, job, record`.
pub(crate) fn read_dead_letter(row: &Row<'_>, blobs: &Blobs) -> Result<DeadLetter, Failure> {
    let blob = |at| Ok::<_, Failure>(row.get_ref(at)?.as_blob().unwrap_or_default());
    let not_before = timestamp(row.get(1)?);
    check_sum("a dead letter", letter_sum(blob(0)?, not_before), row.get(2)?)?;
    let job = codec::job(blob(0)?, not_before, blob(3)?, blobs)?;
    Ok(DeadLetter { job, record: codec::record(blob(0)?, blob(4)?, blobs)? })
}

/// Reads `id, until, sum` from column `at` on.
pub(crate) fn read_key(row: &Row<'_>, key: &[u8], at: usize) -> Result<(ActivationId, Timestamp), Failure> {
    let id = rows::id(row.get_ref(at)?.as_blob().unwrap_or_default())?;
    let until = timestamp(row.get(at + 1)?);
    check_sum("a key", key_sum(key, id, until), row.get(at + 2)?)?;
    Ok((id, until))
}

/// Reads `name, position, sum`.
pub(crate) fn read_schedule(row: &Row<'_>) -> Result<(EntityName, Timestamp), Failure> {
    let name: String = row.get(0)?;
    let position = timestamp(row.get(1)?);
    check_sum(&format!("the schedule '{name}'"), schedule_sum(&name, position), row.get(2)?)?;
    Ok((format!("/{name}").parse()?, position))
}

/// The conditions of a query, and the index that serves them in the order of lists.
struct Conditions {
    index: &'static str,
    text: String,
    values: Vec<Value>,
}

impl Conditions {
    fn of(query: &ActivationQuery) -> Self {
        let index = match (&query.namespace, &query.name) {
            (None, None) => "activations_start",
            (Some(_), None) => "activations_namespace",
            (None, Some(_)) => "activations_name",
            (Some(_), Some(_)) => "activations_both",
        };
        let mut conditions = Self { index, text: String::new(), values: Vec::new() };
        for (column, name) in [("namespace", &query.namespace), ("name", &query.name)] {
            if let Some(name) = name {
                conditions
                    .add(&format!("{column} = (SELECT id FROM names WHERE text = ?)"), name.clone().into());
            }
        }
        for (order, at) in [(">=", query.since), ("<=", query.upto)] {
            if let Some(at) = at {
                conditions.add(&format!("start {order} ?"), time(at).into());
            }
        }
        conditions
    }

    fn add(&mut self, condition: &str, value: Value) {
        let word = if self.values.is_empty() { "WHERE" } else { " AND" };
        let _ = write!(self.text, "{word} {condition}");
        self.values.push(value);
    }
}
