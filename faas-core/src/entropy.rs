//! Wall clock, randomness and ids, from one source that a seed can fix.

use std::cell::Cell;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use fastrand::Rng;
use tokio::time::Instant;

use crate::action::BoxFuture;
use crate::activation::ActivationId;
use crate::context::Host;
use crate::units::Timestamp;

/// Where a platform takes wall-clock time, randomness and ids from.
///
/// With a seed, time is tokio's clock counted from [`SEEDED_EPOCH`] and randomness a fixed stream, so that a
/// run on a current-thread runtime with paused time can be repeated byte for byte.
#[derive(Debug)]
pub struct Entropy {
    /// What monotonic readings count from.
    base: Instant,
    /// What the wall clock of a seed shows then.
    epoch: Timestamp,
    seeded: Option<Mutex<Rng>>,
}

/// The wall-clock time at which a seeded platform starts: 2024-01-01T00:00:00Z. Arbitrary.
pub const SEEDED_EPOCH: Timestamp = Timestamp::from_millis(1_704_067_200_000);

/// For how long a thread counts on from one reading of the wall clock. Arbitrary.
const WALL_READING: Duration = Duration::from_millis(10);

impl Entropy {
    /// The system's clock and randomness.
    #[must_use]
    pub fn system() -> Self {
        Self { base: Instant::now(), epoch: SEEDED_EPOCH, seeded: None }
    }

    /// A fixed stream of randomness, and time that starts at [`SEEDED_EPOCH`].
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self { base: Instant::now(), epoch: SEEDED_EPOCH, seeded: Some(Mutex::new(Rng::with_seed(seed))) }
    }

    /// The same with time that starts at `epoch`, such as where an earlier platform on the same store ended. Without a
    /// seed it changes nothing.
    #[must_use]
    pub fn with_epoch(mut self, epoch: Timestamp) -> Self {
        self.epoch = epoch;
        self
    }

    /// Whether a seed decides everything.
    #[must_use]
    pub fn is_seeded(&self) -> bool {
        self.seeded.is_some()
    }

    /// 64 random bits.
    #[must_use]
    pub fn next_u64(&self) -> u64 {
        match &self.seeded {
            Some(rng) => rng.lock().unwrap_or_else(PoisonError::into_inner).u64(..),
            None => fastrand::u64(..),
        }
    }

    /// A random duration from zero to `ceiling`, both included.
    #[must_use]
    pub fn jitter(&self, ceiling: Duration) -> Duration {
        let nanos = crate::units::nanos(ceiling);
        let share = u128::from(self.next_u64()) * (u128::from(nanos) + 1);
        Duration::from_nanos(u64::try_from(share >> 64).unwrap_or(nanos))
    }

    /// A new activation id made at `at`.
    #[must_use]
    pub fn activation_id(&self, at: Timestamp) -> ActivationId {
        let random = u128::from(self.next_u64()) << 64 | u128::from(self.next_u64());
        ActivationId::new(at, random)
    }

    /// The wall-clock time now.
    #[must_use]
    pub fn wall_clock(&self) -> Timestamp {
        match self.seeded {
            Some(_) => self.epoch.after(self.base.elapsed()),
            #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
            None => SystemTime::now().into(),
        }
    }

    /// The wall-clock time at a reading of the monotonic clock that was just taken.
    ///
    /// A thread reads the system's wall clock at most once in 10 ms and counts on from there, which
    /// spares most activations one of their clock readings; a step of the clock shows that much later.
    #[must_use]
    pub fn wall_clock_at(&self, now: Instant) -> Timestamp {
        thread_local! {
            static READ: Cell<Option<(Instant, Timestamp)>> = const { Cell::new(None) };
        }
        if self.is_seeded() {
            return self.epoch.after(self.since_base(now));
        }
        READ.with(|read| match read.get() {
            Some((then, wall)) if now >= then && now - then < WALL_READING => wall.after(now - then),
            _ => {
                let wall = self.wall_clock();
                read.set(Some((now, wall)));
                wall
            }
        })
    }

    /// A point of the monotonic clock as a host tells it to guests.
    #[must_use]
    pub fn since_base(&self, at: Instant) -> Duration {
        at.saturating_duration_since(self.base)
    }
}

impl Default for Entropy {
    fn default() -> Self {
        Self::system()
    }
}

impl Host for Entropy {
    fn wall(&self) -> Timestamp {
        self.wall_clock()
    }

    fn monotonic(&self) -> Duration {
        self.base.elapsed()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }

    fn random(&self) -> u64 {
        self.next_u64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_seed_gives_one_stream_of_ids_and_time() {
        let ids = |seed| {
            let entropy = Entropy::seeded(seed);
            (0..4).map(|_| entropy.activation_id(entropy.wall_clock())).collect::<Vec<_>>()
        };
        assert_eq!(ids(7), ids(7));
        assert_ne!(ids(7), ids(8));
        let entropy = Entropy::seeded(7);
        tokio::time::advance(Duration::from_millis(1500)).await;
        assert_eq!(entropy.wall_clock(), SEEDED_EPOCH.after(Duration::from_millis(1500)));
    }

    #[tokio::test]
    async fn jitter_stays_within_its_ceiling() {
        let entropy = Entropy::seeded(1);
        let ceiling = Duration::from_millis(10);
        let drawn: Vec<Duration> = (0..1000).map(|_| entropy.jitter(ceiling)).collect();
        assert!(drawn.iter().all(|d| *d <= ceiling));
        assert!(drawn.iter().any(|d| *d < ceiling / 10) && drawn.iter().any(|d| *d > ceiling * 9 / 10));
        assert_eq!(entropy.jitter(Duration::ZERO), Duration::ZERO);
    }
}
