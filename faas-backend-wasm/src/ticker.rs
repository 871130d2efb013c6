//! The thread that ticks an engine's epochs, by which running guests are interrupted.
//!
//! It ticks while guests run and for a while after, and parks when none does, so that an idle program is left
//! asleep.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use faas_core::{Error, ErrorKind};
use wasmtime::{Engine, EngineWeak};

/// How long it ticks on after nobody said that a guest runs. It must be longer than a guest can be without looking
/// at the epoch, which is as long as one bulk operation over the largest memory takes. Arbitrary beyond that.
const LINGER: Duration = Duration::from_secs(10);

/// Ticks the epochs of one engine until it is dropped.
pub(crate) struct Ticker {
    shared: Arc<Shared>,
}

struct Shared {
    /// Whether a guest ran since the last tick.
    active: AtomicBool,
    parked: AtomicBool,
    closed: AtomicBool,
    wake: Condvar,
    lock: Mutex<()>,
}

impl Ticker {
    pub(crate) fn start(engine: &Engine, tick: Duration) -> Result<Self, Error> {
        let shared = Arc::new(Shared {
            active: AtomicBool::new(false),
            parked: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            wake: Condvar::new(),
            lock: Mutex::new(()),
        });
        let (of_thread, engine) = (Arc::clone(&shared), engine.weak());
        let thread = thread::Builder::new().name("faas-wasm-epoch".to_owned());
        thread.spawn(move || run(&of_thread, &engine, tick)).map_err(|error| {
            Error::new(ErrorKind::Unavailable, "the thread that ticks epochs cannot be started")
                .with_source(error)
        })?;
        Ok(Self { shared })
    }

    /// A guest is about to run. It costs a load while others do.
    pub(crate) fn guest_runs(&self) {
        if !self.shared.active.load(Ordering::Relaxed) {
            self.shared.rouse();
        }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::SeqCst);
        self.shared.notify();
    }
}

impl Shared {
    #[cold]
    fn rouse(&self) {
        // Either this sees that the thread parks, or the thread, which says so before it looks, sees this.
        self.active.store(true, Ordering::SeqCst);
        if self.parked.load(Ordering::SeqCst) {
            self.notify();
        }
    }

    fn notify(&self) {
        let _locked = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.wake.notify_one();
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    fn park(&self) {
        let mut locked = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.parked.store(true, Ordering::SeqCst);
        while !self.active.load(Ordering::SeqCst) && !self.is_closed() {
            locked = self.wake.wait(locked).unwrap_or_else(PoisonError::into_inner);
        }
        self.parked.store(false, Ordering::SeqCst);
        drop(locked);
    }
}

fn run(shared: &Shared, engine: &EngineWeak, tick: Duration) {
    let mut quiet = LINGER;
    while !shared.is_closed() {
        if quiet >= LINGER {
            shared.park();
        }
        let Some(engine) = engine.upgrade() else { return };
        engine.increment_epoch();
        drop(engine);
        quiet = if shared.active.swap(false, Ordering::SeqCst) { Duration::ZERO } else { quiet + tick };
        thread::sleep(tick);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn it_is_parked_until_a_guest_runs_and_ends_with_its_owner() {
        let engine = Engine::default();
        let ticker = Ticker::start(&engine, Duration::from_millis(1)).unwrap();
        let shared = Arc::clone(&ticker.shared);
        let until = |what: &str, is_so: &dyn Fn() -> bool| {
            let began = Instant::now();
            while !is_so() {
                assert!(began.elapsed() < Duration::from_secs(10), "still not {what}");
                thread::sleep(Duration::from_millis(1));
            }
        };
        until("parked", &|| shared.parked.load(Ordering::SeqCst));
        ticker.guest_runs();
        until("ticking", &|| !shared.parked.load(Ordering::SeqCst) && !shared.active.load(Ordering::SeqCst));
        drop(ticker);
        until("ended", &|| Arc::strong_count(&shared) == 1);
    }
}
