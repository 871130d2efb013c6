//! The local backend: actions run in this process, in the caller's task.
//!
//! It isolates nothing: it is for trusted code, for tests and for speed. A function that ends the process,
//! overflows its stack or never returns does so to the whole program; its [`Capability`] says so.

mod host;
mod place;
mod run;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use self::host::LocalHost;
use self::place::{Place, Start};
use self::run::Runner;
use super::{Backend, BackendInfo, BackendUrl, Cancel, Capability, Capacity, Completion, Deployment, Health};
use super::{Invocation, LogsAfterKill};
use crate::action::{ActionSpec, Limits};
use crate::activation::StartKind;
use crate::entropy::Entropy;
use crate::error::{Error, ErrorKind};
use crate::guest::Guest;
use crate::http::HttpClient;
use crate::outcome::Status;
use crate::payload;
use crate::scheduler::deadline_after;

/// Runs actions in this process.
///
/// - A panic is caught and becomes a developer error, unless the program aborts on panics
///   (`panic = "abort"`), which [`health`](Backend::health) reports.
/// - The timeout stops an async action at its next await point. An action marked `blocking` runs on tokio's
///   blocking pool: its record comes at the timeout, while its thread runs on and keeps its permit.
/// - An action that blocks its thread without being marked so is reported by a warning.
/// - The HTTP requests of actions are made by the client that it is given ([`with_http`](Self::with_http)), or by
///   the one of the feature `http`.
/// - The state of an action set is built once per action and namespace, before its first run, and anew after a
///   developer error.
///
/// ```
/// # use faas_core::{Platform, LocalBackend, action, actions};
/// #[action]
/// async fn ping() {}
/// actions![ping];
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let app = Platform::builder().backend(LocalBackend::new()).actions(actions()).build().await?;
/// assert!(app.invoke("ping", ()).await?.outcome.is_success());
/// # Ok(())
/// # }
/// ```
pub struct LocalBackend {
    info: BackendInfo,
    http: Option<Arc<dyn HttpClient>>,
    /// Made once it is known where time and randomness come from.
    host: OnceLock<Arc<LocalHost>>,
    closed: AtomicBool,
}

impl LocalBackend {
    /// How many activations run at once unless told. Arbitrary: most of them wait for something.
    pub const DEFAULT_SLOTS: u32 = 1_000;

    /// How long one poll may take before it is reported as blocking its thread. Arbitrary.
    pub const BLOCKED_POLL: Duration = Duration::from_millis(100);

    /// The namespaces for which an action keeps a state that nobody uses; with more, all idle ones are dropped.
    /// Arbitrary.
    pub const MAX_STATES: usize = 1_000;

    /// What the local backend can do.
    pub const CAPABILITY: Capability = Capability {
        cancel: Cancel::AtAwait,
        logs_after_kill: LogsAfterKill::Full,
        enforces_memory: false,
        stops_cpu_loop: false,
        survives_exit: false,
        isolates: false,
        pauses: false,
        prewarms: true,
        egress: true,
        fresh_instance: false,
        captures_stdout: false,
        timeout_granularity: Duration::from_millis(1),
        max_timeout: Limits::MAX_TIMEOUT,
        max_payload: payload::MAX_BYTES as u64,
        max_logs: Limits::MAX_LOGS,
    };

    /// A backend called `local` with [`DEFAULT_SLOTS`](Self::DEFAULT_SLOTS).
    #[must_use]
    pub fn new() -> Self {
        let info = BackendInfo {
            name: "local".into(),
            capability: Self::CAPABILITY,
            capacity: Capacity::Slots(Self::DEFAULT_SLOTS),
        };
        Self { info, http: None, host: OnceLock::new(), closed: AtomicBool::new(false) }
    }

    /// The backend that a URL of the scheme `local` names.
    ///
    /// Options: `slots`, how many activations run at once (1 to 4,294,967,295); `name`, what the backend is
    /// called where a platform has several.
    ///
    /// # Errors
    /// `InvalidArgument` for anything after the colon, other options, and values out of range.
    pub fn from_url(url: &BackendUrl) -> Result<Self, Error> {
        url.without_rest()?;
        let options = url.options(&["name", "slots"])?;
        let slots = options.number("slots", 1..=u32::MAX)?.unwrap_or(Self::DEFAULT_SLOTS);
        let name = options.text("name")?.unwrap_or("local");
        Ok(Self::new().with_slots(slots).with_name(name))
    }

