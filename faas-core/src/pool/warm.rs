//! The pool that keeps sandboxes warm.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::lease::{Waiting, WarmLease};
use super::queue::Begun;
use super::reaper::attend;
use super::start::Report;
use super::state::{Bounds, Shared, Shelf, State};
use super::turn::{Entered, Turn};
use super::{AcquireRequest, ContainerPool, PoolConfig, PoolStats};
use crate::action::ActionSpec;
use crate::entropy::Entropy;
use crate::error::{Error, ErrorKind};
use crate::sandbox::{SandboxFactory, Shape};

/// A pool that keeps sandboxes warm, and stem cells ready, within a budget of memory.
///
/// Sandboxes are created, initialised, paused, resumed and destroyed by one task of the pool's own and its
/// children. It starts with the first use within a runtime of tokio, and ends once the pool, all leases and
/// what was under way are gone. Dropping the pool destroys what is idle; [`drain`](ContainerPool::drain) also
/// waits for it.
///
/// # Source
/// Apache OpenWhisk's `ContainerPool`: the order warm, prewarmed, cold, evicting.
pub struct WarmPool<F: SandboxFactory> {
    pub(super) shared: Arc<Shared<F>>,
}

impl<F: SandboxFactory> WarmPool<F> {
    /// A pool of the factory's sandboxes.
    #[must_use]
    pub fn new(factory: F, config: PoolConfig) -> Self {
        let bounds = Bounds {
            budget: config.memory.mib().into(),
            cold_starts: config.cold_starts.max(1),
            cold_starts_per_action: config.cold_starts_per_action.max(1),
            stems_per_shape: config.stems_per_shape,
            one_at_a_time: config.one_at_a_time,
            pause_after: config.pause_after,
            init_grace: config.init_grace,
        };
        let shelf = |(shape, target)| (shape, Shelf::new(target, true));
        let shelves: BTreeMap<_, _> = config.stems.into_iter().map(shelf).collect();
        let (jobs, unattended) = mpsc::unbounded_channel();
        let state = State::new(config.keep_alive, shelves, unattended);
        Self { shared: Arc::new(Shared::new(factory, bounds, jobs, state)) }
    }

    /// What makes its sandboxes.
    pub fn factory(&self) -> &F {
        &self.shared.factory
    }

    /// Starts the pool's task, if it has none yet and there is a runtime for it.
    fn start(&self) {
        if Handle::try_current().is_err() {
            return;
        }
        let unattended = self.shared.lock().unattended.take();
        if let Some(jobs) = unattended {
            tokio::spawn(attend(Arc::downgrade(&self.shared), jobs));
            self.shared.turn(|turn| turn.pump());
        }
    }

    /// Completes when `is_so`, which is asked again whenever a sandbox was made or destroyed.
    async fn until(&self, is_so: impl Fn(&Turn<'_, F>) -> bool + Send) {
        loop {
            let mut changed = pin!(self.shared.changed.notified());
            changed.as_mut().enable();
            if self.shared.turn(|turn| is_so(turn)) {
                return;
            }
            changed.await;
        }
    }

    /// A warm sandbox, if there is one.
    fn try_acquire(&self, request: &AcquireRequest<'_>) -> Option<WarmLease<F>> {
        let mut state = self.shared.lock();
        if state.closed {
            return None;
        }
        let group = state.find(request.spec, request.namespace)?;
        let (slot, sandbox) = state.take(group, self.shared.bounds.budget)?;
        drop(state);
        Some(WarmLease::new(&self.shared, group, slot, sandbox, None))
    }

    /// The way of a request without a warm sandbox.
    async fn acquire_slowly(&self, request: &AcquireRequest<'_>) -> Result<WarmLease<F>, Error> {
        self.start();
        let shape = self.shared.factory.shape(request.spec);
        let entered = self.shared.turn(|turn| turn.enter(request, &shape, Instant::now()))?;
        let (waiting, granted) = match entered {
            Entered::Leased(lease) => return Ok(lease),
            Entered::Waits { group, number, granted } => {
                (Waiting { shared: &self.shared, group, number }, granted)
            }
        };
        let answer = timeout_at(request.deadline, granted).await;
        drop(waiting);
        match answer {
            Ok(Ok(Ok(grant))) => grant.claim().ok_or_else(stopped),
            Ok(Ok(Err(error))) => Err(error),
            Ok(Err(_)) => Err(stopped()),
            Err(_) => {
                let text = "no sandbox was ready before the deadline";
                Err(Error::new(ErrorKind::DeadlineExceeded, text))
            }
        }
    }
}

fn stopped() -> Error {
    Error::new(ErrorKind::Internal, "the pool's task was stopped")
}

impl<F: SandboxFactory> Drop for WarmPool<F> {
    fn drop(&mut self) {
        self.shared.turn(|turn| turn.close());
    }
}

impl<F: SandboxFactory> ContainerPool for WarmPool<F> {
    type Lease = WarmLease<F>;

