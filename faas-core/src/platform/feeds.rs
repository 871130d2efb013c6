//! Feeds: triggers that produce their own events, each in a task of its own.

use std::sync::{Arc, Weak};

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::Inner;
use super::builder::FEED_PAUSE;
use crate::action::BoxFuture;
use crate::activation::ActivationId;
use crate::entropy::Entropy;
use crate::error::{Error, ErrorKind};
use crate::name::EntityName;
use crate::trigger::{Event, EventSink, SinkTarget, Trigger};
use crate::units::Timestamp;

/// Where a feed's events go. It does not keep the platform alive.
struct Sink {
    trigger: EntityName,
    platform: Weak<Inner>,
    entropy: Arc<Entropy>,
    closing: watch::Receiver<bool>,
}

impl Sink {
    async fn accept(&self, event: Event, position: Option<Timestamp>) -> Result<ActivationId, Error> {
        let gone = || Error::new(ErrorKind::Closed, "the platform is shut down");
        let platform = self.platform.upgrade().ok_or_else(gone)?;
        let trigger = platform.registry.trigger(&format!("/{}", self.trigger))?;
        platform.fire_entry(&trigger, event, position.filter(|_| platform.durable)).await
    }
}

impl SinkTarget for Sink {
    fn fire(&self, event: Event) -> BoxFuture<'_, Result<ActivationId, Error>> {
        Box::pin(self.accept(event, None))
    }

    fn fire_tick(&self, event: Event, position: Timestamp) -> BoxFuture<'_, Result<ActivationId, Error>> {
        Box::pin(self.accept(event, Some(position)))
    }

    fn position(&self) -> BoxFuture<'_, Result<Option<Timestamp>, Error>> {
        Box::pin(async move {
            let Some(platform) = self.platform.upgrade().filter(|platform| platform.durable) else {
                return Ok(None);
            };
            let schedules = platform.store.schedules().await?;
            Ok(schedules.into_iter().find(|(name, _)| *name == self.trigger).map(|(_, position)| position))
        })
    }

    fn keep_position(&self, position: Timestamp) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move {
            match self.platform.upgrade().filter(|platform| platform.durable) {
                Some(platform) => platform.store.put_schedule(&self.trigger, position).await,
                None => Ok(()),
            }
        })
    }

    fn closed(&self) -> BoxFuture<'_, ()> {
        let mut closing = self.closing.clone();
        Box::pin(async move {
            // An error means that the platform is gone.
            let _ = closing.wait_for(|closing| *closing).await;
        })
    }

    fn now(&self) -> Timestamp {
        self.entropy.wall_clock()
    }
}

/// Runs a feed in a task of its own, so that a panic is a failure like any other.
async fn run(feed: Arc<dyn Trigger>, sink: EventSink) -> Result<(), Error> {
    // A set rather than a handle: dropping it ends the task.
    let mut task = JoinSet::new();
    task.spawn(async move { feed.run(sink).await });
    match task.join_next().await {
        Some(Ok(ended)) => ended,
        Some(Err(panic)) if panic.is_panic() => Err(Error::new(ErrorKind::Internal, "the feed panicked")),
        Some(Err(_)) | None => Err(Error::new(ErrorKind::Closed, "the runtime is shutting down")),
    }
}

impl Inner {
    /// Runs a feed until the platform closes, and starts it again after a failure.
    pub(super) fn spawn_feed(self: &Arc<Self>, feed: Arc<dyn Trigger>) {
        let trigger = feed.name().resolve(self.registry.home());
        let sink = EventSink::new(Arc::new(Sink {
            trigger: trigger.clone(),
            platform: Arc::downgrade(self),
            entropy: Arc::clone(&self.entropy),
            closing: self.closing.subscribe(),
        }));
        let entropy = Arc::clone(&self.entropy);
        self.spawn_background(async move {
            let mut pause = FEED_PAUSE.0;
            loop {
                match run(Arc::clone(&feed), sink.clone()).await {
                    Ok(()) => return,
                    Err(error) if error.kind() == ErrorKind::Closed => return,
                    Err(error) => {
                        tracing::warn!(%trigger, %error, ?pause, "a feed failed and will be started again")
                    }
                }
                tokio::select! {
                    biased;
                    () = sink.closed() => return,
                    () = sleep(pause + entropy.jitter(pause)) => pause = (pause * 2).min(FEED_PAUSE.1),
                }
            }
        });
    }
}
