//! Triggers: named classes of events, and the feeds that produce them.

mod cron;
mod interval;
mod schedule;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

pub use self::cron::{Cron, MAX_MISSED};
pub use self::interval::Interval;
use crate::action::BoxFuture;
use crate::activation::ActivationId;
use crate::error::Error;
use crate::name::EntityName;
use crate::payload::Payload;
use crate::units::Timestamp;

/// A source's own name for an event: the same id fires once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventId(pub Arc<str>);

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// The source's id of it, if it has one.
    pub id: Option<EventId>,
    /// When it happened.
    pub at: Timestamp,
    /// What happened: an object.
    pub payload: Payload,
}

/// A named class of events. One that only `Platform::fire` fires is registered by its name; a feed is a trigger
/// whose `run` produces events.
///
/// # Behavior
/// - `run` goes on until its sink is closed, and then returns soon.
/// - `run` fires through its sink alone, and acknowledges an event to its source only after `fire` returned.
/// - A `run` that fails is started again by the platform after a pause that grows.
#[async_trait]
pub trait Trigger: Send + Sync + 'static {
    /// Its name.
    fn name(&self) -> &EntityName;

    /// Produces events until the sink is closed.
    ///
    /// # Errors
    /// What keeps the source from producing events.
    ///
    /// # Cancel safety
    /// The platform drops it only when it is itself dropped or shut down; an event that was not acknowledged
    /// by then is the source's to repeat.
    async fn run(&self, sink: EventSink) -> Result<(), Error>;
}

/// Where a trigger fires its events.
#[derive(Clone)]
pub struct EventSink {
    target: Arc<dyn SinkTarget>,
}

/// What stands behind a sink: the platform, or a test.
///
/// # Behavior
/// - `fire` returns once the event is accepted; an event with an id that was fired before is accepted and does
///   nothing.
/// - After `closed` has completed, `fire` is `Closed`.
/// - `position` is what `keep_position` was told last, in this process or an earlier one; a sink that keeps nothing tells
///   of none.
pub trait SinkTarget: Send + Sync + 'static {
    /// Accepts an event.
    ///
    /// # Errors
    /// As [`EventSink::fire`].
    fn fire(&self, event: Event) -> BoxFuture<'_, Result<ActivationId, Error>>;

    /// Accepts the event of a schedule, and keeps how far that has come then, in one step if it can.
    ///
    /// # Errors
    /// As [`EventSink::fire`].
    fn fire_tick(&self, event: Event, position: Timestamp) -> BoxFuture<'_, Result<ActivationId, Error>> {
        Box::pin(async move {
            let id = self.fire(event).await?;
            self.keep_position(position).await?;
            Ok(id)
        })
    }

    /// How far the schedule of the feed has come, as an earlier process has kept it. A sink that keeps nothing knows
    /// of none.
    ///
    /// # Errors
    /// `Unavailable` (temporary) when it cannot be told now.
    fn position(&self) -> BoxFuture<'_, Result<Option<Timestamp>, Error>> {
        Box::pin(async { Ok(None) })
    }

    /// Keeps how far the schedule of the feed has come, for the next process; a sink may keep nothing.
    ///
    /// # Errors
    /// `Unavailable` (temporary) when it cannot be kept now.
    fn keep_position(&self, _position: Timestamp) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async { Ok(()) })
    }

    /// Completes when no more events are wanted.
    fn closed(&self) -> BoxFuture<'_, ()>;

    /// The wall clock that schedules are read against.
    fn now(&self) -> Timestamp;
}

impl EventSink {
    /// A sink that passes events to `target`.
    #[must_use]
    pub fn new(target: Arc<dyn SinkTarget>) -> Self {
        Self { target }
    }

    /// Fires an event; returns once it is accepted, so that the source can acknowledge it.
    ///
    /// # Errors
    /// `Throttled`, `Overloaded` or `Unavailable` (temporary) when it is worth another try; `InvalidArgument` for
    /// a payload that is no object; `Closed` when no more events are wanted.
    ///
    /// # Cancel safety
    /// Dropping it leaves the event accepted or not. An event with an id can be fired again without harm.
    pub async fn fire(&self, event: Event) -> Result<ActivationId, Error> {
        self.target.fire(event).await
    }

    /// [`fire`](Self::fire) for the event of a schedule, which has come as far as `position` then; that is kept for the
    /// next process in the same step.
    ///
    /// # Errors
    /// As [`fire`](Self::fire).
    ///
    /// # Cancel safety
    /// As [`fire`](Self::fire).
    pub async fn fire_tick(&self, event: Event, position: Timestamp) -> Result<ActivationId, Error> {
        self.target.fire_tick(event, position).await
    }

    /// How far the schedule of the feed has come, where an earlier process has kept it: with a store that is durable.
    ///
    /// # Errors
    /// `Unavailable` (temporary) when it cannot be told now.
    ///
    /// # Cancel safety
    /// Dropping it changes nothing.
    pub async fn position(&self) -> Result<Option<Timestamp>, Error> {
        self.target.position().await
    }

    /// Keeps how far the schedule of the feed has come, for the next process.
    ///
    /// # Errors
    /// `Unavailable` (temporary) when it cannot be kept now.
    ///
    /// # Cancel safety
    /// Dropping it leaves the position kept or not; the same one can be kept again.
    pub async fn keep_position(&self, position: Timestamp) -> Result<(), Error> {
        self.target.keep_position(position).await
    }

    /// Completes when no more events are wanted.
    ///
    /// # Cancel safety
    /// Dropping it changes nothing.
    pub async fn closed(&self) {
        self.target.closed().await;
    }

    /// The wall clock that schedules are read against.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.target.now()
    }
}

impl fmt::Debug for EventSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EventSink")
    }
}