    /// The same backend with room for this many activations at once.
    #[must_use]
    pub fn with_slots(mut self, slots: u32) -> Self {
        self.info.capacity = Capacity::Slots(slots);
        self
    }

    /// The same backend under another name, where a platform has several.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.info.name = name.into();
        self
    }

    /// The same backend with this client for the HTTP requests of actions. Without it the feature `http` has one,
    /// which is made for the first request.
    #[must_use]
    pub fn with_http(mut self, client: impl HttpClient) -> Self {
        self.http = Some(Arc::new(client));
        self
    }

    fn host(&self) -> &Arc<LocalHost> {
        self.host_of(Arc::default)
    }

    fn host_of(&self, entropy: impl FnOnce() -> Arc<Entropy>) -> &Arc<LocalHost> {
        self.host.get_or_init(|| Arc::new(LocalHost::new(entropy(), self.http.clone())))
    }

    fn check_open(&self) -> Result<(), Error> {
        if self.closed.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::Closed, format!("backend '{}' is shut down", self.info.name)));
        }
        Ok(())
    }

    fn deployed<'a>(&self, deployment: &'a Deployment) -> Result<&'a Deployed, Error> {
        self.check_open()?;
        let deployed = deployment.state::<Deployed>().filter(|it| Arc::ptr_eq(&it.host, self.host()));
        deployed.ok_or_else(|| {
            let text = format!("the deployment is not of backend '{}'", self.info.name);
            Error::new(ErrorKind::InvalidArgument, text).with_context("action", &deployment.spec.name)
        })
    }
}

impl fmt::Debug for LocalBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalBackend").field("info", &self.info).finish_non_exhaustive()
    }
}

impl Default for LocalBackend {
    fn default() -> Self {
        Self::new()
    }
}

/// An action that is deployed here. There may be very many.
struct Deployed {
    host: Arc<LocalHost>,
    removed: AtomicBool,
    sandboxes: Sandboxes,
}

/// Where an action runs. Without shared state nothing tells one sandbox from another, so one serves all;
/// with it each namespace has its own, which a developer error ends.
enum Sandboxes {
    One { guest: Guest, started: AtomicBool },
    PerNamespace(Box<PerNamespace>),
}

struct PerNamespace {
    spec: Arc<ActionSpec>,
    places: Mutex<BTreeMap<String, Arc<Place>>>,
}

impl Deployed {
    fn new(spec: Arc<ActionSpec>, host: Arc<LocalHost>) -> Result<Self, Error> {
        let guest = Guest::new(Arc::clone(&spec), Arc::<LocalHost>::clone(&host))?;
        let sandboxes = if guest.needs_init() {
            Sandboxes::PerNamespace(Box::new(PerNamespace { spec, places: Mutex::default() }))
        } else {
            Sandboxes::One { guest, started: AtomicBool::new(false) }
        };
        Ok(Self { host, removed: AtomicBool::new(false), sandboxes })
    }

    /// Makes the sandbox of the action's own namespace ready.
    async fn warm(&self) -> Result<(), Error> {
        let sandboxes = match &self.sandboxes {
            Sandboxes::One { started, .. } => {
                start_once(started);
                return Ok(());
            }
            Sandboxes::PerNamespace(sandboxes) => sandboxes,
        };
        let place = sandboxes.place(sandboxes.spec.name.namespace(), &self.host)?;
        let (_, ready) = place.start(deadline_after(Instant::now(), Duration::MAX)).await?;
        ready.map_err(|reply| Error::new(ErrorKind::InitFailed, reply.outcome.error().unwrap_or_default()))
    }
}

/// Starts what needs no initialisation. Reading first keeps the flag's cache line shared between threads.
fn start_once(started: &AtomicBool) -> StartKind {
    if started.load(Ordering::Relaxed) || started.swap(true, Ordering::Relaxed) {
        StartKind::Warm
    } else {
        StartKind::Cold
    }
}

