//! Runs an action the way a backend does: erased, with JSON in and an outcome out.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::Duration;

use faas_core::action::BoxFuture;
use faas_core::context::Host;
use faas_core::guest::{Call, Guest};
use faas_core::{Action, ActionSet, ActivationId, Outcome, Payload, Timestamp};
use serde_json::Value;

struct Still;

impl Host for Still {
    fn wall(&self) -> Timestamp {
        Timestamp::from_millis(0)
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }

    fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }

    fn random(&self) -> u64 {
        4
    }
}

/// What `action` makes of `input`. The actions of these programs never wait.
pub(crate) fn run(action: impl Action, input: Value) -> Outcome {
    let spec = ActionSet::new().with(action).into_specs().remove(0);
    let guest = Guest::new(Arc::new(spec), Arc::new(Still)).expect("the action has code");
    let call = Call {
        id: ActivationId::from_u128(7),
        attempt: 1,
        deadline: Duration::from_secs(60),
        payload: Payload::from_value(&input).expect("an object"),
        log_level: tracing::level_filters::LevelFilter::INFO,
    };
    let Poll::Ready(reply) = pin!(guest.run(call)).poll(&mut TaskContext::from_waker(Waker::noop())) else {
        panic!("the action waits");
    };
    reply.outcome
}

/// The result of an action that succeeds.
pub(crate) fn result(action: impl Action, input: Value) -> Value {
    let outcome = run(action, input);
    assert!(outcome.is_success(), "{outcome:?}");
    outcome.result().to_value()
}
