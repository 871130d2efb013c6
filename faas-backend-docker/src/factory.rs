//! The factory of containers.

use std::sync::Arc;

use faas_core::http::Egress;
use faas_core::sandbox::{InitError, SandboxFactory, Shape};
use faas_core::{ActionSpec, Entropy, Error, ErrorKind};

use crate::catalogue::{Catalogue, Source};
use crate::config::Transport;
use crate::connection::Connection;
use crate::container::Container;
use crate::foreign::Foreign;
use crate::own::Own;
use crate::sandbox::DockerSandbox;
use crate::site::{Plan, Site};
use crate::sweep;

/// Makes the containers of a backend.
pub(crate) struct DockerFactory {
    pub(crate) site: Arc<Site>,
    pub(crate) catalogue: Catalogue,
    /// Whether what an earlier process left behind was looked for.
    swept: tokio::sync::OnceCell<()>,
}

/// A container whose server listens, with the first connection to it.
pub(crate) struct DockerStem {
    container: Container,
    connection: Connection,
}

impl DockerFactory {
    pub(crate) fn new(site: Arc<Site>, catalogue: Catalogue) -> Self {
        Self { site, catalogue, swept: tokio::sync::OnceCell::new() }
    }

    /// Removes what processes that are gone have left, once.
    async fn sweep_once(&self) -> Result<(), Error> {
        // Many who come to an engine that is away do not wait for each other's attempts.
        self.site.engine.place().await?;
        self.swept
            .get_or_try_init(async || {
                let removed = sweep::run(&self.site).await?;
                if removed > 0 {
                    tracing::info!(removed, "containers of processes that are gone were removed");
                }
                Ok(())
            })
            .await
            .copied()
    }

    /// Checks that the action can be given the network that it asks for.
    async fn check_egress(&self, spec: &ActionSpec, plan: &Plan) -> Result<(), Error> {
        let refuse = |text: &str| Err(Error::new(ErrorKind::Unsupported, text));
        if spec.egress.is_none() {
            return Ok(());
        }
        if !plan.is_own {
            return match spec.egress == Egress::none().with("*") {
                true => Ok(()),
                false => refuse(
                    "a container of another image gets the whole network or none: its egress must be `*`",
                ),
            };
        }
        if self.site.transport(true).await? != Transport::Local {
            return refuse(
                "the HTTP requests of Rust guests are made over a socket in a folder that is shared, which needs an \
                 engine on this machine and the transport `local`",
            );
        }
        match self.site.http {
            Some(_) => Ok(()),
            None => refuse(
                "the Docker backend makes no HTTP requests: turn on its feature `http`, or give it a client by \
                 `DockerBuilder::http`",
            ),
        }
    }
}

impl SandboxFactory for DockerFactory {
    type Stem = DockerStem;
    type Sandbox = DockerSandbox;

    fn attach(&self, entropy: &Arc<Entropy>) {
        let _ = self.site.entropy.set(Arc::clone(entropy));
    }

    async fn prepare(&self, spec: &Arc<ActionSpec>) -> Result<(), Error> {
        let (shape, plan) = self.catalogue.shape(spec)?;
        self.sweep_once().await?;
        self.site.transport(plan.is_own).await?;
        self.check_egress(spec, &plan).await?;
        self.site.supply.for_deployment(&plan.image).await?;
        self.site.plan(shape, plan);
        Ok(())
    }

    fn shape(&self, spec: &ActionSpec) -> Shape {
        match self.catalogue.shape(spec) {
            Ok((shape, _)) => shape,
            // It was refused when it was deployed; nothing is ever made of this shape.
            Err(_) => Shape { kind: "unknown".into(), memory: spec.limits.memory, artifact: None },
        }
    }

    async fn create(&self, shape: &Shape) -> Result<DockerStem, Error> {
        let plan = self.site.planned(shape)?;
        self.sweep_once().await?;
        let (container, connection) = Container::start(&self.site, &plan).await?;
        Ok(DockerStem { container, connection })
    }

    async fn init(&self, stem: DockerStem, spec: &Arc<ActionSpec>) -> Result<DockerSandbox, InitError> {
        let DockerStem { container, mut connection } = stem;
        // A stem cell may have waited for long: its server may have closed the connection, or have ended.
        if !connection.is_open() {
            connection = container.connection().await?;
        }
        let entropy = self.site.entropy();
        let code = match self.catalogue.find(&spec.name)? {
            Source::Artifact(_) => {
                let client = self.site.http.clone();
                let guest = Own::init(&container, connection, spec, entropy, client).await?;
                return Ok(DockerSandbox::own(container, guest));
            }
            Source::Image(_) => None,
            Source::Code(code) => Some(Arc::clone(code)),
        };
        let sentinels = code.as_ref().is_some_and(|code| code.runtime.sentinels);
        let guest = Foreign::init(&container, connection, spec, code.as_deref(), sentinels, entropy).await?;
        Ok(DockerSandbox::foreign(container, guest))
    }

    async fn discard(&self, stem: DockerStem) {
        stem.container.remove().await;
    }

    async fn sweep(&self) -> usize {
        sweep::run(&self.site).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "what earlier processes left behind could not be removed");
            0
        })
    }
}
