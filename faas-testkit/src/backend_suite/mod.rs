//! What every backend has to do, one public function for each behaviour, named for its claim.
//!
//! [`conformance!`](crate::conformance) makes one test of each, so that a failure names itself. Behaviours that a
//! backend's [`Capability`](faas_core::Capability) rules out are skipped, with the reason printed; how many ran and
//! how many were skipped is asserted, so that nothing is lost unseen.

#![expect(clippy::missing_panics_doc, reason = "every behaviour panics where its claim does not hold")]

pub mod concurrency;
pub mod context;
pub mod inputs;
pub mod lifecycle;
pub mod limits;
mod list;
pub mod logs;
pub mod needs;
pub mod outbox;
pub mod outcomes;
mod stage;
pub mod starts;
pub mod state;
mod subject;

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

pub use self::needs::Need;
pub use self::subject::{BackendSubject, Facts};
use crate::suite;
use crate::transcript::{Entry, Transcript};

/// The name of this suite in lines and paths of transcripts.
pub const SUITE: &str = "backend";

/// A behaviour under way. It stays on the thread of its test.
type Playing<'a> = Pin<Box<dyn Future<Output = Vec<Entry>> + 'a>>;

/// One behaviour of the suite.
#[derive(Clone, Copy)]
pub struct Behaviour {
    /// Its name: what it claims.
    pub name: &'static str,
    /// The module that it is in.
    pub theme: &'static str,
    /// What it needs of a backend.
    needs: &'static [Need],
    run: for<'a> fn(&'a BackendSubject) -> Playing<'a>,
}

impl Behaviour {
    /// Why a backend skips it, if it does.
    #[must_use]
    pub fn reason_to_skip(&self, facts: &Facts) -> Option<&'static str> {
        self.needs.iter().find_map(|need| need(facts).err())
    }
}

macro_rules! table {
    (() $($theme:ident { $($name:ident $([$($need:ident),+])?,)* })*) => {
        /// Every behaviour of the suite, by theme.
        pub const BEHAVIOURS: &[Behaviour] = &[$($(
            Behaviour {
                name: stringify!($name),
                theme: stringify!($theme),
                needs: &[$($(needs::$need),+)?],
                run: |subject| Box::pin($theme::$name(subject)),
            },
        )*)*];
    };
}

crate::backend_behaviours! { [table] () }

/// How long a behaviour may take. Arbitrary.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long making a backend for the first time may take, which may build what it runs. Arbitrary.
const PREPARING: Duration = Duration::from_secs(900);

/// Runs the behaviour called `name`, or says why it is skipped; its transcript is published.
///
/// # Panics
/// When the claim does not hold.
pub fn check(subject: &BackendSubject, name: &str) {
    play(subject, name).publish(SUITE, subject.name());
}

/// Runs the behaviour called `name`, or says why it is skipped.
///
/// # Panics
/// When the claim does not hold.
#[must_use]
pub fn play(subject: &BackendSubject, name: &str) -> Transcript {
    let behaviour = BEHAVIOURS.iter().find(|behaviour| behaviour.name == name);
    let behaviour = behaviour.expect("a behaviour of the suite");
    let reason = match suite::in_real_time(PREPARING, subject.facts()) {
        Ok(facts) => behaviour.reason_to_skip(&facts).map(str::to_owned),
        Err(missing) => Some(missing),
    };
    match reason {
        Some(reason) => Transcript::skipped(name, &reason),
        None => Transcript::ran(name, suite::in_real_time(PATIENCE, (behaviour.run)(subject))),
    }
}

/// Checks how many behaviours run on the subject and how many are skipped. Of a subject that is absent, it prints
/// that all are skipped.
///
/// # Panics
/// When the numbers differ.
#[expect(clippy::print_stdout, reason = "it is read by whoever runs the tests")]
pub fn check_counts(subject: &BackendSubject, ran: usize, skipped: usize) {
    let facts = match suite::in_real_time(PREPARING, subject.facts()) {
        Ok(facts) => facts,
        Err(missing) => {
            println!("BEHAVIOUR {SUITE} {} all skipped: {missing}", subject.name());
            return;
        }
    };
    let skips = |behaviour: &&Behaviour| behaviour.reason_to_skip(&facts).is_some();
    let skipped_now = BEHAVIOURS.iter().filter(skips).count();
    assert_eq!(
        (BEHAVIOURS.len() - skipped_now, skipped_now),
        (ran, skipped),
        "behaviours (run, skipped) on {}",
        subject.name()
    );
}

/// Makes a test of each behaviour of the backend suite, and one that asserts how many of them run and are skipped.
///
/// The subject is an expression that makes a [`BackendSubject`](crate::backend_suite::BackendSubject). Use it once
/// in a module.
///
/// ```
/// use faas_core::LocalBackend;
/// use faas_testkit::{backend_suite::BackendSubject, conformance};
///
/// conformance!(BackendSubject::new("local", || async { LocalBackend::new() }), ran = 115, skipped = 15);
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! conformance {
    ($subject:expr, ran = $ran:expr, skipped = $skipped:expr $(,)?) => {
        #[test]
        fn the_promised_number_of_behaviours_runs() {
            $crate::backend_suite::check_counts(&$subject, $ran, $skipped);
        }

        $crate::backend_behaviours! { [$crate::__backend_tests] ($subject) }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __backend_tests {
    (($subject:expr) $($theme:ident { $($name:ident $([$($need:ident),+])?,)* })*) => {$($(
        #[test]
        fn $name() {
            $crate::backend_suite::check(&$subject, stringify!($name));
        }
    )*)*};
}
