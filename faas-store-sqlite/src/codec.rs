//! How records, jobs and entities are laid out in a row.
//!
//! A body is a sequence of parts, each with a mark, its length, and its bytes or the digest of the file that has them;
//! then a checksum over all of it, the kind of row and its id, since SQLite would not notice a flipped bit. The first
//! part is JSON; payloads are parts of their own, kept byte by byte, because decoding and encoding one would sort its
//! fields and round its numbers.

use std::borrow::Cow;
use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use faas_core::activation::{ActionRevision, Attempt, Times, Usage};
use faas_core::log::LogLine;
use faas_core::store::{Entity, EntityKind, IdempotencyKey, Job, Revision, Work};
use faas_core::{
    Activation, ActivationId, EntityName, Error, Namespace, Outcome, Payload, Record, StartKind, Status,
    Timestamp, Version,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::blobs::{Blobs, Digest, Pin};
use crate::error::damaged;

/// What a row is about; part of its checksum, so that no row is taken for one of another table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Record = 1,
    Job = 2,
    Entity = 3,
    Key = 4,
    Schedule = 5,
    Claim = 6,
    /// The last revision.
    Revision = 7,
    /// How many rows refer to a file.
    Refs = 8,
    /// When a dead letter was due.
    Letter = 9,
}

const INLINE: u8 = 0;
const BLOB: u8 = 1;
const SUM: usize = 4;

/// A body, and the files that it refers to.
#[derive(Debug, Default)]
pub(crate) struct Sealed {
    pub(crate) body: Vec<u8>,
    pub(crate) pins: Vec<Pin>,
}

/// What is to become a body: parts, of which the large ones go to files.
pub(crate) struct Parts<'a>(Vec<Cow<'a, [u8]>>);

impl<'a> Parts<'a> {
    pub(crate) fn of_record(record: &'a Record) -> Result<Self, Error> {
        let head = RecordHead::of(record);
        let mut parts =
            vec![Cow::Owned(json(&head)?), Cow::Borrowed(&record.outcome.result().as_bytes()[..])];
        parts.extend(record.input.as_ref().map(|input| Cow::Borrowed(&input.as_bytes()[..])));
        Ok(Self(parts))
    }

    pub(crate) fn of_job(job: &'a Job) -> Result<Self, Error> {
        Ok(Self(vec![Cow::Owned(json(&JobHead::of(job))?), Cow::Borrowed(&job.payload.as_bytes()[..])]))
    }

    pub(crate) fn of_entity(entity: &'a Entity) -> Result<Self, Error> {
        let head = EntityHead {
            kind: entity.kind,
            name: entity.name.clone(),
            version: entity.version,
            updated: entity.updated,
        };
        Ok(Self(vec![Cow::Owned(json(&head)?), Cow::Borrowed(&entity.body.as_bytes()[..])]))
    }

    /// The body; parts over `inline` bytes are written to files first.
    pub(crate) fn seal(&self, kind: Kind, id: &[u8], blobs: &Blobs, inline: usize) -> Result<Sealed, Error> {
        let mut sealed = Sealed::default();
        for part in &self.0 {
            let is_blob = part.len() > inline;
            sealed.body.push(if is_blob { BLOB } else { INLINE });
            let length = u32::try_from(part.len())
                .map_err(|_| Error::new(faas_core::ErrorKind::InvalidArgument, "over 4 GiB in one part"))?;
            sealed.body.extend(length.to_le_bytes());
            if is_blob {
                let pin = blobs.put(part)?;
                sealed.body.extend(pin.digest().as_bytes());
                sealed.pins.push(pin);
            } else {
                sealed.body.extend_from_slice(part);
            }
        }
        let sum = checksum(kind, &[id, &sealed.body]);
        sealed.body.extend(sum.to_le_bytes());
        Ok(sealed)
    }
}

/// One part of a body.
#[derive(Clone, Copy, Debug)]
enum Part<'a> {
    Inline(&'a [u8]),
    Blob(Digest, usize),
}

impl Part<'_> {
    fn read(self, blobs: &Blobs) -> Result<Bytes, Error> {
        match self {
            Self::Inline(bytes) => Ok(Bytes::copy_from_slice(bytes)),
            Self::Blob(digest, length) => blobs.read(digest, length),
        }
    }
}

