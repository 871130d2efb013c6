//! A crash harness: a process that runs a mixed load on a durable store is killed again and again, at random moments and
//! at named [points](NAMES) around each durable step, and is started anew on the same directory. Then everything that its
//! callers were told is accounted for.
//!
//! The test of a store has two functions: one runs [`live`], and does nothing in a process that is not to be killed; the
//! other runs a [`Harness`] whose command runs the first one.

mod app;
mod check;
mod harness;
mod ledger;
mod load;
mod points;
mod store;

use std::path::PathBuf;
use std::sync::Arc;

use faas_core::action::BoxFuture;
use faas_core::{Error, Store};

pub use self::harness::{Harness, Report};
pub use self::points::{NAMES, VARIABLE, pass};

/// Opens the store of a directory.
pub type OpenStore = dyn Fn(PathBuf) -> BoxFuture<'static, Result<Arc<dyn Store>, Error>> + Sync;

/// Looks through the store of a directory; the error says what is wrong with it.
pub type CheckStore = dyn Fn(PathBuf) -> BoxFuture<'static, Result<(), String>> + Sync;

/// The variable that names the directory of a process that is to be killed.
const DIRECTORY: &str = "FAAS_CRASH_DIRECTORY";
/// The variable that says whether such a process works or comes to an end.
const MODE: &str = "FAAS_CRASH_MODE";
/// The variable that says what chance is made of in it.
const SEED: &str = "FAAS_CRASH_PROCESS_SEED";

/// In a process that is to be killed, runs the load until that happens; in any other it does nothing.
///
/// # Panics
/// When the store does not open, or the app does not come up.
#[expect(clippy::expect_used, reason = "a process that does not come up is found by its end")]
pub fn live(open: &OpenStore) {
    let Some(directory) = harness::directory() else { return };
    let seed = std::env::var(SEED).ok().and_then(|seed| seed.parse().ok()).unwrap_or(0);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let store = open(directory.clone()).await.expect("the store opens");
        let lived = match std::env::var(MODE).as_deref() {
            Ok("drain") => load::drain(&directory, store).await,
            _ => load::work(&directory, store, seed).await,
        };
        lived.expect("the app comes up");
    });
}
