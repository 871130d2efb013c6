//! One instance of a module: making it, initialising it, running it.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Poll, ready};

use faas_core::activation::Usage;
use faas_core::guest::wasi::Reply as ReplyKind;
use faas_core::outcome::MAX_RESULT;
use faas_core::sandbox::{InitError, RunOutput};
use faas_core::{Error, ErrorKind, Invocation, Outcome, Status};
use tokio::time::{Instant, Sleep, sleep_until};
use wasmtime::{
    Instance, Memory, ModuleExport, PoolConcurrencyLimitError, Store, StoreContextMut, Trap, TypedFunc,
    UpdateDeadline,
};
use wasmtime_wasi::I32Exit;

use crate::deployed::Deployed;
use crate::error;
use crate::host::limiter::Exhausted;
use crate::host::misuse::Misused;
use crate::host::{Ended, HostState, Reply};
use crate::module::Loaded;
use crate::ticker::Ticker;
use crate::workshop::Workshop;

/// The fuel that an instance begins with: more than it can use.
const FUEL: u64 = u64::MAX;

/// An instance, alone in its store.
pub(crate) struct Live {
    store: Store<HostState>,
    instance: Instance,
    memory: Memory,
    run: TypedFunc<(), ()>,
}

/// How a call into a guest ended.
enum Called {
    Returned,
    Failed(wasmtime::Error),
    /// Its time was over while it waited.
    Late,
}

impl Live {
    /// Makes an instance, which runs the module's start function if it has one.
    pub(crate) async fn make(
        workshop: &Workshop,
        ticker: &Ticker,
        loaded: &Loaded,
        action: Arc<Deployed>,
        began: Instant,
    ) -> Result<Self, InitError> {
        let deadline = began + action.spec.limits.timeout;
        let mut store = Store::new(workshop.engine(), HostState::new(action, deadline));
        store.limiter(|state| state);
        store.epoch_deadline_callback(at_epoch);
        store.set_epoch_deadline(1);
        if store.data().action.world.config.fuel {
            store.set_fuel(FUEL).map_err(internal)?;
        }
        let making = loaded.pre.instantiate_async(&mut store);
        let instance = match within(deadline, ticker, making).await {
            Some(Ok(instance)) => instance,
            Some(Err(source)) => return Err(not_instantiated(&mut store, source)),
            None => {
                let outcome = timed_out(&store);
                return Err(failed(&mut store, outcome));
            }
        };
        let memory = instance.get_module_export(&mut store, &loaded.memory).and_then(|it| it.into_memory());
        let run = function(&mut store, &instance, &loaded.run)?;
        let memory = memory.ok_or_else(|| internal(wasmtime::Error::msg("the module exports no memory")))?;
        store.data_mut().memory = Some(memory);
        Ok(Self { store, instance, memory, run })
    }

    /// Calls what has to be called before the first run.
    pub(crate) async fn init(&mut self, ticker: &Ticker, loaded: &Loaded) -> Result<(), InitError> {
        for (_, export) in &loaded.first {
            let function = function(&mut self.store, &self.instance, export)?;
            let called = self.call(ticker, &function).await;
            let reply = self.store.data_mut().take_reply();
            if let Some(outcome) = self.init_failure(called, reply) {
                return Err(failed(&mut self.store, outcome));
            }
        }
        Ok(())
    }

    async fn call(&mut self, ticker: &Ticker, function: &TypedFunc<(), ()>) -> Called {
        let deadline = self.store.data().deadline();
        // Epochs that passed while nothing ran are none of this call's.
        self.store.set_epoch_deadline(1);
        let calling = function.call_async(&mut self.store, ());
        match within(deadline, ticker, calling).await {
            Some(Ok(())) => Called::Returned,
            Some(Err(error)) => Called::Failed(error),
            None => Called::Late,
        }
    }

