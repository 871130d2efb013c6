//! A scripted factory whose sandboxes take virtual time and are counted.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::action::ActionSpec;
use crate::activation::Usage;
use crate::backend::Invocation;
use crate::entropy::Entropy;
use crate::error::{Error, ErrorKind};
use crate::log::{LogLine, Stream};
use crate::outcome::Outcome;
use crate::payload::Payload;
use crate::sandbox::{InitError, RunOutput, Sandbox, SandboxFactory, Shape};
use crate::units::{MemoryMib, Timestamp};

pub(crate) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// What a step of the factory does instead of succeeding.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    Fails(ErrorKind),
    /// The sandbox is lost before user code can have started.
    Gone,
    Panics,
    Hangs,
}

/// Times and faults. A fault is used up by the next step of its kind.
#[derive(Debug, Default)]
pub(crate) struct Script {
    pub(crate) create: Duration,
    pub(crate) init: Duration,
    pub(crate) run: Duration,
    pub(crate) pause: Duration,
    pub(crate) resume: Duration,
    pub(crate) destroy: Duration,
    pub(crate) create_faults: VecDeque<Option<Fault>>,
    pub(crate) init_faults: VecDeque<Option<Fault>>,
    pub(crate) run_faults: VecDeque<Option<Fault>>,
    pub(crate) pause_faults: VecDeque<Option<Fault>>,
    pub(crate) resume_faults: VecDeque<Option<Fault>>,
    pub(crate) outcomes: VecDeque<Outcome>,
    /// Whether the artifact is part of the shape.
    pub(crate) artifacts: bool,
}

/// What there is and has been.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// Sandboxes and stems by number, with their MiB, from before they are made until they are destroyed.
    pub(crate) live: BTreeMap<u64, u64>,
    pub(crate) most_mib: u64,
    pub(crate) creating: usize,
    pub(crate) most_creating: usize,
    pub(crate) created: u64,
    pub(crate) inits: u64,
    pub(crate) runs: u64,
    pub(crate) pauses: u64,
    pub(crate) resumes: u64,
    pub(crate) destroyed: u64,
    pub(crate) destroyed_at: Vec<Instant>,
}

impl Tally {
    pub(crate) fn mib(&self) -> u64 {
        self.live.values().sum()
    }
}

#[derive(Clone, Default)]
pub(crate) struct Mock {
    script: Arc<Mutex<Script>>,
    tally: Arc<Mutex<Tally>>,
    numbers: Arc<AtomicU64>,
}

impl Mock {
    pub(crate) fn new(script: Script) -> Self {
        Self { script: Arc::new(Mutex::new(script)), ..Self::default() }
    }

    pub(crate) fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn tally(&self) -> Tally {
        self.counting().clone()
    }

    fn counting(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes its sandbox from the tally when it is dropped.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) number: u64,
    tally: Arc<Mutex<Tally>>,
}

impl Drop for Live {
    fn drop(&mut self) {
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        tally.live.remove(&self.number);
        tally.destroyed += 1;
        tally.destroyed_at.push(Instant::now());
    }
}

struct Creating(Arc<Mutex<Tally>>);

impl Drop for Creating {
    fn drop(&mut self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).creating -= 1;
    }
}

/// No time at all where a test has none to spare.
async fn spend(time: Duration) {
    if !time.is_zero() {
        sleep(time).await;
    }
}

async fn act(fault: Option<Option<Fault>>) -> Result<(), Error> {
    match fault.flatten() {
        None => Ok(()),
        Some(Fault::Fails(kind)) => Err(Error::new(kind, "scripted")),
        Some(Fault::Gone) => Err(Error::new(ErrorKind::SandboxLost, "scripted").temporary(true)),
        // Without the hook, which would print it.
        Some(Fault::Panics) => std::panic::resume_unwind(Box::new("scripted")),
        Some(Fault::Hangs) => std::future::pending().await,
    }
}

impl SandboxFactory for Mock {
    type Stem = Live;
    type Sandbox = MockSandbox;

    fn attach(&self, _: &Arc<Entropy>) {}

    async fn prepare(&self, _: &Arc<ActionSpec>) -> Result<(), Error> {
        Ok(())
    }

