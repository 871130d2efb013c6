//! A feed that fires by a cron expression, in a time zone.

mod syntax;

use std::fmt;
use std::iter;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use chrono::{DateTime, LocalResult, NaiveDateTime, SecondsFormat, TimeZone, Utc};
use chrono_tz::{GapInfo, Tz};

use super::schedule::{self, Due, Position, Schedule};
use super::{EventSink, Trigger};
use crate::error::Error;
use crate::name::EntityName;
use crate::units::{self, Timestamp};

/// The most missed ticks that are counted. Counting means computing each, so a clock that leaps by years must
/// not count on. Arbitrary.
pub const MAX_MISSED: u64 = 10_000;

/// A feed that fires by a cron expression, in UTC or in the zone that [`with_zone`](Self::with_zone) names.
///
/// An expression has five fields, or six with seconds first:
///
/// | field | values | besides `*` `,` `-` `/` |
/// | --- | --- | --- |
/// | second (optional, else 0) | 0 to 59 | |
/// | minute | 0 to 59 | |
/// | hour | 0 to 23 | |
/// | day of month | 1 to 31 | `L` last day, `15W` weekday nearest to the 15th, `LW` last weekday, `?` as `*` |
/// | month | 1 to 12, JAN to DEC | |
/// | day of week | 0 to 7, SUN to SAT; 0 and 7 are Sunday | `5L` last Friday, `5#2` second Friday, `?` as `*` |
///
/// Where both day fields are restricted, either is enough; `+` before the day of week asks for both. `@hourly`,
/// `@daily`, `@weekly`, `@monthly`, `@yearly` and `@annually` stand for what they say.
///
/// Each tick fires an event whose id is the instant it was scheduled for, with the payload
///
/// ```json
/// { "scheduled": "2026-03-29T03:00:00+02:00", "missed": 0 }
/// ```
///
/// `scheduled` is that instant with the zone's offset (RFC 3339); `missed` is how many earlier ticks the event
/// stands for, at most [`MAX_MISSED`].
///
/// # Behavior
/// - The first tick is the first that is not before the feed starts for the first time. With a store that is durable
///   the feed goes on where an earlier process was; otherwise what fell due while the program did not run is not made
///   up for.
/// - Ticks that could not fire in time, because the program did not run, the machine slept, the clock was set forward
///   or the sink was slow, fire once: as the last of them, with the number of the others.
/// - No tick fires twice. After the clock was set back, ticks that have fired are waited out.
/// - The clock is read at least every 10 s, so a clock that is set is noticed by then.
/// - A temporary error of the sink is tried again with growing pauses; when the sink closes, the feed ends.
///
/// When a zone's clock is put **forward**, a time that is skipped fires once, right after the gap; when it is put
/// **back**, a time that happens twice fires the first time. Where minute or hour is a `*` (also `*/n`), the
/// expression is about distances rather than times: it then has nothing to make up for after a gap, and goes on
/// through both halves of a repeated hour.
///
/// # Source
/// Fields and days: P. Vixie's cron, crontab(5), with the extensions of the crate `croner`. Changes of the clock:
/// cron(8), where a job whose minute or hour begins with `*` is a wildcard job.
///
/// ```
/// use faas_core::{Timestamp, trigger::Cron};
/// let nightly = Cron::new("nightly", "30 2 * * *")?.with_zone("Europe/Berlin")?;
/// // 2026-03-29 had no 02:30 in Berlin: it came at 03:00, which is 01:00 UTC.
/// let eve = Timestamp::from_millis(1_774_735_200_000); // 2026-03-28T22:00:00Z
/// assert_eq!(nightly.next_after(eve).unwrap().to_string(), "2026-03-29T01:00:00.000000000Z");
/// # Ok::<(), faas_core::Error>(())
/// ```
pub struct Cron {
    name: EntityName,
    expression: String,
    pattern: croner::Cron,
    zone: Tz,
    position: Position,
}

impl Cron {
    /// A feed called `name` that fires by `expression`, in UTC.
    ///
    /// # Errors
    /// `InvalidArgument` for a name that breaks the rules, an expression that is none (naming the field and what
    /// it allows), or one that never comes true, such as on February 30.
    pub fn new(name: &str, expression: &str) -> Result<Self, Error> {
        Ok(Self {
            name: name.parse()?,
            expression: expression.trim().to_owned(),
            pattern: syntax::parse(expression).map_err(|error| error.with_context("trigger", name))?,
            zone: Tz::UTC,
            position: Position::default(),
        })
    }

