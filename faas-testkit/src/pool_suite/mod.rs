//! What every pool has to do, one public function for each behaviour, named for its claim.
//!
//! Pools are run over the scripted [`mock`](crate::mock), in paused time: every duration is exact.
//! [`pool_conformance!`](crate::pool_conformance) makes one test of each behaviour.

#![expect(clippy::missing_panics_doc, reason = "every behaviour panics where its claim does not hold")]

pub mod ending;
pub mod failures;
mod list;
pub mod room;
pub mod starts;
pub mod upkeep;
pub mod waiting;
mod yard;

use faas_core::action::BoxFuture;
use faas_core::pool::{ContainerPool, Lease};

pub use self::yard::{PoolSettings, PoolSubject};
use crate::mock::MockSandbox;
use crate::suite;
use crate::transcript::{Entry, Transcript};

/// The name of this suite in lines and paths of transcripts.
pub const SUITE: &str = "pool";

macro_rules! names {
    (() $($theme:ident { $($name:ident,)* })*) => {
        /// The names of all behaviours of the suite.
        pub const BEHAVIOURS: &[&str] = &[$($(stringify!($name)),*),*];
    };
}

crate::pool_behaviours! { [names] () }

macro_rules! runs {
    (($subject:ident $wanted:ident) $($theme:ident { $($name:ident,)* })*) => {
        match $wanted {
            $($(stringify!($name) => Some(Box::pin($theme::$name($subject))),)*)*
            _ => None,
        }
    };
}

fn behaviour<'a, P>(subject: &'a PoolSubject<P>, name: &str) -> Option<BoxFuture<'a, Vec<Entry>>>
where
    P: ContainerPool<Lease: Lease<Sandbox = MockSandbox>>,
{
    crate::pool_behaviours! { [runs] (subject name) }
}

/// Runs the behaviour called `name`; its transcript is published.
///
/// # Panics
/// When the claim does not hold.
pub fn check<P>(subject: &PoolSubject<P>, name: &str)
where
    P: ContainerPool<Lease: Lease<Sandbox = MockSandbox>>,
{
    play(subject, name).publish(SUITE, subject.name());
}

/// Runs the behaviour called `name`.
///
/// # Panics
/// When the claim does not hold.
#[must_use]
pub fn play<P>(subject: &PoolSubject<P>, name: &str) -> Transcript
where
    P: ContainerPool<Lease: Lease<Sandbox = MockSandbox>>,
{
    let entries = suite::in_paused_time(behaviour(subject, name).expect("a behaviour of the suite"));
    Transcript::ran(name, entries)
}

/// Makes a test of each behaviour of the pool suite, and one that asserts how many there are.
///
/// The subject is an expression that makes a [`PoolSubject`](crate::pool_suite::PoolSubject). Use it once in a
/// module.
#[macro_export]
macro_rules! pool_conformance {
    ($subject:expr, ran = $ran:expr $(,)?) => {
        #[test]
        fn the_promised_number_of_behaviours_runs() {
            assert_eq!($crate::pool_suite::BEHAVIOURS.len(), $ran, "behaviours of the pool suite");
        }

        $crate::pool_behaviours! { [$crate::__pool_tests] ($subject) }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __pool_tests {
    (($subject:expr) $($theme:ident { $($name:ident,)* })*) => {$($(
        #[test]
        fn $name() {
            $crate::pool_suite::check(&$subject, stringify!($name));
        }
    )*)*};
}
