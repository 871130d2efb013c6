//! Feeds: three days of a nightly job and a heartbeat, gone through at once.
//!
//! A platform with a seed takes its time from tokio, which is paused here and leaps to whatever is next. Without
//! `start_paused` and `entropy` the same program takes three days.

#![allow(clippy::print_stdout, reason = "a program that talks to its user")]

use std::error::Error;
use std::time::Duration;

use faas_core::store::{ActivationQuery, MemoryStore};
use faas_core::trigger::{Cron, Interval};
use faas_core::{Context, Entropy, LocalBackend, Platform, RuleSpec, action, actions};
use serde::Deserialize;

/// What a feed fires with.
#[derive(Deserialize)]
struct Tick {
    scheduled: String,
    missed: u64,
}

/// Closes the books of a day.
#[action]
async fn close_books(cx: &Context, tick: Tick) {
    tracing::info!("books of {} closed, {} nights missed", tick.scheduled, tick.missed);
    cx.sleep(Duration::from_secs(90)).await;
}

/// Tells that somebody is there.
#[action]
async fn beat(tick: Tick) {
    tracing::info!("alive at {}", tick.scheduled);
}

actions![close_books, beat];

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() -> Result<(), Box<dyn Error>> {
    let app = Platform::builder()
        .backend(LocalBackend::new())
        .entropy(Entropy::seeded(7))
        .store(MemoryStore::new().with_max_age(7 * DAY))
        .actions(actions())
        .feed(Cron::new("nightly", "30 2 * * *")?.with_zone("Europe/Berlin")?)
        .feed(Interval::new("heartbeat", DAY / 2)?)
        .rule(RuleSpec::new("every-night", "nightly", "close_books")?)
        .rule(RuleSpec::new("every-beat", "heartbeat", "beat")?)
        .build()
        .await?;

    tokio::time::sleep(3 * DAY).await;
    app.shutdown(Duration::from_secs(300)).await?;

    let mut activations = app.activations(&ActivationQuery::default()).await?;
    activations.sort_by_key(|activation| activation.start);
    for activation in activations {
        for line in activation.logs.iter().filter(|_| activation.start_kind.is_some()) {
            println!("{}: {}", activation.action().name(), line.text);
        }
    }
    Ok(())
}
