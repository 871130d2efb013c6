//! Sandboxes: a container that is bound to one action.

use std::time::Duration;

use faas_core::sandbox::{RunOutput, Sandbox};
use faas_core::{Error, ErrorKind, Invocation};

use crate::container::Container;
use crate::foreign::Foreign;
use crate::own::Own;

/// How long after an action's timeout its guest may take to say that the time is over, before it is killed. Arbitrary.
pub(crate) const GRACE: Duration = Duration::from_millis(100);

/// How long killing a container, and reading what it has printed, may take. Arbitrary.
pub(crate) const KILLING: Duration = Duration::from_millis(800);

/// How late a timeout may come: both of these.
pub(crate) const LATEST: Duration = GRACE.saturating_add(KILLING).saturating_add(Duration::from_millis(100));

/// A container that is bound to one action.
pub(crate) struct DockerSandbox {
    container: Container,
    guest: Guest,
}

/// What runs in it.
enum Guest {
    Own(Own),
    Foreign(Foreign),
}

impl DockerSandbox {
    pub(crate) fn own(container: Container, guest: Own) -> Self {
        Self { container, guest: Guest::Own(guest) }
    }

    pub(crate) fn foreign(container: Container, guest: Foreign) -> Self {
        Self { container, guest: Guest::Foreign(guest) }
    }
}

/// What the engine says to pausing and resuming: a container that it cannot do that to is lost.
fn lost(error: Error) -> Error {
    Error::new(ErrorKind::SandboxLost, error.message().to_owned()).temporary(true).with_source(error)
}

impl Sandbox for DockerSandbox {
    async fn run(&self, invocation: &Invocation) -> Result<RunOutput, Error> {
        match &self.guest {
            Guest::Own(guest) => guest.run(&self.container, invocation).await,
            Guest::Foreign(guest) => guest.run(&self.container, invocation).await,
        }
    }

    async fn pause(&mut self) -> Result<(), Error> {
        self.container.engine.pause(&self.container.id).await.map_err(lost)
    }

    async fn resume(&mut self) -> Result<(), Error> {
        self.container.engine.unpause(&self.container.id).await.map_err(lost)
    }

    async fn destroy(self) {
        let Self { container, guest } = self;
        // The host stops listening before the folder of its socket is removed.
        drop(guest);
        container.remove().await;
    }
}
