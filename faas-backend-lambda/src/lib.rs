#![doc = include_str!("docs.md")]

#[cfg(not(any(feature = "aws", feature = "local")))]
compile_error!("faas-backend-lambda has nothing without its features: turn on `aws`, `local` or both");

mod artifact;
mod function;
#[cfg(all(feature = "fuzzing", target_os = "linux"))]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(all(feature = "local", target_os = "linux"))]
mod local;
mod message;
#[cfg(feature = "aws")]
mod remote;
#[cfg(any(feature = "aws", feature = "fuzzing"))]
mod report;

#[cfg(all(feature = "local", target_os = "linux"))]
pub use self::local::{LambdaLocalBackend, LambdaLocalBuilder};
#[cfg(feature = "aws")]
pub use self::remote::{LambdaBackend, LambdaBuilder};
