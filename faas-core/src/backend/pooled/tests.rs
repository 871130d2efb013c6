//! A backend over a warm pool of scripted sandboxes, under paused time.

use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::time::Instant;

use super::super::{Backend, Cancel, Capability, Completion, Deployment, Invocation, LogsAfterKill};
use super::Pooled;
use crate::action::ActionSpec;
use crate::activation::{ActivationId, StartKind};
use crate::error::{Error, ErrorKind};
use crate::name::Namespace;
use crate::outcome::{Outcome, Status};
use crate::payload::Payload;
use crate::pool::tests::mock::{Fault, Mock, Script, action, ms, sized};
use crate::pool::{PoolConfig, PoolStats, WarmPool};
use crate::scheduler::{AdmitRequest, Scheduler, SchedulerConfig};
use crate::units::MemoryMib;

const CAPABILITY: Capability = Capability {
    cancel: Cancel::Kills,
    logs_after_kill: LogsAfterKill::None,
    enforces_memory: false,
    stops_cpu_loop: false,
    survives_exit: false,
    isolates: false,
    pauses: true,
    prewarms: true,
    egress: false,
    fresh_instance: false,
    captures_stdout: false,
    timeout_granularity: Duration::from_millis(5),
    max_timeout: Duration::from_secs(600),
    max_payload: 1 << 20,
    max_logs: 10 << 20,
};

struct Subject {
    mock: Mock,
    backend: Arc<Pooled<WarmPool<Mock>>>,
}

impl Subject {
    fn of(mib: u32) -> Self {
        let mock = Mock::new(Script { create: ms(100), init: ms(10), run: ms(7), ..Script::default() });
        let config = PoolConfig { memory: MemoryMib::new(mib), ..PoolConfig::default() };
        Self { backend: Arc::new(Pooled::warm("mock", CAPABILITY, mock.clone(), config)), mock }
    }

    async fn deploy(&self, spec: &Arc<ActionSpec>) -> Deployment {
        self.backend.deploy(Arc::clone(spec)).await.unwrap()
    }

    async fn invoke(&self, deployment: &Deployment) -> Result<Completion, Error> {
        self.backend.invoke(deployment, invocation()).await
    }

    async fn stats(&self) -> PoolStats {
        self.backend.health().await.pool.unwrap()
    }
}

fn invocation() -> Invocation {
    Invocation::detached(ActivationId::from_u128(1), Payload::empty())
}

async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_completion_tells_where_the_time_went() {
    let subject = Subject::of(4);
    let deployment = subject.deploy(&action("a")).await;
    let cold = subject.invoke(&deployment).await.unwrap();
    assert_eq!((cold.start_kind, cold.outcome.status()), (StartKind::Cold, Status::Success));
    assert_eq!((cold.wait, cold.create, cold.init, cold.run), (ms(0), ms(100), ms(10), ms(7)));
    let warm = subject.invoke(&deployment).await.unwrap();
    assert_eq!((warm.start_kind, warm.wait, warm.init, warm.run), (StartKind::Warm, ms(0), ms(0), ms(7)));
}

