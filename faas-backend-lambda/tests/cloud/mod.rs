//! AWS Lambda as far as the backend uses it, in memory and on this machine: the control plane behaves as AWS's does, and
//! what a function answers is up to the test.
//!
//! It tells which calls were made, and can be told to refuse, to lose or to cut off any of them.
//!
//! # Source
//! AWS Lambda API reference; texts of refusals are as AWS words them.

#![allow(dead_code, unused_imports, reason = "each test binary uses its own part of it")]

mod configuration;
mod control;
mod function;
mod http;
mod invoke;
mod script;

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use self::control::Plane;
pub(crate) use self::function::Fate;
use self::http::Request;
pub(crate) use self::http::Response;
use self::script::Script;
pub(crate) use self::script::{Answer, Call, Rule};

/// A future that is boxed.
pub(crate) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

type Run = dyn Fn(Invoked) -> BoxFuture<Reply> + Send + Sync;

/// What a function is asked.
#[derive(Clone, Debug)]
pub(crate) struct Invoked {
    /// Its name.
    pub(crate) function: String,
    /// The number of the version, or `$LATEST`.
    pub(crate) version: String,
    /// Its own environment variables; none of those that Lambda sets.
    pub(crate) variables: BTreeMap<String, String>,
    /// In MB.
    pub(crate) memory: u64,
    /// In seconds.
    pub(crate) timeout: u64,
    pub(crate) zip: Bytes,
    /// The SHA-256 of the zip in base64.
    pub(crate) sha256: String,
    /// What tells this version from all others that ever were: names and versions come again after a removal.
    pub(crate) revision: String,
    /// Whether it runs in an environment that was made ahead, as far as the version has any.
    pub(crate) is_provisioned: bool,
    pub(crate) payload: Bytes,
}

/// What it answers.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// `Handled` or `Unhandled`, if it failed.
    pub(crate) function_error: Option<String>,
    /// What it logged, with Lambda's own lines. The end of it is told to who asks for it.
    pub(crate) log: Vec<u8>,
    pub(crate) payload: Bytes,
}

impl Reply {
    /// An answer without a log.
    pub(crate) fn new(payload: impl Into<Bytes>) -> Self {
        Self { status: 200, function_error: None, log: Vec::new(), payload: payload.into() }
    }

    /// A failure of that class, as `{"errorType": …, "errorMessage": …}`.
    pub(crate) fn failure(class: &str, kind: &str, message: &str) -> Self {
        let payload = serde_json::json!({ "errorType": kind, "errorMessage": message });
        Self { function_error: Some(class.to_owned()), ..Self::new(payload.to_string()) }
    }

    pub(crate) fn with_log(self, log: impl Into<Vec<u8>>) -> Self {
        Self { log: log.into(), ..self }
    }
}

/// The service. Its connections end when it is dropped.
pub(crate) struct Cloud {
    shared: Arc<Shared>,
    address: std::net::SocketAddr,
    serving: Mutex<JoinHandle<()>>,
}

struct Shared {
    plane: Mutex<Plane>,
    script: Mutex<Script>,
    calls: Mutex<Vec<Call>>,
    /// How many calls are done before all others are held; and how many are held.
    limit: watch::Sender<usize>,
    held: watch::Sender<usize>,
    run: Box<Run>,
}

