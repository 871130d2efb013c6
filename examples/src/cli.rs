//! The command line of the quickstart.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use faas_core::{Backend, Error, Store};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::{Instant, sleep_until};

use crate::{backends, stores};

/// Runs a week of real earthquakes through triggers, rules, actions and a sequence.
#[derive(Debug, Parser)]
pub struct Args {
    /// Where the actions run, such as `local?slots=64`; `wasm` and `docker`, in a build with that feature, compile them first
    #[arg(long, value_name = "URL", env = "FAAS_BACKEND", default_value = "local")]
    pub backend: String,
    /// Where activations are kept: `memory`, or `sqlite:DIRECTORY`, with which a run that is killed goes on when it is
    /// started again
    #[arg(long, value_name = "URL", env = "FAAS_STORE", default_value = "memory")]
    pub store: String,
    /// How many events are fired per second; as many as possible unless told
    #[arg(long, value_name = "NUMBER", value_parser = parse_rate)]
    pub rate: Option<f64>,
    /// How many events may be in flight
    #[arg(long, value_name = "NUMBER", default_value = "64")]
    pub concurrency: NonZeroUsize,
    /// Print one JSON object instead of tables
    #[arg(long)]
    pub json: bool,
}

impl Args {
    /// The backend that the URL names, of those that this build has.
    ///
    /// # Errors
    /// As from [`BackendRegistry::connect`](faas_core::backend::BackendRegistry::connect); `Unsupported` for `wasm` and `docker`
    /// where the build lacks the feature or there is no compiler for it.
    ///
    /// # Cancel safety
    /// A build of the actions that has begun goes on; nothing else is left behind.
    pub async fn backend(&self) -> Result<Arc<dyn Backend>, Error> {
        backends::registry(!self.json).connect(&self.backend).await
    }

    /// The store that the URL names.
    ///
    /// # Errors
    /// `InvalidArgument` for an unknown one; else as that store's.
    pub fn store(&self) -> Result<Arc<dyn Store>, Error> {
        stores::open(&self.store)
    }

    /// A progress bar over `events` on the error output, if that is a terminal and people look.
    #[must_use]
    pub fn progress(&self, events: usize) -> ProgressBar {
        if self.json {
            return ProgressBar::hidden();
        }
        let template = "{bar:40} {pos}/{len} events, {per_sec}, {elapsed}";
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        ProgressBar::new(events as u64).with_style(style)
    }

    /// The times at which events are fired.
    #[must_use]
    pub fn pace(&self) -> Pace {
        Pace { start: Instant::now(), rate: self.rate, fired: 0 }
    }
}

/// Fires events at equal distances, counted from the start, so that a late one does not delay the others.
#[derive(Debug)]
pub struct Pace {
    start: Instant,
    rate: Option<f64>,
    fired: u32,
}

impl Pace {
    /// Completes when the next event is to be fired.
    pub async fn turn(&mut self) {
        if let Some(rate) = self.rate {
            sleep_until(self.start + Duration::from_secs_f64(f64::from(self.fired) / rate)).await;
            self.fired += 1;
        }
    }
}

/// Rates so low that a week of events would last for years are mistakes.
fn parse_rate(text: &str) -> Result<f64, String> {
    let rate = text.parse::<f64>().ok().filter(|rate| (0.001..=1e9).contains(rate));
    rate.ok_or_else(|| "a number of events per second from 0.001 to 1e9".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Args, clap::Error> {
        Args::try_parse_from(["quickstart"].iter().chain(args))
    }

    #[tokio::test]
    async fn the_backend_is_chosen_by_its_url() {
        let backend = parse(&["--backend", "local?name=here&slots=8"]).unwrap().backend().await.unwrap();
        assert_eq!(backend.info().name, "here");
        let refused = parse(&["--backend", "mainframe:ibm?x=1"]).unwrap().backend().await;
        let error = refused.err().expect("refused");
        assert_eq!(
            error.message(),
            "no backend is named 'mainframe'; known: docker, lambda, lambda-local, local, wasm"
        );
    }

    #[cfg(not(feature = "wasm"))]
    #[tokio::test]
    async fn a_build_without_wasm_tells_how_to_get_it() {
        let error = parse(&["--backend", "wasm"]).unwrap().backend().await.err().expect("refused");
        assert_eq!(error.kind(), faas_core::ErrorKind::Unsupported);
        assert!(error.message().starts_with("this build lacks the feature `wasm`"), "{error}");
    }

    #[cfg(feature = "wasm")]
    #[tokio::test]
    async fn a_mistake_in_the_url_is_told_before_anything_is_built() {
        let error = parse(&["--backend", "wasm?speed=9"]).unwrap().backend().await.err().expect("refused");
        assert!(error.message().starts_with("backend 'wasm' has no option 'speed'"), "{error}");
    }

    #[test]
    fn an_unknown_store_is_refused_with_a_list_of_the_known_ones() {
        let refused = parse(&["--store", "paper:a4"]).unwrap().store().err().expect("refused");
        assert_eq!(refused.message(), "no store is named 'paper'; known: memory, sqlite");
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        for bad in ["0", "-1", "NaN", "inf", "fast"] {
            assert!(parse(&["--rate", bad]).is_err(), "{bad}");
        }
        assert!(parse(&["--concurrency", "0"]).is_err());
        assert!(parse(&["--rate", "0.5", "--concurrency", "1"]).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn the_pace_is_the_rate() {
        let mut pace = parse(&["--rate", "4"]).unwrap().pace();
        let start = Instant::now();
        for _ in 0..9 {
            pace.turn().await;
        }
        assert_eq!(start.elapsed(), Duration::from_secs(2));
        let mut unlimited = parse(&[]).unwrap().pace();
        unlimited.turn().await;
        assert_eq!(start.elapsed(), Duration::from_secs(2));
    }
}
