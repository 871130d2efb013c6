//! Sites of the puppet: an image that is an action by itself, and a runtime that is given its code.

use faas_backend_docker::{DockerBuilder, Runtime};
use faas_core::{ActionSpec, MemoryMib};
use serde_json::Value;

use crate::puppet;
use crate::site::{Ground, Site, ground, spec};

/// The kind of actions that the puppet runs as a runtime.
pub(crate) const KIND: &str = "puppet:1";

/// The action that is the image itself.
pub(crate) const BOX: &str = "box";

/// The memory of actions of the puppet, by which their containers are told from others.
pub(crate) const MIB: i64 = 48;

/// An action of the puppet that has so much time.
pub(crate) fn played(name: &str, ms: u64) -> ActionSpec {
    spec(name).with_memory(MemoryMib::new(48)).with_timeout(crate::site::millis(ms))
}

impl Ground {
    /// A backend that has the puppet as a runtime, and its image as an action.
    pub(crate) async fn puppets(&self) -> DockerBuilder {
        let image = puppet::image(&self.docker).await;
        self.builder().runtime(KIND, Runtime::new(image)).image(BOX, image)
    }
}

/// A site of the image that is an action, which has so much time.
pub(crate) async fn boxed(test: &str, ms: u64) -> Option<Site> {
    let ground = ground(test).await?;
    let builder = ground.puppets().await;
    Some(ground.site_on(builder, [played(BOX, ms)]).await)
}

/// A site of actions of the runtime, by their names, each with its code and its time.
pub(crate) async fn coded<const N: usize>(test: &str, actions: [(&str, Value, u64); N]) -> Option<Site> {
    let ground = ground(test).await?;
    let mut builder = ground.puppets().await;
    let mut specs = Vec::new();
    for (name, code, ms) in actions {
        builder = builder.code(name, KIND, code.to_string(), "main");
        specs.push(played(name, ms));
    }
    Some(ground.site_on(builder, specs).await)
}
