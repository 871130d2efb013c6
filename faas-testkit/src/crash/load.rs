//! The life of the process that is killed: a mixed load, of which it tells the harness whatever was accepted.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use faas_core::store::{ActivationQuery, Expect};
use faas_core::{ActivationId, Error, ErrorKind, FireOptions, Platform, Store, SubmitOptions};
use fastrand::Rng;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::app::{MINUTE, PASSING, SPARE, TICK, app};
use super::points::{pass, tell};

/// How many ask at once. Arbitrary.
const CALLERS: u64 = 8;
/// How many keys there are, so that most are used again. Arbitrary.
const KEYS: u64 = 300;
/// A payload that a store may keep apart from its rows. Arbitrary.
const LARGE: usize = 40_000;
/// How long what is left of a load may take. Arbitrary.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long what runs may take once the process is asked to end: some of it is left. Arbitrary.
const GRACE: Duration = Duration::from_millis(5);

/// Runs the load until somebody kills this process, or asks it to end.
pub(super) async fn work(directory: &Path, store: Arc<dyn Store>, seed: u64) -> Result<(), Error> {
    let builder = app(directory, store).map_err(|error| failed("the file of starts", error))?;
    let app = builder.build().await?;
    tell("READY");
    let mut callers = JoinSet::new();
    for number in 0..CALLERS {
        let caller = Caller {
            number,
            app: app.clone(),
            rng: Rng::with_seed(seed.wrapping_mul(CALLERS).wrapping_add(number)),
            turns: AtomicU64::new(0),
        };
        callers.spawn(caller.call());
    }
    app.shutdown_on_signal(GRACE).await?;
    callers.shutdown().await;
    Ok(())
}

/// Lets everything that was accepted come to its end, and ends well.
pub(super) async fn drain(directory: &Path, store: Arc<dyn Store>) -> Result<(), Error> {
    let builder = app(directory, Arc::clone(&store)).map_err(|error| failed("the file of starts", error))?;
    let app = builder.build().await?;
    // The schedules would always have something under way.
    for (schedule, _) in [TICK, MINUTE] {
        app.disable_trigger(schedule).await?;
    }
    let begun = Instant::now();
    while store.pending().await? > 0 && begun.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    app.shutdown(PATIENCE).await?;
    let stats = app.stats();
    let held: u32 = stats.backends.iter().map(|backend| backend.in_use).sum();
    tell(&format!("HELD {}", stats.in_flight + u64::from(held)));
    tell(&format!("DRAINED {}", store.pending().await?));
    Ok(())
}

fn failed(what: &str, error: std::io::Error) -> Error {
    Error::new(ErrorKind::Internal, format!("{what}: {error}")).with_source(error)
}

struct Caller {
    number: u64,
    app: Platform,
    rng: Rng,
    turns: AtomicU64,
}

impl Caller {
    async fn call(mut self) {
        loop {
            match self.turn().await {
                Ok(()) => {}
                // The process was asked to end.
                Err(error) if error.kind() == ErrorKind::Closed => return,
                Err(error) => tell(&format!("REFUSED {error}")),
            }
            tokio::time::sleep(Duration::from_micros(self.rng.u64(0..2_000))).await;
        }
    }

    /// Asks for something, and tells of it once it is accepted.
    async fn turn(&mut self) -> Result<(), Error> {
        let input = self.input();
        let app = self.app.clone();
        match self.rng.u32(0..24) {
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
            18 => self.accepted("submit nest", app.submit("nest", input).await?),
            19 => self.accepted("submit spent", app.submit("spent", input).await?),
            20 => self.redrive().await?,
            21 => self.discard().await?,
            // Each by one caller, so that it is told in the order in which it was done.
            _ if self.number == 0 => self.switch().await?,
            _ if self.number == 1 => self.come_and_go().await?,
            _ => {}
        }
        Ok(())
    }

    fn input(&mut self) -> Value {
        let mut input = json!({ "fails": self.rng.u64(0..5), "sleep": self.rng.u64(0..4) });
        if self.rng.u32(0..20) == 0 {
            // Some of them more than once, as files that several rows refer to.
            input = json!({ "large": format!("{}{}", self.rng.u32(0..500), "x".repeat(LARGE)) });
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

    /// Runs dead letters again.
    async fn redrive(&mut self) -> Result<(), Error> {
        let query = of("doomed");
        if self.rng.u32(0..4) == 0 {
            return self.app.redrive_all(&query).await.map(drop);
        }
        let Some(letter) = self.app.dead_letters(&query).await?.pop() else { return Ok(()) };
        if let Some(id) = unless_gone(self.app.redrive(letter.job.id).await)? {
            self.accepted("redrive doomed", id);
        }
        Ok(())
    }

    /// Drops a dead letter.
    async fn discard(&self) -> Result<(), Error> {
        let Some(letter) = self.app.dead_letters(&of("spent")).await?.pop() else { return Ok(()) };
        tell(&format!("DROPPING {}", letter.job.id));
        if unless_gone(self.app.drop_dead_letter(letter.job.id).await)?.is_some() {
            tell(&format!("DROPPED {}", letter.job.id));
        }
        Ok(())
    }

    /// Creates an entity or deletes it.
    async fn come_and_go(&self) -> Result<(), Error> {
        let comes = self.app.entity(PASSING).await?.is_none();
        tell("PASSING doubtful");
        if comes {
            self.app.put_trigger(PASSING, Default::default(), Expect::Absent).await?;
        } else {
            self.app.delete(PASSING, Expect::Any).await?;
        }
        tell(if comes { "PASSING there" } else { "PASSING gone" });
        Ok(())
    }

    /// Changes an entity.
    async fn switch(&self) -> Result<(), Error> {
        let (app, turn) = (&self.app, self.turns.fetch_add(1, Ordering::Relaxed));
        let enable = !turn.is_multiple_of(2);
        let revision =
            if enable { app.enable_trigger(SPARE).await? } else { app.disable_trigger(SPARE).await? };
        tell(&format!("REVISION {} {enable}", revision.0));
        Ok(())
    }

    fn accepted(&self, what: &str, id: ActivationId) {
        pass("reply.before");
        tell(&format!("ACCEPTED {id} {what}"));
        pass("reply.after");
    }
}

/// The newest of an action's.
fn of(name: &str) -> ActivationQuery {
    ActivationQuery { name: Some(name.to_owned()), limit: Some(3), ..ActivationQuery::default() }
}

/// What was done, unless another caller was first.
fn unless_gone<T>(done: Result<T, Error>) -> Result<Option<T>, Error> {
    match done {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        done => done.map(Some),
    }
}
