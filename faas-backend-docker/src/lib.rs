#![doc = include_str!("docs.md")]

mod asked;
mod backend;
mod builder;
mod catalogue;
mod config;
mod connection;
mod container;
mod death;
mod doomed;
mod egress;
mod engine;
mod error;
mod factory;
mod foreign;
mod home;
mod left;
mod network;
mod output;
mod own;
mod reaper;
mod recipe;
mod reply;
mod sandbox;
mod site;
mod supply;
mod sweep;

pub use self::backend::{DockerBackend, Loaded, load_image};
pub use self::builder::DockerBuilder;
pub use self::config::{DockerConfig, Hardening, Runtime, Transport};
pub use self::engine::Pull;

/// What the engine is asked for to make a container of an image that shares `folder`, for benchmarks that compare with it.
#[doc(hidden)]
#[must_use]
pub fn bench_container(
    image: &str,
    memory: faas_core::MemoryMib,
    hardening: &Hardening,
    folder: &std::path::Path,
) -> bollard::models::ContainerCreateBody {
    let link = recipe::Link::Socket;
    let needs = config::Needs::default();
    let recipe = recipe::Recipe { image: image.to_owned(), memory, link, needs };
    recipe.body(hardening, Some(folder), &std::collections::BTreeMap::new())
}
