//! How a container is made: the one place that decides what it is kept from.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::path::Path;

use bollard::models::{
    ContainerCreateBody, HostConfig, HostConfigLogConfig, Mount, MountType, PortBinding, ResourcesUlimits,
};
use faas_core::MemoryMib;
use faas_core::guest::http::{EGRESS, PORT, SOCKET};

use crate::config::{Hardening, Needs};
use crate::home::{EGRESS_SOCKET, GUEST_SOCKET};
use crate::network::Reach;

/// The folder within a container that its host shares.
const SHARED: &str = "/faas";

/// The least memory that an engine gives a container. Source: Docker's.
const LEAST_MEMORY: MemoryMib = MemoryMib::new(6);

/// How a container is reached and what it reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// It has no network, and shares a folder for sockets.
    Socket,
    /// It is in this network, and is reached at its address there or, where it is published, by a port of that address of
    /// the engine's machine.
    Network { name: String, reach: Reach, published: Option<IpAddr> },
}

/// What a container is made of, apart from its folder and its labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Recipe {
    pub(crate) image: String,
    pub(crate) memory: MemoryMib,
    pub(crate) link: Link,
    pub(crate) needs: Needs,
}

impl Recipe {
    /// The request for the engine.
    pub(crate) fn body(
        &self,
        hardening: &Hardening,
        shared: Option<&Path>,
        labels: &BTreeMap<String, String>,
    ) -> ContainerCreateBody {
        let variables = match self.link {
            Link::Socket => vec![
                format!("{SOCKET}={SHARED}/{GUEST_SOCKET}"),
                format!("{EGRESS}={SHARED}/{EGRESS_SOCKET}"),
            ],
            // What lets OpenWhisk's runtimes run several activations at once; whether they do, the action says.
            Link::Network { .. } => vec!["__OW_ALLOW_CONCURRENT=true".to_owned()],
        };
        let user = self.needs.user.as_ref().unwrap_or(&hardening.user);
        let exposed = matches!(self.link, Link::Network { published: Some(_), .. }).then(|| vec![port()]);
        ContainerCreateBody {
            image: Some(self.image.clone()),
            user: Some(user.clone()),
            env: Some(variables),
            labels: Some(labels.clone().into_iter().collect()),
            exposed_ports: exposed,
            host_config: Some(self.host_config(hardening, shared)),
            // Whoever prints is heard by the engine alone.
            attach_stdin: Some(false),
            attach_stdout: Some(false),
            attach_stderr: Some(false),
            open_stdin: Some(false),
            tty: Some(false),
            ..ContainerCreateBody::default()
        }
    }

    fn host_config(&self, hardening: &Hardening, shared: Option<&Path>) -> HostConfig {
        let memory = i64::from(self.memory.max(LEAST_MEMORY).mib()) << 20;
        let mut security = vec!["no-new-privileges".to_owned()];
        security.extend(hardening.seccomp.iter().map(|profile| format!("seccomp={profile}")));
        let open_files = ResourcesUlimits {
            name: Some("nofile".to_owned()),
            soft: Some(hardening.open_files),
            hard: Some(hardening.open_files),
        };
        let (driver, options) = &hardening.log_driver;
        let (network, published, is_closed) = match &self.link {
            Link::Socket => ("none", None, false),
            Link::Network { name, reach, published } => {
                (name.as_str(), *published, *reach != Reach::Everything)
            }
        };
        let tmpfs =
            |size: MemoryMib, exec: &str| format!("rw,{exec},nosuid,nodev,size={}m,mode=1777", size.mib());
        let scratch = self.needs.scratch.iter().map(|(folder, size)| (folder.clone(), tmpfs(*size, "exec")));
        let tmp = ("/tmp".to_owned(), tmpfs(hardening.tmp, "noexec"));
        let writes_root = self.needs.writes_root;
        let disk = hardening.disk.filter(|_| writes_root);
        HostConfig {
            // Everything that containers must not have; a test looks at each from inside.
            cap_drop: Some(vec!["ALL".to_owned()]),
            security_opt: Some(security),
            privileged: Some(false),
            readonly_rootfs: Some(!writes_root),
            storage_opt: disk.map(|size| HashMap::from([("size".to_owned(), format!("{}m", size.mib()))])),
            tmpfs: Some(std::iter::once(tmp).chain(scratch).collect()),
            memory: Some(memory),
            memory_swap: Some(memory),
            pids_limit: Some(hardening.pids),
            ulimits: Some(vec![open_files]),
            // As many shares as MiB, so that processors are divided as memory is. Source: OpenWhisk.
            cpu_shares: Some(i64::from(self.memory.mib()).max(2)),
            cpuset_cpus: hardening.cpus.clone(),
            init: Some(true),
            network_mode: Some(network.to_owned()),
            port_bindings: published.map(|address| HashMap::from([(port(), Some(vec![binding(address)]))])),
            // Engines look up names for containers, also for those whose network leads nowhere: that would be a way out.
            dns: is_closed.then(|| vec!["127.0.0.1".to_owned()]),
            ipc_mode: Some("private".to_owned()),
            mounts: shared.map(|folder| vec![mount(folder)]),
            runtime: hardening.runtime.clone(),
            log_config: Some(HostConfigLogConfig {
                typ: Some(driver.clone()),
                config: Some(options.clone().into_iter().collect()),
            }),
            ..HostConfig::default()
        }
    }
}

/// Any port of an address, as engines are told.
fn binding(address: IpAddr) -> PortBinding {
    PortBinding { host_ip: Some(address.to_string()), host_port: Some(String::new()) }
}

fn port() -> String {
    format!("{PORT}/tcp")
}

/// The one folder of the host that a container sees: empty but for its own sockets.
fn mount(folder: &Path) -> Mount {
    Mount {
        typ: Some(MountType::BIND),
        source: Some(folder.display().to_string()),
        target: Some(SHARED.to_owned()),
        read_only: Some(false),
        ..Mount::default()
    }
}
