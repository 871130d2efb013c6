//! The `#[action]` attribute of `faas-core`.
