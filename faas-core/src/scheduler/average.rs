//! How long an action has been running on average, for the orders that go by it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::units::nanos;

/// What a run counts for in the average; the runs before it share the rest.
///
/// # Source
/// An exponentially weighted moving average with the gain of TCP's smoothed round-trip time: RFC 6298 §2, after
/// V. Jacobson, "Congestion Avoidance and Control", SIGCOMM 1988.
const GAIN: u64 = 8;

/// The average run time of one action, in nanoseconds; zero before the first run.
///
/// Of two runs that end at once, one may not be counted: an average need not be exact, and this way a run
/// costs one load and one store.
#[derive(Debug, Default)]
pub(crate) struct RunAverage(AtomicU64);

impl RunAverage {
    pub(crate) fn expected(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }

    /// Counts a run. The first is the average; 1 ns is the least, so that it is not taken for unknown.
    pub(crate) fn add(&self, run: Duration) {
        let (run, average) = (nanos(run).max(1), self.0.load(Ordering::Relaxed));
        let next = if average == 0 { run } else { average - average / GAIN + run / GAIN };
        self.0.store(next.max(1), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_run_is_the_average_and_each_other_an_eighth_of_it() {
        let average = RunAverage::default();
        assert_eq!(average.expected(), Duration::ZERO);
        average.add(Duration::from_millis(80));
        assert_eq!(average.expected(), Duration::from_millis(80));
        average.add(Duration::from_millis(160));
        assert_eq!(average.expected(), Duration::from_millis(90));
        for _ in 0..100 {
            average.add(Duration::from_millis(8));
        }
        let expected = average.expected();
        assert!(expected.abs_diff(Duration::from_millis(8)) < Duration::from_micros(1), "{expected:?}");
    }

    #[test]
    fn it_neither_overflows_nor_becomes_unknown_again() {
        let average = RunAverage::default();
        average.add(Duration::MAX);
        average.add(Duration::MAX);
        assert!(average.expected() > Duration::from_nanos(u64::MAX - 16));
        for _ in 0..1_000 {
            average.add(Duration::ZERO);
        }
        assert!(average.expected() > Duration::ZERO);
    }
}
