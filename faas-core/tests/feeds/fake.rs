//! A sink that records what it is fired with, and whose wall clock can be set.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, Utc};
use faas_core::action::BoxFuture;
use faas_core::trigger::SinkTarget;
use faas_core::{ActivationId, Error, ErrorKind, Event, EventSink, Timestamp, Trigger};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

/// The instant that an RFC 3339 text names.
pub(crate) fn at(text: &str) -> Timestamp {
    let instant: DateTime<Utc> = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
    Timestamp::from_millis(instant.timestamp_millis().try_into().expect("a time after 1970"))
}

pub(crate) const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// The sink: a clock that goes with tokio's until it is set, and what was fired.
pub(crate) struct FakeSink {
    started: Instant,
    /// What the clock showed at `started`, in nanoseconds.
    base: AtomicU64,
    pub(crate) fired: Mutex<Vec<Event>>,
    /// What the next calls of `fire` fail with.
    pub(crate) failures: Mutex<VecDeque<ErrorKind>>,
    /// How long a call of `fire` takes.
    pub(crate) delay: Mutex<Duration>,
    closed: watch::Sender<bool>,
}

impl FakeSink {
    /// An open sink whose clock shows `now`.
    pub(crate) fn new(now: &str) -> Arc<Self> {
        Arc::new(Self {
            started: Instant::now(),
            base: AtomicU64::new(at(now).nanos()),
            fired: Mutex::default(),
            failures: Mutex::default(),
            delay: Mutex::default(),
            closed: watch::Sender::new(false),
        })
    }

    /// Sets the wall clock, as an administrator would; tokio's clock does not notice.
    pub(crate) fn set_clock(&self, now: &str) {
        let elapsed = u64::try_from(self.started.elapsed().as_nanos()).expect("a short test");
        self.base.store(at(now).nanos() - elapsed, Ordering::SeqCst);
    }

    pub(crate) fn close(&self) {
        self.closed.send_replace(true);
    }

    /// Runs `feed` into this sink.
    pub(crate) fn run(self: &Arc<Self>, feed: Arc<impl Trigger>) -> JoinHandle<Result<(), Error>> {
        let sink = EventSink::new(Arc::<Self>::clone(self));
        tokio::spawn(async move { feed.run(sink).await })
    }

    /// The payloads fired so far, as texts without the braces and names.
    pub(crate) fn seen(&self) -> Vec<String> {
        let fired = self.fired.lock().unwrap();
        let show = |event: &Event| {
            let payload = event.payload.to_value();
            match payload["missed"].as_u64().unwrap() {
                0 => payload["scheduled"].as_str().unwrap().to_owned(),
                missed => format!("{} +{missed}", payload["scheduled"].as_str().unwrap()),
            }
        };
        fired.iter().map(show).collect()
    }

    /// Runs `feed` from `start` on for `duration`, closes the sink, and tells what fired.
    pub(crate) async fn observe(feed: impl Trigger, start: &str, duration: Duration) -> Vec<String> {
        let sink = Self::new(start);
        let running = sink.run(Arc::new(feed));
        sleep(duration).await;
        sink.close();
        running.await.unwrap().unwrap();
        sink.seen()
    }
}

impl SinkTarget for FakeSink {
    fn fire(&self, event: Event) -> BoxFuture<'_, Result<ActivationId, Error>> {
        Box::pin(async move {
            let delay = *self.delay.lock().unwrap();
            sleep(delay).await;
            if *self.closed.borrow() {
                return Err(Error::new(ErrorKind::Closed, "the platform is shutting down"));
            }
            if let Some(kind) = self.failures.lock().unwrap().pop_front() {
                return Err(Error::new(kind, "as the test asked"));
            }
            let id = ActivationId::new(event.at, 0);
            self.fired.lock().unwrap().push(event);
            Ok(id)
        })
    }

    fn closed(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let _ = self.closed.subscribe().wait_for(|closed| *closed).await;
        })
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_nanos(self.base.load(Ordering::SeqCst)).after(self.started.elapsed())
    }
}
