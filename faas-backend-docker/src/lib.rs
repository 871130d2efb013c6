#![doc = include_str!("docs.md")]

mod backend;
mod builder;
mod catalogue;
mod config;
mod connection;
mod container;
mod egress;
mod engine;
mod error;
mod factory;
mod foreign;
mod home;
mod output;
mod own;
mod reaper;
mod recipe;
mod reply;
mod sandbox;
mod site;
mod sweep;

pub use self::backend::{DockerBackend, Loaded, load_image};
pub use self::builder::DockerBuilder;
pub use self::config::{DockerConfig, Hardening, Runtime, Transport};
pub use self::engine::Pull;
