//! Outbound HTTP: what an action asks, what it is answered, and which hosts it may ask.
//!
//! An action makes requests with [`Context::http`](crate::Context::http), which is the same on every backend, to
//! the hosts that its specification grants ([`Egress`]) and to no other. Who carries a request out is the
//! backend's business: the local backend has an [`HttpClient`], and a guest in a sandbox
//! asks its host, in the form that [`encode_request`] writes.
//!
//! Bodies are whole, never streamed, and bounded by [`MAX_BODY`]. No redirect is followed, since it may lead to a
//! host that is not granted: an action sees the answer and its `location`.

mod client;
mod egress;
mod message;
#[cfg(feature = "http-client")]
mod network;
mod target;
mod wire;

pub use self::client::HttpClient;
pub use self::egress::{Egress, check_pattern};
pub use self::message::{HttpRequest, HttpResponse};
#[cfg(feature = "http-client")]
pub use self::network::NetworkClient;
pub use self::wire::{decode_request, decode_response, encode_request, encode_response};

/// The largest body of a request or of a response, in bytes. Arbitrary.
pub const MAX_BODY: usize = 8 << 20;

/// The most that method, URL and headers of a request, or the headers of a response, may take together, in bytes;
/// each header counts 32 bytes more than its name and value. Arbitrary.
///
/// # Source
/// The 32 bytes: RFC 9113, section 6.5.2, of the size of a header list.
pub const MAX_HEAD: usize = 64 << 10;