/// The parts of a body whose checksum is right.
fn unseal<'a>(kind: Kind, id: &[u8], body: &'a [u8]) -> Result<Vec<Part<'a>>, Error> {
    let broken = || {
        let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
        damaged(format!("the database is damaged: the {kind:?} {id} has a wrong checksum"))
    };
    let (mut rest, sum) = body.split_last_chunk::<SUM>().ok_or_else(broken)?;
    if checksum(kind, &[id, rest]) != u32::from_le_bytes(*sum) {
        return Err(broken());
    }
    let mut parts = Vec::with_capacity(3);
    while let Some((mark, after)) = rest.split_first() {
        let (length, after) = after.split_first_chunk().ok_or_else(broken)?;
        let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
        let kept = if *mark == BLOB { Digest::LEN } else { length };
        let (bytes, after) = after.split_at_checked(kept).ok_or_else(broken)?;
        parts.push(match mark {
            &BLOB => Part::Blob(Digest::from_slice(bytes).ok_or_else(broken)?, length),
            _ => Part::Inline(bytes),
        });
        rest = after;
    }
    Ok(parts)
}

/// The files that a body refers to.
pub(crate) fn digests(kind: Kind, id: &[u8], body: &[u8]) -> Result<Vec<Digest>, Error> {
    let parts = unseal(kind, id, body)?.into_iter();
    let digest = |part| match part {
        Part::Blob(digest, _) => Some(digest),
        Part::Inline(_) => None,
    };
    Ok(parts.filter_map(digest).collect())
}

pub(crate) fn record(id: &[u8], body: &[u8], blobs: &Blobs) -> Result<Activation, Error> {
    let parts = unseal(Kind::Record, id, body)?;
    let [head, result, input @ ..] = parts.as_slice() else { return Err(unreadable("record")) };
    let head: RecordHead<'_> = decoded(&head.read(blobs)?)?;
    let input = input.first().map(|input| payload(*input, blobs)).transpose()?;
    let record = head.into_record(payload(*result, blobs)?, input)?;
    same("record", id, record.id)?;
    Ok(record.into())
}

pub(crate) fn job(id: &[u8], not_before: Timestamp, body: &[u8], blobs: &Blobs) -> Result<Job, Error> {
    match job_without_damaged_input(id, not_before, body, blobs)? {
        (job, None) => Ok(job),
        (_, Some(error)) => Err(error),
    }
}

/// A job, with no input and the reason where that is damaged.
pub(crate) fn job_without_damaged_input(
    id: &[u8],
    not_before: Timestamp,
    body: &[u8],
    blobs: &Blobs,
) -> Result<(Job, Option<Error>), Error> {
    let parts = unseal(Kind::Job, id, body)?;
    let [head, input] = parts.as_slice() else { return Err(unreadable("job")) };
    let head: JobHead<'_> = decoded(&head.read(blobs)?)?;
    same("job", id, head.id)?;
    match payload(*input, blobs) {
        Ok(input) => Ok((head.into_job(not_before, input), None)),
        // What cannot be read now may be whole.
        Err(error) if error.source().is_some_and(|source| source.is::<std::io::Error>()) => Err(error),
        Err(error) => Ok((head.into_job(not_before, Payload::empty()), Some(error))),
    }
}

pub(crate) fn entity(name: &str, revision: Revision, body: &[u8], blobs: &Blobs) -> Result<Entity, Error> {
    let parts = unseal(Kind::Entity, name.as_bytes(), body)?;
    let [head, body] = parts.as_slice() else { return Err(unreadable("entity")) };
    let EntityHead { kind, name, version, updated } = decoded(&head.read(blobs)?)?;
    Ok(Entity { kind, name, version, revision, updated, body: payload(*body, blobs)? })
}

/// What became of earlier attempts; empty where there were none.
pub(crate) fn earlier(attempts: &[Attempt]) -> Result<Vec<u8>, Error> {
    if attempts.is_empty() { Ok(Vec::new()) } else { json(attempts) }
}

pub(crate) fn read_earlier(bytes: &[u8]) -> Result<Vec<Attempt>, Error> {
    if bytes.is_empty() { Ok(Vec::new()) } else { decoded(bytes) }
}

/// CRC-32 over the kind and all fields, each with its length, so that no byte moves from one to the next.
pub(crate) fn checksum(kind: Kind, fields: &[&[u8]]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&[kind as u8]);
    for field in fields {
        hasher.update(&field.len().to_le_bytes());
        hasher.update(field);
    }
    hasher.finalize()
}

