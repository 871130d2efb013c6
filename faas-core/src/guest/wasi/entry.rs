//! What the exports of a module do.

use std::any::Any;
use std::cell::OnceCell;
use std::future::Future;
use std::panic::PanicHookInfo;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tracing::level_filters::LevelFilter;

use super::{HEADER, Reply, abi};
use crate::action::{ActionSet, ActionSpec, BoxFuture};
use crate::activation::ActivationId;
use crate::artifact::Description;
use crate::context::Host;
use crate::guest::bound::Asked;
use crate::guest::executor::{self, Sleep};
use crate::guest::{Call, Guest, Spec};
use crate::log::{Stream, level_of_number};
use crate::outcome::{Outcome, Status};
use crate::payload::Payload;
use crate::units::Timestamp;

/// The version of the interface that this guest speaks.
const ABI: u32 = 1;

thread_local! {
    /// The one action that this instance runs.
    static GUEST: OnceCell<Guest> = const { OnceCell::new() };
}

/// Replies with the description of the actions.
pub fn describe(actions: fn() -> ActionSet) {
    std::panic::set_hook(Box::new(panicked));
    let description = serde_json::to_vec(&Description::of(actions(), ABI));
    abi::reply(Reply::Description, &description.unwrap_or_default());
}

/// Builds the shared state, or replies with the reason why it cannot be built.
pub fn init(actions: fn() -> ActionSet) {
    let header = Header(abi::call());
    with_guest(actions, &header, |guest| {
        if let Err(reply) = block_on(guest.init()) {
            send(&reply.outcome);
        }
    });
}

/// Runs the action once and replies with its outcome.
pub fn run(actions: fn() -> ActionSet) {
    let header = Header(abi::call());
    let input = abi::input(header.word(28) as usize);
    with_guest(actions, &header, |guest| {
        let Ok(payload) = Payload::from_encoded(input) else {
            return abi::reply(Reply::DeveloperError, b"the host gave an input that is no payload");
        };
        let call = Call {
            id: header.id(),
            attempt: header.word(20),
            deadline: Duration::from_nanos(header.long(32)),
            payload,
            log_level: header.log_level(),
        };
        let reply = block_on(guest.run(call));
        for event in &reply.emitted {
            // With the slash that tells a namespace from a package.
            if !abi::emit(&format!("/{}", event.trigger), event.payload.as_bytes()) {
                return abi::reply(Reply::DeveloperError, b"the host refused an event of the outbox");
            }
        }
        send(&reply.outcome);
    });
}

/// Hands an outcome over. An initialisation that failed is a developer error as well, whose text is complete.
fn send(outcome: &Outcome) {
    match outcome.status() {
        Status::Success | Status::ApplicationError => abi::reply(Reply::Result, outcome.result().as_bytes()),
        Status::DeveloperError | Status::InternalError => {
            abi::reply(Reply::DeveloperError, outcome.error().unwrap_or_default().as_bytes());
        }
    }
}

/// Binds the action that the header names when the instance is entered for the first time.
fn with_guest(actions: fn() -> ActionSet, header: &Header, then: impl FnOnce(&Guest)) {
    GUEST.with(|guest| {
        let bind = || {
            std::panic::set_hook(Box::new(panicked));
            let code = actions().into_code(header.word(16) as usize)?;
            let log_limit = header.long(48);
            let asked = Asked { code, log_limit, ask, answer: OnceLock::new() };
            Some(Guest::bind(Spec::Asked(Box::new(asked)), Arc::new(Wasi)))
        };
        if guest.get().is_none()
            && let Some(bound) = bind()
        {
            let _ = guest.set(bound);
        }
        match guest.get() {
            Some(guest) => then(guest),
            None => abi::reply(Reply::DeveloperError, b"the module has no action of that number"),
        }
    });
}

/// The specification that the action was deployed with, bound to the code that is here.
fn ask(own: ActionSpec) -> ActionSpec {
    let header = Header(abi::call());
    match serde_json::from_slice::<ActionSpec>(&abi::spec(header.word(60) as usize)) {
        Ok(deployed) => ActionSpec { code: own.code, ..deployed },
        Err(_) => own,
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    executor::block_on(pin!(future), abi::monotonic, abi::wait)
}

/// Hands the message over; the instance ends right after, since panics abort in a Wasm module.
fn panicked(panic: &PanicHookInfo<'_>) {
    let payload: &dyn Any = panic.payload();
    let text = payload
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| payload.downcast_ref::<&'static str>().copied());
    abi::reply(Reply::Panicked, text.unwrap_or("(no message)").as_bytes());
}

/// The header of a call: numbers in little-endian order, at the offsets that `ABI.md` tells.
struct Header([u8; HEADER]);

impl Header {
    fn word(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.bytes(at))
    }

    fn long(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.bytes(at))
    }

    fn bytes<const N: usize>(&self, at: usize) -> [u8; N] {
        std::array::from_fn(|n| self.0[at + n])
    }

    fn id(&self) -> ActivationId {
        ActivationId::from_u128(u128::from_be_bytes(self.bytes(0)))
    }

    fn log_level(&self) -> LevelFilter {
        level_of_number(self.word(24))
    }
}

/// The host as the imports show it.
struct Wasi;

impl Host for Wasi {
    fn wall(&self) -> Timestamp {
        abi::wall()
    }

    fn monotonic(&self) -> Duration {
        abi::monotonic()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(Sleep::new(duration, abi::monotonic))
    }

    fn random(&self) -> u64 {
        abi::random()
    }

    fn log(&self, stream: Stream, text: &str) -> bool {
        abi::log(stream, text);
        true
    }
}
