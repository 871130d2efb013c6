//! The pool's promises, each under paused time.

pub(crate) mod mock;

mod cold;
mod ends;
mod faults;
mod idle;
mod model;
mod room;
mod stems;

use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::Instant;

use self::mock::{Mock, Script};
use super::{AcquireRequest, ContainerPool, Lease, PoolConfig, WarmLease, WarmPool};
use crate::action::ActionSpec;
use crate::error::Error;
use crate::units::MemoryMib;

pub(crate) struct Subject {
    mock: Mock,
    pool: Arc<WarmPool<Mock>>,
}

impl Subject {
    fn new(script: Script, config: PoolConfig) -> Self {
        let mock = Mock::new(script);
        Self { pool: Arc::new(WarmPool::new(mock.clone(), config)), mock }
    }

    /// A pool of `mib` MiB whose sandboxes take 100 ms to create and 10 ms to initialise.
    fn of(mib: u32) -> Self {
        Self::new(script(), room(mib))
    }

    async fn acquire(&self, spec: &Arc<ActionSpec>) -> Result<WarmLease<Mock>, Error> {
        self.acquire_for(spec, "_", Duration::from_secs(60)).await
    }

    async fn acquire_for(
        &self,
        spec: &Arc<ActionSpec>,
        namespace: &str,
        patience: Duration,
    ) -> Result<WarmLease<Mock>, Error> {
        let deadline = Instant::now() + patience;
        self.pool.acquire(&AcquireRequest { spec, namespace, deadline }).await
    }

    /// A request in a task of its own.
    fn spawn_acquire(
        &self,
        spec: &Arc<ActionSpec>,
    ) -> tokio::task::JoinHandle<Result<WarmLease<Mock>, Error>> {
        let (pool, spec) = (Arc::clone(&self.pool), Arc::clone(spec));
        tokio::spawn(async move {
            let deadline = Instant::now() + Duration::from_secs(60);
            pool.acquire(&AcquireRequest { spec: &spec, namespace: "_", deadline }).await
        })
    }

    /// Makes one sandbox of the action idle.
    async fn make_idle(&self, spec: &Arc<ActionSpec>) {
        self.acquire(spec).await.unwrap().keep();
    }

    /// Asserts that nothing is leased, made or destroyed, and that the pool and the factory agree.
    fn assert_quiet(&self) {
        let (stats, tally) = (self.pool.stats(), self.mock.tally());
        assert_eq!((stats.leased, stats.creating, stats.destroying), (0, 0, 0), "{stats:?}");
        assert_eq!(stats.stems + stats.idle + stats.paused, tally.live.len(), "{stats:?} {tally:?}");
        assert_eq!(stats.memory, tally.mib(), "{stats:?} {tally:?}");
    }
}

fn script() -> Script {
    Script { create: mock::ms(100), init: mock::ms(10), ..Script::default() }
}

fn room(mib: u32) -> PoolConfig {
    PoolConfig { memory: MemoryMib::new(mib), ..PoolConfig::default() }
}

/// Lets every task run until it waits.
async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

/// Lets time pass, and every task do what it has to do by then.
async fn pass(millis: u64) {
    settle().await;
    tokio::time::sleep(mock::ms(millis)).await;
    settle().await;
}

/// Polls once, from nowhere.
fn poll_once<T>(future: std::pin::Pin<&mut impl Future<Output = T>>) -> Poll<T> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}
