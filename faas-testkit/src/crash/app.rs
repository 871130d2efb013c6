//! The app that is killed: actions that write down each start of their code, and all ways to ask for them.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use faas_core::action::Destination;
use faas_core::trigger::Interval;
use faas_core::{
    Action, ActionSpec, BoxError, Context, Error, LocalBackend, Platform, PlatformBuilder, RetryPolicy,
    RuleSpec, Store, Timestamp,
};
use serde_json::{Value, json};

use super::points::Points;
use super::store::MortalStore;

/// The namespace of the app.
pub(super) const HOME: &str = "guest";
/// How often an action runs again that may.
pub(super) const RETRIES: u32 = 3;
/// The rules of the trigger `burst`.
pub(super) const RULES: [&str; 3] = ["burst-a", "burst-b", "burst-c"];
/// The steps of the sequence `chain`.
pub(super) const STEPS: [&str; 3] = ["step-a", "step-b", "step-c"];
/// A trigger that nothing fires, to be changed.
pub(super) const SPARE: &str = "spare";
/// The schedule.
pub(super) const TICK: &str = "tick";
/// How often it fires.
pub(super) const EVERY: Duration = Duration::from_millis(20);

/// What an action does besides writing down that it started.
#[derive(Clone, Copy)]
enum Does {
    /// It succeeds.
    Succeed,
    /// It fails as often as its input says.
    Fail,
    /// It fails.
    FailAlways,
    /// It fires the trigger `ripple`.
    Emit,
}

struct Deed {
    spec: ActionSpec,
    does: Does,
    points: Arc<Points>,
    starts: Arc<Starts>,
}

impl Action for Deed {
    type Input = Value;
    type Output = Value;

    fn spec(&self) -> ActionSpec {
        self.spec.clone()
    }

    async fn call(&self, cx: Context, input: Value) -> Result<Value, BoxError> {
        self.points.pass("action.before");
        self.starts.add(&cx)?;
        tracing::info!("run of {}", cx.activation_id());
        if let Some(ms) = input["sleep"].as_u64() {
            cx.sleep(Duration::from_millis(ms)).await;
        }
        let done = match self.does {
            Does::Succeed => Ok(input),
            Does::Fail if u64::from(cx.attempt()) > input["fails"].as_u64().unwrap_or(0) => Ok(input),
            Does::Fail | Does::FailAlways => Err("it was asked to".into()),
            Does::Emit => {
                cx.emit("ripple", json!({ "from": cx.activation_id() })).map(|()| input).map_err(Into::into)
            }
        };
        self.points.pass("action.after");
        done
    }
}

/// Where starts of user code are written down: one line each, which survives this process.
pub(super) struct Starts(File);

impl Starts {
    pub(super) fn file(directory: &Path) -> PathBuf {
        directory.join("starts.txt")
    }

    fn open(directory: &Path) -> io::Result<Self> {
        OpenOptions::new().create(true).append(true).open(Self::file(directory)).map(Self)
    }

    fn add(&self, cx: &Context) -> io::Result<()> {
        let line = format!("{} {} {}\n", cx.activation_id(), cx.attempt(), cx.action().name.path());
        // One call, so that lines of several threads stay whole.
        (&self.0).write_all(line.as_bytes())
    }
}

/// What makes the app over a store.
///
/// # Errors
/// Those of the file of starts.
pub(super) fn app(
    directory: &Path,
    store: Arc<dyn Store>,
    points: &Arc<Points>,
) -> io::Result<PlatformBuilder> {
    let starts = Arc::new(Starts::open(directory)?);
    let deed =
        |spec: ActionSpec, does| Deed { spec, does, points: Arc::clone(points), starts: Arc::clone(&starts) };
    let store: Arc<dyn Store> = Arc::new(MortalStore { inner: store, points: Arc::clone(points) });
    let mut builder = Platform::builder()
        .namespace(HOME)
        .backend(LocalBackend::new())
        .shared_store(store)
        .sequence("chain", STEPS);
    for name in ["once", "ripple-work", "undertaker"].into_iter().chain(STEPS) {
        builder = builder.action(deed(named(name), Does::Succeed));
    }
    builder = builder
        .action(deed(named("again").with_retry(retried(RETRIES)), Does::Fail))
        .action(deed(named("emit"), Does::Emit))
        .action(deed(doomed(), Does::FailAlways))
        .action(deed(named("on-tick").with_retry(retried(RETRIES)), Does::Succeed));
    for trigger in ["burst", "ripple", SPARE] {
        builder = builder.trigger(trigger);
    }
    for rule in RULES {
        builder = builder.rule(rule_of(rule, "burst", "once"));
    }
    builder =
        builder.rule(rule_of("ripples", "ripple", "ripple-work")).rule(rule_of("ticks", TICK, "on-tick"));
    Ok(builder.feed(tick()))
}

/// The first tick is always the same, so that ticks are at the same times after each start.
#[expect(clippy::expect_used, reason = "its name and its time are good")]
fn tick() -> Interval {
    Interval::new(TICK, EVERY).expect("an interval").with_first(Timestamp::from_millis(1_767_225_600_000))
}

fn retried(retries: u32) -> RetryPolicy {
    RetryPolicy {
        retries,
        on_application_error: true,
        base: Duration::from_millis(2),
        max: Duration::from_millis(10),
        ..RetryPolicy::default()
    }
}

/// An action that never succeeds: its activations become dead letters, and the undertaker is told.
#[expect(clippy::expect_used, reason = "its destination is good")]
fn doomed() -> ActionSpec {
    let told: Result<Destination, Error> = "action:undertaker".parse();
    named("doomed").with_retry(retried(1)).with_on_failure(told.expect("a destination"))
}

#[expect(clippy::expect_used, reason = "all names are good")]
fn named(name: &str) -> ActionSpec {
    ActionSpec::new(name).expect("a name")
}

#[expect(clippy::expect_used, reason = "all names are good")]
fn rule_of(name: &str, trigger: &str, action: &str) -> RuleSpec {
    RuleSpec::new(name, trigger, action).expect("names")
}
