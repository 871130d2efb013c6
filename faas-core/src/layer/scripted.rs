//! A backend that answers as it is told, for the tests of layers.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use crate::action::ActionSpec;
use crate::activation::{ActivationId, StartKind, Usage};
use crate::backend::{
    Backend, BackendInfo, Cancel, Capability, Capacity, Completion, Deployment, Health, Invocation,
    LogsAfterKill,
};
use crate::context::Emitted;
use crate::entropy::Entropy;
use crate::error::Error;
use crate::outcome::Outcome;
use crate::payload::Payload;

#[derive(Clone)]
pub(super) struct Scripted(Arc<Inner>);

struct Inner {
    info: BackendInfo,
    answers: Mutex<VecDeque<Result<Completion, Error>>>,
    tries: Mutex<Vec<(Instant, u32)>>,
}

impl Scripted {
    pub(super) fn new(answers: impl IntoIterator<Item = Result<Completion, Error>>) -> Self {
        let capability = Capability {
            cancel: Cancel::Kills,
            logs_after_kill: LogsAfterKill::Full,
            enforces_memory: false,
            stops_cpu_loop: false,
            survives_exit: false,
            isolates: false,
            pauses: false,
            prewarms: false,
            egress: false,
            fresh_instance: false,
            captures_stdout: false,
            timeout_granularity: Duration::ZERO,
            max_timeout: Duration::MAX,
            max_payload: u64::MAX,
            max_logs: u64::MAX,
        };
        let info = BackendInfo { name: "scripted".into(), capability, capacity: Capacity::Slots(1) };
        let answers = Mutex::new(answers.into_iter().collect());
        Self(Arc::new(Inner { info, answers, tries: Mutex::default() }))
    }

    pub(super) fn shared(&self) -> Arc<dyn Backend> {
        Arc::new(self.clone())
    }

    pub(super) fn deployment(&self) -> Deployment {
        Deployment::new(Arc::new(ActionSpec::new("greet").unwrap()), ())
    }

    /// When it was asked to run an attempt, and which.
    pub(super) fn tries(&self) -> Vec<(Instant, u32)> {
        self.0.tries.lock().unwrap().clone()
    }
}

pub(super) fn invocation() -> Invocation {
    Invocation::detached(ActivationId::from_u128(1), Payload::empty())
}

pub(super) fn completion() -> Completion {
    Completion {
        outcome: Outcome::success(Payload::empty()),
        start_kind: StartKind::Warm,
        wait: Duration::ZERO,
        create: Duration::ZERO,
        init: Duration::ZERO,
        run: Duration::ZERO,
        logs: Vec::new(),
        emitted: vec![Emitted { trigger: "quake".parse().unwrap(), payload: Payload::empty() }],
        usage: Usage::default(),
    }
}

#[async_trait]
impl Backend for Scripted {
    fn info(&self) -> &BackendInfo {
        &self.0.info
    }

    fn attach(&self, _: &Arc<Entropy>) {}

    async fn deploy(&self, spec: Arc<ActionSpec>) -> Result<Deployment, Error> {
        Ok(Deployment::new(spec, ()))
    }

    async fn invoke(&self, _: &Deployment, invocation: Invocation) -> Result<Completion, Error> {
        tracing::info!("running");
        self.0.tries.lock().unwrap().push((Instant::now(), invocation.attempt));
        self.0.answers.lock().unwrap().pop_front().expect("an answer is left in the script")
    }

    async fn ready(&self) {}

    async fn warm(&self, _: &Deployment, count: usize) -> Result<usize, Error> {
        Ok(count)
    }

    async fn remove(&self, _: &Deployment) -> Result<(), Error> {
        Ok(())
    }

    async fn health(&self) -> Health {
        Health::default()
    }

    async fn shutdown(&self) -> Result<(), Error> {
        Ok(())
    }
}
