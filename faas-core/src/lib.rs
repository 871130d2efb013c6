//! Functions as a service, as a library.

#[allow(unused_extern_crates, reason = "`#[action]` in this crate's own tests names it by its path")]
extern crate self as faas_core;

#[cfg(feature = "host")]
pub mod backend;
#[cfg(feature = "host")]
pub mod entropy;
#[cfg(feature = "host")]
pub mod layer;
#[cfg(feature = "host")]
pub mod metrics;
#[cfg(feature = "host")]
pub mod platform;
#[cfg(feature = "host")]
pub mod pool;
#[cfg(feature = "host")]
pub mod rule;
#[cfg(feature = "host")]
pub mod sandbox;
#[cfg(feature = "host")]
pub mod scheduler;
#[cfg(feature = "host")]
pub mod store;
#[cfg(feature = "host")]
mod stripe;
#[cfg(feature = "host")]
pub mod trigger;

pub mod action;
pub mod activation;
pub mod context;
pub mod error;
pub mod guest;
pub mod log;
pub mod meter;
pub mod name;
pub mod outcome;
pub mod payload;
pub mod units;

#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;

pub use action::{Action, ActionSet, ActionSpec, ErasedAction, Limits, NamedAction, RetryPolicy};
pub use activation::{
    Activation, ActivationId, ActivationKind, FailedActivation, Record, StartKind, Version,
};
#[cfg(feature = "host")]
pub use backend::{Backend, Capability, Completion, Deployment, Health, Invocation, LocalBackend};
pub use context::{Context, InitContext};
#[cfg(feature = "host")]
pub use entropy::Entropy;
pub use error::{BoxError, Error, ErrorKind};
pub use name::{EntityName, Namespace};
pub use outcome::{ActionError, Outcome, Status};
pub use payload::{IntoPayload, Payload};
#[cfg(feature = "host")]
pub use platform::{CallError, InvokeOptions, Platform, PlatformBuilder};
#[cfg(feature = "host")]
pub use rule::{Rule, RuleSpec};
#[cfg(feature = "host")]
pub use store::Store;
#[cfg(feature = "host")]
pub use trigger::{Event, EventSink, Trigger};
pub use units::{MemoryMib, Timestamp};

#[cfg(feature = "macros")]
pub use faas_macros::action;