#[tokio::test(start_paused = true)]
async fn only_success_and_application_errors_keep_the_sandbox() {
    let subject = Subject::of(4);
    let deployment = subject.deploy(&action("a")).await;
    let outcomes = [
        (Outcome::application_error("no"), 1),
        (Outcome::developer_error("oops"), 0),
        (Outcome::memory_exhausted(), 0),
    ];
    for (outcome, idle) in outcomes {
        subject.mock.script().outcomes.push_back(outcome.clone());
        assert_eq!(subject.invoke(&deployment).await.unwrap().outcome, outcome);
        settle().await;
        assert_eq!(subject.stats().await.idle, idle, "{outcome:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_hangs_ends_at_the_timeout() {
    let subject = Subject::of(4);
    let spec = Arc::new(ActionSpec::clone(&action("a")).with_timeout(ms(300)));
    let deployment = subject.deploy(&spec).await;
    subject.mock.script().run_faults.push_back(Some(Fault::Hangs));
    let completion = subject.invoke(&deployment).await.unwrap();
    assert_eq!(completion.outcome, Outcome::timed_out(ms(300)));
    assert_eq!(completion.run, ms(305), "the sandbox had its time to stop it by itself");
    settle().await;
    assert_eq!(subject.stats().await.memory, 0);
}

#[tokio::test(start_paused = true)]
async fn a_failed_initialisation_is_a_developer_error_with_its_time() {
    let subject = Subject::of(4);
    let deployment = subject.deploy(&action("a")).await;
    subject.mock.script().init_faults.push_back(Some(Fault::Fails(ErrorKind::InitFailed)));
    let completion = subject.invoke(&deployment).await.unwrap();
    assert_eq!(completion.outcome, Outcome::developer_error("scripted"));
    assert_eq!(completion.logs.iter().map(|line| &line.text).collect::<Vec<_>>(), ["why"]);
    let times = (completion.wait, completion.create, completion.init, completion.run);
    assert_eq!((completion.start_kind, times), (StartKind::Cold, (ms(0), ms(100), ms(10), ms(0))));
    subject.mock.script().init_faults.push_back(Some(Fault::Hangs));
    let mut patient = invocation();
    patient.start_by += Duration::from_secs(60);
    let completion = subject.backend.invoke(&deployment, patient).await.unwrap();
    assert_eq!(completion.outcome, Outcome::init_timed_out(Duration::from_secs(60)));
    assert_eq!(completion.init, Duration::from_secs(60) + ms(5), "it had its time to end by itself");
    settle().await;
    assert_eq!(subject.stats().await.memory, 0);
}

#[tokio::test(start_paused = true)]
async fn what_the_backend_fails_at_is_an_error() {
    let subject = Subject::of(4);
    let deployment = subject.deploy(&action("a")).await;
    let fails = |kind| Some(Fault::Fails(kind));
    subject.mock.script().create_faults.push_back(fails(ErrorKind::Unavailable));
    let error = subject.invoke(&deployment).await.unwrap_err();
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Unavailable, true));
    assert_eq!((error.operation(), error.context("action")), ("invoke", Some("_/a")));
    for (fault, kind) in
        [(fails(ErrorKind::SandboxLost), ErrorKind::SandboxLost), (Some(Fault::Panics), ErrorKind::Internal)]
    {
        subject.mock.script().run_faults.push_back(fault);
        let error = subject.invoke(&deployment).await.unwrap_err();
        assert_eq!((error.kind(), error.is_temporary()), (kind, false));
        settle().await;
        assert_eq!(subject.stats().await.memory, 0, "the sandbox is destroyed");
    }
}

/// Has the next runs find their sandbox gone.
fn lose(subject: &Subject, runs: usize) {
    subject.mock.script().run_faults.extend([Some(Fault::Gone)].repeat(runs));
}

#[tokio::test(start_paused = true)]
async fn warm_sandboxes_that_are_gone_cost_an_invocation_time_and_no_more() {
    let subject = Subject::of(8);
    let deployment = subject.deploy(&action("a")).await;
    assert_eq!(subject.backend.warm(&deployment, 5).await.unwrap(), 5);
    lose(&subject, 5);
    let began = Instant::now();
    let done = subject.invoke(&deployment).await.unwrap();
    assert_eq!((done.outcome.status(), done.start_kind), (Status::Success, StartKind::Cold));
    assert_eq!((done.wait, done.create, done.init, done.run), (ms(5 * 7), ms(100), ms(10), ms(7)));
    assert_eq!(began.elapsed(), done.wait + done.create + done.init + done.run);
    settle().await;
    let (stats, tally) = (subject.stats().await, subject.mock.tally());
    assert_eq!((stats.idle, stats.memory, tally.destroyed), (1, 1, 5));
    // One that is lost with another at hand.
    assert_eq!(subject.backend.warm(&deployment, 2).await.unwrap(), 2);
    lose(&subject, 1);
    let done = subject.invoke(&deployment).await.unwrap();
    assert_eq!((done.start_kind, done.wait, done.run), (StartKind::Warm, ms(7), ms(7)));
}

