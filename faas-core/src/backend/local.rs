//! The local backend: actions run in this process, in the caller's task.
//!
//! It isolates nothing: it is for trusted code, for tests and for speed. A function that ends the process,
//! overflows its stack or never returns does so to the whole program; its [`Capability`] says so.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context as TaskContext, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Mutex;
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use super::{Backend, BackendInfo, Cancel, Capability, Capacity, Completion, Deployment, Health};
use super::{Invocation, LogsAfterKill};
use crate::action::{ActionSpec, Limits};
use crate::activation::{StartKind, Usage};
use crate::entropy::Entropy;
use crate::error::{Error, ErrorKind};
use crate::guest::{Call, Guest, Reply, Running};
use crate::outcome::Outcome;
use crate::payload;

/// Runs actions in this process.
///
/// - A panic is caught and becomes a developer error, unless the program aborts on panics
///   (`panic = "abort"`), which [`health`](Backend::health) reports.
/// - The timeout stops an async action at its next await point. An action marked `blocking` runs on tokio's
///   blocking pool: its record comes at the timeout, while its thread runs on and keeps its permit.
/// - An action that blocks its thread without being marked so is reported by a warning.
/// - The state of an action set is built once per action, before its first run.
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
#[derive(Debug)]
pub struct LocalBackend {
    info: BackendInfo,
    entropy: OnceLock<Arc<Entropy>>,
    closed: AtomicBool,
}

impl LocalBackend {
    /// How many activations run at once unless told. Arbitrary: most of them wait for something.
    pub const DEFAULT_SLOTS: u32 = 1_000;

    /// How long one poll may take before it is reported as blocking its thread. Arbitrary.
    pub const BLOCKED_POLL: Duration = Duration::from_millis(100);

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
    };

    /// A backend called `local` with [`DEFAULT_SLOTS`](Self::DEFAULT_SLOTS).
    #[must_use]
    pub fn new() -> Self {
        let info = BackendInfo {
            name: "local".into(),
            capability: Self::CAPABILITY,
            capacity: Capacity::Slots(Self::DEFAULT_SLOTS),
        };
        Self { info, entropy: OnceLock::new(), closed: AtomicBool::new(false) }
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

    fn entropy(&self) -> &Arc<Entropy> {
        self.entropy.get_or_init(Arc::default)
    }

    fn check_open(&self) -> Result<(), Error> {
        if self.closed.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::Closed, format!("backend '{}' is shut down", self.info.name)));
        }
        Ok(())
    }

    fn deployed<'a>(&self, deployment: &'a Deployment) -> Result<&'a Arc<Deployed>, Error> {
        self.check_open()?;
        let deployed =
            deployment.state::<Arc<Deployed>>().filter(|it| Arc::ptr_eq(&it.entropy, self.entropy()));
        deployed.ok_or_else(|| {
            let text = format!("the deployment is not of backend '{}'", self.info.name);
            Error::new(ErrorKind::InvalidArgument, text).with_context("action", &deployment.spec.name)
        })
    }
}

impl Default for LocalBackend {
    fn default() -> Self {
        Self::new()
    }
}

/// An action that is deployed here: the one sandbox that it has.
struct Deployed {
    guest: Guest,
    entropy: Arc<Entropy>,
    /// Set once the guest has run or was made ready.
    started: AtomicBool,
    removed: AtomicBool,
    /// Held by whoever initialises.
    initialising: Mutex<()>,
}

/// How the guest came to be ready.
struct Start {
    kind: StartKind,
    wait: Duration,
    init: Duration,
}

impl Deployed {
    /// Initialises the guest unless it is; all but one caller wait for the one.
    async fn start(&self) -> (Start, Result<(), Outcome>) {
        let warm = Start { kind: StartKind::Warm, wait: Duration::ZERO, init: Duration::ZERO };
        if self.started.load(Ordering::Acquire) {
            return (warm, Ok(()));
        }
        let arrived = Instant::now();
        let _turn = self.initialising.lock().await;
        let wait = arrived.elapsed();
        if self.started.load(Ordering::Acquire) {
            return (Start { wait, ..warm }, Ok(()));
        }
        let began = Instant::now();
        let limit = self.guest.spec().limits.timeout;
        let ready =
            timeout(limit, self.guest.init()).await.unwrap_or_else(|_| Err(Outcome::init_timed_out(limit)));
        self.started.store(ready.is_ok(), Ordering::Release);
        (Start { kind: StartKind::Cold, wait, init: began.elapsed() }, ready)
    }

    fn call(&self, invocation: &Invocation, deadline: Instant) -> Call {
        Call {
            id: invocation.id,
            attempt: invocation.attempt,
            deadline: self.entropy.since_base(deadline),
            payload: invocation.payload.clone(),
            log_level: invocation.log_level,
        }
    }

    /// Runs in the caller's task.
    async fn run_here(&self, invocation: &Invocation, start: Instant) -> (Reply, Instant) {
        let limit = self.guest.spec().limits.timeout;
        let deadline = start + limit;
        let running = self.guest.run(self.call(invocation, deadline));
        Deadlined { running: Some(running), polled: Some(start), deadline, limit, sleep: None }.await
    }

