//! A backend over any pool.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::{Backend, BackendInfo, Capability, Capacity, Completion, Deployment, Health, Invocation};
use crate::action::ActionSpec;
use crate::activation::{StartKind, Usage};
use crate::entropy::Entropy;
use crate::error::{Error, ErrorKind};
use crate::outcome::{Outcome, Status};
use crate::pool::{AcquireRequest, ContainerPool, Lease, Origin, PoolConfig, StartFailed, WarmPool};
use crate::sandbox::{RunOutput, Sandbox, SandboxFactory};

/// A backend that runs actions in the sandboxes of a pool.
///
/// # Behavior
/// - A run that does not stop at the action's timeout by itself is dropped, without its logs, once
///   [`Capability::timeout_granularity`] is over too.
/// - A sandbox is used again after a success and an application error, and destroyed after anything else.
/// - A sandbox is returned before the permit is.
pub struct Pooled<P> {
    info: BackendInfo,
    pool: P,
    closed: AtomicBool,
    /// What its deployments are recognised by.
    identity: Arc<()>,
}

impl<P: ContainerPool> Pooled<P> {
    /// A backend over `pool`.
    #[must_use]
    pub fn new(info: BackendInfo, pool: P) -> Self {
        Self { info, pool, closed: AtomicBool::new(false), identity: Arc::new(()) }
    }

    /// The pool.
    pub fn pool(&self) -> &P {
        &self.pool
    }

    fn check_open(&self) -> Result<(), Error> {
        if self.closed.load(Ordering::Acquire) {
            let text = format!("backend '{}' is shut down", self.info.name);
            return Err(Error::new(ErrorKind::Closed, text));
        }
        Ok(())
    }

    fn deployed<'a>(&self, deployment: &'a Deployment) -> Result<&'a Deployed, Error> {
        self.check_open()?;
        let deployed = deployment.state::<Deployed>();
        deployed.filter(|deployed| Arc::ptr_eq(&deployed.backend, &self.identity)).ok_or_else(|| {
            let text = format!("the deployment is not one of backend '{}'", self.info.name);
            Error::new(ErrorKind::InvalidArgument, text).with_context("action", &deployment.spec.name)
        })
    }

    fn check(&self, spec: &ActionSpec) -> Result<(), Error> {
        spec.check()?;
        self.info.capability.check_timeout(spec.limits.timeout)?;
        match self.info.capacity {
            Capacity::Memory(budget) if spec.limits.memory > budget => {
                let text = format!("memory {} is over the backend's {budget}", spec.limits.memory);
                Err(Error::new(ErrorKind::Unsupported, text))
            }
            Capacity::Memory(_) | Capacity::Slots(_) => Ok(()),
        }
    }
}

impl<F: SandboxFactory> Pooled<WarmPool<F>> {
    /// A backend over a [`WarmPool`] of the factory's sandboxes, with room for what the pool's memory holds.
    #[must_use]
    pub fn warm(name: impl Into<String>, capability: Capability, factory: F, config: PoolConfig) -> Self {
        let info = BackendInfo { name: name.into(), capability, capacity: Capacity::Memory(config.memory) };
        Self::new(info, WarmPool::new(factory, config))
    }
}

/// What a deployment of a pooled backend keeps. Its orderings are sequential: whoever removes it sets
/// `removed` and then reads `running`, and a run that ends does the reverse.
struct Deployed {
    backend: Arc<()>,
    removed: AtomicBool,
    running: AtomicUsize,
    idle: Notify,
}

/// An invocation that counts as running.
struct Running<'a>(&'a Deployed);

impl Deployed {
    fn enter(&self) -> Running<'_> {
        self.running.fetch_add(1, Ordering::SeqCst);
        Running(self)
    }

    async fn until_idle(&self) {
        loop {
            let mut idle = pin!(self.idle.notified());
            idle.as_mut().enable();
            if self.running.load(Ordering::SeqCst) == 0 {
                return;
            }
            idle.await;
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let was_last = self.0.running.fetch_sub(1, Ordering::SeqCst) == 1;
        if was_last && self.0.removed.load(Ordering::SeqCst) {
            self.0.idle.notify_waiters();
        }
    }
}

#[async_trait]
impl<P: ContainerPool> Backend for Pooled<P> {
    fn info(&self) -> &BackendInfo {
        &self.info
    }

    fn attach(&self, entropy: &Arc<Entropy>) {
        self.pool.attach(entropy);
    }

    async fn deploy(&self, spec: Arc<ActionSpec>) -> Result<Deployment, Error> {
        self.check_open()?;
        let refused = |error: Error| error.with_operation("deploy").with_context("action", &spec.name);
        self.check(&spec).map_err(refused)?;
        self.pool.prepare(&spec).await.map_err(refused)?;
        let state = Deployed {
            backend: Arc::clone(&self.identity),
            removed: AtomicBool::new(false),
            running: AtomicUsize::new(0),
            idle: Notify::new(),
        };
        Ok(Deployment::new(spec, state))
    }

