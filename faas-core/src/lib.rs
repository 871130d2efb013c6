//! Functions as a service, as a library: write a function once, wire it to events, run it on an interchangeable
//! backend, and read a truthful record of every run.
//!
//! - An *action* is named code with limits: a function with [`#[action]`](macro@action).
//! - A *trigger* is a named class of events, and a *rule* runs an action for the events that it accepts. A *feed*
//!   is a trigger that produces its events itself, such as at fixed times.
//! - A *sequence* is a list of actions; each one's output is the next one's input.
//! - An *activation* is the record of one run: its outcome, its logs, its times and what it costs.
//! - A *backend* is where actions run. The same function means the same on each, as far as the backend's
//!   [`Capability`] goes.
//!
//! ```
//! use faas_core::prelude::*;
//! use faas_core::{ActivationQuery, Cron};
//! use serde_json::{Value, json};
//!
//! #[action(memory = "16MiB", timeout = "2s")]
//! async fn classify(quake: Value) -> Result<Value, BoxError> {
//!     let magnitude = quake["magnitude"].as_f64().ok_or("it has no magnitude")?;
//!     tracing::info!(magnitude, "classified");
//!     Ok(json!({ "band": if magnitude < 6.0 { "moderate" } else { "strong" } }))
//! }
//! actions![classify];
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> Result<(), BoxError> {
//!     let app = Platform::builder()
//!         .backend(LocalBackend::new())
//!         .actions(actions())
//!         .trigger("quake")
//!         .rule(RuleSpec::new("felt", "quake", "classify")?.filter(|quake| quake["magnitude"].as_f64() > Some(4.5)))
//!         .feed(Cron::new("nightly", "30 2 * * *")?)
//!         .build()
//!         .await?;
//!     for magnitude in [1.2, 6.4] {
//!         app.fire("quake", json!({ "magnitude": magnitude })).await?;
//!     }
//!     app.drain().await;
//!     let query = ActivationQuery { name: Some("classify".into()), ..ActivationQuery::default() };
//!     let classified = app.activations(&query).await?;
//!     assert_eq!(classified.len(), 1);
//!     assert_eq!(classified[0].outcome.result().as_str(), r#"{"band":"strong"}"#);
//!     assert_eq!(classified[0].logs[0].text, "INFO classified magnitude=6.4");
//!     Ok(())
//! }
//! ```
//!
//! # Where a request goes
//!
//! The modules, in the order in which a request meets them. Calls go one way: none of them calls back.
//!
//! 1. [`platform`]: `invoke`, `submit` and `fire` come in here. It knows what is registered, actions with their
//!    packages, sequences, triggers and rules, merges default parameters, and accepts the request or refuses it.
//! 2. [`mod@action`]: what is run. [`Action`] is a typed trait, [`ErasedAction`] its twin that takes and gives bytes.
//! 3. [`context`]: what the code sees of the world while it runs: clock, sleep, randomness, environment, shared
//!    state, and an outbox of events. By [`mod@http`] it asks other hosts, of which it is granted some.
//! 4. [`trigger`]: events and where they come from; [`Cron`] and [`Interval`] are feeds.
//! 5. [`rule`]: turns an event into the payload of an action, or into nothing.
//! 6. [`activation`], with [`outcome`] and [`log`]: the record that each accepted request gets, exactly once.
//! 7. [`scheduler`]: counts quotas, grants permits within the backend's capacity, and queues who must wait. Work that
//!    nobody waits for is queued in the store, and comes here as far as the
//!    [window](PlatformBuilder::dispatch_window) goes.
//! 8. [`backend`]: the seam that is chosen at run time. [`LocalBackend`] runs actions in this process, [`Pooled`]
//!    runs them in the sandboxes of a pool, and [`BackendRegistry`] finds a backend by its URL.
//! 9. [`pool`]: keeps sandboxes warm, makes new ones within a memory budget, and evicts.
//! 10. [`sandbox`]: the seam below: one isolated place to run an action in, and the factory that makes it.
//! 11. [`guest`]: the inside of a sandbox: it runs the code, captures its logs and turns panics into outcomes.
//! 12. [`layer`]: what can be put around a backend: retries, traces, faults on purpose.
//! 13. [`store`]: keeps the records, the registered entities with their revisions, and accepted work.
//! 14. [`meter`] and [`metrics`]: what a finished activation costs, and what is counted of all. Nothing waits for
//!     them.
//!
//! All of them use [`payload`] (encoded JSON), [`name`], [`units`], [`entropy`] (wall clock, randomness and ids,
//! which a seed can fix) and [`error`].
//!
//! # What is an error
//!
//! An action that fails is not an [`Error`]: [`Platform::invoke`] answers `Ok` with an [`Activation`] whose
//! [`Outcome`] says so, and [`Activation::into_result`] turns that into an error where a caller wants one. An
//! [`Error`] says that the platform did not do its job; [`Error::is_temporary`] tells whether the same call may
//! succeed later, without the code having started.
//!
//! # Delivery
//!
//! What [`Platform::submit`] and [`Platform::fire`] have accepted ends in one record. With a store that is
//! [durable](Store::is_durable) that holds whatever becomes of the process: the next platform on the store runs what
//! had not started, goes on with sequences at the step where they were and with schedules at the tick, and runs what was
//! killed in its midst again where its [`RetryPolicy`] allows that; otherwise the record says that it was lost. So code
//! runs at most once, or at least once where it asks for retries. A key ([`SubmitOptions`], [`FireOptions`]) makes
//! asking again harmless. What fails in the end is a [dead letter](Platform::dead_letters), and told to the action's
//! [`Destination`].
//!
//! # Features
//!
//! - `macros` (default): `#[action]`.
//! - `http`: the client with which the local backend makes the HTTP requests of actions.
//! - `guest-wasi`: the inside of a Wasm module, with which `cargo faas build` makes one of an app.
//! - `host` (default): the platform and all that runs actions, with tokio. Without it, what is left is what an
//!   action is built of inside a sandbox, such as a Wasm guest: the modules [`mod@action`], [`activation`],
//!   [`context`], [`mod@http`], [`guest`], [`log`], [`meter`], [`outcome`], [`payload`], [`name`], [`units`] and [`error`].

#[allow(unused_extern_crates, reason = "`#[action]` in this crate's own tests names it by its path")]
extern crate self as faas_core;

// In the order in which a request meets them: blank lines keep rustfmt from sorting them.
#[cfg(feature = "host")]
pub mod platform;

pub mod action;

pub mod context;

pub mod http;

#[cfg(feature = "host")]
pub mod trigger;

#[cfg(feature = "host")]
pub mod rule;

pub mod activation;

pub mod outcome;

pub mod log;

#[cfg(feature = "host")]
pub mod scheduler;

#[cfg(feature = "host")]
pub mod backend;

#[cfg(feature = "host")]
pub mod pool;

#[cfg(feature = "host")]
pub mod sandbox;

pub mod artifact;

pub mod guest;

#[cfg(feature = "host")]
pub mod layer;

#[cfg(feature = "host")]
pub mod store;

pub mod meter;

#[cfg(feature = "host")]
pub mod metrics;

pub mod payload;

pub mod name;

pub mod units;

#[cfg(feature = "host")]
pub mod entropy;

pub mod error;

pub mod prelude;

mod stripe;

#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;

#[cfg(feature = "host")]
pub use platform::{CallError, FireOptions, InvokeOptions, Platform, PlatformBuilder, SubmitOptions};

pub use action::{
    Action, ActionSet, ActionSpec, Destination, ErasedAction, Limits, NamedAction, RetryPolicy,
};

pub use context::{Context, InitContext};

pub use http::{Egress, HttpRequest, HttpResponse};

#[cfg(feature = "host")]
pub use http::HttpClient;

#[cfg(feature = "http-client")]
pub use http::NetworkClient;

#[cfg(feature = "host")]
pub use trigger::{Cron, Event, EventId, EventSink, Interval, Trigger};

#[cfg(feature = "host")]
pub use rule::{Rule, RuleSpec};

pub use activation::{
    Activation, ActivationId, ActivationKind, FailedActivation, Record, StartKind, Version,
};

pub use outcome::{ActionError, Outcome, Status};

#[cfg(feature = "host")]
pub use scheduler::{Order, Quota, SchedulerConfig};

#[cfg(feature = "host")]
pub use backend::{
    Backend, BackendInfo, BackendRegistry, Capability, Capacity, Completion, Deployment, Health, Invocation,
    LocalBackend, Pooled,
};

#[cfg(feature = "host")]
pub use pool::{ContainerPool, FixedTtl, GreedyDual, KeepAlive, PoolConfig, PoolStats, WarmPool};

#[cfg(feature = "host")]
pub use sandbox::{InitError, RunOutput, Sandbox, SandboxFactory, Shape};

#[cfg(feature = "host")]
pub use layer::{ChaosLayer, Layer, RetryLayer, TraceLayer};

#[cfg(feature = "host")]
pub use store::{ActivationQuery, Expect, MemoryStore, Revision, Store};

pub use payload::{IntoPayload, Payload};

pub use name::{EntityName, Namespace};

pub use units::{MemoryMib, Timestamp};

#[cfg(feature = "host")]
pub use entropy::Entropy;

pub use error::{BoxError, Error, ErrorKind};

#[cfg(feature = "macros")]
pub use faas_macros::action;

/// The README's example, so that it keeps running.
#[cfg(all(doctest, feature = "host", feature = "macros"))]
#[doc = include_str!("../../README.md")]
struct Readme;
