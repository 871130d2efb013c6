//! The pool suite on `WarmPool`.

use faas_core::pool::{FixedTtl, PoolConfig, WarmPool};
use faas_testkit::mock::MockFactory;
use faas_testkit::pool_conformance;
use faas_testkit::pool_suite::{PoolSettings, PoolSubject};

pool_conformance!(PoolSubject::new("warm", warm_pool), ran = 63);

fn warm_pool(factory: MockFactory, settings: PoolSettings) -> WarmPool<MockFactory> {
    let config = PoolConfig {
        memory: settings.memory,
        stems: settings.stems,
        cold_starts_per_action: settings.cold_starts_per_action,
        pause_after: settings.pause_after,
        keep_alive: Box::new(FixedTtl(settings.keep_alive)),
        ..PoolConfig::default()
    };
    WarmPool::new(factory, config)
}
