//! A request to the thread that writes, and its answer.
//!
//! Both lie in one place, which the caller lets go of last: what the caller's thread has allocated it frees as well. If the
//! thread that writes did, the two would wait for each other's part of the memory all the time.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use faas_core::Error;

use crate::error::Failure;
use crate::readers::closed;
use crate::write::Txn;

/// What waits for its turn to write. Dropped without an answer, it is answered that the store is closed.
pub(crate) struct Request(Option<Arc<dyn Asked>>);

/// The answer to a request.
pub(crate) struct Reply<T, F>(Arc<Place<T, F>>);

/// Where a request and its answer lie.
struct Place<T, F>(Mutex<State<T, F>>);

struct State<T, F> {
    /// Called until a transaction holds. What it has captured lives until the answer: pins on files do.
    work: F,
    answer: Option<Result<T, Error>>,
    is_answered: bool,
    waker: Option<Waker>,
}

/// A request of any kind.
trait Asked: Send + Sync {
    fn run(&self, txn: &mut Txn<'_>) -> Result<(), Error>;

    /// Tells who is to be woken.
    fn answer(&self, lost: Option<Error>) -> Option<Waker>;
}

/// A request, and its answer.
pub(crate) fn request<T, F>(work: F) -> (Request, Reply<T, F>)
where
    T: Send + 'static,
    F: FnMut(&mut Txn<'_>) -> Result<T, Failure> + Send + 'static,
{
    let state = State { work, answer: None, is_answered: false, waker: None };
    let place = Arc::new(Place(Mutex::new(state)));
    (Request(Some(Arc::clone(&place) as Arc<dyn Asked>)), Reply(place))
}

impl Request {
    /// Does it within a transaction; tells why not if it was not met.
    pub(crate) fn run(&self, txn: &mut Txn<'_>) -> Result<(), Error> {
        self.0.as_ref().map_or(Ok(()), |asked| asked.run(txn))
    }

    /// Answers, after the commit or with the reason why there was none.
    pub(crate) fn answer(mut self, lost: Option<Error>) {
        self.tell(lost);
    }

    fn tell(&mut self, lost: Option<Error>) {
        let Some(asked) = self.0.take() else { return };
        let waker = asked.answer(lost);
        // Before the caller is woken, so that the caller is the last.
        drop(asked);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        self.tell(Some(closed()));
    }
}

impl<T, F> Place<T, F> {
    fn lock(&self) -> MutexGuard<'_, State<T, F>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T, F> Asked for Place<T, F>
where
    T: Send,
    F: FnMut(&mut Txn<'_>) -> Result<T, Failure> + Send,
{
    fn run(&self, txn: &mut Txn<'_>) -> Result<(), Error> {
        let mut state = self.lock();
        let answer = (state.work)(txn).map_err(Error::from);
        let met = answer.as_ref().map(drop).map_err(copied);
        state.answer = Some(answer);
        met
    }

    fn answer(&self, lost: Option<Error>) -> Option<Waker> {
        let mut state = self.lock();
        let answer = match (lost, state.answer.take()) {
            // What was refused too: perhaps for something that is lost as well.
            (Some(lost), _) => Err(lost),
            (None, Some(answer)) => answer,
            (None, None) => Err(closed()),
        };
        state.answer = Some(answer);
        state.is_answered = true;
        state.waker.take()
    }
}

impl<T, F> Future for Reply<T, F> {
    type Output = Result<T, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.0.lock();
        if state.is_answered {
            return Poll::Ready(state.answer.take().unwrap_or_else(|| Err(closed())));
        }
        let waker = state.waker.get_or_insert_with(|| cx.waker().clone());
        if !waker.will_wake(cx.waker()) {
            waker.clone_from(cx.waker());
        }
        Poll::Pending
    }
}

/// An error once more, for each who shares it.
pub(crate) fn copied(error: &Error) -> Error {
    Error::new(error.kind(), error.message()).temporary(error.is_temporary())
}

#[cfg(test)]
mod tests {
    use faas_core::ErrorKind;
    use rusqlite::Connection;

    use super::*;
    use crate::config::SqliteConfig;
    use crate::error::full;
    use crate::write::Memory;

    #[tokio::test]
    async fn nobody_is_refused_for_what_is_lost() {
        let connection = Connection::open_in_memory().unwrap();
        let (mut memory, config) = (Memory::default(), SqliteConfig::default());
        let mut txn = Txn { connection: &connection, memory: &mut memory, config: &config };
        for (lost, told) in
            [(None, ErrorKind::AlreadyExists), (Some(full("the database")), ErrorKind::Unavailable)]
        {
            let taken =
                || Error::new(ErrorKind::AlreadyExists, "the key is taken by a request of this commit");
            let (request, reply) = request(move |_| Err::<(), _>(taken().into()));
            assert!(request.run(&mut txn).is_err());
            request.answer(lost);
            assert_eq!(reply.await.unwrap_err().kind(), told);
        }
    }
}