    /// Why the initialisation failed, if it did.
    fn init_failure(&self, called: Called, reply: Option<Reply>) -> Option<Outcome> {
        let state = self.store.data();
        match (called, reply) {
            (Called::Late, _) => Some(timed_out(&self.store)),
            (Called::Failed(_), _) if state.late => Some(timed_out(&self.store)),
            (_, Some(Reply { kind: ReplyKind::DeveloperError, bytes, .. })) => {
                Some(Outcome::developer_error(String::from_utf8_lossy(&bytes)))
            }
            (_, Some(Reply { kind: ReplyKind::Panicked, bytes, .. })) => {
                Some(Outcome::init_failed(&format!("it panicked: {}", String::from_utf8_lossy(&bytes))))
            }
            (_, Some(Reply { kind: ReplyKind::Result, bytes, length })) => {
                result(bytes, length).error().map(|error| Outcome::init_failed(&error))
            }
            (Called::Failed(error), _) => Some(not_initialised(&error)),
            (Called::Returned, _) => None,
        }
    }

    /// Runs the action once.
    pub(crate) async fn run(&mut self, ticker: &Ticker, invocation: &Invocation) -> RunOutput {
        let limit = self.store.data().action.spec.limits.timeout;
        let deadline = Instant::now() + limit;
        self.store.data_mut().begin(invocation, deadline);
        let run = self.run.clone();
        let called = self.call(ticker, &run).await;
        let state = self.store.data_mut();
        let late = state.late || matches!(called, Called::Late);
        if let Called::Failed(error) = &called
            && !late
            && let Some(trap) = notice(error)
        {
            state.notice(&trap);
        }
        let command = state.action.is_command();
        let exhausted = state.exhausted;
        let Ended { reply, logs, emitted, last_line } = state.end();
        let outcome = if late {
            Outcome::timed_out(limit)
        } else if command {
            of_command(&called, exhausted, last_line.map(|line| (line.bytes, line.length)))
        } else {
            of_guest(&called, exhausted, reply)
        };
        let emitted = if outcome.is_success() { emitted } else { Vec::new() };
        RunOutput { outcome, logs, emitted, usage: self.usage() }
    }

    fn usage(&self) -> Usage {
        // A memory never shrinks, so its size is the most that was used.
        let peak_memory = Some(self.memory.data_size(&self.store) as u64);
        let fuel = self.store.get_fuel().ok().map(|left| FUEL - left);
        Usage { peak_memory, fuel, ..Usage::default() }
    }

    /// Lets the next run count its own fuel.
    pub(crate) fn refuel(&mut self) {
        let _ = self.store.set_fuel(FUEL);
    }
}

/// Stops a guest whose time is over, and lets others have their turn.
fn at_epoch(mut store: StoreContextMut<'_, HostState>) -> wasmtime::Result<UpdateDeadline> {
    if Instant::now() >= store.data().deadline() {
        store.data_mut().late = true;
        return Ok(UpdateDeadline::Interrupt);
    }
    // Unlike a plain yield, tokio's lets timers and sockets be looked at first.
    Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now())))
}

/// Runs a call into a guest until the deadline; it has no timer until it has to wait.
async fn within<T>(deadline: Instant, ticker: &Ticker, call: impl Future<Output = T>) -> Option<T> {
    let mut call = pin!(call);
    let mut timer: Option<Pin<Box<Sleep>>> = None;
    poll_fn(|task| {
        ticker.guest_runs();
        if let Poll::Ready(done) = call.as_mut().poll(task) {
            return Poll::Ready(Some(done));
        }
        let timer = timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        ready!(timer.as_mut().poll(task));
        Poll::Ready(None)
    })
    .await
}

fn function(
    store: &mut Store<HostState>,
    instance: &Instance,
    export: &ModuleExport,
) -> Result<TypedFunc<(), ()>, InitError> {
    let function = instance.get_module_export(&mut *store, export).and_then(|it| it.into_func());
    let function = function.ok_or_else(|| internal(wasmtime::Error::msg("an export is no function")))?;
    function.typed::<(), ()>(&*store).map_err(internal)
}

