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
    /// The same for whoever freezes it.
    rests: Notify,
}

#[derive(Default)]
struct State {
    /// Where the environment waits for an event.
    asking: Option<oneshot::Sender<Event>>,
    /// The event that was handed over and not answered, and who waits for the answer.
    running: Option<(u64, oneshot::Sender<Answer>)>,
    /// How many events there were.
    requests: u64,
    /// Whether the environment was frozen, and not thawed since.
    frozen: bool,
    /// What the environment said when it could not initialise.
    failed: Option<Bytes>,
}

impl State {
    fn thaw(&mut self, thaw: impl FnOnce()) {
        if std::mem::take(&mut self.frozen) {
            thaw();
        }
    }
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

    /// Hands an event over to the environment once it asks for one, after `before`, and has it `thaw` if it is frozen;
    /// what its answer comes over.
    ///
    /// # Cancel safety
    /// Dropping it hands nothing over.
    pub(super) async fn hand_over(
        &self,
        body: Bytes,
        deadline: u64,
        before: impl Fn(),
        thaw: impl Fn(),
    ) -> oneshot::Receiver<Answer> {
        loop {
            if self.ready().await.is_err() {
                return std::future::pending().await;
            }
            if let Some(answered) = self.try_hand_over(&body, deadline, &before, &thaw) {
                return answered;
            }
        }
    }

    /// Hands an event over; not if whoever asked for one is gone, and may ask again.
    fn try_hand_over(
        &self,
        body: &Bytes,
        deadline: u64,
        before: impl Fn(),
        thaw: impl Fn(),
    ) -> Option<oneshot::Receiver<Answer>> {
        let mut state = self.lock();
        let asking = state.asking.take()?;
        before();
        state.thaw(thaw);
        let request = state.requests + 1;
        asking.send(Event { request, body: body.clone(), deadline }).ok()?;
        let (answer, answered) = oneshot::channel();
        state.requests = request;
        state.running = Some((request, answer));
        Some(answered)
    }

    /// The environment asks for an event. One that was not answered is given up.
    pub(super) fn ask(&self) -> oneshot::Receiver<Event> {
        let (asking, event) = oneshot::channel();
        let given_up = {
            let mut state = self.lock();
            state.asking = Some(asking);
            state.running.take()
        };
        if let Some((_, answer)) = given_up {
            let _ = answer.send(Answer::Skipped);
        }
        self.idle.notify_one();
        self.rests.notify_one();
        event
    }

    /// Somebody who asked for an event is gone. If nobody else asks, the environment has to `thaw` to do so.
    pub(super) fn left(&self, thaw: impl FnOnce()) {
        let mut state = self.lock();
        if state.asking.take_if(|asking| asking.is_closed()).is_some() {
            state.thaw(thaw);
        }
    }

    /// Waits until the environment asks for an event and is not frozen; how many events there were.
    pub(super) async fn resting(&self) -> u64 {
        loop {
            let rests = self.rests.notified();
            {
                let state = self.lock();
                if state.asking.is_some() && !state.frozen {
                    return state.requests;
                }
            }
            rests.await;
        }
    }

    /// Has the environment `freeze` if it asks for an event, and there were none since there were so many.
    pub(super) fn freeze(&self, since: u64, freeze: impl FnOnce()) {
        let mut state = self.lock();
        let asks = state.asking.as_ref().is_some_and(|asking| !asking.is_closed());
        if asks && state.requests == since && !state.frozen {
            state.frozen = true;
            // Under the lock: nobody hands an event over before, and thaws it in vain.
            freeze();
        }
    }

    /// The environment answers an event. False where that one does not wait for an answer.
    pub(super) fn answer(&self, request: u64, answer: Answer) -> bool {
        // Not under the lock, which whoever waits for it takes next.
        let waiting = self.lock().running.take_if(|(running, _)| *running == request);
        match waiting {
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    /// Hands an event over; whether the environment was thawed.
    async fn hand_over(exchange: &Exchange) -> bool {
        let thawed = AtomicBool::new(false);
        let thaw = || thawed.store(true, Ordering::Relaxed);
        drop(exchange.hand_over(Bytes::new(), 0, || {}, thaw).await);
        thawed.load(Ordering::Relaxed)
    }

    fn freeze(exchange: &Exchange, since: u64) -> bool {
        let mut frozen = false;
        exchange.freeze(since, || frozen = true);
        frozen
    }

    #[tokio::test]
    async fn an_environment_is_frozen_only_where_it_had_nothing_to_do_all_the_while() {
        let exchange = Exchange::default();
        let asked = exchange.ask();
        let since = exchange.resting().await;
        assert!(!hand_over(&exchange).await, "it was not frozen");
        assert!(!freeze(&exchange, since), "it runs");
        drop((asked, exchange.ask()));
        assert!(!freeze(&exchange, since), "whoever asked is gone");
        let asked = exchange.ask();
        assert!(!freeze(&exchange, since), "it ran meanwhile");
        let since = exchange.resting().await;
        assert!(freeze(&exchange, since) && !freeze(&exchange, since), "it is frozen once");
        assert!(hand_over(&exchange).await);
        drop(asked);
    }

    #[tokio::test]
    async fn a_frozen_environment_that_hangs_up_is_thawed_to_ask_again() {
        let exchange = Exchange::default();
        let asked = exchange.ask();
        assert!(freeze(&exchange, exchange.resting().await));
        drop(asked);
        let mut thawed = false;
        exchange.left(|| thawed = true);
        assert!(thawed);
        exchange.left(|| panic!("nobody has left"));
    }
}
