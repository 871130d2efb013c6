//! What every store has to do, one public function for each behaviour, named for its claim.
//!
//! [`store_conformance!`](crate::store_conformance) makes one test of each, so that a failure names itself. No behaviour
//! is ever skipped; how many there are is asserted, so that nothing is lost unseen.

#![expect(clippy::missing_panics_doc, reason = "every behaviour panics where its claim does not hold")]
#![expect(clippy::unwrap_used, reason = "a claim that does not hold panics")]

pub mod delivery;
pub mod ends;
pub mod entities;
mod list;
mod made;
pub mod queue;
pub mod records;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use faas_core::Store;
use faas_core::action::BoxFuture;

use crate::suite;
use crate::transcript::Transcript;

/// The name of this suite in lines and paths of transcripts.
pub const SUITE: &str = "store";

/// How many jobs the queue of a store accepts that the suite is run on. Arbitrary: more than any behaviour needs that is
/// not about this bound, and few enough to fill it.
pub const MAX_JOBS: usize = 1_200;

/// One behaviour of the suite.
#[derive(Clone, Copy)]
pub struct Behaviour {
    /// Its name: what it claims.
    pub name: &'static str,
    /// The module that it is in.
    pub theme: &'static str,
    run: fn(Arc<dyn Store>) -> BoxFuture<'static, ()>,
}

impl fmt::Debug for Behaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}::{}", self.theme, self.name)
    }
}

macro_rules! table {
    (() $($theme:ident { $($name:ident,)* })*) => {
        /// Every behaviour of the suite, by theme.
        pub const BEHAVIOURS: &[Behaviour] = &[$($(
            Behaviour {
                name: stringify!($name),
                theme: stringify!($theme),
                run: |store| Box::pin($theme::$name(store)),
            },
        )*)*];
    };
}

crate::store_behaviours! { [table] () }

/// A store that the suite is run on: its name, and how to make a fresh, empty one for each behaviour.
pub struct StoreSubject {
    name: &'static str,
    make: Box<dyn Fn() -> BoxFuture<'static, Arc<dyn Store>> + Send + Sync>,
}

impl StoreSubject {
    /// A subject whose stores are what `make` makes, each empty, apart from all others, and with room for
    /// [`MAX_JOBS`] jobs.
    ///
    /// ```
    /// use faas_core::store::MemoryStore;
    /// use faas_testkit::store_suite::{MAX_JOBS, StoreSubject};
    /// let subject = StoreSubject::new("memory", || async { MemoryStore::new().with_max_jobs(MAX_JOBS) });
    /// assert_eq!(subject.name(), "memory");
    /// ```
    pub fn new<S, Made>(name: &'static str, make: impl Fn() -> Made + Send + Sync + 'static) -> Self
    where
        S: Store,
        Made: Future<Output = S> + Send + 'static,
    {
        let make = move || {
            let made = make();
            Box::pin(async move { Arc::new(made.await) as Arc<dyn Store> }) as BoxFuture<'static, _>
        };
        Self { name, make: Box::new(make) }
    }

    /// Its name, as it stands in lines and paths of transcripts.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }
}

impl fmt::Debug for StoreSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreSubject({})", self.name)
    }
}

/// Runs the behaviour called `name` on a fresh store; its transcript is published.
///
/// # Panics
/// When the claim does not hold.
pub fn check(subject: &StoreSubject, name: &str) {
    let behaviour = BEHAVIOURS.iter().find(|behaviour| behaviour.name == name);
    let behaviour = behaviour.expect("a behaviour of the suite");
    suite::in_real_time(Duration::from_secs(120), async { (behaviour.run)((subject.make)().await).await });
    Transcript::ran(name, Vec::new()).publish(SUITE, subject.name());
}

/// Makes a test of each behaviour of the store suite, and one that asserts how many there are.
///
/// The subject is an expression that makes a [`StoreSubject`](crate::store_suite::StoreSubject). Use it once in a
/// module.
///
/// ```
/// use faas_core::store::MemoryStore;
/// use faas_testkit::store_conformance;
/// use faas_testkit::store_suite::{MAX_JOBS, StoreSubject};
///
/// store_conformance!(
///     StoreSubject::new("memory", || async { MemoryStore::new().with_max_jobs(MAX_JOBS) }),
///     ran = 81
/// );
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! store_conformance {
    ($subject:expr, ran = $ran:expr $(,)?) => {
        #[test]
        fn the_promised_number_of_behaviours_runs() {
            assert_eq!($crate::store_suite::BEHAVIOURS.len(), $ran);
        }

        $crate::store_behaviours! { [$crate::__store_tests] ($subject) }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __store_tests {
    (($subject:expr) $($theme:ident { $($name:ident,)* })*) => {
        $crate::__store_tests! { @each [$($($name)*)*] $subject }
    };
    (@each [$($name:ident)*] $subject:expr) => {
        /// The subject of all tests below.
        fn __store_subject() -> $crate::store_suite::StoreSubject {
            $subject
        }

        $(
            #[test]
            fn $name() {
                $crate::store_suite::check(&__store_subject(), stringify!($name));
            }
        )*
    };
}
