//! A platform over a Wasm backend, with a neighbour that must not notice anything.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use faas_backend_wasm::{WasmBackend, WasmBuilder};
use faas_core::pool::PoolStats;
use faas_core::{
    ActionSpec, Activation, Backend, Entropy, Error, ErrorKind, Limits, MemoryMib, Outcome, Platform, Status,
};
use serde_json::{Value, json};

use crate::guests;

/// The name of the neighbour.
pub(crate) const FINE: &str = "fine";

/// A platform over one Wasm backend.
pub(crate) struct Site {
    pub(crate) app: Platform,
    pub(crate) backend: Arc<WasmBackend>,
}

/// A backend that compiles for itself and has room for few.
pub(crate) fn backend() -> WasmBuilder {
    WasmBackend::builder().without_cache().instances(16).compile_threads(2)
}

/// A specification with defaults.
pub(crate) fn spec(name: &str) -> ActionSpec {
    ActionSpec::new(name).unwrap()
}

/// A specification that has so little time.
pub(crate) fn timed(name: &str, ms: u64) -> ActionSpec {
    spec(name).with_timeout(millis(ms))
}

/// A specification with so little memory.
pub(crate) fn small(name: &str, mib: u32) -> ActionSpec {
    spec(name).with_memory(MemoryMib::new(mib))
}

pub(crate) fn millis(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A folder of this test's own that is not there yet.
pub(crate) fn folder(test: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("faults").join(test);
    match std::fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{}: {error}", folder.display()),
        _ => folder,
    }
}

/// The actions of `guests`, or `None`, which is told, where there is no compiler for them.
pub(crate) fn built(test: &str) -> Option<PathBuf> {
    built_of(test, faas_build::wasm!("guests"))
}

/// The fixtures of the testkit, likewise.
pub(crate) fn fixtures(test: &str) -> Option<PathBuf> {
    built_of(test, faas_build::wasm!("../faas-testkit"))
}

fn built_of(test: &str, built: Result<PathBuf, Error>) -> Option<PathBuf> {
    match built {
        Err(error) if error.kind() == ErrorKind::Unsupported => {
            // Past the harness, which keeps what a test prints that passes.
            let _ = writeln!(std::io::stdout(), "SKIP {test}: {}", error.message());
            None
        }
        built => Some(built.expect("an artifact")),
    }
}

impl Site {
    /// A site of modules that are one action each.
    pub(crate) async fn of(actions: impl IntoIterator<Item = (ActionSpec, Vec<u8>)>) -> Self {
        let (specs, modules): (Vec<_>, Vec<_>) = actions.into_iter().unzip();
        let mut builder = backend();
        for (spec, module) in specs.iter().zip(modules) {
            builder = builder.module_bytes(spec.name.path(), module);
        }
        Self::on(builder, specs).await
    }

    /// A site of what the builder has, with these specifications.
    pub(crate) async fn on(builder: WasmBuilder, specs: impl IntoIterator<Item = ActionSpec>) -> Self {
        Self::with(builder, specs, Entropy::system()).await
    }

    pub(crate) async fn with(
        builder: WasmBuilder,
        specs: impl IntoIterator<Item = ActionSpec>,
        entropy: Entropy,
    ) -> Self {
        let fine = Bytes::from(guests::run(guests::OK));
        let backend = Arc::new(builder.module_bytes(FINE, fine).build().unwrap());
        let shared: Arc<dyn Backend> = Arc::<WasmBackend>::clone(&backend);
        let limits = Limits { memory: MemoryMib::new(1), ..Limits::default() };
        let mut platform =
            Platform::builder().shared_backend(shared).entropy(entropy).spec(spec(FINE).with_limits(limits));
        for spec in specs {
            platform = platform.spec(spec);
        }
        Self { app: platform.build().await.unwrap(), backend }
    }

    /// Runs an action while its neighbour runs, which must succeed each time and at least once.
    pub(crate) async fn run(&self, name: &str, input: Value) -> Activation {
        let (app, of) = (self.app.clone(), name.to_owned());
        let call = tokio::spawn(async move { app.invoke(&of, input).await.unwrap() });
        loop {
            self.fine().await;
            if call.is_finished() {
                return call.await.unwrap();
            }
        }
    }

    /// Runs an action, which misbehaves; the text of its error.
    pub(crate) async fn fails(&self, name: &str, input: Value) -> String {
        let record = self.run(name, input).await;
        assert_eq!(record.status(), Status::DeveloperError, "{name}: {:?}", record.outcome);
        record.outcome.error().unwrap()
    }

    /// What the action `a` comes to.
    pub(crate) async fn outcome(&self) -> Outcome {
        self.run("a", json!({})).await.outcome.clone()
    }

    /// The neighbour succeeds.
    pub(crate) async fn fine(&self) {
        let record = self.app.invoke(FINE, ()).await.unwrap();
        assert!(record.outcome.is_success(), "the neighbour was disturbed: {:?}", record.outcome);
    }

    pub(crate) async fn pool(&self) -> PoolStats {
        self.backend.health().await.pool.expect("a pool's statistics")
    }

    /// The neighbour still succeeds, at least `successes` activations did so in all, and nothing is left.
    pub(crate) async fn end(self, successes: u64) {
        self.end_without(0, successes).await;
    }

    /// The same after so many callers left, whose activations are internal errors.
    pub(crate) async fn end_without(self, left: u64, successes: u64) {
        for _ in 0..3 {
            self.fine().await;
        }
        self.app.drain().await;
        let stats = self.app.stats();
        let (succeeded, internal) = (stats.finished(Status::Success), stats.finished(Status::InternalError));
        assert!(succeeded >= successes + 3, "{succeeded} of {} succeeded", successes + 3);
        assert_eq!(internal, left, "the platform failed: {stats:?}");
        assert_eq!(stats.in_flight, 0, "{stats:?}");
        self.app.shutdown(Duration::from_secs(10)).await.unwrap();
        let pool = self.pool().await;
        assert_eq!((pool.leased, pool.idle, pool.memory), (0, 0, 0), "{pool:?}");
    }
}
