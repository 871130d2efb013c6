//! Where containers are made: what all of them share.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use faas_core::guest::http::PORT;
use faas_core::http::HttpClient;
use faas_core::{Entropy, Error, ErrorKind, MemoryMib, Shape};

use crate::config::{DockerConfig, Needs, Runtime, Transport};
use crate::connection::Address;
use crate::engine::{Engine, Place};
use crate::home::Home;
use crate::network::{Networks, Reach};
use crate::reaper::Reaper;
use crate::recipe::{Link, Recipe};
use crate::supply::{Image, Supply};

/// The labels of containers and networks: the pool that they belong to, and the process that made them.
pub(crate) const POOL: &str = "io.faas.pool";
pub(crate) const HOME: &str = "io.faas.home";
pub(crate) const EPOCH: &str = "io.faas.epoch";
pub(crate) const BOOT: &str = "io.faas.boot";

/// How long a backend that ends waits for an engine that removes nothing. Arbitrary.
const CLOSING: Duration = Duration::from_secs(5);

/// What all containers of a backend share.
pub(crate) struct Site {
    pub(crate) config: DockerConfig,
    pub(crate) engine: Arc<Engine>,
    pub(crate) supply: Supply,
    pub(crate) home: Arc<Home>,
    pub(crate) entropy: OnceLock<Arc<Entropy>>,
    pub(crate) http: Option<Arc<dyn HttpClient>>,
    reaper: OnceLock<Reaper>,
    networks: Networks,
    /// How the containers of a shape are made.
    plans: RwLock<BTreeMap<Shape, Arc<Plan>>>,
}

/// How the containers of a shape are made, and what is known of the server within.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) image: Image,
    pub(crate) memory: MemoryMib,
    /// Whether the guest is one of this library.
    pub(crate) is_own: bool,
    /// Whether it is given the network.
    pub(crate) reaches_out: bool,
    /// Whether the end of an activation is marked in the output.
    pub(crate) sentinels: bool,
    pub(crate) needs: Needs,
}

impl Plan {
    /// A plan of an image that nothing more is known of.
    pub(crate) fn new(image: Image, memory: MemoryMib) -> Self {
        let needs = Needs::default();
        Self { image, memory, is_own: false, reaches_out: false, sentinels: false, needs }
    }

    /// A plan of a runtime's containers.
    pub(crate) fn of(runtime: &Runtime, memory: MemoryMib) -> Self {
        let plan = Self::new(Image::Runtime(runtime.image.clone()), memory);
        Self { sentinels: runtime.sentinels, needs: runtime.needs(), ..plan }
    }
}

impl Site {
    pub(crate) fn new(config: DockerConfig, home: Home, http: Option<Arc<dyn HttpClient>>) -> Self {
        let engine = Arc::new(Engine::new(config.host.clone(), config.engine_timeout));
        let networks = Networks::new(&home.epoch);
        Self {
            supply: Supply::new(Arc::clone(&engine), config.pull),
            config,
            engine,
            home: Arc::new(home),
            entropy: OnceLock::new(),
            http,
            reaper: OnceLock::new(),
            networks,
            plans: RwLock::default(),
        }
    }

    /// The reaper, which runs where it is first needed.
    pub(crate) fn reaper(&self) -> Result<&Reaper, Error> {
        if tokio::runtime::Handle::try_current().is_err() {
            return Err(Error::new(ErrorKind::Internal, "the Docker backend needs a runtime of tokio"));
        }
        Ok(self.reaper.get_or_init(|| Reaper::start(Arc::clone(&self.engine))))
    }

    pub(crate) fn entropy(&self) -> &Arc<Entropy> {
        self.entropy.get_or_init(|| Arc::new(Entropy::system()))
    }

    /// The labels by which what this process makes is found.
    pub(crate) fn labels(&self) -> BTreeMap<String, String> {
        let home = &self.home;
        let labels =
            [(POOL, &self.config.pool), (HOME, &home.identity), (EPOCH, &home.epoch), (BOOT, &home.boot)];
        labels.into_iter().map(|(key, value)| (key.to_owned(), value.clone())).collect()
    }