fn internal(source: wasmtime::Error) -> InitError {
    error::caused(ErrorKind::Internal, "the instance cannot be used", source).into()
}

/// User code failed before its first run; what it logged is the log of that.
fn failed(store: &mut Store<HostState>, outcome: Outcome) -> InitError {
    InitError::Action { outcome, logs: store.data_mut().end().logs }
}

fn not_instantiated(store: &mut Store<HostState>, source: wasmtime::Error) -> InitError {
    if source.is::<PoolConcurrencyLimitError>() {
        let most = store.data().action.world.config.instances;
        let text = format!("all {most} instances are in use");
        return Error::new(ErrorKind::Exhausted, text).into();
    }
    if store.data().late {
        let outcome = timed_out(store);
        return failed(store, outcome);
    }
    let of_guest = source.is::<Trap>() || source.is::<Exhausted>() || source.is::<I32Exit>();
    if of_guest || source.is::<Misused>() {
        return failed(store, not_initialised(&source));
    }
    error::caused(ErrorKind::Internal, "the module cannot be instantiated", source).into()
}

fn timed_out(store: &Store<HostState>) -> Outcome {
    Outcome::init_timed_out(store.data().action.spec.limits.timeout)
}

fn not_initialised(error: &wasmtime::Error) -> Outcome {
    if error.is::<Exhausted>() {
        return Outcome::memory_exhausted();
    }
    match notice(error) {
        Some(trap) => Outcome::init_failed(&trap),
        None => Outcome::developer_error("The action did not initialize and exited unexpectedly."),
    }
}

/// What the log says of how a guest ended, unless its outcome does.
fn notice(error: &wasmtime::Error) -> Option<String> {
    if error.is::<Exhausted>() || error.is::<I32Exit>() {
        return None;
    }
    match error.downcast_ref::<Trap>() {
        // What a panic and an abort end with.
        Some(Trap::UnreachableCodeReached) => None,
        Some(trap) => Some(format!("the module trapped: {trap}")),
        None => Some(error::chain(error)),
    }
}

/// The outcome of a run of a guest.
fn of_guest(called: &Called, exhausted: bool, reply: Option<Reply>) -> Outcome {
    match (called, reply) {
        _ if exhausted => Outcome::memory_exhausted(),
        (_, Some(Reply { kind: ReplyKind::Panicked, bytes, .. })) => {
            Outcome::panicked(&String::from_utf8_lossy(&bytes))
        }
        // What it replied before it went wrong is not to be relied on.
        (Called::Failed(_) | Called::Late, _) | (Called::Returned, None) => Outcome::exited(),
        (Called::Returned, Some(Reply { kind, bytes, length })) => match kind {
            ReplyKind::Result => result(bytes, length),
            _ => Outcome::developer_error(String::from_utf8_lossy(&bytes)),
        },
    }
}

/// The outcome of a run of a command.
fn of_command(called: &Called, exhausted: bool, last_line: Option<(Vec<u8>, usize)>) -> Outcome {
    let ended_well = match called {
        Called::Returned => true,
        Called::Failed(error) => error.downcast_ref::<I32Exit>().is_some_and(|exit| exit.0 == 0),
        Called::Late => false,
    };
    match last_line {
        _ if exhausted => Outcome::memory_exhausted(),
        Some((bytes, length)) if ended_well => result(bytes, length),
        _ => Outcome::exited(),
    }
}

fn result(bytes: Vec<u8>, length: usize) -> Outcome {
    if length > MAX_RESULT {
        return Outcome::oversized(&bytes, length, MAX_RESULT);
    }
    Outcome::from_foreign_reply(bytes)
}

/// Whether the sandbox may run again.
pub(crate) fn is_clean(outcome: &Outcome) -> bool {
    matches!(outcome.status(), Status::Success | Status::ApplicationError)
}
