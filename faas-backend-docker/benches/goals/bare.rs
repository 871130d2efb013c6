//! The floors: containers that are made by bollard alone, and talked to in as few bytes and calls as can be.

use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::Docker;
use bollard::query_parameters::{
    CreateContainerOptions, InspectContainerOptions, RemoveContainerOptions, StartContainerOptions,
};
use faas_backend_docker::{Hardening, bench_container};
use faas_core::MemoryMib;
use faas_core::artifact::{MANIFEST, Manifest};

/// The memory of the echo.
const MEMORY: MemoryMib = MemoryMib::new(16);

/// A container that is made by bollard alone.
pub(crate) struct Bare {
    id: String,
    pub(crate) folder: PathBuf,
}

impl Bare {
    /// Makes and starts a container of the image, with everything that the backend asks for.
    pub(crate) async fn start(
        docker: &Docker,
        image: &str,
        hardening: &Hardening,
        arguments: &[String],
    ) -> Self {
        Self::start_in(docker, image, hardening, arguments, None).await
    }

    /// The same in a network, if one is told.
    pub(crate) async fn start_in(
        docker: &Docker,
        image: &str,
        hardening: &Hardening,
        arguments: &[String],
        network: Option<&str>,
    ) -> Self {
        let name = format!("faas-bare-{:08x}", fastrand::u32(..));
        let folder = crate::home(&name);
        fs::create_dir_all(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
        let mut body = bench_container(image, MEMORY, hardening, &folder);
        if let (Some(host), Some(network)) = (&mut body.host_config, network) {
            host.network_mode = Some(network.to_owned());
        }
        body.cmd = (!arguments.is_empty()).then(|| arguments.to_vec());
        let options = CreateContainerOptions { name: Some(name), ..CreateContainerOptions::default() };
        let id = docker.create_container(Some(options), body).await.unwrap().id;
        docker.start_container(&id, None::<StartContainerOptions>).await.unwrap();
        Self { id, folder }
    }

    /// A connection, as soon as somebody listens.
    pub(crate) async fn connect(&self) -> UnixStream {
        let socket = self.folder.join("guest");
        loop {
            match UnixStream::connect(&socket) {
                Ok(stream) => return stream,
                Err(_) => tokio::time::sleep(Duration::from_micros(500)).await,
            }
        }
    }

    /// A connection to its port in the network, as soon as somebody listens.
    pub(crate) async fn connect_in(&self, docker: &Docker, network: &str) -> TcpStream {
        let inspected = docker.inspect_container(&self.id, None::<InspectContainerOptions>).await.unwrap();
        let networks = inspected.network_settings.unwrap().networks.unwrap();
        let address: IpAddr = networks[network].ip_address.as_ref().unwrap().parse().unwrap();
        loop {
            match TcpStream::connect((address, 8080)) {
                Ok(stream) => {
                    stream.set_nodelay(true).unwrap();
                    return stream;
                }
                Err(_) => tokio::time::sleep(Duration::from_micros(500)).await,
            }
        }
    }

    pub(crate) async fn remove(self, docker: &Docker) {
        let options = RemoveContainerOptions { force: true, ..RemoveContainerOptions::default() };
        docker.remove_container(&self.id, Some(options)).await.unwrap();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A request as the backend makes it.
pub(crate) fn request(path: &str, body: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nhost: guest\r\ncontent-type: application/json\r\nx-faas-envelope: 1\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// The body of `/run` for the echo, as long as the backend's.
pub(crate) fn run_body() -> String {
    let id = "0".repeat(32);
    format!(
        "{{\"value\":{{}},\"namespace\":\"_\",\"action_name\":\"/_/echo\",\"action_version\":\"0.0.1\",\
         \"activation_id\":\"{id}\",\"transaction_id\":\"{id}\",\"deadline\":\"1700000000000\",\
         \"faas\":{{\"attempt\":1,\"level\":3,\"remaining\":60000000000,\"seed\":18446744073709551615}}}}"
    )
}

/// The body of `/init` for the echo.
pub(crate) fn init_body() -> String {
    let spec = serde_json::to_string(&crate::echo()).unwrap();
    format!(
        "{{\"value\":{{\"name\":\"echo\",\"main\":\"main\",\"binary\":false,\"env\":{{}},\"faas\":{spec}}}}}"
    )
}

/// Sends a request and reads the reply, by its length; how many bytes that was.
pub(crate) fn exchange(stream: &mut UnixStream, request: &[u8]) -> usize {
    stream.write_all(request).unwrap();
    let mut reply = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let length = stream.read(&mut chunk).unwrap();
        assert!(length > 0, "the guest closed the connection");
        reply.extend_from_slice(&chunk[..length]);
        let Some(end) = reply.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&reply[..end]).to_lowercase();
        assert!(head.starts_with("http/1.1 200"), "{head}");
        let (_, rest) = head.split_once("content-length: ").unwrap();
        let body: usize = rest.split("\r\n").next().unwrap().parse().unwrap();
        if reply.len() >= end + 4 + body {
            return reply.len();
        }
    }
}

/// Sees to it that the engine has the image of an artifact.
pub(crate) fn load(artifact: &Path) {
    let manifest = manifest(artifact);
    let name = manifest.image.expect("an image");
    faas_backend_docker::load_image(&artifact.join(manifest.file), &name).unwrap();
}

/// The image of an artifact.
pub(crate) fn image(artifact: &Path) -> String {
    manifest(artifact).image.expect("an image")
}

fn manifest(artifact: &Path) -> Manifest {
    serde_json::from_slice(&fs::read(artifact.join(MANIFEST)).unwrap()).unwrap()
}

/// The program in an artifact's image: the one large file in its layer.
pub(crate) fn program(artifact: &Path) -> Vec<u8> {
    let file = artifact.join(manifest(artifact).file);
    let mut image = tar::Archive::new(fs::File::open(file).unwrap());
    let entries = image.entries().unwrap().map(Result::unwrap);
    let layers = entries.filter(|entry| entry.path().unwrap().to_string_lossy().ends_with(".tar"));
    for layer in layers {
        let mut layer = tar::Archive::new(layer);
        for entry in layer.entries().unwrap() {
            let mut entry = entry.unwrap();
            if entry.path().unwrap().ends_with("guest") {
                let mut bytes = Vec::new();
                entry.read_to_end(&mut bytes).unwrap();
                return bytes;
            }
        }
    }
    panic!("the image has no program");
}
