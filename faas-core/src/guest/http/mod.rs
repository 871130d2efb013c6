//! The inside of a container: OpenWhisk's action interface, over HTTP.
//!
//! [`guest_http!`](crate::guest_http) makes the program; `cargo faas build` writes the crate that calls it. It
//! listens on TCP port 8080 or, when [`SOCKET`] says so, on a Unix socket alone, and takes `POST /init` once and then
//! `POST /run`. To any OpenWhisk it is an ordinary action image. A host of this library asks for more by the header
//! [`ENVELOPE`], as [`wire`] tells; `INTERFACE.md` of `faas-backend-docker` says all of it in one place.
//!
//! # Source
//! Apache OpenWhisk's action interface, and how its Node.js and Go proxies answer.

mod egress;
mod init;
mod run;
mod server;
mod start;
pub mod wire;

pub use self::start::main;

/// The environment variable that tells the path of the Unix socket to listen on.
pub const SOCKET: &str = "FAAS_GUEST_SOCKET";

/// The environment variable that tells the path of the Unix socket where the host makes HTTP requests for actions.
pub const EGRESS: &str = "FAAS_GUEST_EGRESS";

/// The TCP port that is listened on otherwise. Source: OpenWhisk.
pub const PORT: u16 = 8080;

/// The header by which a host asks for envelopes; its value is the version of the interface, [`VERSION`].
pub const ENVELOPE: &str = "x-faas-envelope";

/// The header by which a guest says that it knows envelopes, and keeps connections open; its value is [`VERSION`].
pub const GUEST: &str = "x-faas-guest";

/// The version of what this library adds to OpenWhisk's interface.
pub const VERSION: &str = "1";

/// The same, as artifacts tell it.
const ABI: u32 = 1;

/// What stands at the end of an activation's output, on both streams. Source: OpenWhisk.
pub const SENTINEL: &str = "XXX_THE_END_OF_A_WHISK_ACTIVATION_XXX";

/// Makes the program of a container: the argument is the path of the crate's `actions` function.
///
/// ```no_run
/// # mod app { use faas_core::{action, actions}; #[action] async fn ping() {} actions![ping]; }
/// # mod program {
/// faas_core::guest_http!(crate::app::actions);
/// # pub fn run() { let _ = main(); }
/// # }
/// # fn main() { program::run(); }
/// ```
#[macro_export]
macro_rules! guest_http {
    ($actions:path) => {
        fn main() -> ::std::process::ExitCode {
            $crate::guest::http::main($actions)
        }
    };
}
