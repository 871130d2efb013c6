//! The container engine: the few calls that are made of it, each with its errors told.

mod connect;
mod image;
mod logs;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error as Refusal;
use bollard::models::{
    ContainerCreateBody, ContainerInspectResponse, ContainerState, ContainerSummary, NetworkCreateRequest,
};
use bollard::query_parameters::{
    CreateContainerOptions, InspectContainerOptions, KillContainerOptions, ListContainersOptions,
    ListNetworksOptions, RemoveContainerOptions, StartContainerOptions,
};
use faas_core::{Error, ErrorKind};
use futures_util::{Stream, StreamExt};
use tokio::sync::OnceCell;
use tokio::time::{Instant, sleep, timeout};

use self::connect::Connected;
pub(crate) use self::connect::Place;
pub use self::image::Pull;
pub(crate) use self::image::check_name;
pub(crate) use self::logs::{LogFrame, LogQuery};
use crate::error::of_engine;

/// How long an engine may take to clear up after a container, and how soon it is asked again. Arbitrary: Podman took a
/// tenth of a second.
const CLEARING_UP: Duration = Duration::from_secs(1);
const AGAIN: Duration = Duration::from_millis(20);

/// Whether an engine calls a container `stopped`, as Podman does until it has cleared up after it: before that, it does not
/// tell how it ended, and Docker knows no such state.
fn is_clearing_up(refusal: &Refusal) -> bool {
    matches!(refusal, Refusal::JsonDataError { message, .. } if message.contains("variant `stopped`"))
}

/// An engine, which is connected to when it is first needed.
pub(crate) struct Engine {
    host: Option<String>,
    patience: Duration,
    connected: OnceCell<Connected>,
    /// Whether the last call reached it.
    reached: AtomicBool,
}

impl Engine {
    pub(crate) fn new(host: Option<String>, patience: Duration) -> Self {
        Self { host, patience, connected: OnceCell::new(), reached: AtomicBool::new(true) }
    }

    async fn connected(&self) -> Result<&Connected, Error> {
        let connected =
            self.connected.get_or_try_init(|| connect::connect(self.host.as_deref(), self.patience));
        // Each of many who come at once would try in turn.
        let in_time = timeout(self.patience, connected).await;
        in_time.unwrap_or_else(|_| Err(connect::silent(self.host.as_deref(), self.patience)))
    }

    async fn docker(&self) -> Result<&Docker, Error> {
        self.connected().await.map(|connected| &connected.docker)
    }

    /// Where the engine is.
    pub(crate) async fn place(&self) -> Result<&Place, Error> {
        self.connected().await.map(|connected| &connected.place)
    }

    /// Waits for the answer to a call, the whole of it, and tells what it means.
    async fn call<T>(&self, what: &str, call: impl Future<Output = Result<T, Refusal>>) -> Result<T, Error> {
        let answer = timeout(self.patience, call).await;
        self.answered(what, answer.unwrap_or(Err(Refusal::RequestTimeoutError)))
    }

    /// Waits for the next step of a call that has several, for as long as for a call; `None` after the last one.
    async fn step<T>(
        &self,
        what: &str,
        steps: &mut (impl Stream<Item = Result<T, Refusal>> + Unpin),
    ) -> Result<Option<T>, Error> {
        self.call(what, async { steps.next().await.transpose() }).await
    }

    /// Notes whether a call reached the engine, and tells what its answer means.
    fn answered<T>(&self, what: &str, answer: Result<T, Refusal>) -> Result<T, Error> {
        let answer = answer.map_err(|refusal| of_engine(what, refusal));
        let reached = !answer.as_ref().is_err_and(|error| error.kind() == ErrorKind::Unavailable);
        if self.reached.swap(reached, Ordering::Relaxed) != reached {
            match reached {
                true => tracing::info!("the container engine answers again"),
                false => tracing::warn!(what, "the container engine does not answer"),
            }
        }
        answer
    }

    /// Why the engine cannot be used now, if it cannot.
    pub(crate) async fn problem(&self) -> Option<String> {
        let ping = async {
            let docker = self.docker().await?;
            self.answered("answer", docker.ping().await).map(drop)
        };
        match tokio::time::timeout(Duration::from_secs(5), ping).await {
            Ok(answer) => answer.err().map(|error| error.message().to_owned()),
            Err(_) => Some("the container engine does not answer".to_owned()),
        }
    }

    pub(crate) async fn create(&self, name: &str, body: ContainerCreateBody) -> Result<String, Error> {
        let options = CreateContainerOptions { name: Some(name.to_owned()), platform: String::new() };
        let created = self.docker().await?.create_container(Some(options), body);
        self.call("create a container", created).await.map(|created| created.id)
    }

