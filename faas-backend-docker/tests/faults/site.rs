//! A platform over a Docker backend on a real engine, with a neighbour that must not notice anything.

use std::io::Write as _;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bollard::models::ContainerSummary;
use bollard::query_parameters::{ListContainersOptions, ListNetworksOptions};
use bollard::{API_DEFAULT_VERSION, Docker};
use faas_backend_docker::{DockerBackend, DockerBuilder};
use faas_core::pool::PoolStats;
use faas_core::{ActionSpec, Activation, Backend, Entropy, ErrorKind, MemoryMib, Platform, Status};
use faas_testkit::account;
use serde_json::{Value, json};

use crate::folder::Folder;

/// The action of the neighbour: it is one of the guests' and gives its input back.
pub(crate) const FINE: &str = "echo";

/// A platform over one Docker backend.
pub(crate) struct Site {
    pub(crate) app: Platform,
    pub(crate) backend: Arc<DockerBackend>,
    /// A way to the engine of the test's own.
    pub(crate) docker: Docker,
    pub(crate) pool: String,
    pub(crate) home: Arc<Folder>,
}

/// What a test starts from, where there is an engine.
pub(crate) struct Ground {
    pub(crate) docker: Docker,
    pub(crate) guests: PathBuf,
    /// The engine's address, where it is not the usual one.
    host: Option<String>,
    pool: String,
    home: Arc<Folder>,
}

/// Tells that a test is skipped, and why.
pub(crate) fn skip<T>(test: &str, reason: &str) -> Option<T> {
    // Past the harness, which keeps what a test prints that passes.
    let _ = writeln!(std::io::stdout(), "SKIP {test}: {reason}");
    None
}

/// Set by the checks of the repository where they have started an engine for the tests.
const RUNS: &str = "FAAS_TEST_ENGINE_RUNS";

/// Tells that a test is skipped for want of an engine. One that was there before is no reason to skip.
fn without_engine<T>(test: &str, host: Option<&str>, reason: &str) -> Option<T> {
    let was_there = host.is_some() || std::env::var_os(RUNS).is_some();
    assert!(!was_there, "{test}: the engine that was started for it is gone: {reason}");
    skip(test, reason)
}

/// An engine and the guests' image; `None`, which is told, where one of them cannot be had.
pub(crate) async fn ground(test: &str) -> Option<Ground> {
    ground_on(test, None).await
}

/// The same with the engine at this address.
pub(crate) async fn ground_on(test: &str, host: Option<String>) -> Option<Ground> {
    let guests = match faas_build::docker!("guests") {
        Err(error) if error.kind() == ErrorKind::Unsupported => return skip(test, error.message()),
        built => built.expect("an artifact"),
    };
    let pool = format!("faas-test-{}-{test}", std::process::id());
    let home = Arc::new(Folder::new());
    let docker = match connect(host.as_deref()).await {
        Ok(docker) => docker,
        Err(error) => return without_engine(test, host.as_deref(), &format!("no engine answers: {error}")),
    };
    let ground = Ground { docker, guests, host, pool, home };
    match ground.builder().build().unwrap().health().await.problem {
        Some(problem) => without_engine(test, ground.host.as_deref(), &problem),
        None => Some(ground),
    }
}

/// The engine as the tests themselves talk to it.
async fn connect(host: Option<&str>) -> Result<Docker, bollard::errors::Error> {
    let docker = match host {
        Some(host) => Docker::connect_with_unix(host, 60, API_DEFAULT_VERSION)?,
        None => Docker::connect_with_defaults()?,
    };
    docker.negotiate_version().await
}

/// A specification with defaults.
pub(crate) fn spec(name: &str) -> ActionSpec {
    let own = faas_docker_guests::actions().into_specs().into_iter().find(|spec| spec.name.path() == name);
    own.unwrap_or_else(|| ActionSpec::new(name).unwrap().with_memory(MemoryMib::new(32)))
}

