#![doc = include_str!("docs.md")]

mod artifact;
mod function;
#[cfg(all(feature = "local", target_os = "linux"))]
mod local;
mod message;
#[cfg(feature = "aws")]
mod remote;

#[cfg(all(feature = "local", target_os = "linux"))]
pub use self::local::{LambdaLocalBackend, LambdaLocalBuilder};
#[cfg(feature = "aws")]
pub use self::remote::{LambdaBackend, LambdaBuilder};
