//! A platform over a local stand-in for Lambda, with a neighbour that must not notice anything.

use std::sync::Arc;
use std::time::{Duration, Instant};

use faas_backend_lambda::{LambdaLocalBackend, LambdaLocalBuilder};
use faas_core::pool::PoolStats;
use faas_core::{ActionSpec, Activation, Backend, Entropy, Error, MemoryMib, Platform, Status};
use faas_testkit::account;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::artifact::{FINE, Folder, MIB, PUPPET};
use crate::process::{PATIENCE, until, with_variable};

/// A platform over one backend.
pub(crate) struct Site {
    pub(crate) app: Platform,
    pub(crate) backend: Arc<LambdaLocalBackend>,
    /// What the programs of the site have in their environment, and no others.
    mark: String,
}

/// The annotation that tells the programs of a test from all others.
const MARK: &str = "site";

fn marked(mut spec: ActionSpec, test: &str) -> ActionSpec {
    spec.annotations.insert(MARK.to_owned(), json!(format!("{test}-{}", std::process::id())));
    spec
}

pub(crate) fn millis(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// The action of the puppet that has so much time.
pub(crate) fn puppet(ms: u64) -> ActionSpec {
    spec(PUPPET).with_timeout(millis(ms))
}

fn spec(name: &str) -> ActionSpec {
    ActionSpec::new(name).unwrap().with_memory(MemoryMib::new(MIB))
}

/// A backend of the puppet.
pub(crate) fn puppets() -> LambdaLocalBuilder {
    LambdaLocalBackend::builder().artifact(&*puppet_folder())
}

/// The puppet's artifact for all tests, which is written once.
fn puppet_folder() -> std::path::PathBuf {
    static FOLDER: std::sync::OnceLock<std::path::PathBuf> = std::sync::OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let made = Folder::of_puppet();
        let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("puppet-artifact");
        std::fs::create_dir_all(&folder).unwrap();
        for entry in std::fs::read_dir(&made.0).unwrap().flatten() {
            // Renamed into its place, so that another process never sees a part.
            let part = folder.join(format!("{}.{}", entry.file_name().to_string_lossy(), std::process::id()));
            std::fs::copy(entry.path(), &part).unwrap();
            std::fs::rename(part, folder.join(entry.file_name())).unwrap();
        }
        folder
    });
    folder.clone()
}

/// A site of the puppet that has so much time; `test` is the name of the test.
pub(crate) async fn played(test: &str, ms: u64) -> Site {
    Site::new(test, puppets(), [puppet(ms)]).await
}

impl Site {
    /// A site of these actions, and of the neighbour unless it is among them.
    pub(crate) async fn new(
        test: &str,
        builder: LambdaLocalBuilder,
        specs: impl IntoIterator<Item = ActionSpec>,
    ) -> Self {
        let backend = Arc::new(builder.build().unwrap());
        let shared: Arc<dyn Backend> = Arc::<LambdaLocalBackend>::clone(&backend);
        let mut platform = Platform::builder().shared_backend(shared).entropy(Entropy::system());
        for spec in specs {
            platform = platform.spec(marked(spec, test));
        }
        let app = platform.spec(marked(spec(FINE), test)).build().await.unwrap();
        Self { app, backend, mark: format!("\"{MARK}\":\"{test}-{}\"", std::process::id()) }
    }

    /// Runs an action while its neighbour runs, which must succeed each time and at least once.
    pub(crate) async fn run(&self, name: &str, input: Value) -> Activation {
        let call = self.begin(name, input);
        loop {
            self.fine().await;
            if call.is_finished() {
                return call.await.unwrap().unwrap();
            }
            tokio::time::sleep(millis(5)).await;
        }
    }

    /// Has the puppet do these steps.
    pub(crate) async fn play(&self, steps: Value) -> Activation {
        self.run(PUPPET, json!({ "steps": steps })).await
    }

    /// Has the puppet do these steps, which succeed; what it tells.
    pub(crate) async fn told(&self, steps: Value) -> Value {
        let record = self.app.invoke(PUPPET, json!({ "steps": steps })).await.unwrap();
        assert!(record.outcome.is_success(), "{:?}", record.outcome);
        record.outcome.result().to_value()
    }

    /// Begins to run an action.
    pub(crate) fn begin(&self, name: &str, input: Value) -> JoinHandle<Result<Activation, Error>> {
        let (app, of) = (self.app.clone(), name.to_owned());
        tokio::spawn(async move { app.invoke(&of, input).await })
    }

    /// The neighbour succeeds.
    pub(crate) async fn fine(&self) {
        let record = self.app.invoke(FINE, json!({})).await.unwrap();
        assert!(record.outcome.is_success(), "the neighbour was disturbed: {:?}", record.outcome);
    }

    pub(crate) async fn stats(&self) -> PoolStats {
        self.backend.health().await.pool.expect("a pool's statistics")
    }

    /// Waits until the pool's statistics are so.
    pub(crate) async fn until_pool(&self, what: &str, is_so: impl Fn(&PoolStats) -> bool) {
        let begun = Instant::now();
        loop {
            let stats = self.stats().await;
            if is_so(&stats) {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "still not {what}: {stats:?}");
            tokio::time::sleep(millis(10)).await;
        }
    }

    /// The processes of this site: the programs, and what they started.
    pub(crate) fn processes(&self) -> Vec<u32> {
        with_variable(&self.mark)
    }

    /// The process of this site that runs the puppet, and those it started.
    pub(crate) fn puppets(&self) -> Vec<u32> {
        let named = with_variable("AWS_LAMBDA_FUNCTION_NAME=faas-guest-puppet-");
        self.processes().into_iter().filter(|id| named.contains(id)).collect()
    }

    /// Waits until the puppet has so many processes.
    pub(crate) async fn until_puppets(&self, count: usize) -> Vec<u32> {
        until(&format!("{count} processes of the puppet"), || {
            let found = self.puppets();
            if found.len() == count { Ok(found) } else { Err(found) }
        })
        .await
    }

    /// The neighbour still succeeds, at least `successes` activations did so in all, and nothing is left.
    pub(crate) async fn end(self, successes: u64) {
        self.end_without(0, successes).await;
    }

    /// The same after so many activations that were lost by the platform, as they had to be.
    pub(crate) async fn end_without(self, lost: u64, successes: u64) {
        for _ in 0..3 {
            self.fine().await;
        }
        self.app.drain().await;
        account::check(&self.app).await;
        let stats = self.app.stats();
        let (succeeded, internal) = (stats.finished(Status::Success), stats.finished(Status::InternalError));
        assert!(succeeded >= successes + 3, "{succeeded} of {} succeeded", successes + 3);
        assert_eq!(internal, lost, "the platform failed: {stats:?}");
        assert_eq!(stats.in_flight, 0, "{stats:?}");
        self.app.shutdown(Duration::from_secs(30)).await.unwrap();
        let pool = self.stats().await;
        assert_eq!((pool.leased, pool.idle, pool.paused, pool.memory), (0, 0, 0, 0), "{pool:?}");
        // What a program has started is killed with it, and is gone once the kernel gets to it.
        until("no process", || match self.processes() {
            left if left.is_empty() => Ok(()),
            left => Err(left),
        })
        .await;
    }
}

/// The texts of a log.
pub(crate) fn texts(record: &Activation) -> Vec<&str> {
    record.logs.iter().map(|line| line.text.as_str()).collect()
}
