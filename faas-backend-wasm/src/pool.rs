//! The pool: a fresh instance for each activation, and a warm pool for the actions that ask for reuse.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::Poll;
use std::time::Duration;

use faas_core::action::Limits;
use faas_core::pool::{
    AcquireRequest, Lease, Origin, PoolConfig, PoolStats, StartFailed, WarmLease, WarmPool,
};
use faas_core::{ActionSpec, ContainerPool, Entropy, Error, ErrorKind, InitError, StartKind};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout, timeout_at};

use crate::config::granularity;
use crate::deployed::Deployed;
use crate::factory::WasmFactory;
use crate::module::Loaded;
use crate::sandbox::WasmSandbox;
use crate::shared::Shared;

/// How long one who was refused waits for an end that nobody may tell: a kept instance that expires is gone without
/// one. Arbitrary.
const RETRY: Duration = Duration::from_millis(10);

/// A [`ContainerPool`] of Wasm instances.
pub(crate) struct WasmPool {
    shared: Arc<Shared>,
    /// Of the actions that ask for reuse.
    kept: WarmPool<WasmFactory>,
    ends: Arc<Ends>,
    closed: AtomicBool,
    /// Revisions that were taken away and may still run.
    retired: Mutex<Vec<(usize, Weak<Deployed>)>>,
    created: AtomicU64,
    cold: AtomicU64,
    /// Starts that the pool of kept instances counts as cold although their module was loaded.
    prewarmed: AtomicU64,
}

/// The ends of leases, for whoever waits for some.
#[derive(Default)]
struct Ends {
    /// Whether anybody waits: nobody does while all goes well, and then an end is told to nobody.
    watched: AtomicBool,
    /// Whether a request was refused since the last end of a lease.
    refused: AtomicBool,
    ended: Notify,
}

impl Ends {
    /// Tells of an end, by which an instance was freed unless there was none.
    fn tell(&self, freed: bool) {
        if self.watched.load(Ordering::SeqCst) {
            if freed {
                self.refused.store(false, Ordering::SeqCst);
            }
            self.ended.notify_waiters();
        }
    }

    /// Completes when `is_so`, which is asked again at each end of a lease.
    async fn until(&self, is_so: impl Fn() -> bool + Send) {
        loop {
            let mut ended = pin!(self.ended.notified());
            ended.as_mut().enable();
            // Either the end of a lease sees this, or what follows sees the end.
            self.watched.store(true, Ordering::SeqCst);
            if is_so() {
                return;
            }
            ended.await;
        }
    }
}

