//! Tests of the scheduler, on tokio's paused clock.

mod admission;
#[allow(
    dead_code,
    unreachable_pub,
    clippy::duplicate_mod,
    reason = "it takes in the scheduler's files, of which it uses a part"
)]
mod model;
mod order;
mod property;

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use super::{AdmitRequest, Order, Permit, Scheduler, SchedulerConfig, Ticket};
use crate::backend::Capacity;
use crate::error::ErrorKind;

/// A scheduler of `slots` slots in an order.
fn slots(slots: u32, policy: Order) -> Scheduler {
    let config = SchedulerConfig { policy, ..SchedulerConfig::default() };
    Scheduler::new(Capacity::Slots(slots), config)
}

/// A request of one unit by a namespace.
fn request(namespace: &str) -> AdmitRequest<'_> {
    AdmitRequest { namespace, weight: 1, deadline: None, expected_run: Duration::ZERO, accepted: false }
}

/// A place in the queue, which must not be granted at once.
fn queue(scheduler: &Scheduler, request: AdmitRequest<'_>) -> Ticket {
    let ticket = scheduler.enqueue(request).unwrap();
    assert!(!ticket.is_granted(), "there was room");
    ticket
}

/// What a ticket says now.
async fn answer(ticket: &mut Ticket) -> Option<Result<Permit, ErrorKind>> {
    poll_fn(|cx| {
        Poll::Ready(match Pin::new(&mut *ticket).poll(cx) {
            Poll::Ready(answer) => Some(answer.map_err(|error| error.kind())),
            Poll::Pending => None,
        })
    })
    .await
}
