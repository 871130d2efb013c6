//! A backend over any pool.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, Sleep, sleep_until};

use super::{Backend, BackendInfo, Capability, Capacity, Completion, Deployment, Health, Invocation};
use crate::action::{ActionSpec, BoxFuture};
use crate::activation::{StartKind, Usage};
use crate::entropy::Entropy;
use crate::error::{Error, ErrorKind};
use crate::outcome::{Outcome, Status};
use crate::pool::{AcquireRequest, ContainerPool, Lease, Origin, PoolConfig, StartFailed, WarmPool};
use crate::sandbox::{RunOutput, Sandbox, SandboxFactory};

#[cfg(test)]
mod tests;

/// A backend that runs actions in the sandboxes of a pool.
///
/// # Behavior
/// - A run that does not stop at the action's timeout by itself is dropped, without its logs, once
///   [`Capability::timeout_granularity`] is over too.
/// - An initialisation that fails is the activation's developer error, with its logs.
/// - A sandbox is used again after a success and an application error, and destroyed after anything else. That of an
///   action that needs a fresh one each time ([`ActionSpec::FRESH_SANDBOX`]) is always destroyed.
/// - A sandbox that is lost before user code can have started there, which is a temporary `SandboxLost`, is destroyed, and
///   the invocation gets another one while it may wait for one: in the place of each that was warm, and of two that were
///   made for it. All of that is one attempt, and the time is waiting.
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
    pub fn warm(name: impl Into<String>, capability: Capability, factory: F, mut config: PoolConfig) -> Self {
        config.init_grace = config.init_grace.max(capability.timeout_granularity);
        let info = BackendInfo { name: name.into(), capability, capacity: Capacity::Memory(config.memory) };
        Self::new(info, WarmPool::new(factory, config))
    }
}