pub(crate) fn millis(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

impl Ground {
    /// A backend of the guests that is this test's own, and pauses nothing.
    pub(crate) fn builder(&self) -> DockerBuilder {
        let builder =
            DockerBackend::builder().artifact(&self.guests).pool(&self.pool).home(self.home.to_path_buf());
        let builder = builder.pause_after(None);
        match &self.host {
            Some(host) => builder.host(host),
            None => builder,
        }
    }

    pub(crate) fn pool(&self) -> &str {
        &self.pool
    }

    pub(crate) fn home(&self) -> &Arc<Folder> {
        &self.home
    }

    /// The labels of what a process of that epoch, which has the same pool and home, makes.
    pub(crate) fn labels(&self, epoch: &str) -> Value {
        labels(&self.pool, &self.home, epoch)
    }

    /// A site of the guests with these specifications, and the neighbour.
    pub(crate) async fn site(self, specs: impl IntoIterator<Item = ActionSpec>) -> Site {
        let builder = self.builder();
        self.site_on(builder, specs).await
    }

    /// A site of what the builder has.
    pub(crate) async fn site_on(
        self,
        builder: DockerBuilder,
        specs: impl IntoIterator<Item = ActionSpec>,
    ) -> Site {
        let backend = Arc::new(builder.build().unwrap());
        let shared: Arc<dyn Backend> = Arc::<DockerBackend>::clone(&backend);
        let mut platform = Platform::builder().shared_backend(shared).entropy(Entropy::system());
        let specs: Vec<ActionSpec> = specs.into_iter().collect();
        if specs.iter().all(|spec| spec.name.path() != FINE) {
            platform = platform.spec(spec(FINE));
        }
        for spec in specs {
            platform = platform.spec(spec);
        }
        let app = platform.build().await.unwrap();
        Site { app, backend, docker: self.docker, pool: self.pool, home: self.home }
    }
}

impl Site {
    /// Runs an action while its neighbour runs, which must succeed each time and at least once.
    pub(crate) async fn run(&self, name: &str, input: Value) -> Activation {
        let (app, of) = (self.app.clone(), name.to_owned());
        let call = tokio::spawn(async move { app.invoke(&of, input).await.unwrap() });
        loop {
            self.fine().await;
            if call.is_finished() {
                return call.await.unwrap();
            }
            tokio::time::sleep(millis(5)).await;
        }
    }

    /// Runs an action that succeeds; its result.
    pub(crate) async fn result(&self, name: &str, input: Value) -> Value {
        let record = self.run(name, input).await;
        assert!(record.outcome.is_success(), "{name}: {:?}", record.outcome);
        record.outcome.result().to_value()
    }

    /// Runs an action that ends in an application error; its text.
    pub(crate) async fn error(&self, name: &str, input: Value) -> String {
        let record = self.run(name, input).await;
        assert_eq!(record.status(), Status::ApplicationError, "{name}: {:?}", record.outcome);
        record.outcome.error().unwrap()
    }

    /// The neighbour succeeds.
    pub(crate) async fn fine(&self) {
        let record = self.app.invoke(FINE, json!({ "fine": true })).await.unwrap();
        assert!(record.outcome.is_success(), "the neighbour was disturbed: {:?}", record.outcome);
    }

    pub(crate) async fn stats(&self) -> PoolStats {
        self.backend.health().await.pool.expect("a pool's statistics")
    }

    /// The containers of this site, as the engine knows them.
    pub(crate) async fn containers(&self) -> Vec<ContainerSummary> {
        containers(&self.docker, &self.pool).await
    }

    /// The neighbour still succeeds, at least `successes` activations did so in all, each that was accepted has its record,
    /// and nothing is left.
    pub(crate) async fn end(self, successes: u64) {
        self.end_without(0, successes).await;
    }

    /// The same after so many activations that were lost by the platform, as they had to be.
    pub(crate) async fn end_without(self, lost: u64, successes: u64) {
        for _ in 0..3 {
            self.fine().await;
        }
        self.app.drain().await;
        let stats = self.app.stats();
        let (succeeded, internal) = (stats.finished(Status::Success), stats.finished(Status::InternalError));
        assert!(succeeded >= successes + 3, "{succeeded} of {} succeeded", successes + 3);
        assert_eq!(internal, lost, "the platform failed: {stats:?}");
        account::check(&self.app).await;
        self.app.shutdown(Duration::from_secs(30)).await.unwrap();
        let pool = self.stats().await;
        assert_eq!((pool.leased, pool.idle, pool.paused, pool.memory), (0, 0, 0, 0), "{pool:?}");
        let Self { app, backend, docker, pool, home } = self;
        drop((app, backend));
        nothing_left(&docker, &pool, &home).await;
    }
}

/// Checks that no container and no network of the pool is there, and nothing in its folder.
pub(crate) async fn nothing_left(docker: &Docker, pool: &str, home: &Path) {
    let left = until(Duration::from_secs(10), || async {
        let mut left: Vec<String> = containers(docker, pool)
            .await
            .into_iter()
            .map(|container| format!("{:?}", container.names))
            .collect();
        left.extend(networks(docker, pool).await);
        let files = std::fs::read_dir(home).into_iter().flatten().flatten();
        left.extend(files.map(|file| file.path().display().to_string()));
        if left.is_empty() { Ok(()) } else { Err(left) }
    });
    if let Err(left) = left.await {
        panic!("something is left: {left:?}");
    }
}

/// The labels of what a process of a pool makes, whose home is there.
pub(crate) fn labels(pool: &str, home: &Path, epoch: &str) -> Value {
    let read = |path: &str| std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
    let machine = read("/etc/machine-id").filter(|id| !id.is_empty());
    let machine = machine.or_else(|| read("/proc/sys/kernel/hostname")).unwrap_or_default();
    let folder = std::fs::metadata(home).map(|folder| {
        let made = folder.created().unwrap().duration_since(std::time::UNIX_EPOCH).unwrap();
        format!("{:x}-{:x}", folder.ino(), made.as_nanos())
    });
    let home = format!("{machine}:{}:{}", home.display(), folder.unwrap_or_default());
    let boot = read("/proc/sys/kernel/random/boot_id");
    json!({ "io.faas.pool": pool, "io.faas.home": home, "io.faas.epoch": epoch, "io.faas.boot": boot })
}

/// The containers of a pool.
pub(crate) async fn containers(docker: &Docker, pool: &str) -> Vec<ContainerSummary> {
    let filters = Some([("label".to_owned(), vec![format!("io.faas.pool={pool}")])].into());
    let options = ListContainersOptions { all: true, filters, ..ListContainersOptions::default() };
    docker.list_containers(Some(options)).await.unwrap()
}

/// The networks of a pool.
pub(crate) async fn networks(docker: &Docker, pool: &str) -> Vec<String> {
    let filters = Some([("label".to_owned(), vec![format!("io.faas.pool={pool}")])].into());
    let listed = docker.list_networks(Some(ListNetworksOptions { filters })).await.unwrap();
    listed.into_iter().filter_map(|network| network.name).collect()
}

/// Asks again and again until the answer is `Ok`, or the patience is over; then the last answer.
pub(crate) async fn until<T, E, F: Future<Output = Result<T, E>>>(
    patience: Duration,
    mut ask: impl FnMut() -> F,
) -> Result<T, E> {
    let begun = Instant::now();
    loop {
        match ask().await {
            Err(_) if begun.elapsed() < patience => tokio::time::sleep(millis(20)).await,
            answer => return answer,
        }
    }
}
