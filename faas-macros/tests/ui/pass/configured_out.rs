#![deny(warnings)]

use faas_core::{NamedAction, action};

#[action]
#[cfg(any())]
async fn below() -> Missing {}

#[cfg(any())]
#[action]
async fn above() -> Missing {}

#[action]
#[cfg_attr(all(), cfg(any()))]
async fn nested() -> Missing {}

#[action(name = "here")]
#[cfg(all())]
async fn kept() {}

// The names are free, also for other actions.
#[action]
#[cfg(not(any()))]
async fn below() {}

#[allow(non_camel_case_types, reason = "it has an action's name")]
struct above;
mod nested {}

fn main() {
    assert_eq!(<kept as NamedAction>::NAME, "here");
    assert_eq!(<below as NamedAction>::NAME, "below");
    let _ = (above, kept(), below());
}
