//! An HTTP request that the host makes for the guest.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::abi;
use crate::action::BoxFuture;
use crate::error::Error;
use crate::guest::executor;
use crate::http::{HttpRequest, HttpResponse, decode_response, encode_request};

/// Has the host make a request, beginning at once.
pub(crate) fn http(request: HttpRequest) -> BoxFuture<'static, Result<HttpResponse, Error>> {
    let encoded = encode_request(&request);
    drop(request);
    Box::pin(Exchange { handle: abi::http_send(&encoded), taken: false })
}

/// A request under way.
struct Exchange {
    handle: u32,
    /// Whether the response is here, so that the handle is the host's again.
    taken: bool,
}

impl Future for Exchange {
    type Output = Result<HttpResponse, Error>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(length) = abi::http_poll(self.handle) else {
            executor::await_host(self.handle, task);
            return Poll::Pending;
        };
        self.taken = true;
        Poll::Ready(decode_response(abi::http_take(self.handle, length).into()))
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if !self.taken {
            executor::forget(self.handle);
            abi::http_cancel(self.handle);
        }
    }
}
