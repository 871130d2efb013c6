//! Mock stems and sandboxes.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use faas_core::activation::Usage;
use faas_core::guest::{Call, Guest, Reply};
use faas_core::sandbox::{RunOutput, Sandbox};
use faas_core::{ActionSpec, Entropy, Error, ErrorKind, Invocation, Outcome};
use tokio::time::{Instant, sleep_until, timeout};

use super::ledger::{Presence, Step};
use super::script::Operation;

/// A mock that is up and bound to nothing.
pub struct MockStem {
    presence: Presence,
}

impl MockStem {
    pub(super) fn new(mut presence: Presence) -> Self {
        presence.note(Step::Created);
        presence.set_may_leave(false);
        Self { presence }
    }

    /// What is left when the stem is used up: it may fail to become a sandbox.
    pub(super) fn into_presence(mut self) -> Presence {
        self.presence.set_may_leave(true);
        self.presence
    }
}

/// A mock that is bound to an action.
pub struct MockSandbox {
    presence: Presence,
    guest: Arc<Guest>,
    entropy: Arc<Entropy>,
    /// The first invocation's; every later one must have the same.
    namespace: OnceLock<String>,
    running: AtomicU32,
    lost: AtomicBool,
    paused: bool,
}

impl MockSandbox {
    pub(super) fn new(
        presence: Presence,
        spec: &Arc<ActionSpec>,
        entropy: Arc<Entropy>,
    ) -> Result<Self, Error> {
        let guest = Arc::new(Guest::new(Arc::clone(spec), Arc::<Entropy>::clone(&entropy))?);
        Ok(Self {
            presence,
            guest,
            entropy,
            namespace: OnceLock::new(),
            running: AtomicU32::new(0),
            lost: AtomicBool::new(false),
            paused: false,
        })
    }

    pub(super) async fn init(&self, limit: Duration) -> Result<(), Reply> {
        let mut init = self.guest.init();
        let built = timeout(limit, &mut init).await;
        built.unwrap_or_else(|_| Err(init.abandon(Outcome::init_timed_out(limit))))
    }

    /// It is made: from now on it has to be destroyed.
    pub(super) fn settle(mut self) -> Self {
        self.presence.note(Step::Initialised);
        self.presence.set_may_leave(false);
        self
    }

    /// Its number, from 1 in the order of making.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.presence.id
    }

    /// Performs an operation on a sandbox that may be lost, before or by it.
    async fn perform(&self, operation: Operation) -> Result<(), Error> {
        if self.lost.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::SandboxLost, format!("mock {} is lost", self.number())));
        }
        let performed = self.presence.shared.perform(operation).await;
        if performed.as_ref().is_err_and(|error| error.kind() == ErrorKind::SandboxLost) {
            self.lost.store(true, Ordering::Relaxed);
        }
        performed
    }

    /// Writes down what no pool may ask for.
    fn check(&self, invocation: &Invocation, running: u32) {
        let accuse = |violation: String| self.presence.shared.ledger.accuse(self.number(), &violation);
        if self.paused {
            accuse("run while it was paused".to_owned());
        }
        let most = self.guest.spec().limits.concurrency;
        if running > most {
            accuse(format!("{running} runs at once where {most} are allowed"));
        }
        let namespace = invocation.namespace(self.guest.spec());
        let first = self.namespace.get_or_init(|| namespace.to_owned());
        if first != namespace {
            accuse(format!("run for namespace {namespace} after {first}"));
        }
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

    async fn run_here(&self, call: Call, deadline: Instant) -> Reply {
        let mut running = self.guest.run(call);
        tokio::select! {
            biased;
            reply = &mut running => return reply,
            () = sleep_until(deadline) => {}
        }
        running.abandon(Outcome::timed_out(self.guest.spec().limits.timeout))
    }

    /// Runs an action that blocks its thread where that holds up nobody; what it logs after the deadline is lost
    /// with all else.
    async fn run_blocking(&self, call: Call, deadline: Instant) -> Reply {
        let guest = Arc::clone(&self.guest);
        let runtime = tokio::runtime::Handle::current();
        let thread = tokio::task::spawn_blocking(move || runtime.block_on(guest.run(call)));
        let outcome = tokio::select! {
            biased;
            reply = thread => match reply {
                Ok(reply) => return reply,
                Err(error) => Outcome::internal_error(format!("the mock's thread was lost: {error}")),
            },
            () = sleep_until(deadline) => Outcome::timed_out(self.guest.spec().limits.timeout),
        };
        Reply { outcome, logs: Vec::new(), emitted: Vec::new() }
    }
}

impl Sandbox for MockSandbox {
    async fn run(&self, invocation: &Invocation) -> Result<RunOutput, Error> {
        let run = Run::begin(self);
        self.check(invocation, run.count);
        self.perform(Operation::Run).await?;
        let limit = self.guest.spec().limits.timeout;
        let deadline = Instant::now() + limit;
        let call = self.call(invocation, deadline);
        let reply = if self.guest.spec().blocking && !self.entropy.is_seeded() {
            self.run_blocking(call, deadline).await
        } else {
            self.run_here(call, deadline).await
        };
        drop(run);
        let Reply { mut outcome, logs, mut emitted } = reply;
        // An action that never awaited can be late without having been stopped.
        if Instant::now() > deadline {
            outcome = Outcome::timed_out(limit);
            emitted.clear();
        }
        Ok(RunOutput { outcome, logs, emitted, usage: Usage::default() })
    }

    async fn pause(&mut self) -> Result<(), Error> {
        self.perform(Operation::Pause).await?;
        self.presence.note(Step::Paused);
        self.paused = true;
        Ok(())
    }

    async fn resume(&mut self) -> Result<(), Error> {
        self.perform(Operation::Resume).await?;
        self.presence.note(Step::Resumed);
        self.paused = false;
        Ok(())
    }

    async fn destroy(self) {
        self.presence.end(Operation::Destroy).await;
    }
}

/// A run in progress, however it ends.
struct Run<'a> {
    sandbox: &'a MockSandbox,
    count: u32,
}

impl<'a> Run<'a> {
    fn begin(sandbox: &'a MockSandbox) -> Self {
        let count = sandbox.running.fetch_add(1, Ordering::Relaxed) + 1;
        sandbox.presence.note(Step::RunBegan);
        Self { sandbox, count }
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        self.sandbox.running.fetch_sub(1, Ordering::Relaxed);
        self.sandbox.presence.note(Step::RunEnded);
    }
}
