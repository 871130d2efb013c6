//! The inside of an AWS Lambda function: the program `bootstrap` of the runtime `provided.al2023`.
//!
//! The macro `guest_lambda!` makes the program; `cargo faas build` writes the crate that calls it. Lambda's
//! Runtime API is spoken by the crate `lambda_runtime`; what a host of this library and a function tell each other
//! within its events is in [`wire`].
//!
//! One function is one action: its environment has the specification ([`SPEC`]). An event that no host of this library
//! sent is the action's input as it is, and what the action returns is the answer as it is; a failure is an error of the
//! function, so that Lambda's own retries and destinations see it.
//!
//! The action runs on the thread that speaks to Lambda, or on one of its own if it blocks. Where it holds that thread up
//! until after its deadline, another one answers, so that the program answers in time whatever the action does. After a run
//! that may have left anything behind, and before it asks for the next event, the program replaces itself by a new
//! one: threads, memory, open files and processes of the old one are gone, and at Lambda what it wrote to `/tmp`.
//!
//! # Source
//! "Using the Lambda runtime API for custom runtimes", AWS Lambda Developer Guide.

#[cfg(all(feature = "guest-lambda", unix))]
mod function;
#[cfg(all(feature = "guest-lambda", unix))]
mod instead;
#[cfg(all(feature = "guest-lambda", unix))]
mod leftovers;
#[cfg(all(feature = "guest-lambda", unix))]
mod start;
pub mod wire;

#[cfg(all(feature = "guest-lambda", unix))]
pub use self::start::main;

/// The environment variable that has the specification of the function's action, as JSON.
pub const SPEC: &str = "FAAS_ACTION";

/// The version of what a host and a function tell each other.
pub const ABI: u32 = 1;

/// Makes the program of a Lambda function: the argument is the path of the crate's `actions` function.
///
/// ```no_run
/// # mod app { use faas_core::{action, actions}; #[action] async fn ping() {} actions![ping]; }
/// # mod program {
/// faas_core::guest_lambda!(crate::app::actions);
/// # pub fn run() { let _ = main(); }
/// # }
/// # fn main() { program::run(); }
/// ```
#[cfg(all(feature = "guest-lambda", unix))]
#[macro_export]
macro_rules! guest_lambda {
    ($actions:path) => {
        fn main() -> ::std::process::ExitCode {
            $crate::guest::lambda::main($actions)
        }
    };
}
