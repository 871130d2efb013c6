//! An action as a Lambda function: its name, and what is configured within Lambda's ranges.
//!
//! # Source
//! "Lambda quotas" and "CreateFunction", AWS Lambda Developer Guide and API reference.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use faas_core::guest::lambda::SPEC;
use faas_core::{ActionSpec, EntityName, Error, ErrorKind};
use serde::Serialize;

use crate::artifact::digest;

/// The least memory of a function, in MB. An action with less gets this.
const LEAST_MEMORY: u64 = 128;

/// The longest timeout of a function.
pub(crate) const LONGEST: Duration = Duration::from_secs(900);

/// How much longer a function may take than its action, so that it is the action's own limit that ends a run. Arbitrary.
pub(crate) const MARGIN: Duration = Duration::from_millis(250);

/// The longest timeout of an action.
pub(crate) const MAX_TIMEOUT: Duration = LONGEST.saturating_sub(MARGIN);

/// The most bytes that the environment variables of a function take. Lambda measures the object of them in JSON, in which
/// each `"` of a value takes two; its refusal shows what it measured.
const MAX_VARIABLES: usize = 4 << 10;

/// The longest name of a function.
const LONGEST_NAME: usize = 64;

/// The annotation of an action that says how much of the account's concurrency is reserved for its function.
pub(crate) const RESERVED: &str = "reserved-concurrency";

/// The most that can be reserved: the largest number that AWS's interface has for it. What an account has is less.
pub(crate) const MOST_RESERVED: u32 = i32::MAX.cast_unsigned();

/// How a function is configured.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) name: String,
    /// In MB.
    pub(crate) memory: u64,
    /// In whole seconds.
    pub(crate) timeout: u64,
    pub(crate) variables: BTreeMap<String, String>,
    /// What its action says is reserved of the account's concurrency.
    pub(crate) reserved: Option<u32>,
}

impl fmt::Debug for Function {
    /// Without the values of its variables, which may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Function")
            .field("name", &self.name)
            .field("memory", &self.memory)
            .field("timeout", &self.timeout)
            .field("variables", &self.variables.keys())
            .finish()
    }
}

impl Function {
    /// The function of an action; its name begins with `prefix`.
    ///
    /// # Errors
    /// `Unsupported` for an action that is beyond Lambda's ranges, saying which one; `InvalidArgument` for an
    /// annotation that is no number.
    pub(crate) fn of(spec: &ActionSpec, prefix: &str) -> Result<Self, Error> {
        let variables = BTreeMap::from([(SPEC.to_owned(), encoded(spec)?)]);
        let bytes = encoded(&variables)?.len();
        if bytes > MAX_VARIABLES {
            let text = format!(
                "parameters, annotations and environment of the action make its specification take {bytes} bytes of \
                 JSON in a variable, and AWS Lambda allows {MAX_VARIABLES} for all variables of a function"
            );
            return Err(Error::new(ErrorKind::Unsupported, text));
        }
        Ok(Self {
            name: name(&spec.name, prefix),
            memory: u64::from(spec.limits.memory.mib()).max(LEAST_MEMORY),
            timeout: whole_seconds(spec.limits.timeout.saturating_add(MARGIN)),
            variables,
            reserved: reserved(spec)?,
        })
    }
}

fn encoded(value: &impl Serialize) -> Result<String, Error> {
    serde_json::to_string(value)
        .map_err(|error| Error::new(ErrorKind::Internal, "the action cannot be encoded").with_source(error))
}

/// The reserved concurrency that an action's annotation asks for.
fn reserved(spec: &ActionSpec) -> Result<Option<u32>, Error> {
    let Some(told) = spec.annotations.get(RESERVED) else { return Ok(None) };
    let count = told.as_u64().and_then(|count| u32::try_from(count).ok());
    let count = count.filter(|count| *count <= MOST_RESERVED);
    count.map(Some).ok_or_else(|| {
        let text = format!("annotation '{RESERVED}' is {told}, not a whole number from 0 to {MOST_RESERVED}");
        Error::new(ErrorKind::InvalidArgument, text)
    })
}

fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

/// A name of letters, digits, `-` and `_` for each action, and never the same for two: its end is of a digest.
fn name(action: &EntityName, prefix: &str) -> String {
    let whole = action.to_string();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let plain: String = whole.chars().map(|c| if is_plain(c) { c } else { '-' }).collect();
    let end = &digest(whole.as_bytes())[..8];
    let room = LONGEST_NAME - prefix.len() - end.len() - 2;
    format!("{prefix}-{}-{end}", &plain[..plain.len().min(room)])
}

#[cfg(test)]
mod tests {
    use faas_core::MemoryMib;

    use super::*;

    fn spec(name: &str) -> ActionSpec {
        ActionSpec::new(name).unwrap()
    }

    #[test]
    fn an_annotation_says_what_is_reserved() {
        let mut spec = spec("greet");
        assert_eq!(Function::of(&spec, "faas").unwrap().reserved, None);
        spec.annotations.insert(RESERVED.to_owned(), 7.into());
        assert_eq!(Function::of(&spec, "faas").unwrap().reserved, Some(7));
        for bad in
            [serde_json::json!("7"), serde_json::json!(-1), serde_json::json!(1.5), (1_u64 << 31).into()]
        {
            spec.annotations.insert(RESERVED.to_owned(), bad.clone());
            let error = Function::of(&spec, "faas").unwrap_err();
            let text = format!(
                "annotation 'reserved-concurrency' is {bad}, not a whole number from 0 to 2147483647"
            );
            assert_eq!(error.message(), text);
        }
    }

    #[test]
    fn a_function_is_configured_by_the_limits_of_its_action() {
        let spec =
            spec("orders/charge").with_memory(MemoryMib::new(64)).with_timeout(Duration::from_millis(2750));
        let function = Function::of(&spec, "faas").unwrap();
        assert_eq!((function.memory, function.timeout), (128, 3));
        let spec = spec.with_memory(MemoryMib::new(512)).with_timeout(Duration::from_millis(2751));
        let function = Function::of(&spec, "faas").unwrap();
        assert_eq!((function.memory, function.timeout), (512, 4));
        assert_eq!(whole_seconds(MAX_TIMEOUT + MARGIN), 900);
        let told: ActionSpec = serde_json::from_str(&function.variables[SPEC]).unwrap();
        assert_eq!((told.name, told.limits), (spec.name, spec.limits));
    }

    #[test]
    fn names_are_what_lambda_takes_and_differ() {
        let named = |action: &str| Function::of(&spec(action), "faas").unwrap().name;
        assert!(named("orders/charge").starts_with("faas-_-orders-charge-"), "{}", named("orders/charge"));
        assert_ne!(named("a b"), named("a-b"));
        let long = named(&format!("{}/{}", "p".repeat(100), "a".repeat(100)));
        assert_eq!(long.len(), LONGEST_NAME);
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
        assert!(named("a@b.c d/e").chars().all(is_allowed) && long.chars().all(is_allowed));
    }

    #[test]
    fn a_specification_that_is_too_much_is_refused_with_the_sizes() {
        for value in ["x", "\"", "\\", "\u{e4}"] {
            let of = |count: usize, more: &str| {
                let value = format!("{}{more}", value.repeat(count));
                Function::of(&spec("a").with_env("KEY", value), "faas")
            };
            let measured = |of: Function| serde_json::to_string(&of.variables).unwrap().len();
            let least = measured(of(0, "").unwrap());
            let each = measured(of(1, "").unwrap()) - least;
            let count = (MAX_VARIABLES - least) / each;
            let rest = "x".repeat(MAX_VARIABLES - least - count * each);
            assert_eq!(measured(of(count, &rest).unwrap()), 4096, "{value:?}");
            let error = of(count, &format!("{rest}x")).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            let text = "take 4097 bytes of JSON in a variable, and AWS Lambda allows 4096 for all variables";
            assert!(error.message().contains(text), "{value:?}: {error}");
        }
    }
}
