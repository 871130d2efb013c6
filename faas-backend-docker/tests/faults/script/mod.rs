//! An engine that is scripted: it answers as a real one does until it is told otherwise, and its containers run in
//! this process.

mod call;
mod guest;
mod http;
mod known;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::BufStream;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

pub(crate) use self::call::{Answer, Call};
use self::guest::Guest;
pub(crate) use self::guest::HELD;
use self::http::{Asked, Caller, answer, left, write};
use self::known::{Known, tagged};

/// A scripted engine. Dropped, it and its containers end.
pub(crate) struct Script {
    state: Arc<State>,
    socket: PathBuf,
    task: JoinHandle<()>,
}

struct State {
    known: Mutex<Known>,
    /// How often it was healed.
    healed: watch::Sender<u64>,
}

impl Drop for Script {
    fn drop(&mut self) {
        self.task.abort();
        let _ = std::fs::remove_file(&self.socket);
    }
}

impl Script {
    pub(crate) fn start() -> Self {
        let socket =
            std::env::temp_dir().join(format!("faas-s-{}-{:x}.sock", std::process::id(), fastrand::u32(..)));
        let listener = UnixListener::bind(&socket).unwrap();
        let known = Known { part: fastrand::u8(..), ..Known::default() };
        let state = Arc::new(State { known: Mutex::new(known), healed: watch::Sender::new(0) });
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            let mut callers = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                callers.spawn(attend(Arc::clone(&shared), stream));
                while callers.try_join_next().is_some() {}
            }
        });
        Self { state, socket, task }
    }

    /// Its address.
    pub(crate) fn host(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// Answers a kind of call in another way from now on.
    pub(crate) fn answer(&self, call: Call, answer: Answer) {
        self.known().answers.insert(call, answer);
    }

    /// Answers every call in another way from now on.
    pub(crate) fn answer_all(&self, answer: &Answer) {
        for call in Call::ALL {
            self.answer(call, answer.clone());
        }
    }

    /// Answers as a real engine does from now on, also who waits for what is late.
    pub(crate) fn heal(&self) {
        self.known().answers.clear();
        self.state.healed.send_modify(|times| *times += 1);
    }

    /// How often it was called so.
    pub(crate) fn count(&self, call: Call) -> usize {
        self.known().calls.iter().filter(|made| **made == call).count()
    }

    /// How often it was called.
    pub(crate) fn calls(&self) -> usize {
        self.known().calls.len()
    }

    /// How many containers it has ever made.
    pub(crate) fn made(&self) -> u64 {
        self.known().made
    }

    /// What was asked for when containers were made, since this was asked last.
    pub(crate) fn bodies(&self) -> Vec<Value> {
        std::mem::take(&mut self.known().bodies)
    }

    /// The names of the containers that are there.
    pub(crate) fn containers(&self) -> Vec<String> {
        self.known().containers.keys().cloned().collect()
    }

    /// Adds an image.
    pub(crate) fn add_image(&self, name: &str) {
        self.known().images.insert(tagged(name));
    }

    /// Removes an image, if it is there.
    pub(crate) fn remove_image(&self, name: &str) {
        self.known().images.remove(&tagged(name));
    }

    /// How many networks are there.
    pub(crate) fn networks(&self) -> usize {
        self.known().networks.len()
    }

    /// Adds a container that does not run.
    pub(crate) fn add(&self, name: &str, labels: Value) {
        self.known().add(name.to_owned(), labels, None);
    }

    /// Starts what should run in the containers and does not.
    pub(crate) fn start_guests(&self) {
        for container in self.known().containers.values_mut().filter(|it| it.guest.is_none()) {
            container.start();
        }
    }

    /// Whether a guest holds an input.
    pub(crate) fn holds(&self) -> bool {
        self.known().containers.values().filter_map(|it| it.guest.as_ref()).any(Guest::holds)
    }

    /// Ends the guests that hold an input; their containers stay.
    pub(crate) fn end_holding(&self) {
        for container in self.known().containers.values_mut() {
            container.guest = container.guest.take().filter(|guest| !guest.holds());
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.state.known.lock().unwrap()
    }
}

async fn attend(state: Arc<State>, stream: UnixStream) {
    let mut caller: Caller = BufStream::new(Box::new(stream));
    while let Ok(Some(asked)) = Asked::read(&mut caller).await {
        if !reply(&state, &mut caller, &asked).await {
            return;
        }
    }
}

/// Answers a call; whether the connection goes on.
async fn reply(state: &State, caller: &mut Caller, asked: &Asked) -> bool {
    let mut healed = state.healed.subscribe();
    let (call, subject) = Call::of(asked);
    let how = {
        let mut known = state.known.lock().unwrap();
        known.calls.push(call);
        known.answers.get(&call).cloned().unwrap_or(Answer::Usual)
    };
    let usual = || state.known.lock().unwrap().usual(call, subject, asked);
    match how {
        Answer::Usual => return write(caller, &usual()).await.is_ok(),
        Answer::Refusal(status, message) => {
            let body = json!({ "message": message }).to_string();
            return write(caller, &answer(status, "", body.as_bytes())).await.is_ok();
        }
        Answer::Body(body) => {
            usual();
            return write(caller, &answer(200, "", body.as_bytes())).await.is_ok();
        }
        Answer::Told(body) => return write(caller, &answer(200, "", body.as_bytes())).await.is_ok(),
        Answer::Slowly(pause) => {
            let whole = usual();
            let head = whole.windows(4).position(|end| end == b"\r\n\r\n").map_or(0, |end| end + 4);
            let (head, body) = whole.split_at(head);
            for piece in std::iter::once(head).chain(body.split_inclusive(|byte| *byte == b'\n')) {
                if write(caller, piece).await.is_err() {
                    return false;
                }
                tokio::time::sleep(pause).await;
            }
            return true;
        }
        Answer::Raw(text) => {
            usual();
            let _ = write(caller, text.as_bytes()).await;
        }
        Answer::Half | Answer::Stalled => {
            let whole = usual();
            let _ = write(caller, &whole[..whole.len() - whole.len().min(20) / 2]).await;
            if let Answer::Stalled = how {
                left(caller).await;
            }
        }
        Answer::Silence => left(caller).await,
        Answer::Closed => {}
        Answer::Lie => return write(caller, &answer(204, "", b"")).await.is_ok(),
        Answer::Late => {
            let _ = healed.changed().await;
            // Whoever asked may have left long ago, and others ask meanwhile.
            tokio::time::sleep(Duration::from_millis(100)).await;
            return write(caller, &usual()).await.is_ok();
        }
    }
    false
}
