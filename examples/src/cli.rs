//! The command line of the quickstart.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use faas_core::{Backend, Error, ErrorKind, LocalBackend};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::{Instant, sleep_until};

/// The backends that this build knows, by the scheme of their URL.
const BACKENDS: [&str; 1] = ["local"];

/// Runs a week of real earthquakes through triggers, rules, actions and a sequence.
#[derive(Debug, Parser)]
pub struct Args {
    /// Where the actions run
    #[arg(long, value_name = "URL", default_value = "local")]
    pub backend: String,
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
    /// The backend that the URL names.
    ///
    /// # Errors
    /// `NotFound` for a scheme that this build does not have, listing those that it has; `InvalidArgument` for
    /// a URL with more than the backend takes.
    pub fn backend(&self) -> Result<Arc<dyn Backend>, Error> {
        let (scheme, rest) = self.backend.split_once(':').unwrap_or((&self.backend, ""));
        match scheme {
            "local" if rest.is_empty() => Ok(Arc::new(LocalBackend::new())),
            "local" => {
                let text = format!("backend '{}' takes nothing after 'local:'", self.backend);
                Err(Error::new(ErrorKind::InvalidArgument, text))
            }
            unknown => Err(Error::unknown("backend", unknown, BACKENDS)),
        }
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

    #[test]
    fn an_unknown_backend_lists_the_known_ones() {
        assert_eq!(parse(&[]).unwrap().backend().unwrap().info().name, "local");
        assert!(parse(&["--backend", "local:"]).unwrap().backend().is_ok());
        let refused = |url| parse(&["--backend", url]).unwrap().backend().err().expect("refused");
        let error = refused("mainframe:ibm?x=1");
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(error.message(), "no backend is named 'mainframe'; known: local");
        assert_eq!(refused("local:there").kind(), ErrorKind::InvalidArgument);
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
