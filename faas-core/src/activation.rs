//! Activations: the id and the record of one run.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{Error, ErrorKind};
use crate::log::LogLine;
use crate::meter::{self, GbSeconds};
use crate::name::{EntityName, Namespace};
use crate::outcome::{Outcome, Status};
use crate::payload::Payload;
use crate::units::{MemoryMib, Timestamp};

/// The id of an activation: 32 lower-case hex digits, ordered by the millisecond in which it was made.
///
/// The upper 48 bits are milliseconds since the epoch, the lower 80 are random or derived.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActivationId(u128);

impl ActivationId {
    /// The id made at `at` with the lower 80 bits of `random`.
    #[must_use]
    pub const fn new(at: Timestamp, random: u128) -> Self {
        Self(((at.millis() as u128) << 80) | (random & ((1 << 80) - 1)))
    }

    /// The id of what this activation causes under `name`: always the same for the same pair, so that a
    /// re-run cannot cause it twice. It keeps the cause's time.
    ///
    /// # Source
    /// FNV-1a with 128 bits (Fowler, Noll, Vo), folded to 80 bits.
    #[must_use]
    pub fn derive(self, name: &str) -> Self {
        const PRIME: u128 = (1 << 88) + 0x13b;
        const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
        let bytes = self.0.to_be_bytes();
        let hash =
            bytes.iter().chain(name.as_bytes()).fold(OFFSET, |h, b| (h ^ u128::from(*b)).wrapping_mul(PRIME));
        Self((self.0 >> 80 << 80) | ((hash ^ (hash >> 80)) & ((1 << 80) - 1)))
    }

    /// When the id was made, to the millisecond.
    #[must_use]
    pub const fn made_at(self) -> Timestamp {
        Timestamp::from_millis((self.0 >> 80) as u64)
    }

    /// The id as a number.
    #[must_use]
    pub const fn as_u128(self) -> u128 {
        self.0
    }

    /// The id that is this number.
    #[must_use]
    pub const fn from_u128(number: u128) -> Self {
        Self(number)
    }
}

impl fmt::Display for ActivationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // By hand: ids are printed often, and the formatter takes ten times as long for a number of this size.
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 32];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0.to_be_bytes()) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl fmt::Debug for ActivationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for ActivationId {
    type Err = Error;

    /// # Errors
    /// `InvalidArgument` with OpenWhisk's messages when it is not 32 lower-case hex digits.
    fn from_str(text: &str) -> Result<Self, Error> {
        let invalid = |message: String| Err(Error::new(ErrorKind::InvalidArgument, message));
        if text.len() != 32 {
            return invalid(format!("Activation id length is {} but must be 32.", text.len()));
        }
        if !text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return invalid("The activation id is not valid.".into());
        }
        u128::from_str_radix(text, 16)
            .map(Self)
            .or_else(|_| invalid("The activation id is not valid.".into()))
    }
}

impl Serialize for ActivationId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ActivationId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The version of an entity, `major.minor.patch`; it starts at 0.0.1 and the patch grows with each update.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u16, pub u16, pub u32);

impl Version {
    /// The first version of an entity. Source: OpenWhisk.
    pub const FIRST: Self = Self(0, 0, 1);

    /// The version after an update.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0, self.1, self.2.saturating_add(1))
    }
}

impl Default for Version {
    fn default() -> Self {
        Self::FIRST
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

impl FromStr for Version {
    type Err = Error;

    /// # Errors
    /// `InvalidArgument` when it is not three whole numbers with dots between, the first two up to 65,535.
    fn from_str(text: &str) -> Result<Self, Error> {
        let read = || {
            let (major, rest) = text.split_once('.')?;
            let (minor, patch) = rest.split_once('.')?;
            Some(Self(major.parse().ok()?, minor.parse().ok()?, patch.parse().ok()?))
        };
        read().ok_or_else(|| {
            let text = format!(
                "version '{text}' is not three whole numbers such as 0.0.1, the first two up to 65,535"
            );
            Error::new(ErrorKind::InvalidArgument, text)
        })
    }
}

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// How the sandbox of an activation came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StartKind {
    /// It was created and initialised for this activation.
    Cold,
    /// It was a stem cell, initialised for this activation.
    Prewarmed,
    /// It had run the action before, or was initialised ahead of the activation.
    Warm,
}

impl StartKind {
    /// The kind as a word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cold => "cold",
            Self::Prewarmed => "prewarmed",
            Self::Warm => "warm",
        }
    }
}

