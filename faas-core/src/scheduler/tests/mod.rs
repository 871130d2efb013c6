//! Tests of the scheduler, on tokio's paused clock.

mod admission;

use std::time::Duration;

use super::{AdmitRequest, Order, Scheduler, SchedulerConfig, Ticket};
use crate::backend::Capacity;

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