    async fn invoke(&self, deployment: &Deployment, invocation: Invocation) -> Result<Completion, Error> {
        let deployed = self.deployed(deployment)?;
        let running = deployed.enter();
        let spec = &deployment.spec;
        let request =
            AcquireRequest { spec, namespace: invocation.namespace(spec), deadline: invocation.start_by };
        let lease = match self.pool.acquire(&request).await {
            Ok(lease) => lease,
            Err(error) => return not_started(error, spec, &invocation),
        };
        let origin = lease.origin();
        let begun = Instant::now();
        let timeout = spec.limits.timeout;
        let grace = self.info.capability.timeout_granularity;
        let ran = within(timeout.saturating_add(grace), begun, lease.sandbox().run(&invocation)).await;
        let run = begun.elapsed();
        let output = match ran {
            Ran::Done(output) => output.map_err(|error| failed(error, spec))?,
            Ran::OutOfTime => RunOutput {
                outcome: Outcome::timed_out(timeout),
                logs: Vec::new(),
                emitted: Vec::new(),
                usage: Usage::default(),
            },
        };
        let reusable = matches!(output.outcome.status(), Status::Success | Status::ApplicationError);
        if reusable && !deployed.removed.load(Ordering::SeqCst) {
            lease.keep();
        } else {
            drop(lease);
        }
        drop(running);
        drop(invocation);
        Ok(completed(output, origin, run))
    }

    async fn ready(&self) {
        self.pool.ready().await;
    }

    async fn warm(&self, deployment: &Deployment, count: usize) -> Result<usize, Error> {
        let deployed = self.deployed(deployment)?;
        let spec = &deployment.spec;
        if deployed.removed.load(Ordering::SeqCst) {
            let text = format!("action '{}' was removed from backend '{}'", spec.name, self.info.name);
            return Err(Error::new(ErrorKind::NotFound, text).with_operation("warm"));
        }
        self.pool
            .warm(spec, spec.name.namespace(), count)
            .await
            .map_err(|error| error.with_operation("warm").with_context("action", &spec.name))
    }

    async fn remove(&self, deployment: &Deployment) -> Result<(), Error> {
        let deployed = self.deployed(deployment)?;
        deployed.removed.store(true, Ordering::SeqCst);
        self.pool.remove(&deployment.spec).await;
        deployed.until_idle().await;
        // What ran until now is being destroyed.
        self.pool.remove(&deployment.spec).await;
        Ok(())
    }

    async fn health(&self) -> Health {
        let problem = self.check_open().err().map(|error| error.message().to_owned());
        Health { problem, pool: Some(self.pool.stats()) }
    }

    async fn shutdown(&self) -> Result<(), Error> {
        self.closed.store(true, Ordering::Release);
        self.pool.drain().await;
        Ok(())
    }
}

enum Ran {
    Done(Result<RunOutput, Error>),
    OutOfTime,
}

/// Polls `run` until `limit` after `begun`. A panic of it is an internal error. The timer is only set once
/// the run has to wait.
async fn within(limit: Duration, begun: Instant, run: impl Future<Output = Result<RunOutput, Error>>) -> Ran {
    let mut run = pin!(run);
    let mut run = poll_fn(move |task| match catch_unwind(AssertUnwindSafe(|| run.as_mut().poll(task))) {
        Ok(polled) => polled,
        Err(_) => Poll::Ready(Err(Error::new(ErrorKind::Internal, "the sandbox panicked"))),
    });
    let at_once = poll_fn(|task| Poll::Ready(pin!(&mut run).poll(task))).await;
    if let Poll::Ready(result) = at_once {
        return Ran::Done(result);
    }
    let Some(end) = begun.checked_add(limit) else { return Ran::Done(run.await) };
    tokio::select! {
        biased;
        result = &mut run => Ran::Done(result),
        () = sleep_until(end) => Ran::OutOfTime,
    }
}

fn failed(error: Error, spec: &ActionSpec) -> Error {
    error.with_operation("invoke").with_context("action", &spec.name)
}

/// What is made of a request for a sandbox that failed: user code that did not initialise is an outcome.
fn not_started(error: Error, spec: &ActionSpec, invocation: &Invocation) -> Result<Completion, Error> {
    if error.kind() != ErrorKind::InitFailed {
        return Err(failed(error, spec));
    }
    let elapsed = invocation.admitted.elapsed();
    let source = std::error::Error::source(&error);
    let origin = match source.and_then(|source| source.downcast_ref::<StartFailed>()) {
        Some(start) => {
            let wait = elapsed.saturating_sub(start.create + start.init);
            Origin { start_kind: start.start_kind, wait, create: start.create, init: start.init }
        }
        None => Origin {
            start_kind: StartKind::Cold,
            wait: Duration::ZERO,
            create: Duration::ZERO,
            init: elapsed,
        },
    };
    let output = RunOutput {
        outcome: Outcome::developer_error(error.message()),
        logs: Vec::new(),
        emitted: Vec::new(),
        usage: Usage::default(),
    };
    Ok(completed(output, origin, Duration::ZERO))
}

fn completed(output: RunOutput, origin: Origin, run: Duration) -> Completion {
    let Origin { start_kind, wait, create, init } = origin;
    let RunOutput { outcome, logs, emitted, usage } = output;
    Completion { outcome, start_kind, wait, create, init, run, logs, emitted, usage }
}
