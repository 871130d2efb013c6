//! Random operations against what must hold at every moment.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use tokio::task::JoinHandle;

use super::mock::{Fault, Mock, Script, ms, shared_by, sized};
use super::{Subject, pass, room, settle};
use crate::action::ActionSpec;
use crate::error::{Error, ErrorKind};
use crate::pool::{ContainerPool, FixedTtl, GreedyDual, Lease, PoolConfig, WarmLease};
use crate::sandbox::Shape;
use crate::units::MemoryMib;

const BUDGET: u32 = 8;
const NAMESPACES: [&str; 2] = ["_", "acme"];

#[derive(Clone, Debug)]
enum Op {
    Acquire { action: usize, namespace: usize, patience: u64 },
    Cancel(usize),
    Keep(usize),
    Drop(usize),
    Warm { action: usize, count: usize },
    Remove(usize),
    Pass(u64),
    FailCreate(bool),
    FailInit(bool),
    FailResume,
}

fn op() -> impl Strategy<Value = Op> {
    let acquire = (0..5_usize, 0..2_usize, 1..400_u64)
        .prop_map(|(action, namespace, patience)| Op::Acquire { action, namespace, patience });
    prop_oneof![
        8 => acquire,
        2 => any::<usize>().prop_map(Op::Cancel),
        6 => any::<usize>().prop_map(Op::Keep),
        2 => any::<usize>().prop_map(Op::Drop),
        2 => (0..5_usize, 1..4_usize).prop_map(|(action, count)| Op::Warm { action, count }),
        1 => (0..5_usize).prop_map(Op::Remove),
        6 => (1..150_u64).prop_map(Op::Pass),
        1 => any::<bool>().prop_map(Op::FailCreate),
        1 => any::<bool>().prop_map(Op::FailInit),
        1 => Just(Op::FailResume),
    ]
}

type Request = JoinHandle<Result<WarmLease<Mock>, Error>>;

struct Run {
    subject: Subject,
    actions: Vec<Arc<ActionSpec>>,
    /// With the action and namespace asked for.
    requests: VecDeque<(usize, usize, Request)>,
    leases: VecDeque<(usize, WarmLease<Mock>)>,
    /// Which action and namespace each sandbox was first leased for.
    owners: BTreeMap<u64, (usize, usize)>,
    tasks: Vec<JoinHandle<()>>,
    granted: usize,
}

impl Run {
    fn new(greedy: bool, pauses: bool) -> Self {
        let script = Script {
            create: ms(50),
            init: ms(20),
            pause: ms(3),
            resume: ms(4),
            destroy: ms(15),
            ..Script::default()
        };
        let mut config = PoolConfig {
            stems: vec![(Shape { kind: "mock".into(), memory: MemoryMib::new(1), artifact: None }, 1)],
            cold_starts: 3,
            cold_starts_per_action: 2,
            pause_after: pauses.then(|| ms(60)),
            keep_alive: Box::new(FixedTtl(ms(300))),
            ..room(BUDGET)
        };
        if greedy {
            config.keep_alive = Box::new(GreedyDual::new().with_ttl(ms(500)));
        }
        let actions =
            vec![sized("a", 1), sized("b", 2), sized("c", 3), shared_by("d", 3), sized("e", BUDGET)];
        Self {
            subject: Subject::new(script, config),
            actions,
            requests: VecDeque::new(),
            leases: VecDeque::new(),
            owners: BTreeMap::new(),
            tasks: Vec::new(),
            granted: 0,
        }
    }

    async fn apply(&mut self, op: Op) {
        let fault = |panics| Some(if panics { Fault::Panics } else { Fault::Fails(ErrorKind::InitFailed) });
        let mock = &self.subject.mock;
        match op {
            Op::Acquire { action, namespace, patience } => self.acquire(action, namespace, patience),
            Op::Cancel(at) if !self.requests.is_empty() => {
                let (_, _, request) = self.requests.remove(at % self.requests.len()).unwrap();
                request.abort();
            }
            Op::Keep(at) if !self.leases.is_empty() => {
                self.leases.remove(at % self.leases.len()).unwrap().1.keep();
            }
            Op::Drop(at) if !self.leases.is_empty() => {
                drop(self.leases.remove(at % self.leases.len()));
            }
            Op::Warm { action, count } => {
                let (pool, spec) = (Arc::clone(&self.subject.pool), Arc::clone(&self.actions[action]));
                self.tasks.push(tokio::spawn(async move {
                    let _ = pool.warm(&spec, "_", count).await;
                }));
            }
            Op::Remove(action) => {
                let (pool, spec) = (Arc::clone(&self.subject.pool), Arc::clone(&self.actions[action]));
                self.tasks.push(tokio::spawn(async move { pool.remove(&spec).await }));
            }
            Op::Pass(millis) => pass(millis).await,
            Op::FailCreate(panics) => mock.script().create_faults.push_back(fault(panics)),
            Op::FailInit(panics) => mock.script().init_faults.push_back(fault(panics)),
            Op::FailResume => mock.script().resume_faults.push_back(fault(false)),
            Op::Cancel(_) | Op::Keep(_) | Op::Drop(_) => {}
        }
        settle().await;
        self.collect().await;
        self.check();
    }

