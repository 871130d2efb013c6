//! Arriving requests: when each comes, as durations since the start, decided by a seed.
//!
//! All are iterators in order of time; those without an end are cut with `take` or `take_while`.

mod azure;

use std::time::Duration;

use fastrand::Rng;

pub use self::azure::{FunctionDay, function_days};

/// One arrival every `1 / per_second`, the first at the start.
///
/// # Panics
/// When the rate is not above zero.
pub fn constant(per_second: f64) -> impl Iterator<Item = Duration> {
    assert!(per_second > 0.0, "a rate of {per_second} per second has no arrivals");
    (0_u32..).map(move |n| Duration::from_secs_f64(f64::from(n) / per_second))
}

/// Arrivals that know nothing of each other: a Poisson process, whose gaps are exponentially distributed.
///
/// # Panics
/// When the rate is not above zero.
pub fn poisson(per_second: f64, seed: u64) -> impl Iterator<Item = Duration> {
    assert!(per_second > 0.0, "a rate of {per_second} per second has no arrivals");
    let mut rng = Rng::with_seed(seed);
    let gap = move || -(1.0 - rng.f64()).ln() / per_second;
    std::iter::repeat_with(gap).scan(0.0, |now, gap| {
        *now += gap;
        Some(Duration::from_secs_f64(*now))
    })
}

/// `size` arrivals at once, again and again with `pause` between, the first at the start.
pub fn bursts(size: usize, pause: Duration) -> impl Iterator<Item = Duration> {
    (0_u32..).flat_map(move |burst| std::iter::repeat_n(pause.saturating_mul(burst), size))
}

/// Arrivals from counts per minute, such as those of [`FunctionDay`]: within its minute, each comes at a random
/// point of time.
///
/// # Source
/// The trace tells no more than the minute; uniform points within it are what a Poisson process has, given the count.
pub fn replay(per_minute: impl IntoIterator<Item = u32>, seed: u64) -> impl Iterator<Item = Duration> {
    let mut rng = Rng::with_seed(seed);
    (0_u64..).zip(per_minute).flat_map(move |(minute, count)| {
        let start = Duration::from_secs(60 * minute);
        let mut within: Vec<Duration> =
            (0..count).map(|_| start + Duration::from_nanos(rng.u64(0..60_000_000_000))).collect();
        within.sort_unstable();
        within
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_constant_rate_has_equal_gaps() {
        let arrivals: Vec<Duration> = constant(4.0).take(5).collect();
        let expected: Vec<Duration> = (0..5).map(|n| Duration::from_millis(250) * n).collect();
        assert_eq!(arrivals, expected);
    }

    #[test]
    fn a_poisson_process_has_its_rate_and_its_spread() {
        for seed in 0..5 {
            let arrivals: Vec<f64> = poisson(10.0, seed).take(20_000).map(|at| at.as_secs_f64()).collect();
            let gaps: Vec<f64> = std::iter::once(arrivals[0])
                .chain(arrivals.windows(2).map(|pair| pair[1] - pair[0]))
                .collect();
            let mean = gaps.iter().sum::<f64>() / 20_000.0;
            let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / 20_000.0;
            assert!((0.097..0.103).contains(&mean), "seed {seed}: mean {mean}");
            // The variance of an exponential distribution is the square of its mean.
            assert!((0.0093..0.0107).contains(&variance), "seed {seed}: variance {variance}");
        }
    }

    #[test]
    fn bursts_come_together() {
        let arrivals: Vec<Duration> = bursts(3, Duration::from_secs(10)).take(7).collect();
        assert_eq!(arrivals.iter().map(Duration::as_secs).collect::<Vec<_>>(), [0, 0, 0, 10, 10, 10, 20]);
    }

    proptest! {
        #[test]
        fn a_replay_keeps_every_count_and_the_order(counts in prop::collection::vec(0_u32..50, 0..20), seed: u64) {
            let arrivals: Vec<Duration> = replay(counts.clone(), seed).collect();
            prop_assert!(arrivals.is_sorted());
            let minute = |at: &Duration| usize::try_from(at.as_secs() / 60).unwrap();
            for (index, count) in counts.iter().enumerate() {
                let found = arrivals.iter().filter(|at| minute(at) == index).count();
                prop_assert_eq!(found, *count as usize);
            }
            prop_assert_eq!(arrivals, replay(counts, seed).collect::<Vec<_>>());
        }
    }
}
