//! Finding an engine, and agreeing with it on a version of its API.

use std::env;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use bollard::errors::Error as Refusal;
use bollard::models::SystemInfo;
use bollard::{API_DEFAULT_VERSION, Docker};
use faas_core::{Error, ErrorKind};
use tokio::time::timeout;

use crate::error;

/// The variable that names the engine. Source: Docker's command line.
const DOCKER_HOST: &str = "DOCKER_HOST";

/// How long an engine may take to say which version it speaks. Arbitrary.
const GREETING: Duration = Duration::from_secs(5);

/// The oldest API that has all that is needed. Source: version 1.41 is that of Docker 20.10.
const OLDEST: (usize, usize) = (1, 41);

/// What an engine's address may begin with.
const SCHEMES: &str =
    if cfg!(feature = "tls") { "unix://, tcp://, http:// or https://" } else { "unix://, tcp:// or http://" };

/// An engine that answered.
pub(crate) struct Connected {
    pub(crate) docker: Docker,
    pub(crate) place: Place,
}

/// Where an engine is, which tells what of its containers is within reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// On this machine: folders and addresses of containers are within reach.
    Here,
    /// On this machine, without being root: its containers are in a network of their own, where folders are within reach
    /// and addresses are not.
    Rootless,
    /// In a virtual machine, or behind an address of this machine: only what it publishes on the loopback address is
    /// within reach.
    Behind,
    /// On the machine that is called so.
    Elsewhere(String),
}

/// Connects to the engine at `host` or, if that is not told, to the first of the usual ones that answers.
pub(crate) async fn connect(host: Option<&str>, patience: Duration) -> Result<Connected, Error> {
    if let Some(host) = named(host) {
        return greet(&host, patience).await;
    }
    let mut tried = Vec::new();
    for socket in usual_sockets().into_iter().filter(|socket| socket.exists()) {
        let address = format!("unix://{}", socket.display());
        match greet(&address, patience).await {
            Ok(connected) => return Ok(connected),
            Err(error) => tried.push(error.message().to_owned()),
        }
    }
    let text = match tried.as_slice() {
        [] => format!(
            "there is no container engine: none of its usual sockets is there, and {DOCKER_HOST} is not set. Install \
             Docker or Podman, start it, or set {DOCKER_HOST}"
        ),
        tried => format!("no container engine answers: {}", tried.join("; ")),
    };
    Err(Error::new(ErrorKind::Unavailable, text))
}

/// The engine's address, where it was told: in the configuration or in the environment.
fn named(host: Option<&str>) -> Option<String> {
    host.map(str::to_owned).or_else(|| env::var(DOCKER_HOST).ok().filter(|host| !host.is_empty()))
}

/// What to tell somebody who has waited for `patience` in vain.
pub(crate) fn silent(host: Option<&str>, patience: Duration) -> Error {
    let address = named(host).map(|host| format!(" at {host}")).unwrap_or_default();
    let text = format!("the container engine{address} does not answer within {patience:?}");
    Error::new(ErrorKind::Unavailable, text)
}

/// Where an engine listens: the user's own, Podman's of the user, the system's, Podman's of the system.
fn usual_sockets() -> Vec<PathBuf> {
    let runtime = env::var_os("XDG_RUNTIME_DIR").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    let in_runtime = |path: &str| runtime.as_ref().map(|runtime| runtime.join(path));
    let in_home = env::home_dir().map(|home| home.join(".docker/run/docker.sock"));
    let users = [in_runtime("docker.sock"), in_home, in_runtime("podman/podman.sock")];
    let systems = ["/var/run/docker.sock", "/run/podman/podman.sock"].map(PathBuf::from);
    users.into_iter().flatten().chain(systems).collect()
}

/// Asks the engine at that address for its version.
async fn greet(address: &str, patience: Duration) -> Result<Connected, Error> {
    let unreachable = |refusal| {
        let source = error::of_engine("tell its version", refusal);
        let text = format!("no container engine answers at {address}{}", advice(address));
        Error::new(ErrorKind::Unavailable, text).with_source(source)
    };
    let secs = patience.as_secs().max(1);
    let invalid = |text: String| {
        Err(Error::new(ErrorKind::InvalidArgument, format!("the engine's address '{address}' {text}")))
    };
    let docker = match address.split_once("://") {
        None => return invalid(format!("has no scheme: {SCHEMES}")),
        Some((_, "")) => return invalid("names nothing".to_owned()),
        Some(("unix", _)) => Docker::connect_with_unix(address, secs, API_DEFAULT_VERSION),
        Some(_) => Docker::connect_with_host(address),
    };
    if let (Err(Refusal::UnsupportedURISchemeError { .. }), Some((scheme, _))) =
        (&docker, address.split_once("://"))
    {
        return invalid(format!("has the scheme '{scheme}', which is none of {SCHEMES}"));
    }
    let docker = docker.map_err(unreachable)?.with_timeout(Duration::from_secs(secs));
    let limit = GREETING.min(patience);
    let greeted = timeout(limit, docker.negotiate_version()).await;
    let docker = greeted.map_err(|_| silent(Some(address), limit))?.map_err(unreachable)?;
    let version = docker.client_version();
    tracing::debug!(address, version.major_version, version.minor_version, "connected to a container engine");
    if (version.major_version, version.minor_version) < OLDEST {
        let text = format!(
            "the container engine at {address} speaks version {}.{} of the API, and {}.{} is the oldest that will do",
            version.major_version, version.minor_version, OLDEST.0, OLDEST.1
        );
        return Err(Error::new(ErrorKind::Unsupported, text));
    }
    let place = place(address, &docker, limit, &unreachable).await?;
    tracing::debug!(address, ?place, "the container engine has told where it is");
    Ok(Connected { docker, place })
}