    /// The same feed with its expression read in the time zone of that IANA name, such as `Europe/Berlin`.
    ///
    /// # Errors
    /// `InvalidArgument` for a name that is not known, listing the nearest ones.
    pub fn with_zone(self, zone: &str) -> Result<Self, Error> {
        let zone = syntax::zone(zone).map_err(|error| error.with_context("trigger", &self.name))?;
        Ok(Self { zone, ..self })
    }

    /// The first tick later than `after`; there is one until the year 2554, where timestamps end.
    #[must_use]
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        let after = self.in_zone(after);
        let next = if self.is_wildcard() {
            self.pattern.find_next_occurrence(&after, false).ok()?
        } else {
            self.next_fixed(&after)?
        };
        let seconds = u64::try_from(next.timestamp()).ok()?;
        seconds.checked_mul(1_000_000_000).map(Timestamp::from_nanos)
    }

    /// Whether the expression is about distances rather than times of day.
    fn is_wildcard(&self) -> bool {
        self.pattern.pattern.minutes.from_wildcard || self.pattern.pattern.hours.from_wildcard
    }

    /// The first tick later than `after` of an expression that names times of day.
    ///
    /// croner alone would take only a single time such as `30 2 * * *` for one: it skips `0,30 2 * * *` in a gap,
    /// fires it twice in a repeated hour, and fails on gaps of over two hours. So it finds the times, without a
    /// zone, and the zone is applied here.
    fn next_fixed(&self, after: &DateTime<Tz>) -> Option<DateTime<Tz>> {
        let mut local = after.naive_local();
        loop {
            local = self.pattern.find_next_occurrence(&local, false).ok()?;
            // Times of a repeated hour that have fired, or that a gap has merged, lie behind.
            if let Some(next) = self.instant(&local).filter(|next| next > after) {
                return Some(next);
            }
        }
    }

    /// When the zone's clocks first show `local`, or jump over it.
    fn instant(&self, local: &NaiveDateTime) -> Option<DateTime<Tz>> {
        match self.zone.from_local_datetime(local) {
            LocalResult::Single(instant) | LocalResult::Ambiguous(instant, _) => Some(instant),
            LocalResult::None => GapInfo::new(local, &self.zone).and_then(|gap| gap.end),
        }
    }

    fn in_zone(&self, at: Timestamp) -> DateTime<Tz> {
        DateTime::<Utc>::from(SystemTime::from(at)).with_timezone(&self.zone)
    }

    fn ticks_between(&self, after: Timestamp, now: Timestamp) -> impl Iterator<Item = Timestamp> {
        iter::successors(self.next_after(after), |tick| self.next_after(*tick))
            .take_while(move |tick| *tick <= now)
    }

    /// The last tick up to `now`, found in windows before it that grow, down to `first`.
    fn last_until(&self, first: Timestamp, now: Timestamp) -> Timestamp {
        let windows = iter::successors(Some(Duration::from_secs(60)), |window| window.checked_mul(60));
        for window in windows {
            let from = Timestamp::from_nanos(now.nanos().saturating_sub(units::nanos(window))).max(first);
            match self.ticks_between(from, now).last() {
                Some(last) => return last,
                None if from == first => break,
                None => {}
            }
        }
        first
    }
}

impl Schedule for Cron {
    fn next(&self, after: Timestamp) -> Option<Timestamp> {
        self.next_after(after)
    }

    fn due(&self, first: Timestamp, now: Timestamp) -> Due {
        let mut due = Due { tick: first, missed: 0 };
        for tick in self.ticks_between(first, now) {
            due = Due { tick, missed: due.missed + 1 };
            if due.missed == MAX_MISSED {
                return Due { tick: self.last_until(tick, now), missed: MAX_MISSED };
            }
        }
        due
    }

    fn show(&self, tick: Timestamp) -> String {
        self.in_zone(tick).to_rfc3339_opts(SecondsFormat::AutoSi, false)
    }
}

#[async_trait]
impl Trigger for Cron {
    fn name(&self) -> &EntityName {
        &self.name
    }

    async fn run(&self, sink: EventSink) -> Result<(), Error> {
        let last = self.position.resume(schedule::before(sink.now()), &sink).await?;
        schedule::run(self, &self.position, last, &sink).await
    }
}

impl fmt::Debug for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cron {}: {} in {}", self.name, self.expression, self.zone)
    }
}
