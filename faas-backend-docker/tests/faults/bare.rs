//! The program of the guests' image as a process of this machine, and as a container without a backend.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use bollard::Docker;
use bollard::models::{ContainerCreateBody, HostConfig, NetworkCreateRequest};
use bollard::query_parameters::{CreateContainerOptions, RemoveContainerOptions};
use serde_json::{Value, json};
use tokio::net::UnixStream;

use crate::site::until;
use crate::watch::PATIENCE;
use crate::wire::{self, Reply};

/// A process that serves on a Unix socket in a folder of its own. Dropping it ends it.
pub(crate) struct Bare {
    child: Child,
    folder: PathBuf,
}

impl Drop for Bare {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The manifest of an artifact.
pub(crate) fn manifest(artifact: &Path) -> Value {
    serde_json::from_slice(&fs::read(artifact.join("manifest.json")).unwrap()).unwrap()
}

/// The file of an archive that is called so.
pub(crate) fn entry(archive: &[u8], name: &str) -> Vec<u8> {
    let mut archive = tar::Archive::new(archive);
    let mut entries = archive.entries().unwrap().map(Result::unwrap);
    let mut found = entries.find(|entry| entry.path().unwrap() == Path::new(name)).expect("an entry");
    let mut bytes = Vec::new();
    found.read_to_end(&mut bytes).unwrap();
    bytes
}

/// Takes the program out of an artifact's image, into a new folder.
fn unpack(artifact: &Path) -> PathBuf {
    let image = fs::read(artifact.join(manifest(artifact)["file"].as_str().unwrap())).unwrap();
    let parts: Value = serde_json::from_slice(&entry(&image, "manifest.json")).unwrap();
    let layer = entry(&image, parts[0]["Layers"][0].as_str().unwrap());
    let name = format!("faas-bare-{}-{:x}", std::process::id(), fastrand::u64(..));
    let folder = std::env::temp_dir().join(name);
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("guest"), entry(&layer, "guest")).unwrap();
    fs::set_permissions(folder.join("guest"), fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

/// Runs the program with these arguments, to its end.
pub(crate) fn output(artifact: &Path, arguments: &[&str]) -> Output {
    let folder = unpack(artifact);
    let output = Command::new(folder.join("guest")).args(arguments).env_clear().output().unwrap();
    fs::remove_dir_all(folder).unwrap();
    output
}

impl Bare {
    /// Starts the program of an artifact, and waits until it listens.
    pub(crate) async fn start(artifact: &Path) -> Self {
        let folder = unpack(artifact);
        let file = |name: &str| Stdio::from(File::create(folder.join(name)).unwrap());
        let child = Command::new(folder.join("guest"))
            .env_clear()
            .env("FAAS_GUEST_SOCKET", folder.join("socket"))
            .stdin(Stdio::null())
            .stdout(file("stdout"))
            .stderr(file("stderr"))
            .spawn();
        let bare = Self { child: child.unwrap(), folder };
        until(PATIENCE, async || UnixStream::connect(bare.folder.join("socket")).await).await.unwrap();
        bare
    }

    /// The same, initialised with this action.
    pub(crate) async fn of(artifact: &Path, action: &str) -> Self {
        let bare = Self::start(artifact).await;
        let reply = bare.init(json!({ "name": action })).await;
        assert_eq!(reply.told(), (200, r#"{"ok":true}"#.to_owned()));
        bare
    }

    pub(crate) async fn connect(&self) -> UnixStream {
        UnixStream::connect(self.folder.join("socket")).await.unwrap()
    }

    /// Posts JSON on a connection of its own.
    pub(crate) async fn post(&self, path: &str, body: Value) -> Reply {
        wire::post(&mut self.connect().await, path, &body).await
    }

    pub(crate) async fn init(&self, value: Value) -> Reply {
        self.post("/init", json!({ "value": value })).await
    }

    pub(crate) async fn run(&self, value: Value) -> Reply {
        self.post("/run", json!({ "value": value })).await
    }

    /// What it has printed to a stream.
    pub(crate) fn printed(&self, stream: &str) -> String {
        fs::read_to_string(self.folder.join(stream)).unwrap()
    }

    /// Tells it to end, and waits for it; its exit code.
    pub(crate) fn stop(&mut self) -> Option<i32> {
        let told = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(told.success());
        self.child.wait().unwrap().code()
    }
}

/// Containers that no backend has made, in a network that leads nowhere.
pub(crate) struct Loose {
    network: String,
    ids: Vec<String>,
    pub(crate) addresses: Vec<String>,
}

impl Loose {
    /// Makes so many containers of an image, in a network as backends make it.
    pub(crate) async fn start(docker: &Docker, network: &str, image: &str, count: usize) -> Self {
        let apart = [("com.docker.network.bridge.enable_icc".to_owned(), "false".to_owned())];
        let request = NetworkCreateRequest {
            name: network.to_owned(),
            internal: Some(true),
            options: Some(HashMap::from(apart)),
            ..NetworkCreateRequest::default()
        };
        docker.create_network(request).await.unwrap();
        let host = HostConfig { network_mode: Some(network.to_owned()), ..HostConfig::default() };
        let body = ContainerCreateBody {
            image: Some(image.to_owned()),
            host_config: Some(host),
            ..ContainerCreateBody::default()
        };
        let mut loose = Self { network: network.to_owned(), ids: Vec::new(), addresses: Vec::new() };
        for _ in 0..count {
            let made = docker.create_container(None::<CreateContainerOptions>, body.clone()).await.unwrap();
            docker.start_container(&made.id, None).await.unwrap();
            loose.addresses.push(address(docker, &made.id).await);
            loose.ids.push(made.id);
        }
        loose
    }

    pub(crate) async fn remove(self, docker: &Docker) {
        for id in self.ids {
            let force = RemoveContainerOptions { force: true, v: true, link: false };
            docker.remove_container(&id, Some(force)).await.unwrap();
        }
        docker.remove_network(&self.network).await.unwrap();
    }
}

/// The address of a container in its one network.
pub(crate) async fn address(docker: &Docker, id: &str) -> String {
    let found = docker.inspect_container(id, None).await.unwrap();
    let networks = found.network_settings.unwrap().networks.unwrap();
    networks.into_values().next().unwrap().ip_address.unwrap()
}
