//! Makes a backend fail on purpose, repeatably.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use fastrand::Rng;
use tokio::time::sleep;

use super::Layer;
use crate::backend::{Backend, Completion, Deployment, Invocation};
use crate::entropy::Entropy;
use crate::error::{Error, ErrorKind};
use crate::outcome::Outcome;

/// How often each fault strikes: probabilities from 0 (never, the default) to 1 (always), independent of each other.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ChaosConfig {
    /// A delay before the backend is asked.
    pub delay_before: f64,
    /// The backend is not asked; the answer is `Unavailable`, which is temporary.
    pub refuse: f64,
    /// The sandbox is lost after the run: the answer is `SandboxLost`, and what the run did is not heard of.
    pub lose: f64,
    /// The outcome becomes a developer error; what the run emitted is dropped.
    pub fail: f64,
    /// A delay between the end of the run and the answer.
    pub delay_after: f64,
    /// The longest delay; delays are spread evenly up to it.
    pub longest_delay: Duration,
}

impl ChaosConfig {
    /// Checks that the probabilities are some.
    ///
    /// # Errors
    /// `InvalidArgument`, naming the value and the range.
    fn check(&self) -> Result<(), Error> {
        let probabilities = [
            ("delay_before", self.delay_before),
            ("refuse", self.refuse),
            ("lose", self.lose),
            ("fail", self.fail),
            ("delay_after", self.delay_after),
        ];
        match probabilities.iter().find(|(_, value)| !(0.0..=1.0).contains(value)) {
            Some((name, value)) => {
                let text = format!("probability {name} is {value}, which is out of range: 0 to 1");
                Err(Error::new(ErrorKind::InvalidArgument, text))
            }
            None => Ok(()),
        }
    }
}

/// Injects the faults of a [`ChaosConfig`], decided by a seed.
///
/// # Behavior
/// - The fate of the *n*-th invocation depends on the seed, the configuration and *n* only.
/// - Each error and each developer error says that it was injected.
/// - Only `invoke` is struck.
///
/// ```
/// use faas_core::layer::{ChaosConfig, ChaosLayer};
/// let chaos = ChaosLayer::new(ChaosConfig { refuse: 0.1, ..ChaosConfig::default() }, 7)?;
/// # let _ = chaos;
/// # Ok::<(), faas_core::Error>(())
/// ```
#[derive(Debug)]
pub struct ChaosLayer {
    config: ChaosConfig,
    rng: Mutex<Rng>,
}

/// What an invocation meets with.
struct Fate {
    before: Duration,
    refuse: bool,
    lose: bool,
    fail: bool,
    after: Duration,
}

impl ChaosLayer {
    /// The layer that injects faults as `config` says, from `seed`.
    ///
    /// # Errors
    /// `InvalidArgument` when a probability is not from 0 to 1.
    pub fn new(config: ChaosConfig, seed: u64) -> Result<Self, Error> {
        config.check()?;
        Ok(Self { config, rng: Mutex::new(Rng::with_seed(seed)) })
    }

    /// Draws all that may befall an invocation, whatever strikes first, so that the next one's fate stays the same.
    fn next_fate(&self) -> Fate {
        let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
        let config = &self.config;
        let mut strikes = |probability: f64| rng.f64() < probability;
        let (delays, refuse) = (strikes(config.delay_before), strikes(config.refuse));
        let (lose, fail) = (strikes(config.lose), strikes(config.fail));
        let lingers = strikes(config.delay_after);
        let mut delay = |strikes: bool| {
            let delay = config.longest_delay.mul_f64(rng.f64());
            if strikes { delay } else { Duration::ZERO }
        };
        Fate { before: delay(delays), refuse, lose, fail, after: delay(lingers) }
    }
}

#[async_trait]
impl Layer for ChaosLayer {
    fn attach(&self, _: &Arc<Entropy>) {
        // Its own seed decides, so that faults can be varied while all else is repeated.
    }