impl PerNamespace {
    async fn invoke(&self, invocation: &mut Invocation, host: &Arc<LocalHost>) -> Result<Completion, Error> {
        let namespace = invocation.namespace(&self.spec).to_owned();
        let place = self.place(&namespace, host)?;
        let (start, ready) = place.start(invocation.start_by).await?;
        let completion = match ready {
            Ok(()) => Runner { guest: &place.guest, entropy: &host.entropy }.run(invocation, &start).await,
            Err(reply) => start.completion(reply, Duration::ZERO),
        };
        if completion.outcome.status() == Status::DeveloperError {
            self.discard(&namespace, &place);
        }
        Ok(completion)
    }

    /// The sandbox for invocations of a namespace.
    fn place(&self, namespace: &str, host: &Arc<LocalHost>) -> Result<Arc<Place>, Error> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = places.get(namespace) {
            return Ok(Arc::clone(place));
        }
        if places.len() >= LocalBackend::MAX_STATES {
            // Who runs in one holds it.
            places.retain(|_, place| Arc::strong_count(place) > 1);
        }
        let guest = Guest::new(Arc::clone(&self.spec), Arc::<LocalHost>::clone(host))?;
        let place = Arc::new(Place::new(guest));
        places.insert(namespace.to_owned(), Arc::clone(&place));
        Ok(place)
    }

    /// Forgets a sandbox whose run ended badly: the next invocation gets a new one.
    fn discard(&self, namespace: &str, bad: &Arc<Place>) {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if places.get(namespace).is_some_and(|place| Arc::ptr_eq(place, bad)) {
            places.remove(namespace);
        }
    }
}

#[async_trait]
impl Backend for LocalBackend {
    fn info(&self) -> &BackendInfo {
        &self.info
    }

    fn attach(&self, entropy: &Arc<Entropy>) {
        self.host_of(|| Arc::clone(entropy));
    }

    async fn deploy(&self, spec: Arc<ActionSpec>) -> Result<Deployment, Error> {
        self.check_open()?;
        spec.check()?;
        self.info.capability.check_timeout(spec.limits.timeout)?;
        if spec.needs_fresh_sandbox() {
            let text = format!(
                "it asks by '{}' for a sandbox of its own each time, and backend '{}' has none",
                ActionSpec::FRESH_SANDBOX,
                self.info.name
            );
            return Err(Error::new(ErrorKind::Unsupported, text).with_context("action", &spec.name));
        }
        let deployed = Deployed::new(Arc::clone(&spec), Arc::clone(self.host()))?;
        Ok(Deployment::new(spec, deployed))
    }

    async fn invoke(&self, deployment: &Deployment, mut invocation: Invocation) -> Result<Completion, Error> {
        let deployed = self.deployed(deployment)?;
        if deployed.removed.load(Ordering::Relaxed) {
            let text =
                format!("action '{}' is removed from backend '{}'", deployment.spec.name, self.info.name);
            return Err(Error::new(ErrorKind::NotFound, text));
        }
        let host = &deployed.host;
        match &deployed.sandboxes {
            Sandboxes::One { guest, started } => {
                let start = Start::at_once(start_once(started));
                Ok(Runner { guest, entropy: &host.entropy }.run(&mut invocation, &start).await)
            }
            Sandboxes::PerNamespace(sandboxes) => sandboxes.invoke(&mut invocation, host).await,
        }
    }

    async fn ready(&self) {}

    async fn warm(&self, deployment: &Deployment, count: usize) -> Result<usize, Error> {
        let deployed = self.deployed(deployment)?;
        if count == 0 {
            return Ok(0);
        }
        deployed.warm().await.map(|()| 1)
    }

    async fn remove(&self, deployment: &Deployment) -> Result<(), Error> {
        self.deployed(deployment)?.removed.store(true, Ordering::Relaxed);
        Ok(())
    }

    async fn health(&self) -> Health {
        let problem = if self.closed.load(Ordering::Relaxed) {
            Some("it is shut down".to_owned())
        } else {
            cfg!(panic = "abort").then(|| {
                "the program's profile sets panic = \"abort\": an action that panics ends it".to_owned()
            })
        };
        Health { problem, pool: None }
    }

    async fn shutdown(&self) -> Result<(), Error> {
        self.closed.store(true, Ordering::Relaxed);
        Ok(())
    }
}