/// What a deployment of a pooled backend keeps.
struct Deployed {
    backend: Arc<()>,
    /// Whether each activation needs a sandbox that nothing ran in before.
    fresh: bool,
    /// Set before its sandboxes are removed: an invocation that comes later destroys its own.
    removed: AtomicBool,
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
            fresh: spec.needs_fresh_sandbox(),
            removed: AtomicBool::new(false),
        };
        Ok(Deployment::new(spec, state))
    }

    // Written out, because the macro would keep the invocation twice in the future.
    fn invoke<'a, 'b, 'c>(
        &'a self,
        deployment: &'b Deployment,
        invocation: Invocation,
    ) -> BoxFuture<'c, Result<Completion, Error>>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        Box::pin(async move {
            let deployed = self.deployed(deployment)?;
            let spec = &deployment.spec;
            let mut lost = Lost::default();
            loop {
                let acquired = {
                    let namespace = invocation.namespace(spec);
                    let request = AcquireRequest { spec, namespace, deadline: invocation.start_by };
                    self.pool.acquire(&request).await
                };
                let lease = match acquired {
                    Ok(lease) => lease,
                    Err(error) if lost.is_replaced(&error, StartKind::Cold, &invocation) => continue,
                    Err(error) => return not_started(error, spec, &invocation),
                };
                let begun = Instant::now();
                let mut attempt = Attempt { output: None, timer: None };
                {
                    let mut run = pin!(lease.sandbox().run(&invocation));
                    let grace = self.info.capability.timeout_granularity;
                    let end = || begun.checked_add(spec.limits.timeout.saturating_add(grace));
                    poll_fn(|task| attempt.poll(run.as_mut(), end, task)).await;
                }
                let ended = Instant::now();
                let mut origin = lease.origin();
                // The invocation, and with it the permit, is dropped last.
                let output = match attempt.output {
                    Some(Ok(output)) => output,
                    Some(Err(error)) if lost.is_replaced(&error, origin.start_kind, &invocation) => continue,
                    Some(Err(error)) => return Err(failed(error, spec)),
                    None => without_logs(Outcome::timed_out(spec.limits.timeout)),
                };
                let reusable = matches!(output.outcome.status(), Status::Success | Status::ApplicationError);
                if reusable && !deployed.fresh && !deployed.removed.load(Ordering::Acquire) {
                    lease.keep_at(ended);
                } else {
                    drop(lease);
                }
                origin.wait += lost.wait;
                return Ok(completed(output, origin, ended.saturating_duration_since(begun)));
            }
        })
    }

    async fn ready(&self) {
        self.pool.ready().await;
    }

    async fn warm(&self, deployment: &Deployment, count: usize) -> Result<usize, Error> {
        let deployed = self.deployed(deployment)?;
        let spec = &deployment.spec;
        if deployed.removed.load(Ordering::Acquire) {
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
        deployed.removed.store(true, Ordering::Release);
        self.pool.remove(&deployment.spec).await;
        self.pool.removed(&deployment.spec).await;
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

/// How many sandboxes that were made for it an invocation may lose: with the last of them it fails. Arbitrary; there is
/// little hope where one after the other does not live to run anything.
const MOST_LOST: u32 = 3;

/// The sandboxes that an invocation has lost before user code could start there.
#[derive(Default)]
struct Lost {
    /// How many of them had not run anything.
    fresh: u32,
    /// What that took.
    wait: Duration,
}

impl Lost {
    /// Counts a sandbox of that kind which was lost with this error, and tells whether the invocation gets another one.
    /// Those that are warm are not bounded, because there is an end of them.
    fn is_replaced(&mut self, error: &Error, kind: StartKind, invocation: &Invocation) -> bool {
        if error.kind() != ErrorKind::SandboxLost || !error.is_temporary() {
            return false;
        }
        let now = Instant::now();
        self.wait = now.saturating_duration_since(invocation.admitted);
        self.fresh += u32::from(kind != StartKind::Warm);
        self.fresh < MOST_LOST && now < invocation.start_by
    }
}

/// A run with an end. It keeps its output in place, and has no timer until it has to wait.
struct Attempt {
    /// `None` while it runs, and if its time is over.
    output: Option<Result<RunOutput, Error>>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Attempt {
    /// Polls the run, then the timer; it is set when the run has to wait. A panic of the run is an internal error.
    fn poll(
        &mut self,
        run: Pin<&mut impl Future<Output = Result<RunOutput, Error>>>,
        end: impl FnOnce() -> Option<Instant>,
        task: &mut Context<'_>,
    ) -> Poll<()> {
        let output = &mut self.output;
        let polled = catch_unwind(AssertUnwindSafe(|| run.poll(task).map(|ran| *output = Some(ran))));
        match polled {
            Ok(Poll::Ready(())) => return Poll::Ready(()),
            Ok(Poll::Pending) => {}
            Err(_) => {
                self.output = Some(Err(Error::new(ErrorKind::Internal, "the sandbox panicked")));
                return Poll::Ready(());
            }
        }
        if self.timer.is_none() {
            self.timer = end().map(|end| Box::pin(sleep_until(end)));
        }
        self.timer.as_mut().map_or(Poll::Pending, |timer| timer.as_mut().poll(task))
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
    let Some(start) = source.and_then(|source| source.downcast_ref::<StartFailed>()) else {
        let (wait, create) = (Duration::ZERO, Duration::ZERO);
        let origin = Origin { start_kind: StartKind::Cold, wait, create, init: elapsed };
        let output = without_logs(Outcome::developer_error(error.message()));
        return Ok(completed(output, origin, Duration::ZERO));
    };
    let wait = elapsed.saturating_sub(start.create + start.init);
    let origin = Origin { start_kind: start.start_kind, wait, create: start.create, init: start.init };
    let output = RunOutput { logs: start.logs.clone(), ..without_logs(start.outcome.clone()) };
    Ok(completed(output, origin, Duration::ZERO))
}

fn without_logs(outcome: Outcome) -> RunOutput {
    RunOutput { outcome, logs: Vec::new(), emitted: Vec::new(), usage: Usage::default() }
}

fn completed(output: RunOutput, origin: Origin, run: Duration) -> Completion {
    let Origin { start_kind, wait, create, init } = origin;
    let RunOutput { outcome, logs, emitted, usage } = output;
    Completion { outcome, start_kind, wait, create, init, run, logs, emitted, usage }
}
