//! Goal lines: our figure beside the bare floor's, measured in one run.
//!
//! A goal is a ratio, because machines differ and drift. Both sides are measured in turn, in blocks, so that a
//! slow moment meets both; medians are compared.

use std::time::{Duration, Instant};

/// Which way a ratio is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compare {
    /// Ours shall be at most so many times the floor.
    AtMost,
    /// Ours shall be at least so many times the floor.
    AtLeast,
}

/// A goal: a name, a unit and the ratio to reach.
#[derive(Clone, Debug)]
pub struct Goal {
    name: &'static str,
    unit: &'static str,
    compare: Compare,
    target: f64,
}

/// Both sides' figures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figures {
    /// Ours.
    pub ours: f64,
    /// The floor's.
    pub floor: f64,
}

impl Goal {
    /// Ours ≤ `target` × floor. Units are `ns`, `B`, `1/s` or `n`.
    #[must_use]
    pub const fn at_most(name: &'static str, unit: &'static str, target: f64) -> Self {
        Self { name, unit, compare: Compare::AtMost, target }
    }

    /// Ours ≥ `target` × floor. Units are `ns`, `B`, `1/s` or `n`.
    #[must_use]
    pub const fn at_least(name: &'static str, unit: &'static str, target: f64) -> Self {
        Self { name, unit, compare: Compare::AtLeast, target }
    }

    /// Whether the arguments of the benchmark (names to run, none for all) ask for this goal.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        let mut names = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).peekable();
        names.peek().is_none() || names.any(|name| name == self.name)
    }

    /// The goal's line.
    #[must_use]
    pub fn line(&self, Figures { ours, floor }: Figures) -> String {
        let ratio = ours / floor;
        let (compare, ok) = match self.compare {
            Compare::AtMost => ("le", ratio <= self.target),
            Compare::AtLeast => ("ge", ratio >= self.target),
        };
        let verdict = if ok { "ok" } else { "MISS" };
        format!(
            "GOAL {} ours={ours:.1} floor={floor:.1} unit={} ratio={ratio:.2} cmp={compare} target={} {verdict}",
            self.name, self.unit, self.target
        )
    }
}

/// The medians of `pairs` measurements of each side, taken in turn after one of each that does not count.
pub fn alternate(pairs: usize, mut ours: impl FnMut() -> f64, mut floor: impl FnMut() -> f64) -> Figures {
    let _ = (ours(), floor());
    let (mut our_figures, mut floor_figures) = (Vec::with_capacity(pairs), Vec::with_capacity(pairs));
    for pair in 0..pairs {
        // Who goes first changes, so that neither always runs on warmer ground.
        if pair % 2 == 0 {
            our_figures.push(ours());
            floor_figures.push(floor());
        } else {
            floor_figures.push(floor());
            our_figures.push(ours());
        }
    }
    Figures { ours: median(our_figures), floor: median(floor_figures) }
}

/// The median; of an even number of figures the upper one.
///
/// # Panics
/// When there are none.
#[must_use]
pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Nanoseconds per round since `start`.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "rounds and nanoseconds of a benchmark are far below 2^52")]
pub fn nanos_per_round(start: Instant, rounds: usize) -> f64 {
    start.elapsed().as_nanos() as f64 / rounds as f64
}

/// Rounds per second in `time`.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "rounds of a benchmark are far below 2^52")]
pub fn per_second(rounds: usize, time: Duration) -> f64 {
    rounds as f64 / time.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_both_figures_and_the_verdict() {
        let goal = Goal::at_most("local_warm", "ns", 3.0);
        assert_eq!(
            goal.line(Figures { ours: 900.0, floor: 450.0 }),
            "GOAL local_warm ours=900.0 floor=450.0 unit=ns ratio=2.00 cmp=le target=3 ok"
        );
        let goal = Goal::at_least("two_threads", "1/s", 1.6);
        assert!(
            goal.line(Figures { ours: 15.0, floor: 10.0 }).ends_with("ratio=1.50 cmp=ge target=1.6 MISS")
        );
    }

    #[test]
    fn sides_are_measured_in_turn() {
        let order = std::cell::RefCell::new(String::new());
        let figures = alternate(
            3,
            || {
                order.borrow_mut().push('o');
                2.0
            },
            || {
                order.borrow_mut().push('f');
                1.0
            },
        );
        assert_eq!(figures, Figures { ours: 2.0, floor: 1.0 });
        assert_eq!(*order.borrow(), "ofoffoof");
    }
}
