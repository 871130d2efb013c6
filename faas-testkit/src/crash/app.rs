//! The app that is killed: actions that write down each start of their code, and all ways to ask for them.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use faas_core::action::Destination;
use faas_core::trigger::{Cron, Interval};
use faas_core::{
    Action, ActionSet, ActionSpec, BoxError, Context, Error, LocalBackend, Platform, PlatformBuilder,
    RetryPolicy, RuleSpec, Store, Timestamp,
};
use serde_json::{Value, json};

use super::points::pass;
use super::store::MortalStore;

/// The namespace of the app.
pub(super) const HOME: &str = "guest";
/// How often an action runs again that may, as it says itself or the rule that asks for it.
pub(super) const RETRIES: u32 = 3;
/// How often `doomed` and `spent` run again, in vain.
pub(super) const VAIN: u32 = 1;
/// The rules of the trigger `burst` that run `once`. A third one runs `ruled`.
pub(super) const RULES: [&str; 2] = ["burst-a", "burst-b"];
/// The steps of the sequence `chain`.
pub(super) const STEPS: [&str; 3] = ["step-a", "step-b", "step-c"];
/// A trigger that nothing fires, to be changed.
pub(super) const SPARE: &str = "spare";
/// A trigger that comes and goes.
pub(super) const PASSING: &str = "passing";
/// The schedules, and how often they fire.
pub(super) const TICK: (&str, Duration) = ("tick", Duration::from_millis(20));
pub(super) const MINUTE: (&str, Duration) = ("minute", Duration::from_secs(60));

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
    starts: Arc<Starts>,
}

impl Action for Deed {
    type Input = Value;
    type Output = Value;

    fn spec(&self) -> ActionSpec {
        self.spec.clone()
    }

    async fn call(&self, cx: Context, input: Value) -> Result<Value, BoxError> {
        pass("action.before");
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
        pass("action.after");
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
pub(super) fn app(directory: &Path, store: Arc<dyn Store>) -> io::Result<PlatformBuilder> {
    let starts = Arc::new(Starts::open(directory)?);
    let deed = |spec: ActionSpec, does| Deed { spec, does, starts: Arc::clone(&starts) };
    let primed = ActionSet::new().with(deed(named("primed"), Does::Succeed)).with_init(|_| async {
        pass("init.before");
        tokio::task::yield_now().await;
        pass("init.after");
        Ok::<_, Error>(())
    });
    let mut builder = Platform::builder()
        .namespace(HOME)
        .backend(LocalBackend::new())
        .shared_store(Arc::new(MortalStore(store)))
        .actions(primed)
        .sequence("chain", STEPS)
        .sequence("nest", ["primed", "chain"]);
    for name in ["once", "ripple-work", "undertaker"].into_iter().chain(STEPS) {
        builder = builder.action(deed(named(name), Does::Succeed));
    }
    builder = builder
        .action(deed(named("again").with_retry(retried(RETRIES)), Does::Fail))
        .action(deed(named("ruled"), Does::Fail))
        .action(deed(named("emit"), Does::Emit))
        .action(deed(doomed(), Does::FailAlways))
        .action(deed(named("spent").with_retry(retried(VAIN)), Does::FailAlways))
        .action(deed(named("on-tick").with_retry(retried(RETRIES)), Does::Succeed));
    for trigger in ["burst", "ripple", SPARE] {
        builder = builder.trigger(trigger);
    }
    for rule in RULES {
        builder = builder.rule(rule_of(rule, "burst", "once"));
    }
    builder = builder
        .rule(rule_of("burst-c", "burst", "ruled").with_retry(retried(RETRIES)))
        .rule(rule_of("ripples", "ripple", "ripple-work"))
        .rule(rule_of("ticks", TICK.0, "on-tick"))
        .rule(rule_of("minutes", MINUTE.0, "on-tick"));
    Ok(builder.feed(tick()).feed(minute()))
}

/// The first tick is always the same, so that ticks are at the same times after each start.
#[expect(clippy::expect_used, reason = "its name and its time are good")]
fn tick() -> Interval {
    let tick = Interval::new(TICK.0, TICK.1).expect("an interval");
    tick.with_first(Timestamp::from_millis(1_767_225_600_000))
}

#[expect(clippy::expect_used, reason = "its name and its expression are good")]
fn minute() -> Cron {
    Cron::new(MINUTE.0, "* * * * *").expect("an expression")
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
    named("doomed").with_retry(retried(VAIN)).with_on_failure(told.expect("a destination"))
}

#[expect(clippy::expect_used, reason = "all names are good")]
fn named(name: &str) -> ActionSpec {
    ActionSpec::new(name).expect("a name")
}

#[expect(clippy::expect_used, reason = "all names are good")]
fn rule_of(name: &str, trigger: &str, action: &str) -> RuleSpec {
    RuleSpec::new(name, trigger, action).expect("names")
}
