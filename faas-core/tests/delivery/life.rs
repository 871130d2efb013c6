//! Lives of a process on one disk, and actions made of closures that tell when their code starts.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use faas_core::action::BoxFuture;
use faas_core::backend::Backend;
use faas_core::store::{ActivationQuery, Store};
use faas_core::{
    Action, ActionSpec, Activation, ActivationId, BoxError, Context, Entropy, LocalBackend, Platform,
    PlatformBuilder, Timestamp,
};
use serde_json::{Value, json};

use crate::store::Disk;

pub(crate) const fn millis(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub(crate) const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// What outlives a process: its disk, the time, and what tests write down.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) disk: Disk,
    clock: Arc<Mutex<(Timestamp, u64)>>,
    starts: Arc<Mutex<Vec<(ActivationId, u32)>>>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::on(Disk::new())
    }

    pub(crate) fn on(disk: Disk) -> Self {
        let clock = Arc::new(Mutex::new((Timestamp::from_millis(1_700_000_000_000), 1)));
        Self { disk, clock, starts: Arc::default() }
    }

    /// Lets time pass while no process runs.
    pub(crate) fn pass(&self, time: Duration) {
        let mut clock = self.clock.lock().unwrap();
        clock.0 = clock.0.after(time);
    }

    /// Sets the clock back while no process runs.
    pub(crate) fn set_back(&self, by: Duration) {
        let mut clock = self.clock.lock().unwrap();
        clock.0 = Timestamp::from_nanos(clock.0.nanos() - u64::try_from(by.as_nanos()).unwrap());
    }

    /// A platform of this process.
    pub(crate) fn builder(&self) -> PlatformBuilder {
        self.builder_on(LocalBackend::new())
    }

    /// One whose backend has so many slots.
    pub(crate) fn slots(&self, slots: u32) -> PlatformBuilder {
        self.builder_on(LocalBackend::new().with_slots(slots))
    }

    /// One whose backend is that.
    pub(crate) fn builder_on(&self, backend: impl Backend) -> PlatformBuilder {
        let mut clock = self.clock.lock().unwrap();
        clock.1 += 1;
        Platform::builder()
            .backend(backend)
            .shared_store(self.disk.shared())
            .entropy(Entropy::seeded(clock.1).with_epoch(clock.0))
    }

    /// The life of a process, which is killed when `life` ends: nothing that it left runs on.
    pub(crate) fn live<T, Fut: Future<Output = T>>(&self, life: impl FnOnce(Self) -> Fut) -> T {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().start_paused(true).build().unwrap();
        let world = self.clone();
        let done = runtime.block_on(async {
            let begun = tokio::time::Instant::now();
            let done = life(world).await;
            self.pass(begun.elapsed());
            done
        });
        drop(runtime);
        done
    }

    /// An action whose starts are written down.
    pub(crate) fn action<F, Fut>(&self, spec: ActionSpec, body: F) -> impl Action + use<F, Fut>
    where
        F: Fn(Context, Value) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Run> + Send + 'static,
    {
        let body: Body = Arc::new(move |cx, input| Box::pin(body(cx, input)));
        Closure { spec, starts: Arc::clone(&self.starts), body }
    }

    /// An action that sleeps for the `ms` of its input, and returns it.
    pub(crate) fn sleeper(&self, name: &str) -> impl Action + use<> {
        self.action(spec(name), |cx, input| async move {
            cx.sleep(millis(input["ms"].as_u64().unwrap_or_default())).await;
            Ok(input)
        })
    }

    /// The starts of an activation's code, by their attempts.
    pub(crate) fn starts(&self, id: ActivationId) -> Vec<u32> {
        let starts = self.starts.lock().unwrap();
        starts.iter().filter(|start| start.0 == id).map(|start| start.1).collect()
    }

    /// How often the code of each activation started.
    pub(crate) fn all_starts(&self) -> BTreeMap<ActivationId, usize> {
        let mut all = BTreeMap::new();
        for (id, _) in &*self.starts.lock().unwrap() {
            *all.entry(*id).or_default() += 1;
        }
        all
    }

    /// All records, oldest first.
    pub(crate) async fn records(&self) -> Vec<Activation> {
        let mut records = self.disk.activations(&ActivationQuery::default()).await.unwrap();
        records.reverse();
        records
    }

    /// The records of an action or trigger, oldest first.
    pub(crate) async fn records_of(&self, name: &str) -> Vec<Activation> {
        self.records().await.into_iter().filter(|record| record.action().name() == name).collect()
    }
}

pub(crate) type Run = Result<Value, BoxError>;
type Body = Arc<dyn Fn(Context, Value) -> BoxFuture<'static, Run> + Send + Sync>;

struct Closure {
    spec: ActionSpec,
    starts: Arc<Mutex<Vec<(ActivationId, u32)>>>,
    body: Body,
}

impl Action for Closure {
    type Input = Value;
    type Output = Value;

    fn spec(&self) -> ActionSpec {
        self.spec.clone()
    }

    async fn call(&self, cx: Context, input: Value) -> Run {
        self.starts.lock().unwrap().push((cx.activation_id(), cx.attempt()));
        (self.body)(cx, input).await
    }
}

pub(crate) fn spec(name: &str) -> ActionSpec {
    ActionSpec::new(name).unwrap()
}

pub(crate) fn empty() -> Value {
    json!({})
}

/// Panics without a message on the test's output.
pub(crate) fn panic_quietly(message: &'static str) -> ! {
    std::panic::resume_unwind(Box::new(message))
}