impl fmt::Display for StartKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What an activation is a run of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ActivationKind {
    /// An action's code.
    #[default]
    Action,
    /// A sequence; its logs list the activations of its members.
    Sequence,
    /// A trigger that was fired; its logs tell what each rule did.
    Trigger,
}

/// Which entity ran, at which version, with how much memory: what all activations of one revision share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionRevision {
    /// The action, sequence or trigger.
    pub name: EntityName,
    /// Its version.
    pub version: Version,
    /// What it is.
    #[serde(default)]
    pub kind: ActivationKind,
    /// The memory that is billed: the action's limit.
    pub memory: MemoryMib,
    /// The backend that it runs on; empty for sequences and triggers.
    #[serde(default)]
    pub backend: Arc<str>,
}

/// What a backend measured beyond time, where it can.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Processor time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Duration>,
    /// The highest memory use, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_memory: Option<u64>,
    /// Wasm fuel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fuel: Option<u64>,
    /// The time that the provider bills.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub billed: Option<Duration>,
    /// Initialisation that the provider bills on top.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub billed_init: Option<Duration>,
}

/// Where the time of an activation went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Times {
    /// Until a permit, and for a sandbox that somebody else was making or using.
    pub wait: Duration,
    /// Making the sandbox.
    pub create: Duration,
    /// Initialising user code.
    pub init: Duration,
    /// Running it.
    pub run: Duration,
}

impl Times {
    /// What is billed before rounding: initialising and running.
    #[must_use]
    pub fn billable(&self) -> Duration {
        self.init.saturating_add(self.run)
    }
}

/// An attempt that did not end its activation: another one followed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// When initialising or running began.
    pub start: Timestamp,
    /// Where its time went.
    pub times: Times,
    /// Billed milliseconds.
    pub billed_ms: u64,
    /// Whether time and bill are known: false where its owner was lost.
    pub usage_known: bool,
    /// The class of its outcome.
    pub status: Status,
    /// What it failed with, up to [`MAX_ERROR`](Self::MAX_ERROR) bytes.
    pub error: String,
}

impl Attempt {
    /// The longest error text that is kept, in bytes. Arbitrary.
    pub const MAX_ERROR: usize = 1_024;
}

/// The record of one activation.
///
/// [`Activation`] is the shared form in which it is kept and handed out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The activation's id.
    pub id: ActivationId,
    /// Whose activation it is, where that is not the action's own namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invoker: Option<Namespace>,
    /// What ran.
    pub revision: Arc<ActionRevision>,
    /// How its sandbox came to be; `None` where none was used.
    pub start_kind: Option<StartKind>,
    /// When initialising or running began; when it was accepted, if it never began.
    pub start: Timestamp,
    /// When it ended: `start` plus the time that initialising and running took.
    pub end: Timestamp,
    /// Where the time went, of the last attempt; waiting is the sum over all.
    pub times: Times,
    /// Billed milliseconds, the sum over all attempts.
    pub billed_ms: u64,
    /// What the backend measured beyond time.
    #[serde(default)]
    pub usage: Usage,
    /// Whether time and usage are known: false where the run was abandoned or lost.
    pub usage_known: bool,
    /// How often user code was started, or would have been.
    pub attempts: u32,
    /// The sequence or trigger activation that caused this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<ActivationId>,
    /// What user code did.
    pub outcome: Outcome,
    /// What it logged, bounded by its limit.
    pub logs: Vec<LogLine>,
    /// The attempts before the last one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<Attempt>,
    /// What it was given, where the platform records inputs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Payload>,
}