impl Cloud {
    /// Starts the service on the runtime of the caller. Functions that are invoked answer what `run` says.
    pub(crate) async fn start(run: impl Fn(Invoked) -> BoxFuture<Reply> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            plane: Mutex::default(),
            script: Mutex::default(),
            calls: Mutex::default(),
            limit: watch::Sender::new(usize::MAX),
            held: watch::Sender::new(0),
            run: Box::new(run),
        });
        let serving = Mutex::new(tokio::spawn(serve(listener, Arc::clone(&shared))));
        Self { shared, address, serving }
    }

    /// Goes off the network: who is connected is cut off, and nobody listens.
    pub(crate) async fn down(&self) {
        let serving = {
            let mut serving = lock(&self.serving);
            serving.abort();
            std::mem::replace(&mut *serving, tokio::spawn(async {}))
        };
        let _ = serving.await;
    }

    /// Comes back at the same address.
    pub(crate) async fn up(&self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        *lock(&self.serving) = tokio::spawn(serve(listener, Arc::clone(&self.shared)));
    }

    /// Where it is, for `endpoint` of a backend.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The calls that arrived, the held ones too.
    pub(crate) fn calls(&self) -> Vec<Call> {
        lock(&self.shared.calls).clone()
    }

    /// The calls since so many.
    pub(crate) fn calls_since(&self, count: usize) -> Vec<Call> {
        self.calls().split_off(count)
    }

    /// How many calls of that operation arrived.
    pub(crate) fn count(&self, operation: &str) -> usize {
        lock(&self.shared.calls).iter().filter(|call| call.operation == operation).count()
    }

    /// Has calls be answered other than AWS would.
    pub(crate) fn script(&self, rule: Rule) {
        lock(&self.shared.script).push(rule);
    }

    /// Forgets all rules, and lets go of what is held.
    pub(crate) fn heal(&self) {
        lock(&self.shared.script).clear();
        self.shared.limit.send_replace(usize::MAX);
    }

    /// After so many calls from now, all others are held: neither done nor answered, until the cloud is healed. Whoever
    /// made them is cut off between two calls, and can be dropped there.
    pub(crate) fn hold_after(&self, count: usize) {
        let limit = lock(&self.shared.calls).len() + count;
        self.shared.limit.send_replace(limit);
    }

    /// Completes when a call is held.
    pub(crate) async fn held(&self) {
        self.shared.held.subscribe().wait_for(|held| *held > 0).await.unwrap();
    }

    /// Completes when all who made calls that were held have gone.
    pub(crate) async fn gone(&self) {
        self.shared.held.subscribe().wait_for(|held| *held == 0).await.unwrap();
    }

    /// The names of the functions.
    pub(crate) fn names(&self) -> Vec<String> {
        self.plane().names()
    }

    /// All that is there, without what differs each time.
    pub(crate) fn summary(&self) -> Value {
        self.plane().summary()
    }

    /// The control plane's state: what is there, and how it behaves. No call is answered while somebody has it.
    pub(crate) fn plane(&self) -> MutexGuard<'_, Plane> {
        lock(&self.shared.plane)
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        lock(&self.serving).abort();
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap()
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        connections.spawn(async move { connection(stream, &shared).await });
        while connections.try_join_next().is_some() {}
    }
}

/// Answers the calls of a connection until it ends.
async fn connection(stream: TcpStream, shared: &Arc<Shared>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    while let Some(request) = Request::read(&mut read).await? {
        let call = control::call(&request);
        let number = {
            let mut calls = lock(&shared.calls);
            calls.push(call.clone());
            calls.len()
        };
        if !is_let_through(shared, number, &mut read).await {
            return Ok(());
        }
        let answer = lock(&shared.script).answer(call.operation);
        let sent = match answer {
            None => done(shared, &call, request).await.bytes(),
            Some(Answer::Said(response)) => response.bytes(),
            Some(Answer::Raw(bytes)) => return write.write_all(&bytes).await,
            Some(Answer::Closed) => return Ok(()),
            Some(Answer::Stalled) => return std::future::pending().await,
            Some(Answer::Lost) => {
                done(shared, &call, request).await;
                return Ok(());
            }
            Some(Answer::Half) => {
                let whole = done(shared, &call, request).await.bytes();
                return write.write_all(&whole[..whole.len() - 1 - whole.len() / 8]).await;
            }
            Some(Answer::Unanswered) => {
                done(shared, &call, request).await;
                return std::future::pending().await;
            }
        };
        write.write_all(&sent).await?;
    }
    Ok(())
}

/// Waits while calls of that number are held. Answers with whether whoever made it is still there.
async fn is_let_through(shared: &Shared, number: usize, read: &mut BufReader<OwnedReadHalf>) -> bool {
    let mut limit = shared.limit.subscribe();
    if number <= *limit.borrow() {
        return true;
    }
    shared.held.send_modify(|held| *held += 1);
    let is_there = tokio::select! {
        _ = limit.wait_for(|limit| number <= *limit) => true,
        _ = read.fill_buf() => false,
    };
    shared.held.send_modify(|held| *held -= 1);
    is_there
}

/// Does what is asked.
async fn done(shared: &Arc<Shared>, call: &Call, request: Request) -> Response {
    if call.operation != "Invoke" {
        return lock(&shared.plane).answer(call.operation, &request);
    }
    let shared = Arc::clone(shared);
    // A function runs on when its caller has gone.
    tokio::spawn(async move { invoke::invoke(&shared, &request).await }).await.unwrap()
}
