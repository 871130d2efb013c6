//! What a run came to: counts, costs, the digest, and the events worth knowing.

use std::collections::BTreeMap;
use std::time::Duration;

use faas_core::meter::GbSeconds;
use faas_core::{Activation, StartKind, Status};
use serde::Serialize;

use crate::digest::digest;
use crate::earthquakes::{Alert, Cell};
use crate::table;

/// Collects the activations of events.
#[derive(Debug, Default)]
pub struct Report {
    events: usize,
    /// Each activation with the id of its event.
    activations: Vec<(String, Activation)>,
}

/// What the activations of one action came to.
#[derive(Debug, Serialize)]
pub struct Row {
    /// The action or sequence.
    pub action: String,
    /// How many there are.
    pub activations: usize,
    /// How many succeeded.
    pub success: usize,
    /// How many failed with an error of their own.
    pub application_error: usize,
    /// How many misbehaved.
    pub developer_error: usize,
    /// How often the platform failed.
    pub internal_error: usize,
    /// How many had their sandbox made for them.
    pub cold: usize,
    /// How many found one that had not run them yet.
    pub prewarmed: usize,
    /// How many found one that had.
    pub warm: usize,
    /// Half of them waited no longer, in microseconds.
    pub wait_p50_us: u128,
    /// All but one in a hundred waited no longer.
    pub wait_p99_us: u128,
    /// Half of them ran no longer, in microseconds.
    pub run_p50_us: u128,
    /// All but one in a hundred ran no longer.
    pub run_p99_us: u128,
    /// The time that is billed.
    pub billed_ms: u64,
    /// Memory times time that is billed.
    pub gb_seconds: f64,
}

/// A whole run, as `--json` prints it.
#[derive(Debug, Serialize)]
struct Summary {
    events: usize,
    activations: usize,
    failed: usize,
    digest: String,
    table: Vec<Row>,
}

impl Report {
    /// Adds what one event caused.
    pub fn add(&mut self, event: &str, activations: Vec<Activation>) {
        self.events += 1;
        self.activations.extend(activations.into_iter().map(|activation| (event.to_owned(), activation)));
    }

    /// How many events there were.
    #[must_use]
    pub fn events(&self) -> usize {
        self.events
    }

    /// How many activations of an action ended with a status.
    #[must_use]
    pub fn count(&self, action: &str, status: Status) -> usize {
        self.of(action).filter(|activation| activation.status() == status).count()
    }

    /// How many activations of anything did not succeed.
    #[must_use]
    pub fn failed(&self) -> usize {
        self.activations.iter().filter(|(_, activation)| !activation.outcome.is_success()).count()
    }

    /// One number for what happened: the same for every rate, concurrency and backend.
    #[must_use]
    pub fn digest(&self) -> String {
        digest(self.activations.iter().map(|(event, activation)| {
            let result = activation.outcome.result().to_value();
            (event.as_str(), activation.action().name(), activation.status().as_str(), result)
        }))
    }

    /// One row for each action, by name.
    #[must_use]
    pub fn rows(&self) -> Vec<Row> {
        let mut actions: BTreeMap<&str, Vec<&Activation>> = BTreeMap::new();
        for (_, activation) in &self.activations {
            actions.entry(activation.action().name()).or_default().push(activation);
        }
        actions.into_iter().map(|(action, activations)| Row::new(action, &activations)).collect()
    }

    /// The texts of the strongest events, strongest first.
    #[must_use]
    pub fn strongest(&self, count: usize) -> Vec<String> {
        let mut alerts: Vec<Alert> = self.results("alert");
        alerts.sort_by(|a, b| b.magnitude.total_cmp(&a.magnitude).then_with(|| a.text.cmp(&b.text)));
        alerts.into_iter().take(count).map(|alert| format!("{:9} {}", alert.level, alert.text)).collect()
    }

    /// The cells with the most earthquakes, and how many of them lie in which band.
    #[must_use]
    pub fn busiest(&self, count: usize) -> Vec<(String, BTreeMap<String, usize>)> {
        let mut cells: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
        for Cell { cell, band } in self.results("aggregate") {
            *cells.entry(cell).or_default().entry(band).or_default() += 1;
        }
        let mut cells: Vec<_> = cells.into_iter().collect();
        cells.sort_by_key(|(_, bands)| std::cmp::Reverse(bands.values().sum::<usize>()));
        cells.truncate(count);
        cells
    }

    /// The whole run as one JSON object.
    ///
    /// # Errors
    /// None: all of it can be encoded.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(&Summary {
            events: self.events,
            activations: self.activations.len(),
            failed: self.failed(),
            digest: self.digest(),
            table: self.rows(),
        })
    }

    /// The whole run for people.
    #[must_use]
    pub fn to_text(&self) -> String {
        table::render(self)
    }

    fn of<'a>(&'a self, action: &'a str) -> impl Iterator<Item = &'a Activation> {
        let activations = self.activations.iter().map(|(_, activation)| activation);
        activations.filter(move |activation| activation.action().name() == action)
    }

    /// The results of the activations of an action that succeeded.
    fn results<T: serde::de::DeserializeOwned>(&self, action: &str) -> Vec<T> {
        let succeeded = self.of(action).filter(|activation| activation.outcome.is_success());
        succeeded.filter_map(|activation| activation.outcome.result().decode().ok()).collect()
    }
}

impl Row {
    fn new(action: &str, activations: &[&Activation]) -> Self {
        let with = |status| activations.iter().filter(|activation| activation.status() == status).count();
        let started = |kind| activations.iter().filter(|it| it.start_kind == Some(kind)).count();
        let waits = sorted(activations.iter().map(|activation| activation.times.wait));
        let runs = sorted(activations.iter().map(|activation| activation.times.run));
        Self {
            action: action.to_owned(),
            activations: activations.len(),
            success: with(Status::Success),
            application_error: with(Status::ApplicationError),
            developer_error: with(Status::DeveloperError),
            internal_error: with(Status::InternalError),
            cold: started(StartKind::Cold),
            prewarmed: started(StartKind::Prewarmed),
            warm: started(StartKind::Warm),
            wait_p50_us: percentile(&waits, 50).as_micros(),
            wait_p99_us: percentile(&waits, 99).as_micros(),
            run_p50_us: percentile(&runs, 50).as_micros(),
            run_p99_us: percentile(&runs, 99).as_micros(),
            billed_ms: activations.iter().map(|activation| activation.billed_ms).sum(),
            gb_seconds: activations.iter().map(|it| it.gb_seconds()).sum::<GbSeconds>().as_f64(),
        }
    }
}

fn sorted(times: impl Iterator<Item = Duration>) -> Vec<Duration> {
    let mut times: Vec<Duration> = times.collect();
    times.sort_unstable();
    times
}

/// The smallest value that `percent` of all do not exceed: the nearest rank.
fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let millis = |n: u64| (1..=n).map(Duration::from_millis).collect::<Vec<_>>();
        assert_eq!(percentile(&millis(100), 99), Duration::from_millis(99));
        assert_eq!(percentile(&millis(100), 50), Duration::from_millis(50));
        assert_eq!(percentile(&millis(3), 50), Duration::from_millis(2));
        assert_eq!(percentile(&millis(1), 99), Duration::from_millis(1));
        assert_eq!(percentile(&[], 50), Duration::ZERO);
    }
}
