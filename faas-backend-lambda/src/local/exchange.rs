//! What one environment and its host tell each other over the Runtime API.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::{Notify, oneshot};

/// An event on its way to a function.
#[derive(Debug)]
pub(super) struct Event {
    /// Its number in this environment, which its answer has to name.
    pub(super) request: u64,
    pub(super) body: Bytes,
    /// The deadline in milliseconds since 1970.
    pub(super) deadline: u64,
}

/// What an environment did with an event.
#[derive(Debug)]
pub(super) enum Answer {
    /// It answered.
    Response(Bytes),
    /// It told an error, as JSON with `errorType` and `errorMessage`.
    Error(Bytes),
    /// Its answer was larger than is allowed.
    TooLarge,
    /// It asked for the next event without an answer to this one.
    Skipped,
}

/// The state of one environment.
#[derive(Default)]
pub(super) struct Exchange {
    state: Mutex<State>,
    /// Told when the environment asks for an event, or cannot.
    idle: Notify,
}

#[derive(Default)]
struct State {
    /// Where the environment waits for an event.
    asking: Option<oneshot::Sender<Event>>,
    /// The event that was handed over and not answered, and who waits for the answer.
    running: Option<(u64, oneshot::Sender<Answer>)>,
    /// How many events there were.
    requests: u64,
    /// What the environment said when it could not initialise.
    failed: Option<Bytes>,
}

impl Exchange {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the environment asks for an event.
    ///
    /// # Errors
    /// What it said if it could not initialise.
    pub(super) async fn ready(&self) -> Result<(), Bytes> {
        loop {
            let idle = self.idle.notified();
            {
                let state = self.lock();
                if let Some(failed) = &state.failed {
                    return Err(failed.clone());
                }
                if state.asking.as_ref().is_some_and(|asking| !asking.is_closed()) {
                    return Ok(());
                }
            }
            idle.await;
        }
    }

    /// Hands an event over to the environment, which is woken before, once it asks for one; what its answer comes over.
    ///
    /// # Cancel safety
    /// Dropping it hands nothing over.
    pub(super) async fn hand_over(
        &self,
        body: Bytes,
        deadline: u64,
        wake: impl Fn(),
    ) -> oneshot::Receiver<Answer> {
        loop {
            if self.ready().await.is_err() {
                return std::future::pending().await;
            }
            if let Some(answered) = self.try_hand_over(&body, deadline, &wake) {
                return answered;
            }
        }
    }

    /// Hands an event over; not if whoever asked for one is gone, and may ask again.
    fn try_hand_over(
        &self,
        body: &Bytes,
        deadline: u64,
        wake: impl Fn(),
    ) -> Option<oneshot::Receiver<Answer>> {
        let mut state = self.lock();
        let asking = state.asking.take()?;
        wake();
        let request = state.requests + 1;
        asking.send(Event { request, body: body.clone(), deadline }).ok()?;
        let (answer, answered) = oneshot::channel();
        state.requests = request;
        state.running = Some((request, answer));
        Some(answered)
    }

    /// The environment asks for an event, and may `rest` until there is one. One that was not answered is given up.
    pub(super) fn ask(&self, rest: impl FnOnce()) -> oneshot::Receiver<Event> {
        let (asking, event) = oneshot::channel();
        let mut state = self.lock();
        state.asking = Some(asking);
        if let Some((_, answer)) = state.running.take() {
            let _ = answer.send(Answer::Skipped);
        }
        // Under the lock: nobody hands an event over before, and wakes it in vain.
        rest();
        self.idle.notify_one();
        event
    }

    /// Somebody who asked for an event is gone. If nobody else asks, the environment has to `wake` to do so.
    pub(super) fn left(&self, wake: impl FnOnce()) {
        let mut state = self.lock();
        if state.asking.take_if(|asking| asking.is_closed()).is_some() {
            wake();
        }
    }

    /// The environment answers an event. False where that one does not wait for an answer.
    pub(super) fn answer(&self, request: u64, answer: Answer) -> bool {
        match self.lock().running.take_if(|(running, _)| *running == request) {
            Some((_, waiting)) => {
                // Whoever left does not wait any more.
                let _ = waiting.send(answer);
                true
            }
            None => false,
        }
    }

    /// The environment cannot initialise. False where it has done so already.
    pub(super) fn fail(&self, said: Bytes) -> bool {
        let mut state = self.lock();
        if state.asking.is_some() || state.requests > 0 {
            return false;
        }
        state.failed = Some(said);
        self.idle.notify_one();
        true
    }
}
