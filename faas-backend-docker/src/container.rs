//! A container: made, reached, and removed.

use std::sync::Arc;
use std::time::Duration;

use faas_core::{Error, ErrorKind};
use tokio::time::{sleep, timeout};

use crate::connection::{Address, Connection};
use crate::death::{AUTOPSY, Death, death};
use crate::doomed::{Doomed, Fate};
use crate::engine::Engine;
use crate::error::{not_restored, not_started};
use crate::home::Shared;
use crate::recipe::Link;
use crate::sandbox::KILLING;
use crate::site::{Plan, Site};

/// How long to wait before another try to connect: at first, and at most. Arbitrary: a try costs some microseconds, and
/// whoever waits is a cold start.
const FIRST_WAIT: Duration = Duration::from_micros(200);
const LONGEST_WAIT: Duration = Duration::from_millis(2);

/// When a container that does not listen yet is first asked whether it still runs, and how long is waited at most before
/// the next time. Arbitrary: an engine that starts many has no time to answer.
const FIRST_LOOK: Duration = Duration::from_millis(500);
const LONGEST_LOOK: Duration = Duration::from_secs(4);

/// How long the engine may take to tell what a container is doing, where somebody waits for it. Arbitrary.
const ANSWER: Duration = Duration::from_secs(1);

/// How long a container that runs may take to accept a connection, which its machine does for it. Arbitrary.
const CONNECTING: Duration = Duration::from_millis(500);

/// A container that is up. Dropping it has it removed.
pub(crate) struct Container {
    pub(crate) engine: Arc<Engine>,
    pub(crate) id: String,
    pub(crate) address: Address,
    doomed: Doomed,
}

impl Container {
    /// Makes a container and waits until its server listens; answers with a connection to it.
    ///
    /// # Errors
    /// `InitFailed` with the text of the developer error when the image is at fault; `Unavailable`, temporary, when the
    /// engine cannot be reached; else `Internal`.
    pub(crate) async fn start(site: &Site, plan: &Plan) -> Result<(Self, Connection), Error> {
        let refused = |error| not_started(error, plan.image.name());
        let recipe = site.recipe(plan).await.map_err(refused)?;
        let (name, number) = site.home.next_name();
        let shared = match recipe.link {
            Link::Socket => Some(site.home.share(number)?),
            Link::Network { .. } => None,
        };
        let folder = shared.as_ref().map(Shared::path);
        let body = recipe.body(&site.config.hardening, folder, &site.labels());
        let mut doomed = Doomed { name, shared, reaper: site.reaper()?.clone(), fate: Fate::Asked };
        let created = match site.engine.create(&doomed.name, body.clone()).await {
            // The image was removed behind our back, or is one of a stem cell that no action asked for yet.
            Err(error) if error.kind() == ErrorKind::NotFound => {
                doomed.fate = Fate::Gone;
                let restored = site.supply.restore(&plan.image).await;
                restored.map_err(|error| not_restored(error, &plan.image))?;
                doomed.fate = Fate::Asked;
                site.engine.create(&doomed.name, body).await
            }
            created => created,
        };
        doomed.fate = Fate::of(&created);
        let id = created.map_err(refused)?;
        site.engine.start(&id).await.map_err(refused)?;
        let address = match &doomed.shared {
            Some(shared) => Address::Unix(shared.guest_socket()),
            None => match site.address(&id, &recipe.link).await {
                Ok(address) => address,
                // One that has ended has none any more.
                Err(error) => match death(&site.engine, &id, Duration::ZERO).await {
                    None | Some(Death::Unknown(_)) => return Err(refused(error)),
                    Some(death) => return Err(death.before_listening(plan.image.name())),
                },
            },
        };
        let container = Self { engine: Arc::clone(&site.engine), id, address, doomed };
        let connection = container.first_connection(site.config.start_timeout, plan.image.name()).await?;
        if let Some(shared) = &container.doomed.shared {
            shared.close()?;
        }
        Ok((container, connection))
    }

