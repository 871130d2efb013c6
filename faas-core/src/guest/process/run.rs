//! Running an action until its deadline.

#[cfg(feature = "guest-http")]
use std::collections::BTreeMap;
#[cfg(feature = "guest-lambda")]
use std::io;
use std::sync::Arc;
#[cfg(feature = "guest-lambda")]
use std::sync::OnceLock;
use std::time::Duration;

use tokio::runtime::Handle;
#[cfg(feature = "guest-lambda")]
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

#[cfg(feature = "guest-lambda")]
use super::Watch;
use super::{Output, ProcessHost};
use crate::context::{Context, Host};
use crate::guest::{Call, Guest, Reply, Running};
use crate::outcome::Outcome;

/// How long after its deadline an action may take to stop by itself, and to be dropped, before it is given up. Arbitrary.
#[cfg(feature = "guest-lambda")]
const GRACE: Duration = Duration::from_millis(50);

/// Runs the action on this thread, or on one of its own if it blocks, with the variables that it is `told`. One that never awaits holds the program up: the
/// host has to end it.
#[cfg(feature = "guest-http")]
pub(in crate::guest) async fn run(
    guest: &Guest,
    call: Call,
    told: BTreeMap<String, String>,
    host: &ProcessHost,
    output: &'static Output,
) -> Reply {
    let limit = guest.spec().limits.timeout;
    let deadline = deadline(&call, host);
    let mut cx = guest.context(&call);
    if let Some(inner) = Arc::get_mut(&mut cx.0) {
        inner.told = told;
    }
    let began = output.begin(Arc::clone(&cx.0));
    let reply = if guest.spec().blocking {
        let (bound, context) = (Arc::clone(&cx.0.bound), cx.clone());
        let code = async move { bound.run(context, call).await };
        // What is left on its thread goes on unheard, and ends with the sandbox.
        answered(&cx, aside(code), deadline, limit).await
    } else {
        run_here(cx.0.bound.run(cx.clone(), call), deadline, limit).await
    };
    drop(began);
    reply
}

/// Runs the action on this thread, or on one of its own if it blocks. One that neither ends nor awaits in time is replied
/// to by `late`, on the thread of the watch, and this never ends. What does not stop goes on unheard.
#[cfg(feature = "guest-lambda")]
pub(in crate::guest) async fn run_watched(
    guest: &Guest,
    call: Call,
    host: &ProcessHost,
    output: &'static Output,
    watch: &Watch,
    late: impl FnOnce(Reply) + Send + 'static,
) -> Reply {
    let limit = guest.spec().limits.timeout;
    let deadline = deadline(&call, host);
    let cx = guest.context(&call);
    let began = output.begin(Arc::clone(&cx.0));
    let reply = if guest.spec().blocking {
        let (bound, context) = (Arc::clone(&cx.0.bound), cx.clone());
        let code = async move { run_here(bound.run(context, call), deadline, limit).await };
        answered(&cx, aside(code), deadline + GRACE, limit).await
    } else {
        let held = cx.clone();
        let late = move || late(held.close(Outcome::timed_out(limit)));
        let watched = watch.begin(deadline + GRACE, late);
        let reply = run_here(cx.0.bound.run(cx.clone(), call), deadline, limit).await;
        if !watched.end() {
            return std::future::pending().await;
        }
        reply
    };
    drop(began);
    reply
}

/// Builds the action's state, if it has any, within the action's timeout. That is done on the thread that watches runs: no
/// run is there to be watched before, nor where it does not end.
///
/// # Errors
/// Where no thread can be started. In the result, the developer error of an initialisation that failed, or took too long,
/// with what it logged.
#[cfg(feature = "guest-lambda")]
pub(in crate::guest) async fn init_aside(
    guest: &Arc<Guest>,
    output: &'static Output,
) -> io::Result<(&'static Watch, Result<(), Reply>)> {
    if !guest.needs_init() {
        return Ok((Watch::start(|| {})?, Ok(())));
    }
    let limit = guest.spec().limits.timeout;
    let (building, scope) = (Arc::clone(guest), Arc::new(OnceLock::new()));
    let entered = Arc::clone(&scope);
    let code = async move {
        let mut init = building.init();
        let cx = init.context().map(|cx| entered.get_or_init(|| cx.clone()));
        let _began = cx.map(|cx| output.begin(Arc::clone(&cx.0)));
        let built = tokio::time::timeout(limit, &mut init).await;
        built.unwrap_or_else(|_| Err(init.abandon(Outcome::init_timed_out(limit))))
    };
    let (runtime, (done, built)) = (Handle::current(), oneshot::channel());
    let watch = Watch::start(move || {
        // Nobody listens any more where it took too long.
        let _ = done.send(runtime.block_on(code));
    })?;
    let lost = tokio::select! {
        biased;
        built = built => match built {
            Ok(built) => return Ok((watch, built)),
            Err(lost) => Outcome::internal_error(format!("the action's thread was lost: {lost}")),
        },
        () = tokio::time::sleep(limit + GRACE) => Outcome::init_timed_out(limit),
    };
    let failed = match scope.get() {
        Some(cx) => cx.close(lost),
        None => Reply::of(lost),
    };
    Ok((watch, Err(failed)))
}

/// The reply of a run on another thread or, once its deadline is over, that it ran out of time.
async fn answered(
    cx: &Context,
    run: impl Future<Output = Result<Reply, Outcome>>,
    deadline: Instant,
    limit: Duration,
) -> Reply {
    tokio::select! {
        biased;
        reply = run => reply.unwrap_or_else(|lost| cx.close(lost)),
        () = sleep_until(deadline) => cx.close(Outcome::timed_out(limit)),
    }
}

/// Runs it on another thread; an error when that is lost.
async fn aside<T: Send + 'static>(code: impl Future<Output = T> + Send + 'static) -> Result<T, Outcome> {
    let runtime = Handle::current();
    let done = tokio::task::spawn_blocking(move || runtime.block_on(code)).await;
    done.map_err(|error| Outcome::internal_error(format!("the action's thread was lost: {error}")))
}

/// When the run of `call` has to end, on the runtime's clock.
fn deadline(call: &Call, host: &ProcessHost) -> Instant {
    Instant::now() + call.deadline.saturating_sub(host.monotonic())
}

async fn run_here(mut running: Running<'_>, deadline: Instant, limit: Duration) -> Reply {
    tokio::select! {
        biased;
        reply = &mut running => return reply,
        () = sleep_until(deadline) => {}
    }
    running.abandon(Outcome::timed_out(limit))
}