    async fn invoke(
        &self,
        backend: &dyn Backend,
        deployment: &Deployment,
        invocation: Invocation,
    ) -> Result<Completion, Error> {
        let fate = self.next_fate();
        pause(fate.before).await;
        if fate.refuse {
            return Err(Error::new(ErrorKind::Unavailable, "a fault was injected before the run"));
        }
        let mut completion = backend.invoke(deployment, invocation).await?;
        pause(fate.after).await;
        if fate.lose {
            return Err(Error::new(ErrorKind::SandboxLost, "a fault was injected after the run"));
        }
        if fate.fail {
            completion.outcome = Outcome::developer_error("A fault was injected.");
            completion.emitted.clear();
        }
        Ok(completion)
    }
}

async fn pause(duration: Duration) {
    // Even a sleep of no time gives way to other tasks.
    if !duration.is_zero() {
        sleep(duration).await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::layer::scripted::{Scripted, completion, invocation};

    /// What became of `count` invocations: a letter each, and how long all took.
    async fn fates(config: ChaosConfig, seed: u64, count: usize) -> (String, Duration) {
        let backend = Scripted::new((0..count).map(|_| Ok(completion())));
        let layered = ChaosLayer::new(config, seed).unwrap().around(backend.shared());
        let began = Instant::now();
        let mut letters = String::new();
        for _ in 0..count {
            letters.push(match layered.invoke(&backend.deployment(), invocation()).await {
                Ok(done) if done.outcome.is_success() => '.',
                Ok(done) => {
                    assert!(done.outcome.error().unwrap().contains("injected") && done.emitted.is_empty());
                    'd'
                }
                Err(error) if error.kind() == ErrorKind::Unavailable && error.is_temporary() => 'u',
                Err(error) if error.kind() == ErrorKind::SandboxLost && !error.is_temporary() => 'l',
                Err(error) => panic!("{error:?}"),
            });
        }
        let ran = letters.chars().filter(|letter| *letter != 'u').count();
        assert_eq!(backend.tries().len(), ran, "what is refused does not reach the backend");
        (letters, began.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_strikes_unless_told() {
        let (letters, took) = fates(ChaosConfig::default(), 1, 100).await;
        assert_eq!((letters, took), (".".repeat(100), Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn faults_strike_as_often_as_told_and_a_seed_repeats_them() {
        let config = ChaosConfig { refuse: 0.2, lose: 0.1, fail: 0.05, ..ChaosConfig::default() };
        let (letters, _) = fates(config, 7, 2_000).await;
        let count = |letter: char| letters.chars().filter(|c| *c == letter).count();
        // Within four standard deviations of 400, 160, 72 and 1368.
        for (letter, range) in [('u', 328..472), ('l', 112..208), ('d', 39..105), ('.', 1286..1450)] {
            assert!(range.contains(&count(letter)), "{letter} came {} times", count(letter));
        }
        assert_eq!(fates(config, 7, 2_000).await.0, letters);
        assert_ne!(fates(config, 8, 2_000).await.0, letters);
        // The delays of a fate are drawn after its faults, so they do not change what strikes.
        let slow = ChaosConfig { delay_after: 1.0, longest_delay: Duration::from_millis(5), ..config };
        assert_eq!(fates(slow, 7, 2_000).await.0, letters);
    }

    #[tokio::test(start_paused = true)]
    async fn delays_are_spread_up_to_the_longest() {
        for config in [
            ChaosConfig { delay_before: 1.0, ..ChaosConfig::default() },
            ChaosConfig { delay_after: 1.0, ..ChaosConfig::default() },
        ] {
            let config = ChaosConfig { longest_delay: Duration::from_secs(10), ..config };
            let (_, took) = fates(config, 3, 100).await;
            assert!((400..600).contains(&took.as_secs()), "{took:?}");
        }
    }

    #[test]
    fn probabilities_out_of_range_are_refused() {
        for lose in [-0.1, 1.5, f64::NAN] {
            let error = ChaosLayer::new(ChaosConfig { lose, ..ChaosConfig::default() }, 1).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
            assert!(error.to_string().contains("lose") && error.to_string().contains("0 to 1"), "{error}");
        }
    }
}
