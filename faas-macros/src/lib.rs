//! The `#[action]` attribute of `faas-core`, which re-exports it as `faas_core::action`.

mod annotation;
mod args;
mod data_type;
mod egress;
mod errors;
mod expand;
mod name;
mod signature;
mod units;

use proc_macro::TokenStream;

/// Makes a function an action.
///
/// `#[action]` goes on a free `async fn` or `fn`. It leaves the function as it is, to be called and tested like any
/// other, and puts a type of the same name beside it that implements `faas_core::Action`. The two do not collide: one
/// name is a value's, the other a type's. (So no other type or module of that name can be in scope there.)
///
/// ```
/// use faas_core::{Action, NamedAction, action};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Deserialize)]
/// struct Greet {
///     name: String,
/// }
///
/// #[derive(Debug, PartialEq, Serialize)]
/// struct Reply {
///     text: String,
/// }
///
/// /// Greets somebody by name.
/// #[action(memory = "256MiB", timeout = "30s", annotations(team = "welcome"))]
/// fn greet(input: Greet) -> Reply {
///     Reply { text: format!("Hello, {}!", input.name) }
/// }
///
/// // The function is still a function …
/// assert_eq!(greet(Greet { name: "Ada".into() }), Reply { text: "Hello, Ada!".into() });
///
/// // … and the type of the same name is the action.
/// assert_eq!(<greet as NamedAction>::NAME, "greet");
/// assert_eq!(greet {}.spec().description, "Greets somebody by name.");
/// ```
///
/// # Arguments
/// All are optional, in any order, each at most once. What is not given is the platform's default.
///
/// | argument | example | meaning | allowed |
/// | --- | --- | --- | --- |
/// | `name` | `name = "greet"` | the action's name, by default the function's | 1 to 256 of ASCII letters, digits, `_`, `@`, `.`, `&`, `-` and space; the first a letter, a digit or `_`; the last no space |
/// | `package` | `package = "orders"` | the package that the action is in, by default none | as `name`, but not `default` |
/// | `memory` | `memory = "256MiB"` | the memory that an activation may use | a whole number of `MiB` or `GiB`, from 1MiB to 10GiB |
/// | `timeout` | `timeout = "30s"` | how long an activation may run | a whole number of `ms`, `s`, `m` (or `min`) or `h`, from 1ms to 24h |
/// | `concurrency` | `concurrency = 16` | how many activations one sandbox runs at a time | 1 to 1000 |
/// | `retries` | `retries = 3` | how often an activation is run again after a failure that is not the function's own | 0 to 100 |
/// | `max_age` | `max_age = "1h"` | how long after it was accepted, or was first to run, an attempt may start, by default at any time | as `timeout`, without a longest |
/// | `on_success` | `on_success = "action:thank"` | what is told of activations that nobody waits for and that succeed | `action:` or `trigger:` and a name, with package and namespace where it has them |
/// | `on_failure` | `on_failure = "trigger:alerts"` | what is told of those that fail, once there is no further attempt | as `on_success` |
/// | `blocking` | `blocking` | the function keeps its thread busy: run it where that holds up nothing else | a flag, for a plain `fn` |
/// | `egress` | `egress = "api.example.com"` | the hosts that `Context::http` may call, by default none | hosts with commas between them, each `*.` and a port where wanted, as `*.example.com` and `127.0.0.1:8080`; or `*` for all |
/// | `annotations` | `annotations(team = "billing", "web-export" = true)` | what is recorded with the action for others to read | keys are identifiers or strings; values are strings, bools, integers or floats |
///
/// The function's doc comment is the action's description.
///
/// # Parameters
/// None, `input: T`, `cx: &Context`, or `cx: &Context, input: T`. The context is known by its type, a shared reference to
/// a path that ends in `Context`. The input is any type that owns its data and implements `Deserialize`; its
/// JSON is an object. Without an input the action accepts `{}`.
///
/// # Return type
/// - A type whose name ends in `Result` (`Result<T, E>`, `io::Result<T>`, an alias `OrderResult<T>`) is fallible: `T` is
///   the output, and `E` is anything that converts into `faas_core::BoxError`, such as an error type, a `String` or
///   `anyhow::Error`.
/// - Every other type is the output itself. Nothing, or `()`, gives `{}`.
///
/// The output implements `Serialize`, and its JSON is an object or an array; a scalar is refused, here
/// where the type shows it and else when the action runs.
///
/// The function has no generic parameters, and what it holds across an `.await` is `Send`.
#[proc_macro_attribute]
pub fn action(args: TokenStream, item: TokenStream) -> TokenStream {
    expand::expand(args.into(), item.into()).into()
}
