//! The networks of a process: each is made when the first container needs it, and removed when the backend is shut down.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

use bollard::models::NetworkCreateRequest;
use faas_core::Error;
use tokio::sync::OnceCell;

use crate::engine::Engine;
use crate::site::EPOCH;

/// What the containers of a network reach. None of them reaches another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Nothing beyond the engine's machine, and no port can be published.
    Nothing,
    /// Nothing beyond the engine's machine, where ports are published: what they send further has an address that nobody
    /// answers to.
    Callers,
    /// Whatever the engine's machine reaches.
    Everything,
}

impl Reach {
    const ALL: [Self; 3] = [Self::Nothing, Self::Callers, Self::Everything];

    /// What is added to the name of the process.
    fn suffix(self) -> &'static str {
        match self {
            Self::Nothing => "",
            Self::Callers => "-published",
            Self::Everything => "-open",
        }
    }

    /// How the engine is told. Source: the options of Docker's bridges.
    fn options(self) -> HashMap<String, String> {
        let mut options = vec![("com.docker.network.bridge.enable_icc", "false")];
        if let Self::Callers = self {
            options.push(("com.docker.network.bridge.enable_ip_masquerade", "false"));
        }
        options.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }
}

/// The networks of a process.
pub(crate) struct Networks {
    /// What all of their names begin with.
    name: String,
    /// The label that all of them have.
    label: String,
    of: [Network; Reach::ALL.len()],
}

#[derive(Default)]
struct Network {
    /// Its name, once it is made.
    made: OnceCell<String>,
    /// Whether the engine was asked for it, which may have made it though its answer was lost.
    asked: AtomicBool,
}

impl Networks {
    /// The networks of the process with this epoch.
    pub(crate) fn new(epoch: &str) -> Self {
        Self { name: format!("faas-{epoch}"), label: format!("{EPOCH}={epoch}"), of: Default::default() }
    }

    /// The name of the network whose containers reach that, which is made with these labels if it is not there.
    pub(crate) async fn of(
        &self,
        reach: Reach,
        engine: &Engine,
        labels: HashMap<String, String>,
    ) -> Result<&str, Error> {
        let network = &self.of[reach as usize];
        let made = network.made.get_or_try_init(async || {
            let name = self.name(reach);
            // An answer may have been lost, and a second network of the name would be in the way.
            if network.asked.swap(true, Ordering::AcqRel) {
                let known = engine.list_networks(&self.label).await?;
                if known.iter().any(|(known, _)| *known == name) {
                    return Ok(name);
                }
            }
            let request = NetworkCreateRequest {
                name: name.clone(),
                internal: Some(reach == Reach::Nothing),
                labels: Some(labels),
                options: Some(reach.options()),
                ..NetworkCreateRequest::default()
            };
            engine.create_network(request).await.map(|()| name)
        });
        made.await.map(String::as_str)
    }

    fn name(&self, reach: Reach) -> String {
        format!("{}{}", self.name, reach.suffix())
    }

    /// Removes those that may be there.
    pub(crate) async fn remove(&self, engine: &Engine) -> Result<(), Error> {
        for reach in Reach::ALL {
            if self.of[reach as usize].asked.load(Ordering::Acquire) {
                engine.remove_network(&self.name(reach)).await?;
            }
        }
        Ok(())
    }
}
