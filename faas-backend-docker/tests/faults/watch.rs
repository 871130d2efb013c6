//! Looking at what runs: the container of an action, what it prints, and what its records say.

use std::time::Duration;

use bollard::models::ContainerInspectResponse;
use bollard::query_parameters::LogsOptions;
use faas_core::{Activation, Error, StartKind};
use futures_util::StreamExt;
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::site::{Site, until};

/// How long anything may take that comes of itself.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The texts of a log.
pub(crate) fn texts(record: &Activation) -> Vec<&str> {
    record.logs.iter().map(|line| line.text.as_str()).collect()
}

impl Site {
    /// Begins to run an action.
    pub(crate) fn begin(&self, name: &str, input: Value) -> JoinHandle<Result<Activation, Error>> {
        let (app, of) = (self.app.clone(), name.to_owned());
        tokio::spawn(async move { app.invoke(&of, input).await })
    }

    /// Runs an action that succeeds; how its sandbox came to be.
    pub(crate) async fn start_kind(&self, name: &str, input: Value) -> StartKind {
        let record = self.app.invoke(name, input).await.unwrap();
        assert!(record.outcome.is_success(), "{name}: {:?}", record.outcome);
        record.start_kind.unwrap()
    }

    /// All containers of this site, looked at. One that is removed meanwhile is none.
    pub(crate) async fn inspected(&self) -> Vec<ContainerInspectResponse> {
        let mut inspected = Vec::new();
        for container in self.containers().await {
            if let Ok(found) = self.docker.inspect_container(&container.id.unwrap(), None).await {
                inspected.push(found);
            }
        }
        inspected
    }

    /// The containers with so much memory, by which the actions of a test are told apart.
    pub(crate) async fn containers_of(&self, mib: i64) -> Vec<String> {
        let found = self.inspected().await.into_iter();
        let has = |found: &ContainerInspectResponse| {
            found.host_config.as_ref().and_then(|host| host.memory) == Some(mib << 20)
        };
        found.filter(has).filter_map(|found| found.id).collect()
    }

    /// The one container with so much memory.
    pub(crate) async fn container_of(&self, mib: i64) -> String {
        let found = until(PATIENCE, async || {
            let found = self.containers_of(mib).await;
            <[String; 1]>::try_from(found)
        });
        let [id] = found.await.expect("one container");
        id
    }

    /// The one container with so much memory, once it has printed this.
    pub(crate) async fn container_that_says(&self, mib: i64, text: &str) -> String {
        let id = self.container_of(mib).await;
        until(PATIENCE, async || {
            let printed = self.printed(&id).await;
            if printed.contains(text) { Ok(()) } else { Err(printed) }
        })
        .await
        .unwrap();
        id
    }

    /// What a container has printed, as far as the engine has kept it.
    pub(crate) async fn printed(&self, id: &str) -> String {
        let options =
            LogsOptions { stdout: true, stderr: true, tail: "all".to_owned(), ..LogsOptions::default() };
        let mut frames = self.docker.logs(id, Some(options));
        let mut printed = Vec::new();
        while let Some(Ok(frame)) = frames.next().await {
            printed.extend_from_slice(&frame.into_bytes());
        }
        String::from_utf8_lossy(&printed).into_owned()
    }

    /// Waits until no container has so much memory.
    pub(crate) async fn gone(&self, mib: i64) {
        let gone = until(PATIENCE, async || {
            let left = self.containers_of(mib).await;
            if left.is_empty() { Ok(()) } else { Err(left) }
        });
        gone.await.expect("its container is gone");
    }

    /// Waits until the pool's statistics are so.
    pub(crate) async fn until_pool(
        &self,
        what: &str,
        is_so: impl Fn(&faas_core::pool::PoolStats) -> bool + Send + Sync,
    ) {
        let stats = until(PATIENCE, async || {
            let stats = self.stats().await;
            if is_so(&stats) { Ok(()) } else { Err(stats) }
        });
        stats.await.unwrap_or_else(|stats| panic!("still not {what}: {stats:?}"));
    }
}