    /// Runs on the blocking pool; what is left there after the deadline keeps the permit.
    async fn run_blocking(self: &Arc<Self>, invocation: Invocation, start: Instant) -> (Reply, Instant) {
        let limit = self.guest.spec().limits.timeout;
        let deadline = start + limit;
        let call = self.call(&invocation, deadline);
        let cx = self.guest.context(&call);
        let (deployed, thread_cx) = (Arc::clone(self), cx.clone());
        let runtime = tokio::runtime::Handle::current();
        let thread = tokio::task::spawn_blocking(move || {
            let _permit = invocation.permit;
            runtime.block_on(deployed.guest.run_in(thread_cx, call))
        });
        let reply = tokio::select! {
            biased;
            reply = thread => reply.unwrap_or_else(|error| {
                cx.close(Outcome::internal_error(format!("the blocking pool lost the action: {error}")))
            }),
            () = sleep_until(deadline) => cx.close(Outcome::timed_out(limit)),
        };
        in_time(reply, deadline, limit)
    }
}

#[async_trait]
impl Backend for LocalBackend {
    fn info(&self) -> &BackendInfo {
        &self.info
    }

    fn attach(&self, entropy: &Arc<Entropy>) {
        self.entropy.get_or_init(|| Arc::clone(entropy));
    }

    async fn deploy(&self, spec: Arc<ActionSpec>) -> Result<Deployment, Error> {
        self.check_open()?;
        spec.check()?;
        self.info.capability.check_timeout(spec.limits.timeout)?;
        let entropy = Arc::clone(self.entropy());
        let guest = Guest::new(Arc::clone(&spec), Arc::<Entropy>::clone(&entropy))?;
        let (started, removed) = (AtomicBool::new(false), AtomicBool::new(false));
        let deployed = Deployed { guest, entropy, started, removed, initialising: Mutex::new(()) };
        Ok(Deployment::new(spec, Arc::new(deployed)))
    }

    async fn invoke(&self, deployment: &Deployment, invocation: Invocation) -> Result<Completion, Error> {
        let deployed = self.deployed(deployment)?;
        if deployed.removed.load(Ordering::Relaxed) {
            let text =
                format!("action '{}' is removed from backend '{}'", deployment.spec.name, self.info.name);
            return Err(Error::new(ErrorKind::NotFound, text));
        }
        let (start, ready) = deployed.start().await;
        let began = if start.kind == StartKind::Warm && start.wait.is_zero() {
            invocation.admitted
        } else {
            Instant::now()
        };
        let (reply, ended) = match ready {
            Err(outcome) => (Reply { outcome, logs: Vec::new(), emitted: Vec::new() }, began),
            // A seed decides a run only where nothing runs on threads of its own.
            Ok(()) if deployment.spec.blocking && !deployed.entropy.is_seeded() => {
                deployed.run_blocking(invocation, began).await
            }
            Ok(()) => deployed.run_here(&invocation, began).await,
        };
        let Start { kind: start_kind, wait, init } = start;
        Ok(Completion {
            outcome: reply.outcome,
            start_kind,
            wait,
            create: Duration::ZERO,
            init,
            run: ended.saturating_duration_since(began),
            logs: reply.logs,
            emitted: reply.emitted,
            usage: Usage::default(),
        })
    }

    async fn ready(&self) {}

    async fn warm(&self, deployment: &Deployment, count: usize) -> Result<usize, Error> {
        let deployed = self.deployed(deployment)?;
        if count == 0 {
            return Ok(0);
        }
        match deployed.start().await.1 {
            Ok(()) => Ok(1),
            Err(outcome) => Err(Error::new(ErrorKind::InitFailed, outcome.error().unwrap_or_default())),
        }
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

/// The reply with the time it came, unless that is after the deadline: then it is too late to count.
fn in_time(reply: Reply, deadline: Instant, limit: Duration) -> (Reply, Instant) {
    let now = Instant::now();
    if now <= deadline {
        return (reply, now);
    }
    (Reply { outcome: Outcome::timed_out(limit), emitted: Vec::new(), ..reply }, now)
}

/// A run that ends at its deadline. The timer is made only for a run that waits.
struct Deadlined<'a> {
    running: Option<Running<'a>>,
    /// When the current poll began, where that is known without reading the clock.
    polled: Option<Instant>,
    deadline: Instant,
    limit: Duration,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Future for Deadlined<'_> {
    type Output = (Reply, Instant);

    fn poll(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<(Reply, Instant)> {
        let this = &mut *self;
        let Some(running) = this.running.as_mut() else { return Poll::Pending };
        let polled_at = this.polled.take().unwrap_or_else(Instant::now);
        if let Poll::Ready(reply) = pin!(running).poll(task) {
            let (reply, ended) = in_time(reply, this.deadline, this.limit);
            warn_of_blocking(polled_at, ended);
            return Poll::Ready((reply, ended));
        }
        let now = Instant::now();
        warn_of_blocking(polled_at, now);
        let deadline = this.deadline;
        let sleep = this.sleep.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        ready!(sleep.as_mut().poll(task));
        let Some(running) = this.running.take() else { return Poll::Pending };
        Poll::Ready((running.abandon(Outcome::timed_out(this.limit)), Instant::now()))
    }
}

fn warn_of_blocking(polled_at: Instant, now: Instant) {
    let blocked = now.saturating_duration_since(polled_at);
    if blocked > LocalBackend::BLOCKED_POLL {
        tracing::warn!(?blocked, "an action blocked its thread: mark it `blocking`");
    }
}
