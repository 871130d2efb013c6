//! Metering: from time and memory to what is billed. Rounding is defined here and nowhere else.

use std::fmt;
use std::iter::Sum;
use std::ops::Add;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::units::MemoryMib;

/// Billed milliseconds of one attempt: its time rounded up to whole steps of 1 ms, at least one.
///
/// # Source
/// The billing granularity of AWS Lambda since December 2020.
#[must_use]
pub fn billed_ms(time: Duration) -> u64 {
    let micros_over = !time.subsec_nanos().is_multiple_of(1_000_000);
    let whole = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    whole.saturating_add(u64::from(micros_over)).max(1)
}

/// The cost of `billed_ms` milliseconds with `memory` configured.
#[must_use]
pub const fn gb_seconds(memory: MemoryMib, billed_ms: u64) -> GbSeconds {
    GbSeconds { mib_ms: memory.mib() as u128 * billed_ms as u128 }
}

/// Gibibytes of configured memory times billed seconds, kept exactly as mebibyte-milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GbSeconds {
    mib_ms: u128,
}

impl GbSeconds {
    /// The cost as a number of GB-s.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "for display; the exact sum stays an integer")]
    pub fn as_f64(self) -> f64 {
        self.mib_ms as f64 / (1024.0 * 1000.0)
    }
}

impl Add for GbSeconds {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { mib_ms: self.mib_ms.saturating_add(other.mib_ms) }
    }
}

impl Sum for GbSeconds {
    fn sum<I: Iterator<Item = Self>>(costs: I) -> Self {
        costs.fold(Self::default(), Add::add)
    }
}

impl fmt::Display for GbSeconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.6} GB-s", self.as_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_rounded_up_to_milliseconds() {
        let billed = |nanos: u64| billed_ms(Duration::from_nanos(nanos));
        assert_eq!([billed(0), billed(1), billed(1_000_000), billed(1_000_001)], [1, 1, 1, 2]);
        assert_eq!(billed_ms(Duration::MAX), u64::MAX);
    }

    #[test]
    fn cost_is_exact() {
        assert_eq!(gb_seconds(MemoryMib::new(1024), 1000).as_f64(), 1.0);
        let parts: GbSeconds = (0..1000).map(|_| gb_seconds(MemoryMib::new(128), 1)).sum();
        assert_eq!(parts, gb_seconds(MemoryMib::new(128), 1000));
        let most = gb_seconds(MemoryMib::new(u32::MAX), u64::MAX);
        assert!(most + most > most);
    }
}
