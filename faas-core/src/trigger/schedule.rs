//! What the interval and cron feeds share: waiting for ticks, and firing each of them once.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;

use super::{Event, EventId, EventSink};
use crate::action::RetryPolicy;
use crate::error::{Error, ErrorKind};
use crate::payload::Payload;
use crate::units::Timestamp;

/// The longest sleep before the wall clock is read again, which bounds how late a tick is after the clock was
/// set or the machine woke up. Arbitrary.
const SLICE: Duration = Duration::from_secs(10);

/// How far back the clock must go at once to be worth a warning: less is the ordinary work of a time service.
/// Arbitrary.
const WARN_BACK: Duration = Duration::from_secs(1);

/// The ticks of a feed, as instants that only the schedule decides.
pub(super) trait Schedule: Send + Sync {
    /// The first tick later than `after`.
    fn next(&self, after: Timestamp) -> Option<Timestamp>;

    /// Merges the ticks from `first`, which is one, to `now` into the last of them.
    fn due(&self, first: Timestamp, now: Timestamp) -> Due;

    /// A tick in the schedule's time zone, as RFC 3339.
    fn show(&self, tick: Timestamp) -> String;
}

/// A tick whose time has come.
pub(super) struct Due {
    pub(super) tick: Timestamp,
    /// How many earlier ticks it stands for.
    pub(super) missed: u64,
}

/// How far a feed has come: ticks up to here never fire again, whatever the clock does, nor after `run` failed
/// and was started again. A sink that is durable keeps it for the next process too.
#[derive(Debug, Default)]
pub(super) struct Position(Mutex<Option<Timestamp>>);

impl Position {
    /// Where to go on: where this process was, or else an earlier one; a feed that never ran begins at `start`.
    pub(super) async fn resume(&self, start: Timestamp, sink: &EventSink) -> Result<Timestamp, Error> {
        if let Some(known) = self.known() {
            return Ok(known);
        }
        let position = match sink.position().await? {
            Some(kept) => kept,
            None => {
                sink.keep_position(start).await?;
                start
            }
        };
        self.advance(position);
        Ok(position)
    }

    fn known(&self) -> Option<Timestamp> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn advance(&self, tick: Timestamp) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(tick);
    }
}

/// Just before `now`, so that a feed that starts there takes a tick of `now` as its first.
pub(super) fn before(now: Timestamp) -> Timestamp {
    Timestamp::from_nanos(now.nanos().saturating_sub(1))
}

/// Fires the ticks of `schedule` after `last`, until the sink is closed.
///
/// Ticks are taken strictly in their own order, so a clock that goes back only makes the next one wait. A tick's
/// position is kept with its event, so that it is neither lost nor counted twice, whoever is killed when.
pub(super) async fn run(
    schedule: &impl Schedule,
    position: &Position,
    mut last: Timestamp,
    sink: &EventSink,
) -> Result<(), Error> {
    while let Some(first) = schedule.next(last) {
        let Some(now) = wait_until(first, sink).await else { return Ok(()) };
        let due = schedule.due(first, now);
        match fire(&event(schedule, &due)?, due.tick, sink).await {
            Ok(()) => position.advance(due.tick),
            Err(error) if error.kind() == ErrorKind::Closed => return Ok(()),
            Err(error) => return Err(error),
        }
        last = due.tick;
    }
    sink.closed().await;
    Ok(())
}

/// Sleeps until the wall clock shows `tick` and tells what it shows then; `None` when the sink was closed.
async fn wait_until(tick: Timestamp, sink: &EventSink) -> Option<Timestamp> {
    let mut seen = sink.now();
    loop {
        let now = sink.now();
        if now.after(WARN_BACK) < seen {
            tracing::warn!(from = %seen, to = %now, next = %tick, "the clock went back: no tick fires twice");
        }
        seen = now;
        if now >= tick {
            return Some(now);
        }
        let left = Duration::from_nanos(tick.nanos() - now.nanos());
        tokio::select! {
            biased;
            () = sink.closed() => return None,
            () = sleep(left.min(SLICE)) => {}
        }
    }
}

fn event(schedule: &impl Schedule, due: &Due) -> Result<Event, Error> {
    let payload = json!({ "scheduled": schedule.show(due.tick), "missed": due.missed });
    Ok(Event {
        id: Some(EventId(due.tick.to_string().into())),
        at: due.tick,
        payload: Payload::from_value(&payload)?,
    })
}

/// Fires `event`, again and again while the error is temporary, with the pauses of the default
/// [`RetryPolicy`], not drawn but the longest ones: one feed makes no herd.
async fn fire(event: &Event, position: Timestamp, sink: &EventSink) -> Result<(), Error> {
    let pauses = RetryPolicy::default();
    for attempt in 1_u32.. {
        match sink.fire_tick(event.clone(), position).await {
            Ok(_) => break,
            Err(error) if error.is_temporary() => tokio::select! {
                biased;
                () = sink.closed() => return Err(Error::new(ErrorKind::Closed, "the sink was closed")),
                () = sleep(pauses.ceiling(attempt)) => {}
            },
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