fn same(what: &str, id: &[u8], found: ActivationId) -> Result<(), Error> {
    if found.as_u128().to_be_bytes() == id { Ok(()) } else { Err(unreadable(what)) }
}

fn payload(part: Part<'_>, blobs: &Blobs) -> Result<Payload, Error> {
    Payload::from_json(part.read(blobs)?).map_err(|error| unreadable("payload").with_source(error))
}

fn json<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(value).map_err(|error| {
        let text = "what the store was given cannot be encoded";
        Error::new(faas_core::ErrorKind::InvalidArgument, text).with_source(error)
    })
}

fn decoded<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(bytes).map_err(|error| unreadable("row").with_source(error))
}

fn unreadable(what: &str) -> Error {
    damaged(format!("the database is damaged: a {what} in it is none"))
}

/// A record but for its payloads.
#[derive(Serialize, Deserialize)]
struct RecordHead<'a> {
    id: ActivationId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    invoker: Option<Namespace>,
    revision: Arc<ActionRevision>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    start_kind: Option<StartKind>,
    start: Timestamp,
    end: Timestamp,
    /// Waiting, creating, initialising, running.
    times: [Duration; 4],
    billed_ms: u64,
    #[serde(default)]
    usage: Usage,
    usage_known: bool,
    attempts: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cause: Option<ActivationId>,
    status: Status,
    #[serde(default, skip_serializing_if = "none")]
    logs: Cow<'a, [LogLine]>,
    #[serde(default, skip_serializing_if = "none")]
    earlier: Cow<'a, [Attempt]>,
}

fn none<T>(list: &[T]) -> bool {
    list.is_empty()
}

impl<'a> RecordHead<'a> {
    fn of(record: &'a Record) -> Self {
        let Times { wait, create, init, run } = record.times;
        Self {
            id: record.id,
            invoker: record.invoker.clone(),
            revision: Arc::clone(&record.revision),
            start_kind: record.start_kind,
            start: record.start,
            end: record.end,
            times: [wait, create, init, run],
            billed_ms: record.billed_ms,
            usage: record.usage,
            usage_known: record.usage_known,
            attempts: record.attempts,
            cause: record.cause,
            status: record.outcome.status(),
            logs: Cow::Borrowed(&record.logs),
            earlier: Cow::Borrowed(&record.earlier),
        }
    }

    fn into_record(self, result: Payload, input: Option<Payload>) -> Result<Record, Error> {
        let [wait, create, init, run] = self.times;
        let outcome = Outcome::restored(self.status, result)
            .map_err(|error| unreadable("record").with_source(error))?;
        Ok(Record {
            id: self.id,
            invoker: self.invoker,
            revision: self.revision,
            start_kind: self.start_kind,
            start: self.start,
            end: self.end,
            times: Times { wait, create, init, run },
            billed_ms: self.billed_ms,
            usage: self.usage,
            usage_known: self.usage_known,
            attempts: self.attempts,
            cause: self.cause,
            outcome,
            logs: self.logs.into_owned(),
            earlier: self.earlier.into_owned(),
            input,
        })
    }
}

/// A job but for its payload, and for when it may run, which changes.
#[derive(Serialize, Deserialize)]
struct JobHead<'a> {
    id: ActivationId,
    work: Cow<'a, Work>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    invoker: Option<Namespace>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cause: Option<ActivationId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rule: Option<EntityName>,
    depth: u32,
    accepted: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<IdempotencyKey>,
}

impl<'a> JobHead<'a> {
    fn of(job: &'a Job) -> Self {
        Self {
            id: job.id,
            work: Cow::Borrowed(&job.work),
            invoker: job.invoker.clone(),
            cause: job.cause,
            rule: job.rule.clone(),
            depth: job.depth,
            accepted: job.accepted,
            key: job.key.clone(),
        }
    }

    fn into_job(self, not_before: Timestamp, payload: Payload) -> Job {
        Job {
            id: self.id,
            work: self.work.into_owned(),
            payload,
            invoker: self.invoker,
            cause: self.cause,
            rule: self.rule,
            depth: self.depth,
            accepted: self.accepted,
            not_before,
            key: self.key,
        }
    }
}

/// An entity but for its body, and for its revision, which the store gives.
#[derive(Serialize, Deserialize)]
struct EntityHead {
    kind: EntityKind,
    name: EntityName,
    version: Version,
    updated: Timestamp,
}