    /// Connects as soon as the server listens.
    async fn first_connection(&self, patience: Duration, image: &str) -> Result<Connection, Error> {
        tokio::select! {
            connection = self.connect() => Ok(connection),
            error = self.ended(image) => Err(error),
            () = sleep(patience) => Err(self.silent(patience, image).await),
        }
    }

    /// Tries to connect until it can.
    async fn connect(&self) -> Connection {
        let mut wait = FIRST_WAIT;
        loop {
            if let Ok(connection) = Connection::first(&self.address).await {
                return connection;
            }
            sleep(wait).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    /// Waits until the container, which does not listen yet, has ended; why it did. While the engine cannot tell, it may
    /// still come up.
    async fn ended(&self, image: &str) -> Error {
        let mut wait = FIRST_LOOK;
        loop {
            sleep(wait).await;
            wait = (wait * 2).min(LONGEST_LOOK);
            match self.death(Duration::ZERO).await {
                None | Some(Death::Unknown(_)) => {}
                Some(death) => return death.before_listening(image),
            }
        }
    }

    /// The error of a container that did not listen in time.
    async fn silent(&self, patience: Duration, image: &str) -> Error {
        if let Some(death) = self.death_within(Duration::ZERO).await {
            return death.before_listening(image);
        }
        let text = format!("The container did not listen within {} milliseconds.", patience.as_millis());
        Error::new(ErrorKind::InitFailed, text).with_context("container", &self.id)
    }

    /// Connects to the server, which has listened before. The address of a container that is gone may be one where nobody
    /// answers at all.
    ///
    /// # Errors
    /// `SandboxLost`, temporary: user code did not start, and may do so elsewhere.
    pub(crate) async fn connection(&self) -> Result<Connection, Error> {
        let text = "the container takes no connection any more";
        let lost = Error::new(ErrorKind::SandboxLost, text).temporary(true);
        match timeout(CONNECTING, Connection::open(&self.address)).await {
            Ok(opened) => opened.map_err(|error| lost.with_source(error)),
            Err(_) => Err(lost),
        }
    }

    /// The folder that it shares, if it does.
    pub(crate) fn shared(&self) -> Option<&Shared> {
        self.doomed.shared.as_ref()
    }

    /// Why the container does not answer; `None` while it runs, after the engine had so long to notice.
    async fn death(&self, patience: Duration) -> Option<Death> {
        death(&self.engine, &self.id, patience).await
    }

    /// The same from an engine that may not answer at all.
    async fn death_within(&self, patience: Duration) -> Option<Death> {
        let silent =
            || Death::Unknown(Error::new(ErrorKind::Unavailable, "the engine does not answer in time"));
        timeout(patience + ANSWER, self.death(patience)).await.unwrap_or_else(|_| Some(silent()))
    }

    /// Why the container, which broke its connection, does not answer.
    pub(crate) async fn autopsy(&self) -> Death {
        self.death_within(AUTOPSY).await.unwrap_or(Death::Exited(None))
    }

    /// Kills it, which did not stop by itself, while what it has printed is read: what it printed in its time is there
    /// already, and an engine that is busy may take as long for one as for the other.
    pub(crate) async fn kill_while<T>(&self, reading: impl Future<Output = T>) -> T {
        let (killed, read) = tokio::join!(timeout(KILLING, self.engine.kill(&self.id)), reading);
        if let Ok(Err(error)) = killed {
            tracing::debug!(%error, "a container that is overdue could not be killed");
        }
        read
    }

    /// Removes it. What the engine cannot do now is done later.
    pub(crate) async fn remove(mut self) {
        match self.engine.remove(&self.doomed.name).await {
            Ok(_) => self.doomed.fate = Fate::Gone,
            Err(error) => tracing::debug!(container = self.id, %error, "a container is removed later"),
        }
    }
}
