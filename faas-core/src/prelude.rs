//! What most apps name: `use faas_core::prelude::*;`.
//!
//! It leaves out names that many programs have of their own, such as `Error` and `Event`.

pub use crate::action::NamedAction;
pub use crate::actions;
pub use crate::context::{Context, InitContext};
pub use crate::error::BoxError;
pub use crate::outcome::ActionError;
pub use crate::payload::Payload;

#[cfg(feature = "macros")]
pub use faas_macros::action;

#[cfg(feature = "host")]
pub use crate::backend::{Backend, LocalBackend};
#[cfg(feature = "host")]
pub use crate::layer::Layer;
#[cfg(feature = "host")]
pub use crate::platform::Platform;
#[cfg(feature = "host")]
pub use crate::rule::RuleSpec;
