//! Rules: which action a trigger's events invoke, and with what.

use std::fmt;

use serde_json::Value;

use crate::action::RetryPolicy;
use crate::error::{BoxError, Error};
use crate::name::EntityName;
use crate::payload::{IntoPayload, Payload};
use crate::trigger::Event;

/// Connects a trigger to an action.
///
/// # Behavior
/// - `Ok(Some(payload))` invokes the action with the payload; `Ok(None)` is no match.
/// - `Err` is a mapping that failed: it is recorded as an activation of the action that failed.
/// - `apply` is called once per event and enabled rule, in the order of the rules' names; it neither blocks nor
///   waits.
/// - The policy that `retry` gives goes before the action's, for what the rule invokes.
pub trait Rule: Send + Sync + 'static {
    /// Its name.
    fn name(&self) -> &EntityName;

    /// The trigger whose events it takes.
    fn trigger(&self) -> &EntityName;

    /// The action or sequence that it invokes.
    fn action(&self) -> &EntityName;

    /// The payload for the action, or `None` when the event does not concern it.
    ///
    /// # Errors
    /// Whatever the mapping fails with.
    fn apply(&self, event: &Event) -> Result<Option<Payload>, BoxError>;

    /// When what it invokes is run again, if that is not for the action to say.
    fn retry(&self) -> Option<RetryPolicy> {
        None
    }
}

type Filter = Box<dyn Fn(&Value) -> bool + Send + Sync>;
type Mapping = Box<dyn Fn(Value) -> Result<Value, BoxError> + Send + Sync>;

/// A rule with an optional filter and an optional mapping, both over the event's payload.
///
/// ```
/// use faas_core::{Payload, Rule, RuleSpec, Timestamp, trigger::Event};
/// use serde_json::json;
/// let rule = RuleSpec::new("strong", "quake", "alert")?
///     .filter(|quake| quake["mag"].as_f64() >= Some(4.5))
///     .map(|quake| Ok(json!({ "text": format!("magnitude {}", quake["mag"]) })));
/// let event = |mag: f64| -> Result<Event, faas_core::Error> {
///     Ok(Event { id: None, at: Timestamp::default(), payload: Payload::from_value(&json!({ "mag": mag }))? })
/// };
/// assert!(rule.apply(&event(2.0)?)?.is_none());
/// assert_eq!(rule.apply(&event(5.0)?)?.unwrap().as_str(), r#"{"text":"magnitude 5.0"}"#);
/// # Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
/// ```
pub struct RuleSpec {
    name: EntityName,
    trigger: EntityName,
    action: EntityName,
    filter: Option<Filter>,
    mapping: Option<Mapping>,
    retry: Option<RetryPolicy>,
}

impl RuleSpec {
    /// A rule that invokes `action` with every event of `trigger`.
    ///
    /// # Errors
    /// `InvalidArgument` for a name that breaks the rules.
    pub fn new(name: &str, trigger: &str, action: &str) -> Result<Self, Error> {
        Ok(Self {
            name: name.parse()?,
            trigger: trigger.parse()?,
            action: action.parse()?,
            filter: None,
            mapping: None,
            retry: None,
        })
    }

    /// The same rule for only those events whose payload the filter accepts.
    #[must_use]
    pub fn filter(mut self, filter: impl Fn(&Value) -> bool + Send + Sync + 'static) -> Self {
        self.filter = Some(Box::new(filter));
        self
    }

    /// The same rule with the payload mapped.
    #[must_use]
    pub fn map(mut self, mapping: impl Fn(Value) -> Result<Value, BoxError> + Send + Sync + 'static) -> Self {
        self.mapping = Some(Box::new(mapping));
        self
    }

    /// The same rule with a policy of its own for when the action is run again, in place of the action's.
    #[must_use]
    pub fn with_retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = Some(retry);
        self
    }
}

impl Rule for RuleSpec {
    fn name(&self) -> &EntityName {
        &self.name
    }

    fn trigger(&self) -> &EntityName {
        &self.trigger
    }

    fn action(&self) -> &EntityName {
        &self.action
    }

    fn apply(&self, event: &Event) -> Result<Option<Payload>, BoxError> {
        if self.filter.is_none() && self.mapping.is_none() {
            return Ok(Some(event.payload.clone()));
        }
        let value = event.payload.to_value();
        if self.filter.as_ref().is_some_and(|accepts| !accepts(&value)) {
            return Ok(None);
        }
        match &self.mapping {
            None => Ok(Some(event.payload.clone())),
            Some(mapping) => Ok(Some(mapping(value)?.into_payload()?)),
        }
    }

    fn retry(&self) -> Option<RetryPolicy> {
        self.retry
    }
}

impl fmt::Debug for RuleSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rule {}: {} -> {}", self.name, self.trigger, self.action)
    }
}
