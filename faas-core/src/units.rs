//! Quantities with their unit in the type: memory, timestamps, GB-seconds.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind};

/// An amount of memory in mebibytes (2^20 bytes).
///
/// ```
/// use faas_core::MemoryMib;
/// let memory: MemoryMib = "1GiB".parse()?;
/// assert_eq!(memory.mib(), 1024);
/// assert_eq!(memory.to_string(), "1024 MiB");
/// # Ok::<(), faas_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MemoryMib(u32);

impl MemoryMib {
    /// The smallest limit that an action may have. Arbitrary: one unit.
    pub const MIN: Self = Self(1);
    /// The limit of an action that names none. Source: OpenWhisk's default of 256 MB.
    pub const DEFAULT: Self = Self(256);
    /// The largest limit that any backend offers. Source: AWS Lambda's quota of 10,240 MB.
    pub const MAX: Self = Self(10_240);

    /// `mib` mebibytes.
    #[must_use]
    pub const fn new(mib: u32) -> Self {
        Self(mib)
    }

    /// The amount in mebibytes.
    #[must_use]
    pub const fn mib(self) -> u32 {
        self.0
    }

    /// The amount in bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        (self.0 as u64) << 20
    }
}

impl fmt::Display for MemoryMib {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} MiB", self.0)
    }
}

impl FromStr for MemoryMib {
    type Err = Error;

    /// Reads `256MiB` or `1GiB`; a space before the unit is allowed.
    ///
    /// # Errors
    /// `InvalidArgument` when the number is not whole, the unit is unknown or the amount is over 4 PiB.
    fn from_str(text: &str) -> Result<Self, Error> {
        let (number, unit) = split_unit(text);
        let scale: u32 = match unit {
            "MiB" => 1,
            "GiB" => 1024,
            _ => return Err(bad_quantity("memory", text, "a whole number with the unit MiB or GiB")),
        };
        number
            .parse::<u32>()
            .ok()
            .and_then(|n| n.checked_mul(scale))
            .map(Self)
            .ok_or_else(|| bad_quantity("memory", text, "a whole number with the unit MiB or GiB"))
    }
}

/// Reads a duration such as `500ms`, `30s`, `5m` or `1h`.
///
/// # Errors
/// `InvalidArgument` when the number is not whole or the unit is none of these.
pub fn parse_duration(text: &str) -> Result<Duration, Error> {
    const ALLOWED: &str = "a whole number with the unit ms, s, m or h";
    let (number, unit) = split_unit(text);
    let millis: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(bad_quantity("duration", text, ALLOWED)),
    };
    number
        .parse::<u64>()
        .ok()
        .and_then(|n| n.checked_mul(millis))
        .map(Duration::from_millis)
        .ok_or_else(|| bad_quantity("duration", text, ALLOWED))
}

fn split_unit(text: &str) -> (&str, &str) {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    (number, unit.trim_start())
}

fn bad_quantity(what: &'static str, text: &str, allowed: &str) -> Error {
    Error::new(ErrorKind::InvalidArgument, format!("{what} '{text}' is not {allowed}"))
}

/// A point of wall-clock time, in nanoseconds since 1970-01-01T00:00:00Z.
///
/// It is for people and for queries; intervals are measured on the monotonic clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The timestamp `nanos` nanoseconds after the epoch.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// The timestamp `millis` milliseconds after the epoch; saturates in the year 2554.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// Nanoseconds since the epoch.
    #[must_use]
    pub const fn nanos(self) -> u64 {
        self.0
    }

    /// Whole milliseconds since the epoch.
    #[must_use]
    pub const fn millis(self) -> u64 {
        self.0 / 1_000_000
    }

    /// The timestamp that lies `duration` later; saturates.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(nanos(duration)))
    }
}

impl From<SystemTime> for Timestamp {
    /// Times before 1970 become the epoch.
    fn from(time: SystemTime) -> Self {
        Self(time.duration_since(UNIX_EPOCH).map_or(0, nanos))
    }
}

impl From<Timestamp> for SystemTime {
    fn from(at: Timestamp) -> Self {
        UNIX_EPOCH + Duration::from_nanos(at.0)
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with nanoseconds. Calendar: Howard Hinnant, "chrono-Compatible Low-Level Date
    /// Algorithms", `civil_from_days`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0 / 1_000_000_000;
        let days = seconds / 86_400 + 719_468;
        let era = days / 146_097;
        let day_of_era = days % 146_097;
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        let year = year_of_era + era * 400 + u64::from(month <= 2);
        let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
        let fraction = self.0 % 1_000_000_000;
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction:09}Z")
    }
}

impl FromStr for Timestamp {
    type Err = Error;

    /// Reads RFC 3339, in UTC or at an offset from it, from the year 1970 on. Calendar: as `Display`,
    /// `days_from_civil`.
    ///
    /// # Errors
    /// `InvalidArgument` for any other text.
    fn from_str(text: &str) -> Result<Self, Error> {
        read_rfc3339(text).map(Self).ok_or_else(|| {
            let allowed = "2026-08-01T12:00:00.5Z or 2026-08-01T14:00:00+02:00";
            bad_quantity("time", text, allowed)
        })
    }
}