    pub(crate) async fn start(&self, id: &str) -> Result<(), Error> {
        let started = self.docker().await?.start_container(id, None::<StartContainerOptions>);
        self.call("start a container", started).await
    }

    pub(crate) async fn pause(&self, id: &str) -> Result<(), Error> {
        let paused = self.docker().await?.pause_container(id);
        self.call("pause a container", paused).await
    }

    pub(crate) async fn unpause(&self, id: &str) -> Result<(), Error> {
        let resumed = self.docker().await?.unpause_container(id);
        self.call("resume a container", resumed).await
    }

    pub(crate) async fn kill(&self, id: &str) -> Result<(), Error> {
        let killed = self.docker().await?.kill_container(id, None::<KillContainerOptions>);
        self.call("kill a container", killed).await
    }

    /// Kills and removes a container; whether it was there.
    pub(crate) async fn remove(&self, name: &str) -> Result<bool, Error> {
        let options = RemoveContainerOptions { force: true, v: true, link: false };
        let removed = self.docker().await?.remove_container(name, Some(options));
        match self.call("remove a container", removed).await {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            // Somebody else is about it already.
            Err(error) if error.kind() == ErrorKind::Conflict => Ok(true),
            removed => removed.map(|()| true),
        }
    }

    /// What a container is doing.
    pub(crate) async fn state(&self, id: &str) -> Result<ContainerState, Error> {
        Ok(self.inspect(id).await?.state.unwrap_or_default())
    }

    /// What is known of a container, once the engine has cleared up after it if it has ended.
    async fn inspect(&self, id: &str) -> Result<ContainerInspectResponse, Error> {
        let docker = self.docker().await?;
        let begun = Instant::now();
        let inspected = async {
            loop {
                match docker.inspect_container(id, None::<InspectContainerOptions>).await {
                    Err(refusal) if is_clearing_up(&refusal) && begun.elapsed() < CLEARING_UP => {
                        sleep(AGAIN).await;
                    }
                    inspected => return inspected,
                }
            }
        };
        self.call("inspect a container", inspected).await
    }

    /// The address of a container in a network, and the port of this machine that leads to its port 8080.
    pub(crate) async fn reach(
        &self,
        id: &str,
        network: &str,
    ) -> Result<(Option<String>, Option<u16>), Error> {
        let settings = self.inspect(id).await?.network_settings.unwrap_or_default();
        let networks = settings.networks.unwrap_or_default();
        let address = networks.get(network).and_then(|network| network.ip_address.clone());
        let ports = settings.ports.unwrap_or_default();
        let bound = ports.get("8080/tcp").cloned().flatten().unwrap_or_default();
        let port = bound.iter().find_map(|bound| bound.host_port.as_deref()?.parse().ok());
        Ok((address.filter(|address| !address.is_empty()), port))
    }

    /// The containers with that label, running or not.
    pub(crate) async fn list(&self, label: &str) -> Result<Vec<ContainerSummary>, Error> {
        let filters = Some([("label".to_owned(), vec![label.to_owned()])].into());
        let options = ListContainersOptions { all: true, filters, ..ListContainersOptions::default() };
        let listed = self.docker().await?.list_containers(Some(options));
        self.call("list containers", listed).await
    }

    /// Makes a network.
    pub(crate) async fn create_network(&self, request: NetworkCreateRequest) -> Result<(), Error> {
        let created = self.docker().await?.create_network(request);
        let warning = self.call("create a network", created).await?.warning;
        if !warning.is_empty() {
            tracing::warn!(warning, "the engine makes a network otherwise than it was asked to");
        }
        Ok(())
    }

    /// Removes a network. One that is not there is no error.
    pub(crate) async fn remove_network(&self, name: &str) -> Result<(), Error> {
        let removed = self.docker().await?.remove_network(name);
        match self.call("remove a network", removed).await {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }

    /// The networks with that label: names and labels.
    pub(crate) async fn list_networks(
        &self,
        label: &str,
    ) -> Result<Vec<(String, std::collections::HashMap<String, String>)>, Error> {
        let filters = Some([("label".to_owned(), vec![label.to_owned()])].into());
        let listed = self.docker().await?.list_networks(Some(ListNetworksOptions { filters }));
        let listed = self.call("list networks", listed).await?;
        let named = listed
            .into_iter()
            .filter_map(|network| Some((network.name?, network.labels.unwrap_or_default())));
        Ok(named.collect())
    }
}
