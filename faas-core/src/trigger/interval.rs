//! A feed that fires at equal distances.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use chrono::{DateTime, SecondsFormat, Utc};

use super::schedule::{self, Due, Position, Schedule};
use super::{EventSink, Trigger};
use crate::error::{Error, ErrorKind};
use crate::name::EntityName;
use crate::units::{self, Timestamp};

/// A feed that fires every so often: at `first`, `first + every`, `first + 2 × every`, and so on.
///
/// The first tick comes one interval after the feed starts, unless [`with_first`](Self::with_first) fixes it,
/// and there is no last one, unless [`with_count`](Self::with_count) says so. The distances are kept exactly:
/// a tick that fires late does not move the next one, nor does a restart with a store that is durable. There the ticks
/// of a feed [`with_count`](Self::with_count) are counted anew by each process, unless `with_first` fixes the first. The
/// payload is that of [`Cron`](super::Cron), in UTC.
///
/// # Behavior
/// As [`Cron`](super::Cron) for missed ticks, clocks that are set, temporary errors and closing.
///
/// ```
/// use std::time::Duration;
/// use faas_core::{Timestamp, trigger::Interval};
/// // Thrice, on the half hours from 2026-01-01T00:00:00Z on.
/// let feed = Interval::new("heartbeat", Duration::from_secs(30 * 60))?
///     .with_first(Timestamp::from_millis(1_767_225_600_000))
///     .with_count(3);
/// # Ok::<(), faas_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Interval {
    name: EntityName,
    every: Duration,
    count: Option<u64>,
    /// The tick that the others are counted from, once it is known.
    first: OnceLock<Timestamp>,
    position: Position,
}

impl Interval {
    /// The shortest interval: the resolution of tokio's timer.
    pub const MIN: Duration = Duration::from_millis(1);

    /// A feed called `name` that fires every `every`.
    ///
    /// # Errors
    /// `InvalidArgument` for a name that breaks the rules, or an interval under [`MIN`](Self::MIN).
    pub fn new(name: &str, every: Duration) -> Result<Self, Error> {
        if every < Self::MIN {
            let text = format!("interval {every:?} is out of range: {:?} or more", Self::MIN);
            return Err(Error::new(ErrorKind::InvalidArgument, text).with_context("trigger", name));
        }
        let first = OnceLock::new();
        Ok(Self { name: name.parse()?, every, count: None, first, position: Position::default() })
    }

    /// The same feed with its ticks counted from `first`. Those before the feed starts do not fire.
    #[must_use]
    pub fn with_first(self, first: Timestamp) -> Self {
        Self { first: first.into(), ..self }
    }

    /// The same feed with `count` ticks in all, those that are missed or before its start included.
    #[must_use]
    pub fn with_count(self, count: u64) -> Self {
        Self { count: Some(count), ..self }
    }

    /// Tick number `index`, from 0, if the feed has it.
    fn tick(&self, index: u64) -> Option<Timestamp> {
        if self.count.is_some_and(|count| index >= count) {
            return None;
        }
        let nanos = self.first.get()?.nanos();
        nanos.checked_add(index.checked_mul(units::nanos(self.every))?).map(Timestamp::from_nanos)
    }

    /// How many ticks there are up to `now`.
    fn until(&self, now: Timestamp) -> u64 {
        let elapsed = self.first.get().and_then(|first| now.nanos().checked_sub(first.nanos()));
        let ticks = elapsed.map_or(0, |elapsed| elapsed / units::nanos(self.every) + 1);
        ticks.min(self.count.unwrap_or(u64::MAX))
    }
}

impl Schedule for Interval {
    fn next(&self, after: Timestamp) -> Option<Timestamp> {
        self.tick(self.until(after))
    }

    fn due(&self, first: Timestamp, now: Timestamp) -> Due {
        let (from, until) = (self.until(first), self.until(now).max(1));
        Due { tick: self.tick(until - 1).unwrap_or(first), missed: until.saturating_sub(from) }
    }

    fn show(&self, tick: Timestamp) -> String {
        DateTime::<Utc>::from(SystemTime::from(tick)).to_rfc3339_opts(SecondsFormat::AutoSi, false)
    }
}

#[async_trait]
impl Trigger for Interval {
    fn name(&self) -> &EntityName {
        &self.name
    }

    async fn run(&self, sink: EventSink) -> Result<(), Error> {
        // Of a feed that ran in an earlier process the last tick, or the start, is known: the others are counted from it.
        let start = if self.first.get().is_some() { schedule::before(sink.now()) } else { sink.now() };
        let last = self.position.resume(start, &sink).await?;
        self.first.get_or_init(|| last.after(self.every));
        schedule::run(self, &self.position, last, &sink).await
    }
}
