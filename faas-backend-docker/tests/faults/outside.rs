//! A machine beyond the network of a test that has one of its own. It has no way back to the networks of containers:
//! whoever is to be answered needs an address of the engine's machine.

use std::net::TcpListener;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::child::{Process, say};

/// The addresses of the engine's machine and of this one, and where it listens. Source: RFC 5737.
const NEAR: &str = "198.51.100.1/24";
const FAR: &str = "198.51.100.2/24";
pub(crate) const ADDRESS: &str = "198.51.100.2:80";

/// The machine. Dropped, it is gone.
pub(crate) struct Outside {
    _process: Process,
}

impl Outside {
    /// Starts it, and connects it to the network of this process.
    pub(crate) fn start() -> Self {
        let mut process = Process::machine();
        // It is in its own network once it can be told something.
        process.does("wait");
        let of = process.id().to_string();
        up();
        ip(&["link", "add", "near", "type", "veth", "peer", "name", "far", "netns", &of]);
        ip(&["address", "add", NEAR, "dev", "near"]);
        ip(&["link", "set", "near", "up"]);
        process.does("listen");
        Self { _process: process }
    }
}

/// Has a network of its own work within itself.
pub(crate) fn up() {
    ip(&["link", "set", "lo", "up"]);
}

fn ip(arguments: &[&str]) {
    let done = Command::new("ip").args(arguments).stdin(Stdio::null()).status().expect("`ip`");
    assert!(done.success(), "ip {arguments:?}");
}

/// What that machine does: it waits, and listens when it is told to.
pub(crate) fn listen() {
    let mut listener = None;
    for line in std::io::stdin().lines() {
        let what = line.unwrap();
        if what == "listen" {
            ip(&["address", "add", FAR, "dev", "far"]);
            ip(&["link", "set", "far", "up"]);
            listener = Some(TcpListener::bind(ADDRESS).unwrap());
        }
        say(&json!({ "done": what }));
    }
    drop(listener);
}
