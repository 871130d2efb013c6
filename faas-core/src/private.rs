//! What `#[action]` expands to. Not part of the public interface: it changes without notice.

use std::time::Duration;

use crate::action::{ActionSpec, Destinations, Parameters};
use crate::error::BoxError;
use crate::units::MemoryMib;

/// The arguments of `#[action]`, checked when the action was compiled.
#[derive(Debug)]
pub struct Declaration {
    /// The action's name.
    pub name: &'static str,
    /// Its package.
    pub package: Option<&'static str>,
    /// Its memory limit in MiB.
    pub memory_mib: Option<u32>,
    /// Its timeout in milliseconds.
    pub timeout_ms: Option<u64>,
    /// Its concurrency within one sandbox.
    pub concurrency: Option<u32>,
    /// Its retries.
    pub retries: Option<u32>,
    /// How long after it was accepted an attempt may start, in milliseconds.
    pub max_age_ms: Option<u64>,
    /// Its destination for success.
    pub on_success: Option<&'static str>,
    /// Its destination for failure.
    pub on_failure: Option<&'static str>,
    /// Whether it blocks its thread.
    pub blocking: bool,
    /// The hosts that it may call.
    pub egress: &'static [&'static str],
    /// Its annotations: keys and JSON texts.
    pub annotations: &'static [(&'static str, &'static str)],
    /// Its doc comment.
    pub description: &'static str,
}

/// The specification that a declaration stands for.
#[must_use]
pub fn declare(declaration: Declaration) -> ActionSpec {
    let package = declaration.package.map(|package| format!("{package}/")).unwrap_or_default();
    #[expect(clippy::expect_used, reason = "the macro has checked the name")]
    let mut spec =
        ActionSpec::new(&format!("{package}{}", declaration.name)).expect("a name that #[action] checked");
    let limits = &mut spec.limits;
    limits.memory = declaration.memory_mib.map_or(limits.memory, MemoryMib::new);
    limits.timeout = declaration.timeout_ms.map_or(limits.timeout, Duration::from_millis);
    limits.concurrency = declaration.concurrency.unwrap_or(limits.concurrency);
    spec.retry.retries = declaration.retries.unwrap_or_default();
    spec.retry.max_age = declaration.max_age_ms.map(Duration::from_millis);
    let destination = |text: Option<&str>| text.and_then(|text| text.parse().ok());
    let destinations = Destinations {
        on_success: destination(declaration.on_success),
        on_failure: destination(declaration.on_failure),
    };
    spec.destinations = (destinations != Destinations::default()).then(|| Box::new(destinations));
    spec.blocking = declaration.blocking;
    spec.egress = declaration.egress.iter().copied().collect();
    let json = |text: &str| serde_json::from_str(text).unwrap_or_default();
    spec.annotations =
        declaration.annotations.iter().map(|(k, v)| ((*k).to_owned(), json(v))).collect::<Parameters>();
    declaration.description.clone_into(&mut spec.description);
    spec
}

/// What a fallible action returns: any `Result`, whatever its alias.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a `Result`",
    label = "taken for a `Result` because its name ends so",
    note = "an action that fails returns `Result<T, E>` or an alias of it; one that does not returns a type of any other name"
)]
pub trait Fallible {
    /// What it returns when it succeeds.
    type Output;

    /// Why it fails. It is bounded where it is boxed, and only there, so that an error of the wrong type is one
    /// compiler error.
    type Error;

    /// The `Result` itself.
    ///
    /// # Errors
    /// The action's own error.
    fn into_result(self) -> Result<Self::Output, Self::Error>;
}

impl<T, E> Fallible for Result<T, E> {
    type Output = T;
    type Error = E;

    fn into_result(self) -> Self {
        self
    }
}

/// Boxes the error of an action.
///
/// # Errors
/// The action's own error.
pub fn boxed<T, E: Into<BoxError>>(result: Result<T, E>) -> Result<T, BoxError> {
    result.map_err(Into::into)
}