impl Record {
    /// The record of what came to `outcome` at `at` without running any code.
    #[must_use]
    pub fn without_run(
        id: ActivationId,
        revision: Arc<ActionRevision>,
        at: Timestamp,
        outcome: Outcome,
    ) -> Self {
        Self {
            id,
            invoker: None,
            revision,
            start_kind: None,
            start: at,
            end: at,
            times: Times::default(),
            billed_ms: 0,
            usage: Usage::default(),
            usage_known: true,
            attempts: 0,
            cause: None,
            outcome,
            logs: Vec::new(),
            earlier: Vec::new(),
            input: None,
        }
    }

    /// Whether it is of a trigger that was fired from outside: by a caller, or by a feed.
    #[must_use]
    pub fn is_event(&self) -> bool {
        self.revision.kind == ActivationKind::Trigger && self.cause.is_none()
    }

    /// Whose activation it is.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.invoker.as_ref().map_or_else(|| self.revision.name.namespace(), Namespace::as_str)
    }

    /// The action, sequence or trigger that ran.
    #[must_use]
    pub fn action(&self) -> &EntityName {
        &self.revision.name
    }

    /// The class of the outcome.
    #[must_use]
    pub fn status(&self) -> Status {
        self.outcome.status()
    }

    /// The cost: configured memory times billed time.
    #[must_use]
    pub fn gb_seconds(&self) -> GbSeconds {
        meter::gb_seconds(self.revision.memory, self.billed_ms)
    }
}

/// One activation: a cheap, shared handle on its [`Record`].
///
/// A failed action is an `Activation` too, so look at the outcome: [`into_result`](Self::into_result) turns
/// any outcome but success into an error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[must_use = "an activation may have failed: use into_result(), or look at its outcome"]
#[serde(transparent)]
pub struct Activation(Arc<Record>);

impl Activation {
    /// The result, or the failed outcome as an error.
    ///
    /// # Errors
    /// [`FailedActivation`] when the outcome is not a success.
    pub fn into_result(self) -> Result<Payload, FailedActivation> {
        if self.outcome.is_success() {
            Ok(self.outcome.result().clone())
        } else {
            Err(FailedActivation(self))
        }
    }
}

impl From<Record> for Activation {
    fn from(record: Record) -> Self {
        Self(Arc::new(record))
    }
}

impl Deref for Activation {
    type Target = Record;

    fn deref(&self) -> &Record {
        &self.0
    }
}

/// An activation whose outcome is not a success, as an error.
#[derive(Clone, Debug)]
pub struct FailedActivation(pub Activation);

impl fmt::Display for FailedActivation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let record = &self.0;
        let error = record.outcome.error().unwrap_or_default();
        write!(f, "{} failed with {}: {error}", record.action(), record.status())
    }
}

impl std::error::Error for FailedActivation {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_keep_their_time_and_print_as_hex() {
        let id = ActivationId::new(Timestamp::from_millis(1_517_968_154_000), u128::MAX);
        assert_eq!(id.made_at(), Timestamp::from_millis(1_517_968_154_000));
        assert_eq!(id.to_string().len(), 32);
        assert_eq!(id.to_string().parse::<ActivationId>().unwrap(), id);
        for (bad, message) in
            [("abc", "length is 3"), (&"g".repeat(32), "not valid"), (&"A".repeat(32), "not valid")]
        {
            assert!(bad.parse::<ActivationId>().unwrap_err().to_string().contains(message), "{bad}");
        }
    }

    #[test]
    fn derived_ids_are_stable_and_distinct() {
        let id = ActivationId::new(Timestamp::from_millis(7), 42);
        assert_eq!(id.derive("a"), id.derive("a"));
        assert_ne!(id.derive("a"), id.derive("b"));
        assert_ne!(id.derive("a"), ActivationId::new(Timestamp::from_millis(7), 43).derive("a"));
        assert_eq!(id.derive("a").made_at(), id.made_at());
    }

    #[test]
    fn versions_grow_and_are_read() {
        assert_eq!(Version::FIRST.next().to_string(), "0.0.2");
        assert_eq!("1.2.3".parse::<Version>().unwrap(), Version(1, 2, 3));
        assert!("1.2".parse::<Version>().is_err());
        assert!("1.2.x".parse::<Version>().is_err());
    }
}