impl WasmPool {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let memory = shared.world.config.reuse_memory;
        let init_grace = granularity(shared.world.config.tick);
        let config = PoolConfig { memory, init_grace, ..PoolConfig::default() };
        Self {
            kept: WarmPool::new(WasmFactory(Arc::clone(&shared)), config),
            shared,
            ends: Arc::default(),
            closed: AtomicBool::new(false),
            retired: Mutex::default(),
            created: AtomicU64::new(0),
            cold: AtomicU64::new(0),
            prewarmed: AtomicU64::new(0),
        }
    }

    fn check_open(&self) -> Result<(), Error> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::new(ErrorKind::Closed, "the pool is drained"));
        }
        Ok(())
    }

    /// A fresh instance.
    async fn start(
        &self,
        action: &Arc<Deployed>,
        mut ends: Ending,
        deadline: Instant,
    ) -> Result<WasmLease, Error> {
        let began = Instant::now();
        let (loaded, start_kind) = match action.artifact.loaded() {
            Some(loaded) => (loaded, StartKind::Prewarmed),
            None => (self.load(action, deadline).await?, StartKind::Cold),
        };
        self.created.fetch_add(1, Ordering::Relaxed);
        if start_kind == StartKind::Cold {
            self.cold.fetch_add(1, Ordering::Relaxed);
        }
        let origin =
            Origin { start_kind, wait: Duration::ZERO, create: Duration::ZERO, init: Duration::ZERO };
        let made = self.make(action, loaded, origin, began).await;
        let (sandbox, origin) = made.map_err(|error| {
            // Whoever is refused waits for others to end, and must not take its own leaving for that.
            ends.freed = !is_exhausted(&error);
            self.explained(error)
        })?;
        Ok(WasmLease(Held::Fresh { sandbox, origin, ends }))
    }

    /// An instance that is kept, or one to be kept.
    async fn acquire_kept(
        &self,
        request: &AcquireRequest<'_>,
        is_loaded: bool,
        mut ends: Ending,
    ) -> Result<WasmLease, Error> {
        let mut acquired = self.kept.acquire(request).await;
        // Where there is room to keep it, it is an instance that is missing.
        if acquired.as_ref().is_err_and(is_exhausted) && self.keeps_room().await {
            self.refuse();
            self.make_room().await;
            acquired = self.kept.acquire(request).await;
        }
        ends.freed = !acquired.as_ref().is_err_and(is_exhausted);
        let lease = acquired.map_err(|error| self.explained(error))?;
        let mut origin = lease.origin();
        if is_loaded && origin.start_kind == StartKind::Cold {
            origin.start_kind = StartKind::Prewarmed;
            self.prewarmed.fetch_add(1, Ordering::Relaxed);
        }
        Ok(WasmLease(Held::Kept { lease, origin, ends }))
    }

    /// Whether there is memory for one more kept instance.
    async fn keeps_room(&self) -> bool {
        poll_fn(|task| Poll::Ready(pin!(self.kept.ready()).poll(task).is_ready())).await
    }

    /// Makes the instance and initialises it.
    async fn make(
        &self,
        action: &Arc<Deployed>,
        loaded: &Loaded,
        mut origin: Origin,
        began: Instant,
    ) -> Result<(WasmSandbox, Origin), Error> {
        // The time to initialise does not include the time to load.
        let from = if origin.start_kind == StartKind::Cold { Instant::now() } else { began };
        let mut made = self.shared.instantiate(Arc::clone(action), loaded, from).await;
        if lacks_instance(&made) {
            self.refuse();
            // An instance may have ended before anybody could know that one was missing, or be kept for nobody.
            Box::pin(self.make_room()).await;
            made = self.shared.instantiate(Arc::clone(action), loaded, from).await;
        }
        let made_at = Instant::now();
        origin.create = made_at.saturating_duration_since(began);
        let failed = |not_started, Origin { start_kind, create, init, .. }: Origin| match not_started {
            InitError::Factory(error) => error,
            InitError::Action { outcome, logs } => {
                StartFailed { start_kind, create, init, outcome, logs }.into()
            }
        };
        let mut live = made.map_err(|not_started| failed(not_started, origin))?;
        if !loaded.first.is_empty() {
            let ready = live.init(&self.shared.ticker, loaded).await;
            origin.init = made_at.elapsed();
            ready.map_err(|not_started| failed(not_started, origin))?;
        }
        Ok((WasmSandbox::new(Arc::clone(&self.shared), live, 1), origin))
    }

    /// Whether any of the revisions that were taken away still runs.
    fn is_retiring(&self, of: impl Fn(usize) -> bool) -> bool {
        let retired = self.retired.lock().unwrap_or_else(PoisonError::into_inner);
        retired.iter().any(|(address, action)| of(*address) && action.strong_count() > 0)
    }

    /// Notes that a request is refused.
    fn refuse(&self) {
        self.ends.watched.store(true, Ordering::SeqCst);
        self.ends.refused.store(true, Ordering::SeqCst);
    }

    /// Destroys the kept instances that are idle: nothing else would end them for those who need one.
    async fn make_room(&self) {
        let kept = self.kept.stats();
        if kept.idle + kept.paused > 0 {
            for spec in self.shared.reused() {
                self.kept.remove(&spec).await;
            }
        }
    }

    fn explained(&self, error: Error) -> Error {
        match error.kind() {
            ErrorKind::Exhausted => error.with_context("backend", &self.shared.world.config.name),
            _ => error,
        }
    }

    async fn load<'a>(&self, action: &'a Arc<Deployed>, deadline: Instant) -> Result<&'a Loaded, Error> {
        let loading = action.artifact.load(&self.shared.workshop);
        timeout_at(deadline, loading).await.unwrap_or_else(|_| {
            let text = "the module was not loaded before the deadline";
            Err(Error::new(ErrorKind::DeadlineExceeded, text).temporary(true))
        })
    }
}

/// Whether an instance was missing, or room to keep one.
fn is_exhausted(error: &Error) -> bool {
    error.kind() == ErrorKind::Exhausted
}

/// Whether an instance was missing.
fn lacks_instance<T>(made: &Result<T, InitError>) -> bool {
    matches!(made, Err(InitError::Factory(error)) if is_exhausted(error))
}

/// Tells the end of a lease, once all that it held is gone.
struct Ending {
    ends: Arc<Ends>,
    /// Whether it may have held an instance.
    freed: bool,
}

impl Ending {
    fn new(ends: &Arc<Ends>) -> Self {
        Self { ends: Arc::clone(ends), freed: true }
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.ends.tell(self.freed);
    }
}

/// A lease of a [`WasmPool`].
pub(crate) struct WasmLease(Held);

enum Held {
    // In this order: the instance is gone when its end is told.
    Fresh { sandbox: WasmSandbox, origin: Origin, ends: Ending },
    Kept { lease: WarmLease<WasmFactory>, origin: Origin, ends: Ending },
}