#[tokio::test(start_paused = true)]
async fn new_sandboxes_that_are_gone_are_replaced_twice() {
    let subject = Subject::of(4);
    let deployment = subject.deploy(&action("a")).await;
    lose(&subject, 2);
    let done = subject.invoke(&deployment).await.unwrap();
    assert_eq!((done.outcome.status(), done.wait, done.create), (Status::Success, ms(2 * 117), ms(100)));
    lose(&subject, 4);
    let error = subject.invoke(&deployment).await.unwrap_err();
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::SandboxLost, true), "{error:?}");
    assert_eq!((error.operation(), error.context("action")), ("invoke", Some("_/a")));
    assert_eq!((subject.mock.tally().created, subject.mock.tally().runs), (6, 3 + 4));
    // The same where none of them lives to be initialised.
    subject.mock.script().init_faults.extend([Some(Fault::Gone)].repeat(3));
    let error = subject.invoke(&deployment).await.unwrap_err();
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::SandboxLost, true), "{error:?}");
    assert_eq!(subject.mock.tally().created, 9);
    settle().await;
    assert_eq!((subject.stats().await.memory, subject.stats().await.leased), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn nobody_who_may_wait_no_longer_gets_another_sandbox() {
    let subject = Subject::of(4);
    let deployment = subject.deploy(&action("a")).await;
    assert_eq!(subject.backend.warm(&deployment, 3).await.unwrap(), 3);
    lose(&subject, 2);
    let mut hurried = invocation();
    hurried.start_by = Instant::now() + ms(10);
    let error = subject.backend.invoke(&deployment, hurried).await.unwrap_err();
    assert_eq!((error.kind(), subject.mock.tally().runs), (ErrorKind::SandboxLost, 2));
    settle().await;
    assert_eq!(subject.stats().await.idle, 1);
}

#[tokio::test(start_paused = true)]
async fn a_sandbox_that_is_lost_in_midst_of_a_run_is_not_replaced() {
    let subject = Subject::of(4);
    let deployment = subject.deploy(&action("a")).await;
    assert_eq!(subject.backend.warm(&deployment, 2).await.unwrap(), 2);
    subject.mock.script().run_faults.push_back(Some(Fault::Fails(ErrorKind::SandboxLost)));
    assert_eq!(subject.invoke(&deployment).await.unwrap_err().kind(), ErrorKind::SandboxLost);
    assert_eq!(subject.mock.tally().runs, 1);
}

#[tokio::test(start_paused = true)]
async fn an_invocation_that_leaves_destroys_its_sandbox() {
    let subject = Subject::of(1);
    let deployment = subject.deploy(&action("a")).await;
    subject.invoke(&deployment).await.unwrap();
    let mut leaving = subject.backend.invoke(&deployment, invocation());
    assert!(leaving.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert_eq!(subject.stats().await.leased, 1);
    drop(leaving);
    assert_eq!(subject.stats().await.leased, 0);
    settle().await;
    assert_eq!(subject.stats().await.memory, 0);
    assert_eq!(subject.invoke(&deployment).await.unwrap().start_kind, StartKind::Cold);
}

#[tokio::test(start_paused = true)]
async fn invokers_do_not_share_sandboxes() {
    let subject = Subject::of(4);
    let deployment = subject.deploy(&action("a")).await;
    subject.invoke(&deployment).await.unwrap();
    let foreign = Invocation { invoker: Some(Namespace::new("acme").unwrap()), ..invocation() };
    let completion = subject.backend.invoke(&deployment, foreign).await.unwrap();
    assert_eq!(completion.start_kind, StartKind::Cold);
}

#[tokio::test(start_paused = true)]
async fn an_action_that_cannot_run_is_not_deployed() {
    let subject = Subject::of(4);
    let refuse = async |spec: ActionSpec| {
        let error = subject.backend.deploy(Arc::new(spec)).await.unwrap_err();
        assert_eq!((error.operation(), error.context("action")), ("deploy", Some("_/a")));
        (error.kind(), error.message().to_owned())
    };
    let a = ActionSpec::clone(&action("a"));
    let (kind, text) = refuse(a.clone().with_timeout(Duration::from_secs(601))).await;
    assert!(kind == ErrorKind::Unsupported && text.contains("600"), "{text}");
    let (kind, text) = refuse(a.clone().with_memory(MemoryMib::new(5))).await;
    assert!(kind == ErrorKind::Unsupported && text.contains("4 MiB"), "{text}");
    assert_eq!(refuse(a.with_timeout(Duration::ZERO)).await.0, ErrorKind::InvalidArgument);
}

#[tokio::test(start_paused = true)]
async fn a_deployment_of_another_backend_is_recognised() {
    let (subject, other) = (Subject::of(4), Subject::of(4));
    for foreign in [other.deploy(&action("a")).await, Deployment::new(action("a"), ())] {
        let error = subject.invoke(&foreign).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert_eq!(subject.backend.warm(&foreign, 1).await.unwrap_err().kind(), ErrorKind::InvalidArgument);
        assert_eq!(subject.backend.remove(&foreign).await.unwrap_err().kind(), ErrorKind::InvalidArgument);
    }
}

#[tokio::test(start_paused = true)]
async fn removal_waits_for_running_invocations_and_later_ones_leave_nothing() {
    let subject = Subject::of(4);
    let deployment = subject.deploy(&action("a")).await;
    subject.invoke(&deployment).await.unwrap();
    subject.mock.script().run = ms(500);
    subject.mock.script().destroy = ms(20);
    let running = tokio::spawn({
        let (backend, deployment) = (Arc::clone(&subject.backend), deployment.clone());
        async move { backend.invoke(&deployment, invocation()).await }
    });
    settle().await;
    let began = Instant::now();
    subject.backend.remove(&deployment).await.unwrap();
    assert_eq!(began.elapsed(), ms(520));
    assert_eq!(running.await.unwrap().unwrap().outcome.status(), Status::Success);
    assert_eq!(subject.stats().await.memory, 0);
    assert_eq!(subject.backend.warm(&deployment, 1).await.unwrap_err().kind(), ErrorKind::NotFound);
    // Admitted before the removal, it comes only now.
    assert_eq!(subject.invoke(&deployment).await.unwrap().start_kind, StartKind::Cold);
    tokio::time::sleep(ms(20)).await;
    settle().await;
    assert_eq!(subject.stats().await.memory, 0);
}

#[tokio::test(start_paused = true)]
async fn after_shutdown_everything_is_refused() {
    let subject = Subject::of(4);
    let deployment = subject.deploy(&action("a")).await;
    assert_eq!(subject.backend.warm(&deployment, 2).await.unwrap(), 2);
    assert!(subject.backend.health().await.is_healthy());
    subject.backend.shutdown().await.unwrap();
    subject.backend.shutdown().await.unwrap();
    assert_eq!(subject.invoke(&deployment).await.unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(subject.backend.deploy(action("b")).await.unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(subject.backend.warm(&deployment, 1).await.unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(subject.backend.remove(&deployment).await.unwrap_err().kind(), ErrorKind::Closed);
    subject.backend.ready().await;
    let health = subject.backend.health().await;
    assert_eq!((health.is_healthy(), health.pool.unwrap().memory), (false, 0));
    assert_eq!(subject.mock.tally().live.len(), 0);
}

/// The scheduler's budget is the pool's, so what it admits always finds room: the sandbox is returned before the
/// permit is.
#[tokio::test(start_paused = true)]
async fn what_is_admitted_is_never_refused_for_room() {
    let subject = Subject::of(4);
    let scheduler = Arc::new(Scheduler::new(subject.backend.info().capacity, SchedulerConfig::default()));
    let mut deployments = Vec::new();
    for (name, mib) in [("a", 1), ("b", 2), ("c", 3), ("d", 4)] {
        deployments.push(subject.deploy(&sized(name, mib)).await);
    }
    let jobs = (0..200_usize).map(|n| {
        let (backend, scheduler) = (Arc::clone(&subject.backend), Arc::clone(&scheduler));
        let deployment = deployments[n % 4].clone();
        if n % 10 == 3 {
            subject.mock.script().outcomes.push_back(Outcome::developer_error("oops"));
        }
        tokio::spawn(async move {
            let request = AdmitRequest {
                namespace: "guest",
                weight: scheduler.weight(deployment.spec.limits.memory),
                deadline: Some(Instant::now() + Duration::from_secs(600)),
                expected_run: Duration::ZERO,
                accepted: false,
            };
            let permit = scheduler.admit(request).await.unwrap();
            backend.invoke(&deployment, Invocation { permit, ..invocation() }).await
        })
    });
    let jobs: Vec<_> = jobs.collect();
    for job in jobs {
        job.await.unwrap().unwrap();
    }
    assert_eq!(subject.mock.tally().runs, 200);
    assert!(subject.mock.tally().most_mib <= 4);
    assert_eq!(scheduler.in_use(), 0);
}

/// The same from many threads, in real time, with runs that end badly and callers that leave.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_admitted_finds_room_from_many_threads() {
    let subject = Subject::of(8);
    *subject.mock.script() = Script::default();
    let scheduler = Arc::new(Scheduler::new(subject.backend.info().capacity, SchedulerConfig::default()));
    let mut deployments = Vec::new();
    for (name, mib) in [("a", 1), ("b", 2), ("c", 3), ("d", 4), ("e", 1)] {
        deployments.push(subject.deploy(&sized(name, mib)).await);
    }
    let callers = (0..32_usize).map(|caller| {
        let (backend, scheduler) = (Arc::clone(&subject.backend), Arc::clone(&scheduler));
        let (deployments, mock) = (deployments.clone(), subject.mock.clone());
        tokio::spawn(async move {
            for n in 0..200 {
                let deployment = &deployments[(caller + n) % 5];
                let request = AdmitRequest {
                    namespace: "guest",
                    weight: scheduler.weight(deployment.spec.limits.memory),
                    deadline: None,
                    expected_run: Duration::ZERO,
                    accepted: true,
                };
                let permit = scheduler.admit(request).await.unwrap();
                let mut run = backend.invoke(deployment, Invocation { permit, ..invocation() });
                match n % 16 {
                    3 => drop(run.as_mut().poll(&mut Context::from_waker(Waker::noop()))),
                    7 => {
                        mock.script().outcomes.push_back(Outcome::developer_error("oops"));
                        drop(run.await.unwrap());
                    }
                    _ => drop(run.await.unwrap()),
                }
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.unwrap();
    }
    assert!(subject.mock.tally().runs >= 32 * 200 * 15 / 16);
    assert!(subject.mock.tally().most_mib <= 8, "{:?}", subject.mock.tally().most_mib);
    assert_eq!(scheduler.in_use(), 0);
    subject.backend.shutdown().await.unwrap();
    assert_eq!((subject.stats().await.memory, subject.mock.tally().live.len()), (0, 0));
}
