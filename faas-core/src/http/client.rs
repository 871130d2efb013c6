//! Who carries the requests of actions out.

use super::message::{HttpRequest, HttpResponse};
use crate::action::BoxFuture;
use crate::error::Error;

/// Makes the HTTP requests of actions. A function that answers at once is one, for tests.
///
/// # Behavior
/// - `send` is given requests that are checked and granted, makes one request of each, and answers with what the
///   server sent, whatever its status. It follows no redirect.
/// - It adds no headers but those that the connection needs, keeps no cookies, and takes no settings from the
///   environment.
/// - A body over [`MAX_BODY`](super::MAX_BODY) is an error of kind `InvalidArgument`, and is not read to its end.
/// - Where no answer comes the error is `Unavailable`, and temporary if the server cannot have seen the request. No
///   error shows more of the URL than its host and port.
/// - It sets no time limit of its own: dropping the future ends the request.
///
/// ```
/// use faas_core::{HttpRequest, HttpResponse, LocalBackend};
/// let backend = LocalBackend::new().with_http(|request: HttpRequest| {
///     Ok(HttpResponse::new(if request.method == "GET" { 200 } else { 405 }))
/// });
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` makes no HTTP requests",
    note = "a function that does is a `Fn(HttpRequest) -> Result<HttpResponse, Error>`; write the argument's type"
)]
pub trait HttpClient: Send + Sync + 'static {
    /// Makes a request.
    fn send(&self, request: HttpRequest) -> BoxFuture<'static, Result<HttpResponse, Error>>;
}

impl<F> HttpClient for F
where
    F: Fn(HttpRequest) -> Result<HttpResponse, Error> + Send + Sync + 'static,
{
    fn send(&self, request: HttpRequest) -> BoxFuture<'static, Result<HttpResponse, Error>> {
        Box::pin(std::future::ready(self(request)))
    }
}