impl Lease for WasmLease {
    type Sandbox = WasmSandbox;

    fn sandbox(&self) -> &WasmSandbox {
        match &self.0 {
            Held::Fresh { sandbox, .. } => sandbox,
            Held::Kept { lease, .. } => lease.sandbox(),
        }
    }

    fn origin(&self) -> Origin {
        match &self.0 {
            Held::Fresh { origin, .. } | Held::Kept { origin, .. } => *origin,
        }
    }

    fn keep(self) {
        self.keep_at(Instant::now());
    }

    fn keep_at(self, now: Instant) {
        match self.0 {
            Held::Fresh { sandbox, ends, .. } => {
                drop(sandbox);
                drop(ends);
            }
            Held::Kept { lease, ends, .. } => {
                // Dropped, it is destroyed.
                if lease.sandbox().is_worn() {
                    drop(lease);
                } else {
                    lease.keep_at(now);
                }
                drop(ends);
            }
        }
    }
}

impl ContainerPool for WasmPool {
    type Lease = WasmLease;

    fn attach(&self, entropy: &Arc<Entropy>) {
        self.kept.attach(entropy);
    }

    async fn prepare(&self, spec: &Arc<ActionSpec>) -> Result<(), Error> {
        self.kept.prepare(spec).await
    }

    async fn acquire(&self, request: &AcquireRequest<'_>) -> Result<WasmLease, Error> {
        self.check_open()?;
        // Dropped after the action, of which it tells that nobody here holds it any more.
        let ends = Ending::new(&self.ends);
        let action = self.shared.find(request.spec)?;
        if action.reuse.is_some() {
            let is_loaded = action.artifact.loaded().is_some();
            drop(action);
            return self.acquire_kept(request, is_loaded, ends).await;
        }
        self.start(&action, ends, request.deadline).await
    }

    async fn ready(&self) {
        if !self.ends.refused.load(Ordering::SeqCst) {
            return self.kept.ready().await;
        }
        // Not for the kept ones as well: they are ready at once unless they refused, and callers would go round.
        let freed = self.ends.until(|| !self.ends.refused.load(Ordering::SeqCst));
        let _ = timeout(RETRY, freed).await;
    }

    async fn warm(&self, spec: &Arc<ActionSpec>, namespace: &str, count: usize) -> Result<usize, Error> {
        self.check_open()?;
        let ends = Ending::new(&self.ends);
        let action = self.shared.find(spec)?;
        if action.reuse.is_some() {
            return self.kept.warm(spec, namespace, count).await;
        }
        if count > 0 && !action.is_proven() {
            let deadline = Instant::now() + Limits::MAX_TIMEOUT;
            drop(self.start(&action, ends, deadline).await?);
            action.prove();
        }
        // Any number of instances begins as quickly once the module is loaded and known to initialise.
        Ok(count)
    }

    async fn remove(&self, spec: &Arc<ActionSpec>) {
        let removed = self.shared.remove(spec);
        if let Some(removed) = removed {
            let mut retired = self.retired.lock().unwrap_or_else(PoisonError::into_inner);
            retired.retain(|(_, action)| action.strong_count() > 0);
            retired.push((Arc::as_ptr(spec) as usize, removed));
        }
        self.kept.remove(spec).await;
    }

    async fn removed(&self, spec: &Arc<ActionSpec>) {
        let address = Arc::as_ptr(spec) as usize;
        // First, because the ends of kept instances are told to nobody here.
        self.kept.removed(spec).await;
        self.ends.until(|| !self.is_retiring(|of| of == address)).await;
    }

    fn stats(&self) -> PoolStats {
        let kept = self.kept.stats();
        let (held, memory) = self.shared.leased();
        let (created, cold) = (self.created.load(Ordering::Relaxed), self.cold.load(Ordering::Relaxed));
        let mut stats = kept;
        // Kept instances hold their action, too.
        let kept_now = kept.idle + kept.paused + kept.leased + kept.destroying;
        stats.leased = kept.leased + held.saturating_sub(kept_now);
        stats.memory = memory.max(kept.memory);
        stats.created += created;
        let prewarmed = self.prewarmed.load(Ordering::Relaxed).min(stats.cold_starts);
        stats.cold_starts = stats.cold_starts - prewarmed + cold;
        stats.prewarmed_starts += prewarmed;
        stats.prewarmed_starts += created - cold.min(created);
        stats
    }

    async fn drain(&self) {
        self.closed.store(true, Ordering::Release);
        self.kept.drain().await;
        self.ends.until(|| self.shared.leased().0 == 0 && !self.is_retiring(|_| true)).await;
    }
}
