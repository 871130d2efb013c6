//! Where the end of an activation is told, when nobody waits for it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind};
use crate::name::{DEFAULT_NAMESPACE, EntityName};

/// What is told how activations of an action end that nobody waits for: those that were submitted, that rules and
/// schedules asked for, and those whose caller is gone with an earlier process.
///
/// It is run or fired, once, with the payload `{ "input": …, "activation": … }`, in the transaction that writes the
/// record. Where both are more than a payload may have, the activation comes without its logs, and if need be without
/// its result and the input. Steps of a sequence tell nobody: their sequence has their outcome.
///
/// # Source
/// AWS Lambda's destinations of asynchronous invocations.
///
/// ```
/// use faas_core::action::Destination;
/// let alerts: Destination = "trigger:alerts".parse()?;
/// assert_eq!(alerts, Destination::Trigger("alerts".parse()?));
/// assert_eq!(alerts.to_string(), "trigger:alerts");
/// # Ok::<(), faas_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Destination {
    /// This action or sequence is run.
    Action(EntityName),
    /// This trigger is fired.
    Trigger(EntityName),
}

/// The destinations of an action, for each way in which an activation can end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Destinations {
    /// What is told of those that succeed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_success: Option<Destination>,
    /// What is told of those that fail, once there is no further attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<Destination>,
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, name) = match self {
            Self::Action(name) => ("action", name),
            Self::Trigger(name) => ("trigger", name),
        };
        match name.namespace() {
            DEFAULT_NAMESPACE => write!(f, "{kind}:{}", name.path()),
            _ => write!(f, "{kind}:/{name}"),
        }
    }
}

impl FromStr for Destination {
    type Err = Error;

    /// # Errors
    /// `InvalidArgument` when it is neither `action:NAME` nor `trigger:NAME`, or the name breaks the rules.
    fn from_str(text: &str) -> Result<Self, Error> {
        match text.split_once(':') {
            Some(("action", name)) => name.parse().map(Self::Action),
            Some(("trigger", name)) => name.parse().map(Self::Trigger),
            _ => {
                let text = format!("'{text}' is no destination: write action:NAME or trigger:NAME");
                Err(Error::new(ErrorKind::InvalidArgument, text))
            }
        }
    }
}