/// Where the engine at that address is, which it is asked for where the address does not tell.
async fn place(
    address: &str,
    docker: &Docker,
    limit: Duration,
    unreachable: impl Fn(Refusal) -> Error,
) -> Result<Place, Error> {
    if !address.starts_with("unix://") {
        return Ok(place_of(address));
    }
    let told = timeout(limit, docker.info()).await.map_err(|_| silent(Some(address), limit))?;
    match told {
        Ok(info) => Ok(place_by(&info, own_kernel().as_deref())),
        Err(Refusal::JsonDataError { .. } | Refusal::JsonSerdeError { .. }) if cfg!(target_os = "linux") => {
            tracing::debug!(address, "the engine's description of itself cannot be read");
            Ok(Place::Here)
        }
        Err(refusal) => Err(unreachable(refusal)),
    }
}

/// Where an engine is that is reached over TCP. It may be a forwarded one behind a loopback address.
fn place_of(address: &str) -> Place {
    let authority = address.split_once("://").map_or(address, |(_, authority)| authority);
    let host = authority.parse::<http::uri::Authority>().map(|authority| authority.host().to_owned());
    let host = host.unwrap_or_else(|_| authority.to_owned());
    let ip = host.trim_matches(['[', ']']).parse::<IpAddr>();
    match host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback()) {
        true => Place::Behind,
        false => Place::Elsewhere(host),
    }
}

/// Where an engine is whose socket is on this machine, by what it says of itself. One that has another kernel is in a
/// virtual machine; that of Docker Desktop is, even where the kernel is the same.
fn place_by(info: &SystemInfo, own_kernel: Option<&str>) -> Place {
    let is_rootless = info
        .security_options
        .iter()
        .flatten()
        .any(|option| option.split(',').any(|part| part == "name=rootless"));
    let is_desktop =
        info.operating_system.as_ref().is_some_and(|system| system.starts_with("Docker Desktop"));
    let is_other = match (&info.kernel_version, own_kernel) {
        (Some(kernel), Some(own)) => !kernel.is_empty() && kernel != own,
        (_, None) => true,
        (None, Some(_)) => false,
    };
    match (is_desktop || is_other, is_rootless) {
        (true, _) => Place::Behind,
        (false, true) => Place::Rootless,
        (false, false) => Place::Here,
    }
}

/// The release of this machine's kernel, where it is Linux.
fn own_kernel() -> Option<String> {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
    cfg!(target_os = "linux").then(|| release.trim().to_owned())
}

/// What may help where a socket is there and cannot be used.
fn advice(address: &str) -> &'static str {
    let Some(path) = address.strip_prefix("unix://") else { return "" };
    match std::os::unix::net::UnixStream::connect(path).map_err(|error| error.kind()) {
        Err(std::io::ErrorKind::PermissionDenied) => {
            ": permission denied; this user has to be in the group of the socket, often `docker`"
        }
        Err(std::io::ErrorKind::NotFound) => ": there is no such socket",
        Err(std::io::ErrorKind::ConnectionRefused) => ": nobody listens there; is the engine running?",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_an_engine_is_shows_in_its_address_or_in_what_it_says() {
        for address in
            ["tcp://127.0.0.1:2375", "http://localhost:2375", "tcp://[::1]:2375", "https://127.1.2.3"]
        {
            assert_eq!(place_of(address), Place::Behind, "{address}");
        }
        for (address, host) in [
            ("tcp://10.0.0.1:2375", "10.0.0.1"),
            ("https://engine.example.com:2376", "engine.example.com"),
            ("tcp://[2001:db8::1]:2375", "[2001:db8::1]"),
        ] {
            assert_eq!(place_of(address), Place::Elsewhere(host.to_owned()), "{address}");
        }
        let info = |kernel: &str, system: &str, options: &[&str]| SystemInfo {
            kernel_version: Some(kernel.to_owned()),
            operating_system: Some(system.to_owned()),
            security_options: Some(options.iter().map(|option| (*option).to_owned()).collect()),
            ..SystemInfo::default()
        };
        for (told, place) in [
            (info("6.1", "Debian", &["name=seccomp,profile=default"]), Place::Here),
            (info("6.1", "Debian", &["name=seccomp,profile=default", "name=rootless"]), Place::Rootless),
            (info("6.1", "debian", &["name=rootless", "name=seccomp"]), Place::Rootless),
            (info("6.1", "Docker Desktop", &[]), Place::Behind),
            (info("6.6-linuxkit", "Alpine", &["name=rootless"]), Place::Behind),
            (SystemInfo::default(), Place::Here),
        ] {
            assert_eq!(place_by(&told, Some("6.1")), place, "{told:?}");
        }
        assert_eq!(place_by(&info("6.1", "Debian", &[]), None), Place::Behind, "this machine is no Linux");
    }
}