    fn shape(&self, spec: &ActionSpec) -> Shape {
        let artifact = self.script().artifacts.then(|| spec.name.as_str().into());
        Shape { kind: "mock".into(), memory: spec.limits.memory, artifact }
    }

    async fn create(&self, shape: &Shape) -> Result<Live, Error> {
        let (time, fault) = {
            let mut script = self.script();
            (script.create, script.create_faults.pop_front())
        };
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let live = Live { number, tally: Arc::clone(&self.tally) };
        let creating = Creating(Arc::clone(&self.tally));
        {
            let mut tally = self.counting();
            tally.created += 1;
            tally.creating += 1;
            tally.most_creating = tally.most_creating.max(tally.creating);
            tally.live.insert(number, shape.memory.mib().into());
            tally.most_mib = tally.most_mib.max(tally.mib());
        }
        spend(time).await;
        act(fault).await?;
        drop(creating);
        Ok(live)
    }

    async fn init(&self, stem: Live, spec: &Arc<ActionSpec>) -> Result<MockSandbox, InitError> {
        let (time, fault) = {
            let mut script = self.script();
            (script.init, script.init_faults.pop_front())
        };
        self.counting().inits += 1;
        spend(time).await;
        act(fault).await.map_err(|error| match error.kind() {
            ErrorKind::InitFailed => InitError::Action {
                outcome: Outcome::developer_error(error.message()),
                logs: vec![LogLine { at: Timestamp::default(), stream: Stream::Stderr, text: "why".into() }],
            },
            _ => error.into(),
        })?;
        Ok(MockSandbox { live: stem, mock: self.clone(), spec: Arc::clone(spec), paused: false })
    }

    async fn discard(&self, stem: Live) {
        let time = self.script().destroy;
        spend(time).await;
        drop(stem);
    }

    async fn sweep(&self) -> usize {
        0
    }
}

pub(crate) struct MockSandbox {
    pub(crate) live: Live,
    mock: Mock,
    pub(crate) spec: Arc<ActionSpec>,
    paused: bool,
}

impl Sandbox for MockSandbox {
    async fn run(&self, _: &Invocation) -> Result<RunOutput, Error> {
        assert!(!self.paused, "a paused sandbox is resumed before its next run");
        let (time, fault, outcome) = {
            let mut script = self.mock.script();
            (script.run, script.run_faults.pop_front(), script.outcomes.pop_front())
        };
        self.mock.counting().runs += 1;
        spend(time).await;
        act(fault).await?;
        let outcome = outcome.unwrap_or_else(|| Outcome::success(Payload::empty()));
        Ok(RunOutput { outcome, logs: Vec::new(), emitted: Vec::new(), usage: Usage::default() })
    }

    async fn pause(&mut self) -> Result<(), Error> {
        let (time, fault) = {
            let mut script = self.mock.script();
            (script.pause, script.pause_faults.pop_front())
        };
        spend(time).await;
        act(fault).await?;
        self.mock.counting().pauses += 1;
        self.paused = true;
        Ok(())
    }

    async fn resume(&mut self) -> Result<(), Error> {
        let (time, fault) = {
            let mut script = self.mock.script();
            (script.resume, script.resume_faults.pop_front())
        };
        spend(time).await;
        act(fault).await?;
        assert!(self.paused, "only what is paused is resumed");
        self.mock.counting().resumes += 1;
        self.paused = false;
        Ok(())
    }

    async fn destroy(self) {
        let time = self.mock.script().destroy;
        spend(time).await;
    }
}

/// An action called `name` with 1 MiB and a concurrency of 1.
pub(crate) fn action(name: &str) -> Arc<ActionSpec> {
    sized(name, 1)
}

pub(crate) fn sized(name: &str, mib: u32) -> Arc<ActionSpec> {
    let mut spec = ActionSpec::new(name).unwrap().with_memory(MemoryMib::new(mib));
    spec.limits.concurrency = 1;
    Arc::new(spec)
}

pub(crate) fn shared_by(name: &str, concurrency: u32) -> Arc<ActionSpec> {
    let mut spec = ActionSpec::clone(&action(name));
    spec.limits.concurrency = concurrency;
    Arc::new(spec)
}
