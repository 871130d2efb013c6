//! The life of the process that is killed: a mixed load, of which it tells the harness whatever was accepted.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use faas_core::store::ActivationQuery;
use faas_core::{ActivationId, Error, ErrorKind, FireOptions, Platform, Store, SubmitOptions};
use fastrand::Rng;
use serde_json::{Value, json};

use super::app::{SPARE, TICK, app};
use super::points::{Points, tell};

/// How many ask at once. Arbitrary.
const CALLERS: u64 = 8;
/// How many keys there are, so that most are used again. Arbitrary.
const KEYS: u64 = 300;
/// A payload that a store may keep apart from its rows. Arbitrary.
const LARGE: usize = 40_000;
/// How long what is left of a load may take. Arbitrary.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs the load until somebody kills this process.
pub(super) async fn work(directory: &Path, store: Arc<dyn Store>, seed: u64) -> Result<(), Error> {
    let points = Arc::new(Points::from_env());
    let builder = app(directory, store, &points).map_err(|error| failed("the file of starts", error))?;
    let app = builder.build().await?;
    tell("READY");
    let callers = (0..CALLERS).map(|number| {
        let caller = Caller {
            number,
            app: app.clone(),
            points: Arc::clone(&points),
            rng: Rng::with_seed(seed.wrapping_mul(CALLERS).wrapping_add(number)),
            turns: AtomicU64::new(0),
        };
        tokio::spawn(async move { caller.call().await })
    });
    for caller in callers.collect::<Vec<_>>() {
        let _ = caller.await;
    }
    Ok(())
}

/// Lets everything that was accepted come to its end, and ends well.
pub(super) async fn drain(directory: &Path, store: Arc<dyn Store>) -> Result<(), Error> {
    let points = Arc::new(Points::default());
    let builder =
        app(directory, Arc::clone(&store), &points).map_err(|error| failed("the file of starts", error))?;
    let app = builder.build().await?;
    // The schedule would always have something under way.
    app.disable_trigger(TICK).await?;
    let begun = Instant::now();
    while store.pending().await? > 0 && begun.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    app.shutdown(PATIENCE).await?;
    tell(&format!("DRAINED {}", store.pending().await?));
    Ok(())
}

fn failed(what: &str, error: std::io::Error) -> Error {
    Error::new(ErrorKind::Internal, format!("{what}: {error}")).with_source(error)
}

struct Caller {
    number: u64,
    app: Platform,
    points: Arc<Points>,
    rng: Rng,
    turns: AtomicU64,
}

impl Caller {
    async fn call(mut self) {
        loop {
            match self.turn().await {
                Ok(()) => {}
                Err(error) => tell(&format!("REFUSED {error}")),
            }
            tokio::time::sleep(Duration::from_micros(self.rng.u64(0..2_000))).await;
        }
    }

    /// Asks for something, and tells of it once it is accepted.
    async fn turn(&mut self) -> Result<(), Error> {
        let input = self.input();
        let app = self.app.clone();
        match self.rng.u32(0..20) {
            0..4 => self.accepted("submit once", app.submit("once", input).await?),
            4..6 => self.accepted("submit again", app.submit("again", input).await?),
            6 => self.accepted("submit emit", app.submit("emit", input).await?),
            7..9 => self.accepted("submit chain", app.submit("chain", input).await?),
            9 => self.accepted("submit doomed", app.submit("doomed", input).await?),
            10 => {
                let options = SubmitOptions::new().run_after(Duration::from_millis(self.rng.u64(1..40)));
                self.accepted("later once", app.submit_with("once", input, options).await?);
            }
            11 => {
                let key = format!("k{}", self.rng.u64(0..KEYS));
                let options = SubmitOptions::new().with_key(key.clone());
                self.accepted(&format!("keyed {key}"), app.submit_with("once", input, options).await?);
            }
            12 => {
                let key = format!("f{}", self.rng.u64(0..KEYS));
                let options = FireOptions::new().with_key(key.clone());
                self.accepted(&format!("keyed {key}"), app.fire_with("burst", input, options).await?);
            }
            13 => self.accepted("fire burst", app.fire("burst", input).await?),
            14..16 => self.invoke("once", input).await?,
            16 => self.invoke("again", input).await?,
            17 => self.invoke("chain", input).await?,
            18 => self.redrive().await?,
            _ => self.switch().await?,
        }
        Ok(())
    }

    fn input(&mut self) -> Value {
        let mut input = json!({ "fails": self.rng.u64(0..5), "sleep": self.rng.u64(0..4) });
        if self.rng.u32(0..20) == 0 {
            input["large"] = "x".repeat(LARGE).into();
        }
        input
    }

    async fn invoke(&self, name: &str, input: Value) -> Result<(), Error> {
        let id = match self.app.invoke(name, input).await {
            Ok(activation) => activation.id,
            // One that failed has a record whose id it tells.
            Err(error) => match error.context("activation").and_then(|id| id.parse().ok()) {
                Some(id) => id,
                None => return Err(error),
            },
        };
        self.accepted(&format!("invoke {name}"), id);
        Ok(())
    }

    /// Runs a dead letter again.
    async fn redrive(&self) -> Result<(), Error> {
        let query = ActivationQuery { limit: Some(1), ..ActivationQuery::default() };
        let Some(letter) = self.app.dead_letters(&query).await?.pop() else { return Ok(()) };
        match self.app.redrive(letter.job.id).await {
            Ok(id) => {
                self.accepted("redrive doomed", id);
                Ok(())
            }
            // Another caller was first.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Changes an entity. Only one caller does, so that revisions are told in the order in which they were made.
    async fn switch(&self) -> Result<(), Error> {
        if self.number > 0 {
            return Ok(());
        }
        let enabled = self.turns.fetch_add(1, Ordering::Relaxed).is_multiple_of(2);
        let revision = if enabled {
            self.app.disable_trigger(SPARE).await?
        } else {
            self.app.enable_trigger(SPARE).await?
        };
        tell(&format!("REVISION {}", revision.0));
        Ok(())
    }

    fn accepted(&self, what: &str, id: ActivationId) {
        self.points.pass("reply.before");
        tell(&format!("ACCEPTED {id} {what}"));
        self.points.pass("reply.after");
    }
}
