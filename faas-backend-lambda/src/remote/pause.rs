//! Pauses between looks at what takes its time.

use std::time::Duration;

/// The first and the longest pause before a function is looked at again that is not ready. Arbitrary.
pub(super) const LOOKS: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// Pauses that begin short, so that what is quick is seen at once, and grow, so that AWS is not asked more often than it
/// answers.
pub(super) struct Pauses {
    next: Duration,
    longest: Duration,
}

impl Pauses {
    pub(super) fn new((first, longest): (Duration, Duration)) -> Self {
        Self { next: first, longest }
    }

    /// The next pause, longer or shorter than its turn by up to a half: two who disturb each other fall out of step.
    pub(super) fn next(&mut self) -> Duration {
        let pause = self.next.mul_f64(0.5 + fastrand::f64());
        self.next = (self.next * 2).min(self.longest);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_begin_short_and_grow_up_to_the_longest() {
        let mut pauses = Pauses::new((Duration::from_millis(50), Duration::from_millis(150)));
        for expected in [50, 100, 150, 150] {
            let pause = pauses.next().as_millis();
            assert!((expected / 2..=expected * 3 / 2).contains(&pause), "{pause} is not about {expected}");
        }
    }
}