    fn attach(&self, entropy: &Arc<Entropy>) {
        self.shared.factory.attach(entropy);
        self.start();
    }

    async fn prepare(&self, spec: &Arc<ActionSpec>) -> Result<(), Error> {
        self.shared.factory.prepare(spec).await
    }

    async fn acquire(&self, request: &AcquireRequest<'_>) -> Result<WarmLease<F>, Error> {
        if let Some(lease) = self.try_acquire(request) {
            return Ok(lease);
        }
        // Boxed, so that the future of a warm start stays small.
        Box::pin(self.acquire_slowly(request)).await
    }

    async fn ready(&self) {
        let mut returned = pin!(self.shared.returned.notified());
        returned.as_mut().enable();
        let refused = self.shared.lock().refused;
        if refused {
            returned.await;
        }
    }

    async fn warm(&self, spec: &Arc<ActionSpec>, namespace: &str, count: usize) -> Result<usize, Error> {
        self.start();
        let shape = self.shared.factory.shape(spec);
        let mut ahead =
            WarmAhead { spec, namespace, shape, count, key: None, begun: 0, report: Report::default() };
        loop {
            let mut changed = pin!(self.shared.changed.notified());
            changed.as_mut().enable();
            let idle = self.shared.turn(|turn| ahead.step(turn))?;
            if let Some(error) = ahead.report.lock().unwrap_or_else(PoisonError::into_inner).take() {
                return Err(error);
            }
            match idle {
                Some(idle) => return Ok(idle),
                None => changed.await,
            }
        }
    }

    async fn remove(&self, spec: &Arc<ActionSpec>) {
        let shape = self.shared.factory.shape(spec);
        self.shared.turn(|turn| turn.retire(spec, &shape));
        self.until(|turn| !turn.retires(spec)).await;
    }

    async fn removed(&self, spec: &Arc<ActionSpec>) {
        self.until(|turn| !turn.remains(spec)).await;
    }

    fn stats(&self) -> PoolStats {
        self.shared.lock().stats()
    }

    async fn drain(&self) {
        self.shared.turn(|turn| turn.close());
        self.until(|turn| turn.state.is_empty()).await;
    }
}

/// A call of `warm` under way.
struct WarmAhead<'a> {
    spec: &'a Arc<ActionSpec>,
    namespace: &'a str,
    shape: Shape,
    count: usize,
    /// The key of the group, once it is known: a removed revision is not warmed any further.
    key: Option<u64>,
    begun: usize,
    report: Arc<Mutex<Option<Error>>>,
}

impl WarmAhead<'_> {
    /// Begins what is missing; tells how many are idle once no more are coming.
    fn step<F: SandboxFactory>(&mut self, turn: &mut Turn<'_, F>) -> Result<Option<usize>, Error> {
        turn.check_open()?;
        let budget = turn.shared.bounds.budget;
        if u64::from(self.shape.memory.mib()) > budget {
            return Ok(Some(0));
        }
        let index = turn.group(self.spec, self.namespace, &self.shape);
        let group = &turn.state.groups[index];
        if *self.key.get_or_insert(group.key) != group.key {
            turn.tidy(index);
            return Ok(Some(0));
        }
        let idle = group.slots.iter().filter(|(_, slot)| slot.active == 0).count();
        let claimed = usize::try_from(group.claimed).unwrap_or(usize::MAX);
        let mut coming = group.underway.saturating_sub(claimed);
        let mut begun = Begun::Yes;
        while idle + coming < self.count && self.begun < self.count && begun == Begun::Yes {
            begun = turn.begin_ahead(index, &self.report);
            if begun == Begun::Yes {
                (self.begun, coming) = (self.begun + 1, coming + 1);
            }
        }
        if idle >= self.count || (coming == 0 && begun != Begun::Bounded) {
            turn.tidy(index);
            return Ok(Some(idle.min(self.count)));
        }
        Ok(None)
    }
}
