//! The inside of a Wasm module: what a build of an app for `wasm32-wasip1` exports.
//!
//! [`guest_wasi!`](crate::guest_wasi) makes the exports; `cargo faas build` writes the crate that calls it. The
//! module is entered for one call at a time, asks its host for the input and answers by calling it back, so
//! that nothing is shared but bytes. `ABI.md` of `faas-backend-wasm` says what each import and export does.

#[cfg(target_family = "wasm")]
mod abi;
#[cfg(target_family = "wasm")]
mod entry;
#[cfg(target_family = "wasm")]
mod exchange;

#[cfg(target_family = "wasm")]
pub use self::entry::{describe, init, run};
#[cfg(target_family = "wasm")]
pub(crate) use self::exchange::http;

/// The bytes of the header of a call.
pub const HEADER: usize = 64;

/// What a guest replies with: how its bytes are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Reply {
    /// The result: JSON. An object with a field `error` is an application error.
    Result = 0,
    /// What is wrong with the action, as text.
    DeveloperError = 1,
    /// What the action panicked with, as text.
    Panicked = 2,
    /// A [`Description`](crate::artifact::Description) as JSON.
    Description = 3,
}

impl Reply {
    /// The reply of that number.
    #[must_use]
    pub const fn from_number(number: u32) -> Option<Self> {
        Some(match number {
            0 => Self::Result,
            1 => Self::DeveloperError,
            2 => Self::Panicked,
            3 => Self::Description,
            _ => return None,
        })
    }
}

/// Exports the actions of a crate from a Wasm module: the argument is the path of its `actions` function.
///
/// ```text
/// faas_core::guest_wasi!(app::actions);
/// ```
#[macro_export]
macro_rules! guest_wasi {
    ($actions:path) => {
        #[unsafe(no_mangle)]
        extern "C" fn faas_v1_describe() {
            $crate::guest::wasi::describe($actions);
        }

        #[unsafe(no_mangle)]
        extern "C" fn faas_v1_init() {
            $crate::guest::wasi::init($actions);
        }

        #[unsafe(no_mangle)]
        extern "C" fn faas_v1_run() {
            $crate::guest::wasi::run($actions);
        }
    };
}
