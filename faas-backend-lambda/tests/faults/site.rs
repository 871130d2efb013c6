//! An action that is deployed at a service of its own, whose calls and starts are counted.

use std::sync::{Arc, Mutex};

use faas_backend_lambda::LambdaBackend;
use faas_core::{ActionSpec, Backend as _, Completion, Deployment, Error, Invocation};
use serde_json::json;

use crate::cloud::{Cloud, Invoked, Reply};
use crate::ground::{Artifact, ECHO, backend, boxed, deploy, echo, invocation, spec};

/// A second action of the artifact.
pub(crate) const ONCE: &str = "once";

pub(crate) struct Site {
    pub(crate) cloud: Cloud,
    pub(crate) backend: LambdaBackend,
    pub(crate) deployment: Deployment,
    /// What functions were asked.
    started: Arc<Mutex<Vec<Invoked>>>,
    artifact: Artifact,
}

/// What an invocation came to.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) completed: Result<Completion, Error>,
    /// How often AWS was asked to run the function, and how often that began to run.
    pub(crate) calls: usize,
    pub(crate) starts: usize,
}

impl Site {
    /// One whose function gives its input back.
    pub(crate) async fn new() -> Self {
        Self::of(spec(ECHO), echo).await
    }

    /// One whose function answers what is told.
    pub(crate) async fn of(
        spec: ActionSpec,
        run: impl Fn(&Invoked) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let started = Arc::new(Mutex::new(Vec::new()));
        let asked = Arc::clone(&started);
        let cloud = Cloud::start(move |invoked| {
            let reply = run(&invoked);
            asked.lock().unwrap().push(invoked);
            boxed(reply)
        });
        let (cloud, artifact) = (cloud.await, Artifact::of("one", &[ECHO, ONCE]));
        let backend = backend(&cloud, &artifact);
        let deployment = deploy(&backend, spec).await.unwrap();
        Self { cloud, backend, deployment, started, artifact }
    }

    pub(crate) fn artifact(&self) -> &Artifact {
        &self.artifact
    }

    /// How often functions began to run.
    pub(crate) fn starts(&self) -> usize {
        self.started.lock().unwrap().len()
    }

    /// What the function was asked that began to run last.
    pub(crate) fn last(&self) -> Invoked {
        self.started.lock().unwrap().last().unwrap().clone()
    }

    pub(crate) async fn run(&self) -> Ended {
        self.run_as(invocation(&json!({ "n": 1 }))).await
    }

    pub(crate) async fn run_as(&self, invocation: Invocation) -> Ended {
        let (calls, starts) = (self.cloud.count("Invoke"), self.starts());
        let completed = self.backend.invoke(&self.deployment, invocation).await;
        Ended { completed, calls: self.cloud.count("Invoke") - calls, starts: self.starts() - starts }
    }

    /// Heals the service, after which all is as ever.
    pub(crate) async fn healed(&self) {
        self.cloud.heal();
        let ended = self.run().await;
        assert!(ended.completed.as_ref().unwrap().outcome.is_success(), "{ended:?}");
        assert_eq!((ended.calls, ended.starts), (1, 1));
    }
}