    fn acquire(&mut self, action: usize, namespace: usize, patience: u64) {
        let (pool, spec) = (Arc::clone(&self.subject.pool), Arc::clone(&self.actions[action]));
        let request = tokio::spawn(async move {
            let deadline = tokio::time::Instant::now() + ms(patience);
            let namespace = NAMESPACES[namespace];
            pool.acquire(&crate::pool::AcquireRequest { spec: &spec, namespace, deadline }).await
        });
        self.requests.push_back((action, namespace, request));
    }

    async fn collect(&mut self) {
        for _ in 0..self.requests.len() {
            let (action, namespace, request) = self.requests.pop_front().unwrap();
            if !request.is_finished() {
                self.requests.push_back((action, namespace, request));
                continue;
            }
            match request.await.unwrap() {
                Ok(lease) => {
                    self.granted += 1;
                    let owner = self.owners.entry(lease.sandbox().live.number).or_insert((action, namespace));
                    assert_eq!(*owner, (action, namespace), "a sandbox is never shared");
                    assert!(Arc::ptr_eq(&lease.sandbox().spec, &self.actions[action]));
                    self.leases.push_back((action, lease));
                }
                Err(error) => {
                    use ErrorKind::{DeadlineExceeded, Exhausted, InitFailed, Internal};
                    let expected = [DeadlineExceeded, Exhausted, InitFailed, Internal];
                    assert!(expected.contains(&error.kind()), "{error:?}");
                }
            }
        }
    }

    /// The sums agree with what they are sums of, and with what the factory counts.
    fn check(&self) {
        let state = self.subject.pool.shared.lock();
        let (mut used, mut promised) = (state.freeing, 0);
        for (_, group) in &state.groups {
            used += group.mib * (group.slots.len() + group.underway) as u64;
            let leased = group.slots.iter().filter(|(_, slot)| slot.active > 0).count();
            promised += group.mib * (leased as u64 + group.claimed);
            assert_eq!(group.claimed, group.needed(group.waiters.len()) as u64);
            assert!(group.underway + group.queued.len() >= group.needed(group.waiters.len()));
            assert!(group.waiters.is_empty() || group.best_open().is_none(), "who waits is served first");
            assert_eq!(group.listed, !group.queued.is_empty());
        }
        for (shape, shelf) in &state.shelves {
            used += u64::from(shape.memory.mib()) * (shelf.stems.len() + shelf.creating) as u64;
        }
        assert_eq!((state.used, state.promised), (used, promised));
        assert!(state.used <= u64::from(BUDGET) && state.promised <= u64::from(BUDGET));
        let tally = self.subject.mock.tally();
        assert!(tally.most_mib <= u64::from(BUDGET), "{tally:?}");
        assert!(tally.most_creating <= 3, "{tally:?}");
        assert!(tally.mib() <= state.used, "what lives is counted");
    }

    /// Everything ends, whatever was done before.
    async fn finish(mut self) -> usize {
        {
            let mut script = self.subject.mock.script();
            script.create_faults.clear();
            script.init_faults.clear();
            script.resume_faults.clear();
        }
        while !self.requests.is_empty() || !self.leases.is_empty() {
            while let Some((_, lease)) = self.leases.pop_front() {
                lease.keep();
            }
            pass(50).await;
            self.collect().await;
            self.check();
        }
        for task in self.tasks.drain(..) {
            tokio::time::timeout(Duration::from_secs(60), task).await.expect("it ends").unwrap();
        }
        // Longer than a stem cell that failed waits, and takes to create.
        pass(1100).await;
        self.check();
        self.subject.assert_quiet();
        assert_eq!(self.subject.pool.shared.lock().promised, 0);
        let served = self.subject.acquire(&self.actions[4]).await;
        served.expect("all memory is there for who needs it").keep();
        self.subject.pool.drain().await;
        assert_eq!((self.subject.pool.stats().memory, self.subject.mock.tally().live.len()), (0, 0));
        assert!(self.subject.pool.shared.lock().revisions.is_empty());
        self.granted
    }
}

proptest! {
    #[test]
    fn the_budget_and_the_isolation_hold_under_any_operations(
        operations in prop::collection::vec(op(), 1..80),
        greedy in any::<bool>(),
        pauses in any::<bool>(),
    ) {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let mut run = Run::new(greedy, pauses);
            let acquires = operations.iter().filter(|op| matches!(op, Op::Acquire { .. })).count();
            let easy = acquires > 0 && operations.iter().all(|op| matches!(op, Op::Acquire { patience: 200.., .. } | Op::Pass(_)));
            for operation in operations {
                run.apply(operation).await;
            }
            let granted = run.finish().await;
            assert!(!easy || granted > 0, "something was granted");
        });
    }
}
