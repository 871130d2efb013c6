use faas_core::action;

#[action]
const fn constant() {}

#[action]
unsafe fn unsound() {}

#[action]
extern "C" fn foreign() {}

fn main() {}
