//! Runs of an action in this process.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use super::LocalBackend;
use super::place::Start;
use crate::activation::StartKind;
use crate::backend::{Completion, Invocation};
use crate::context::Context;
use crate::entropy::Entropy;
use crate::guest::{Call, Guest, Reply, Running};
use crate::outcome::Outcome;
use crate::scheduler::Permit;

/// A guest and where its time comes from.
pub(super) struct Runner<'a> {
    pub(super) guest: &'a Guest,
    pub(super) entropy: &'a Entropy,
}

impl Runner<'_> {
    /// Runs the guest, which is ready.
    pub(super) async fn run(&self, invocation: &mut Invocation, start: &Start) -> Completion {
        let began = if start.kind == StartKind::Warm && start.wait.is_zero() {
            invocation.admitted
        } else {
            Instant::now()
        };
        // A seed decides a run only where nothing runs on threads of its own.
        let (reply, ended) = if self.guest.spec().blocking && !self.entropy.is_seeded() {
            self.run_blocking(invocation, began).await
        } else {
            self.run_here(invocation, began).await
        };
        start.completion(reply, ended.saturating_duration_since(began))
    }

    fn limit(&self) -> Duration {
        self.guest.spec().limits.timeout
    }

    fn call(&self, invocation: &mut Invocation, deadline: Instant) -> Call {
        Call {
            id: invocation.id,
            attempt: invocation.attempt,
            deadline: self.entropy.since_base(deadline),
            payload: std::mem::take(&mut invocation.payload),
            log_level: invocation.log_level,
        }
    }

    /// Runs in the caller's task.
    async fn run_here(&self, invocation: &mut Invocation, start: Instant) -> (Reply, Instant) {
        let limit = self.limit();
        let deadline = start + limit;
        let running = self.guest.run(self.call(invocation, deadline));
        Deadlined { running: Some(running), polled: Some(start), deadline, limit, sleep: None }.await
    }

    /// Runs on the blocking pool. What is left there after the deadline, or after the caller, keeps the permit;
    /// what has not begun by then never does.
    async fn run_blocking(&self, invocation: &mut Invocation, start: Instant) -> (Reply, Instant) {
        let limit = self.limit();
        let deadline = start + limit;
        let call = self.call(invocation, deadline);
        let permit = std::mem::replace(&mut invocation.permit, Permit::unlimited());
        let listening = Listening(self.guest.context(&call));
        let cx = listening.0.clone();
        let bound = Arc::clone(&cx.0.bound);
        let runtime = tokio::runtime::Handle::current();
        let thread = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            if cx.is_closed() { None } else { Some(runtime.block_on(bound.run(cx, call))) }
        });
        let cx = &listening.0;
        let reply = tokio::select! {
            biased;
            reply = thread => match reply {
                Ok(reply) => reply.unwrap_or_else(|| cx.close(Outcome::timed_out(limit))),
                Err(error) => cx.close(Outcome::internal_error(format!("the blocking pool lost the action: {error}"))),
            },
            () = sleep_until(deadline) => cx.close(Outcome::timed_out(limit)),
        };
        in_time(reply, deadline, limit)
    }
}

/// Somebody listens to a run on the blocking pool; when nobody does any more, it is closed.
struct Listening(Context);

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.0.close();
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