fn read_rfc3339(text: &str) -> Option<u64> {
    let (date, rest) = text.split_at_checked(10)?;
    let (time, zone) = match rest.strip_prefix(['T', 't', ' '])? {
        rest if rest.ends_with(['Z', 'z']) => (&rest[..rest.len() - 1], 0),
        rest => {
            let (time, offset) = rest.split_at_checked(rest.len().checked_sub(6)?)?;
            let sign = match offset.as_bytes()[0] {
                b'+' => 1,
                b'-' => -1,
                _ => return None,
            };
            let [hours, minutes] = numbers(&offset[1..], ':', [23, 59])?;
            (time, sign * i64::try_from(hours * 3_600 + minutes * 60).ok()?)
        }
    };
    let [year, month, day] = numbers(date, '-', [9_999, 12, 31])?;
    if month == 0 || day == 0 || year < 1970 {
        return None;
    }
    let (whole, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let [hour, minute, second] = numbers(whole, ':', [23, 59, 60])?;
    if fraction.is_empty() || fraction.len() > 9 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let nanos: u64 = format!("{fraction:0<9}").parse().ok()?;
    let year = year - u64::from(month <= 2);
    let shifted_month = (month + 9) % 12;
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let year_of_era = year % 400;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = (year / 400 * 146_097 + day_of_era).checked_sub(719_468)?;
    let seconds = days * 86_400 + hour * 3_600 + minute * 60 + second;
    let seconds = seconds.checked_add_signed(-zone)?;
    seconds.checked_mul(1_000_000_000)?.checked_add(nanos)
}

/// So many numbers in decimal digits, each no larger than its bound.
fn numbers<const N: usize>(text: &str, separator: char, most: [u64; N]) -> Option<[u64; N]> {
    let mut parts = text.split(separator);
    let mut numbers = [0; N];
    for (number, most) in numbers.iter_mut().zip(most) {
        let part = parts.next()?;
        let is_number = (2..=4).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
        *number = part.parse().ok().filter(|number| is_number && *number <= most)?;
    }
    parts.next().is_none().then_some(numbers)
}

/// Nanoseconds of a duration, saturating after 584 years.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_with_its_unit() {
        assert_eq!("256MiB".parse::<MemoryMib>().unwrap(), MemoryMib::new(256));
        assert_eq!(" 2 GiB ".parse::<MemoryMib>().unwrap(), MemoryMib::new(2048));
        for bad in ["256", "256MB", "-1MiB", "1.5GiB", "", "4194304GiB"] {
            let error = bad.parse::<MemoryMib>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{bad}");
            assert!(error.to_string().contains("MiB or GiB"), "{error}");
        }
    }

    #[test]
    fn durations_are_read_with_their_unit() {
        assert_eq!(parse_duration("500ms").unwrap(), Duration::from_millis(500));
        assert_eq!(parse_duration("2h").unwrap(), Duration::from_secs(7_200));
        for bad in ["5", "5 days", "s", "1.5s", "18446744073709551615h"] {
            assert!(parse_duration(bad).unwrap_err().to_string().contains("ms, s, m or h"), "{bad}");
        }
    }

    #[test]
    fn timestamps_are_read_as_they_are_printed() {
        for nanos in [0, 1, 951_782_400_000_000_000, 1_709_164_799_999_999_999, 4_102_444_800_123_456_789] {
            let at = Timestamp::from_nanos(nanos);
            assert_eq!(at.to_string().parse::<Timestamp>().unwrap(), at);
        }
        let read = |text: &str| text.parse::<Timestamp>().map(Timestamp::millis);
        assert_eq!(read("1970-01-01T01:00:00.5+01:00").unwrap(), 500);
        assert_eq!(read("1970-01-01t00:00:00z").unwrap(), 0);
        for bad in [
            "",
            "1970",
            "1970-01-01",
            "1970-01-01T00:00:00",
            "1970-13-01T00:00:00Z",
            "1970-01-00T00:00:00Z",
            "1970-01-01T24:00:00Z",
            "1969-12-31T23:59:59Z",
            "1970-01-01T00:00:00.Z",
            "1970-01-01T00:00:00.1234567890Z",
            "1970-01-01T00:00:00+1:00",
            "1970-01-01T00:00:00+01:00",
            "1970-01-01Tx0:00:00Z",
            "1970-01-01T00:00:00\u{e4}Z",
            "\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}",
        ] {
            assert!(read(bad).unwrap_err().message().contains("time"), "{bad}");
        }
    }

    #[test]
    fn timestamps_print_the_calendar() {
        assert_eq!(Timestamp::from_nanos(0).to_string(), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(Timestamp::from_millis(951_782_400_123).to_string(), "2000-02-29T00:00:00.123000000Z");
        assert_eq!(Timestamp::from_millis(1_517_968_154_000).to_string(), "2018-02-07T01:49:14.000000000Z");
        assert_eq!(Timestamp::from_nanos(u64::MAX).to_string(), "2554-07-21T23:34:33.709551615Z");
    }
}
