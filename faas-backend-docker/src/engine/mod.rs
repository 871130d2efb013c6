//! The container engine: the few calls that are made of it, each with its errors told.

mod connect;
mod image;
mod logs;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bollard::Docker;
use bollard::models::{ContainerCreateBody, ContainerState, ContainerSummary, NetworkCreateRequest};
use bollard::query_parameters::{
    CreateContainerOptions, InspectContainerOptions, KillContainerOptions, ListContainersOptions,
    ListNetworksOptions, RemoveContainerOptions, StartContainerOptions,
};
use faas_core::{Error, ErrorKind};
use tokio::sync::OnceCell;

use self::connect::Connected;
pub use self::image::Pull;
pub(crate) use self::image::check_name;
pub(crate) use self::logs::{LogFrame, LogQuery};
use crate::error::of_engine;

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
        self.connected.get_or_try_init(|| connect::connect(self.host.as_deref(), self.patience)).await
    }

    async fn docker(&self) -> Result<&Docker, Error> {
        self.connected().await.map(|connected| &connected.docker)
    }

    /// Whether the engine is this machine's own, so that files and addresses of containers are within reach.
    pub(crate) async fn is_local(&self) -> Result<bool, Error> {
        self.connected().await.map(|connected| connected.local)
    }

    /// Notes whether a call reached the engine, and tells what its answer means.
    fn answered<T>(&self, what: &str, answer: Result<T, bollard::errors::Error>) -> Result<T, Error> {
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
        let created = self.docker().await?.create_container(Some(options), body).await;
        self.answered("create a container", created).map(|created| created.id)
    }

    pub(crate) async fn start(&self, id: &str) -> Result<(), Error> {
        let started = self.docker().await?.start_container(id, None::<StartContainerOptions>).await;
        self.answered("start a container", started)
    }

    pub(crate) async fn pause(&self, id: &str) -> Result<(), Error> {
        let paused = self.docker().await?.pause_container(id).await;
        self.answered("pause a container", paused)
    }

    pub(crate) async fn unpause(&self, id: &str) -> Result<(), Error> {
        let resumed = self.docker().await?.unpause_container(id).await;
        self.answered("resume a container", resumed)
    }

    pub(crate) async fn kill(&self, id: &str) -> Result<(), Error> {
        let killed = self.docker().await?.kill_container(id, None::<KillContainerOptions>).await;
        self.answered("kill a container", killed)
    }

    /// Kills and removes a container. One that is not there is no error.
    pub(crate) async fn remove(&self, name: &str) -> Result<(), Error> {
        let options = RemoveContainerOptions { force: true, v: true, link: false };
        let removed = self.docker().await?.remove_container(name, Some(options)).await;
        match self.answered("remove a container", removed) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            // Somebody else is about it already.
            Err(error) if error.kind() == ErrorKind::Conflict => Ok(()),
            removed => removed,
        }
    }

    /// What a container is doing.
    pub(crate) async fn state(&self, id: &str) -> Result<ContainerState, Error> {
        let inspected = self.docker().await?.inspect_container(id, None::<InspectContainerOptions>).await;
        let inspected = self.answered("inspect a container", inspected)?;
        Ok(inspected.state.unwrap_or_default())
    }

    /// The address of a container in a network, and the port of this machine that leads to its port 8080.
    pub(crate) async fn reach(
        &self,
        id: &str,
        network: &str,
    ) -> Result<(Option<String>, Option<u16>), Error> {
        let inspected = self.docker().await?.inspect_container(id, None::<InspectContainerOptions>).await;
        let settings = self.answered("inspect a container", inspected)?.network_settings.unwrap_or_default();
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
        let listed = self.docker().await?.list_containers(Some(options)).await;
        self.answered("list containers", listed)
    }

    /// Makes a network.
    pub(crate) async fn create_network(&self, request: NetworkCreateRequest) -> Result<(), Error> {
        let created = self.docker().await?.create_network(request).await;
        self.answered("create a network", created).map(drop)
    }

    /// Removes a network. One that is not there is no error.
    pub(crate) async fn remove_network(&self, name: &str) -> Result<(), Error> {
        let removed = self.docker().await?.remove_network(name).await;
        match self.answered("remove a network", removed) {
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
        let listed = self.docker().await?.list_networks(Some(ListNetworksOptions { filters })).await;
        let listed = self.answered("list networks", listed)?;
        let named = listed
            .into_iter()
            .filter_map(|network| Some((network.name?, network.labels.unwrap_or_default())));
        Ok(named.collect())
    }
}