    /// What the containers of a plan are made of.
    pub(crate) async fn recipe(&self, plan: &Plan) -> Result<Recipe, Error> {
        let reach = plan.reaches_out.then_some(Reach::Everything);
        let link = match self.transport(plan.is_own).await? {
            Transport::Local if plan.is_own => Link::Socket,
            Transport::Published => {
                self.network(reach.unwrap_or(Reach::Callers), Some(self.publish_on())).await?
            }
            _ => self.network(reach.unwrap_or(Reach::Nothing), None).await?,
        };
        Ok(Recipe {
            image: plan.image.name().to_owned(),
            memory: plan.memory,
            link,
            needs: plan.needs.clone(),
        })
    }

    /// How containers of this library's guests are talked to, or those of others; never `Auto`.
    ///
    /// # Errors
    /// `Unsupported` where the engine publishes ports out of reach.
    pub(crate) async fn transport(&self, is_own: bool) -> Result<Transport, Error> {
        let place = self.engine.place().await?;
        let transport = match (self.config.transport, place) {
            (Transport::Auto, Place::Here) => Transport::Local,
            (Transport::Auto, Place::Rootless) if is_own => Transport::Local,
            (Transport::Auto, _) => Transport::Published,
            (transport, _) => transport,
        };
        match (transport, place, self.config.publish_on) {
            (Transport::Published, Place::Elsewhere(host), None) => {
                let text = format!(
                    "the container engine is on another machine, {host}, whose loopback address, where ports of containers \
                     are published, is out of reach: name an address of that machine by the option `publish_on`, if whoever \
                     reaches it may call the actions"
                );
                Err(Error::new(ErrorKind::Unsupported, text))
            }
            (transport, ..) => Ok(transport),
        }
    }

    /// The address of the engine's machine where ports are published.
    fn publish_on(&self) -> IpAddr {
        self.config.publish_on.unwrap_or(Ipv4Addr::LOCALHOST.into())
    }

    /// The network of this process whose containers reach that.
    async fn network(&self, reach: Reach, published: Option<IpAddr>) -> Result<Link, Error> {
        let labels = self.labels().into_iter().collect();
        let name = self.networks.of(reach, &self.engine, labels).await?.to_owned();
        Ok(Link::Network { name, reach, published })
    }

    /// The address of the server in a container that just started.
    pub(crate) async fn address(&self, id: &str, link: &Link) -> Result<Address, Error> {
        let (network, published) = match link {
            Link::Network { name, published, .. } => (name.as_str(), published.as_ref()),
            Link::Socket => ("none", None),
        };
        let (address, port) = self.engine.reach(id, network).await?;
        let unreachable = |what: &str| {
            let text = format!("the container has no {what}, so that it cannot be reached");
            Error::new(ErrorKind::Internal, text).with_context("container", id)
        };
        if let Some(address) = published {
            let port = port.ok_or_else(|| unreachable("published port"))?;
            return Ok(Address::Published(SocketAddr::new(*address, port)));
        }
        let address = address.and_then(|address| address.parse::<IpAddr>().ok());
        let address = address.ok_or_else(|| unreachable("address"))?;
        Ok(Address::Tcp(SocketAddr::new(address, PORT)))
    }

    /// Remembers how containers of a shape are made.
    pub(crate) fn plan(&self, shape: Shape, plan: Plan) {
        let mut plans = self.plans.write().unwrap_or_else(PoisonError::into_inner);
        plans.entry(shape).or_insert_with(|| Arc::new(plan));
    }

    /// How containers of a shape are made.
    pub(crate) fn planned(&self, shape: &Shape) -> Result<Arc<Plan>, Error> {
        let plans = self.plans.read().unwrap_or_else(PoisonError::into_inner);
        plans.get(shape).cloned().ok_or_else(|| {
            Error::new(
                ErrorKind::Internal,
                format!("nobody has said how containers of shape {shape:?} are made"),
            )
        })
    }

    /// Waits until all containers are removed, and removes what else this process has made.
    ///
    /// # Errors
    /// `Unavailable` when the engine removes nothing any more: the rest is left to the next start.
    pub(crate) async fn close(&self) -> Result<(), Error> {
        if let Some(reaper) = self.reaper.get() {
            let left = reaper.finish(CLOSING).await;
            if left > 0 {
                let pool = &self.config.pool;
                let text = format!(
                    "the engine does not remove containers: {left} are left to the next start of pool '{pool}'"
                );
                return Err(Error::new(ErrorKind::Unavailable, text));
            }
        }
        self.networks.remove(&self.engine).await
    }
}
