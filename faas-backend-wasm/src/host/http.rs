//! HTTP requests that a guest has made by its host.
//!
//! They go on while the guest waits, and end with the instance.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use faas_core::action::BoxFuture;
use faas_core::context::Host;
use faas_core::http::{HttpClient, HttpResponse, MAX_BODY, MAX_HEAD, decode_request, encode_response};
use faas_core::{Error, ErrorKind};
use wasmtime::{Caller, Linker, Result};

use super::HostState;
use super::abi::{MODULE, read, write};
use super::misuse::misused;

/// The requests that one activation may have under way, answered ones that it has not taken included: they are in
/// the host's memory. Arbitrary.
const MOST: usize = 16;

/// The requests that one activation may have at all, those included that were refused and whose errors it has not
/// taken. A guest with more is ended. Arbitrary.
const MOST_HANDLES: usize = 4 * MOST;

/// The largest request, in bytes: a body, and a head that may take four bytes for each.
const LARGEST: usize = MAX_BODY + 4 * MAX_HEAD + 1;

/// The requests of an instance by their handles.
#[derive(Default)]
pub(super) struct Requests {
    next: u32,
    all: BTreeMap<u32, Request>,
}

enum Request {
    UnderWay(BoxFuture<'static, std::result::Result<HttpResponse, Error>>),
    /// The response, or the error, as the guest takes it.
    Answered(Vec<u8>),
}

impl Requests {
    fn add(&mut self, request: Request) -> u32 {
        self.next = self.next.wrapping_add(1);
        self.all.insert(self.next, request);
        self.next
    }

    /// Lets all requests go on, and tells whether one was answered.
    fn poll(&mut self, task: &mut Context<'_>) -> bool {
        let mut answered = false;
        for request in self.all.values_mut() {
            if let Request::UnderWay(sending) = request
                && let Poll::Ready(result) = sending.as_mut().poll(task)
            {
                *request = Request::Answered(encode_response(&result));
                answered = true;
            }
        }
        answered
    }
}

/// The client that makes requests where none was given.
#[cfg(feature = "http")]
pub(super) fn default_client() -> Option<Arc<dyn HttpClient>> {
    Some(Arc::new(faas_core::http::NetworkClient::new()))
}

/// There is none.
#[cfg(not(feature = "http"))]
pub(super) fn default_client() -> Option<Arc<dyn HttpClient>> {
    None
}

/// Adds the functions for requests, and the one that waits for them.
pub(super) fn add_to(linker: &mut Linker<HostState>) -> Result<()> {
    linker.func_wrap(MODULE, "http_send", send)?;
    linker.func_wrap(MODULE, "http_poll", |caller: Caller<'_, HostState>, handle: u32| {
        match caller.data().requests.as_ref().and_then(|requests| requests.all.get(&handle)) {
            Some(Request::Answered(bytes)) => i64::try_from(bytes.len()).unwrap_or(i64::MAX),
            Some(Request::UnderWay(_)) | None => -1,
        }
    })?;
    linker.func_wrap(MODULE, "http_take", |mut caller: Caller<'_, HostState>, handle: u32, into: u32| {
        let requests = caller.data_mut().requests.as_mut();
        match requests.and_then(|requests| requests.all.remove(&handle)) {
            Some(Request::Answered(bytes)) => write(&mut caller, into, &bytes),
            _ => misused!("the module takes the response of request {handle}, which has none"),
        }
    })?;
    linker.func_wrap(MODULE, "http_cancel", |mut caller: Caller<'_, HostState>, handle: u32| {
        if let Some(requests) = caller.data_mut().requests.as_mut() {
            requests.all.remove(&handle);
        }
    })?;
    linker.func_wrap_async(MODULE, "wait", |mut caller: Caller<'_, HostState>, (nanos,): (u64,)| {
        let mut sleep = caller.data().entropy().sleep(Duration::from_nanos(nanos));
        // The future of the whole call ends at its deadline, wherever it waits.
        Box::new(std::future::poll_fn(move |task| {
            let requests = caller.data_mut().requests.as_mut();
            match requests.is_some_and(|requests| requests.poll(task)) {
                true => Poll::Ready(()),
                false => Pin::new(&mut sleep).poll(task),
            }
        }))
    })?;
    Ok(())
}

/// Begins a request, and answers with its handle. One that is not granted, or malformed, is answered at once.
fn send(mut caller: Caller<'_, HostState>, from: u32, length: u32) -> Result<u32> {
    if length as usize > LARGEST {
        misused!("the module makes a request of {length} bytes, over {LARGEST}");
    }
    let (bytes, state) = read(&mut caller, from, length, LARGEST)?;
    if state.requests.as_ref().is_some_and(|requests| requests.all.len() >= MOST_HANDLES) {
        misused!(
            "the module has {MOST_HANDLES} requests whose responses it has not taken, and makes one more"
        );
    }
    let bytes = Bytes::copy_from_slice(bytes);
    let request = match state.begin_request(bytes) {
        Ok(sending) => Request::UnderWay(sending),
        Err(error) => Request::Answered(encode_response(&Err(error))),
    };
    Ok(state.requests.get_or_insert_default().add(request))
}

impl HostState {
    fn begin_request(
        &self,
        bytes: Bytes,
    ) -> std::result::Result<BoxFuture<'static, std::result::Result<HttpResponse, Error>>, Error> {
        let request = decode_request(bytes)?;
        // The guest has looked as well, but guests may say anything.
        self.action.spec.egress.check(&request)?;
        if self.requests.as_ref().is_some_and(|requests| requests.all.len() >= MOST) {
            let text = format!("an activation may have {MOST} requests under way");
            return Err(Error::new(ErrorKind::Exhausted, text));
        }
        let client = self.action.world.http().ok_or_else(|| {
            let text = "the Wasm backend makes no HTTP requests: turn on its feature `http`, or give it a client by \
                        `WasmBuilder::http`";
            Error::new(ErrorKind::Unsupported, text)
        })?;
        Ok(client.send(request))
    }
}
