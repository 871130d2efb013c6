//! Points around durable steps, at which tests have this process die. Without the feature `faults` they are nothing.

#[cfg(feature = "faults")]
use std::sync::OnceLock;

#[cfg(feature = "faults")]
static HOOK: OnceLock<fn(&str)> = OnceLock::new();

/// Every point that is passed while a store is opened and worked with.
#[cfg(feature = "faults")]
pub const WORKING: &[&str] = &[
    "state.synced",
    "state.renamed",
    "open.claimed",
    "log.restarted",
    "log.cleared",
    "open.emptied",
    "open.logged",
    "open.written",
    "open.after",
    "blob.written",
    "blob.synced",
    "blob.renamed",
    "blob.after",
    "commit.before",
    "commit.after",
    "commit.noted",
    "checkpoint.before",
    "checkpoint.after",
    "file.removed",
];

/// Every point that is passed while it is closed.
#[cfg(feature = "faults")]
pub const CLOSING: &[&str] =
    &["close.before", "close.claimed", "close.written", "close.emptied", "close.after"];

/// Has `hook` called at each point from now on, and the log be kept so short that it often begins anew.
#[cfg(feature = "faults")]
pub fn call(hook: fn(&str)) {
    let _ = HOOK.set(hook);
}

/// Passes a point.
#[cfg_attr(
    not(feature = "faults"),
    expect(clippy::missing_const_for_fn, reason = "there is nothing to call")
)]
pub(crate) fn pass(name: &str) {
    #[cfg(feature = "faults")]
    if let Some(hook) = HOOK.get() {
        hook(name);
    }
    #[cfg(not(feature = "faults"))]
    let _ = name;
}

/// So many frames of the log, or less where somebody looks at these points.
pub(crate) fn length(frames: u32) -> u32 {
    #[cfg(feature = "faults")]
    if HOOK.get().is_some() {
        return frames / 40;
    }
    frames
}
