//! The interval and cron feeds, against a sink whose clock the tests set.

#![allow(
    clippy::unwrap_used,
    reason = "a test that fails should panic, in the functions that tests share too"
)]

mod cron;
mod fake;
mod interval;
mod ticking;
