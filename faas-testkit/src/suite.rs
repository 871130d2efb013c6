//! How the behaviours of a suite are run.

use std::future::Future;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::time::timeout;

/// Runs a future on a runtime of its own with two threads, and gives it up after `limit`.
///
/// # Panics
/// When it is not done in time.
pub fn in_real_time<T>(limit: Duration, future: impl Future<Output = T>) -> T {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let result = runtime.block_on(async { timeout(limit, future).await });
    // A run that its backend abandoned may still hold a thread.
    runtime.shutdown_background();
    result.unwrap_or_else(|_| panic!("the behaviour did not end within {limit:?}"))
}

/// Runs a future on this thread, with time that stands still but for timers.
///
/// # Panics
/// When it is not done after a day of that time.
pub fn in_paused_time<T>(future: impl Future<Output = T>) -> T {
    let runtime = Builder::new_current_thread().enable_all().start_paused(true).build();
    let runtime = runtime.expect("a runtime");
    let limit = Duration::from_secs(24 * 60 * 60);
    let result = runtime.block_on(async { timeout(limit, future).await });
    result.unwrap_or_else(|_| panic!("the behaviour did not end within {limit:?}"))
}
