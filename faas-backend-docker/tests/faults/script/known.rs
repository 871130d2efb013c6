//! What a scripted engine has.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::call::{Answer, Call};
use super::guest::Guest;
use super::http::{Asked, answer};
use crate::bare::entry;

/// What a real engine says while it pulls an image.
const PULLED: &str = concat!(
    "{\"status\":\"Pulling from tool\",\"id\":\"1\"}\r\n",
    "{\"status\":\"Downloading\",\"progressDetail\":{\"current\":512,\"total\":2048},\"id\":\"0a\"}\r\n",
    "{\"status\":\"Downloading\",\"progressDetail\":{\"current\":2048,\"total\":2048},\"id\":\"0a\"}\r\n",
    "{\"status\":\"Pull complete\",\"progressDetail\":{},\"id\":\"0a\"}\r\n",
    "{\"status\":\"Status: Downloaded newer image for tool:1\"}\r\n",
);

/// What a scripted engine has, and how it is to answer.
#[derive(Default)]
pub(super) struct Known {
    pub(super) answers: BTreeMap<Call, Answer>,
    pub(super) calls: Vec<Call>,
    /// The names of images, with their tags.
    pub(super) images: BTreeSet<String>,
    /// Which part of addresses is its own.
    pub(super) part: u8,
    pub(super) made: u64,
    /// What was asked for when containers were made.
    pub(super) bodies: Vec<Value>,
    /// By name.
    pub(super) containers: BTreeMap<String, Container>,
    /// Names and labels. As with a real engine, several may have one name.
    pub(super) networks: Vec<(String, Value)>,
}

/// A container.
pub(super) struct Container {
    id: String,
    labels: Value,
    folder: Option<PathBuf>,
    /// Where it is reached, if not in its folder.
    address: Ipv4Addr,
    pub(super) guest: Option<Guest>,
}

impl Container {
    pub(super) fn start(&mut self) {
        self.guest = Guest::start(self.folder.as_deref(), self.address).ok();
    }
}

impl Known {
    /// Does what is asked, and answers as a real engine does.
    pub(super) fn usual(&mut self, call: Call, subject: &str, asked: &Asked) -> Vec<u8> {
        let found = |body: Value| answer(200, "", body.to_string().as_bytes());
        let done = || answer(204, "", b"");
        let missing = || answer(404, "", br#"{"message":"No such thing"}"#);
        match call {
            Call::Version => found(json!({ "ApiVersion": "1.41", "MinAPIVersion": "1.12" })),
            Call::Info => {
                let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
                found(
                    json!({ "KernelVersion": kernel.trim(), "SecurityOptions": ["name=seccomp,profile=default"] }),
                )
            }
            Call::Ping => answer(200, "", b"OK"),
            Call::Image if !self.images.contains(&tagged(subject)) => missing(),
            Call::Image => found(json!({ "Id": "sha256:00", "RepoTags": [] })),
            Call::Load => {
                let manifest: Value = serde_json::from_slice(&entry(&asked.body, "manifest.json")).unwrap();
                self.images.extend(manifest[0]["RepoTags"][0].as_str().map(str::to_owned));
                found(json!({ "stream": "Loaded image" }))
            }
            Call::Pull => {
                let [image, tag] = ["fromImage", "tag"].map(|name| asked.parameter(name).unwrap());
                self.images.insert(format!("{image}:{tag}"));
                answer(200, "", PULLED.as_bytes())
            }
            Call::Containers => found(self.list(asked)),
            Call::Networks => {
                let (key, value) = label(asked);
                let has_label = |(_, labels): &&(String, Value)| labels[&key] == value;
                let shown = |(name, labels): &(String, Value)| json!({ "Name": name, "Labels": labels });
                found(self.networks.iter().filter(has_label).map(shown).collect())
            }
            Call::MakeNetwork => {
                let body: Value = serde_json::from_slice(&asked.body).unwrap();
                let name = body["Name"].as_str().unwrap().to_owned();
                self.networks.push((name, body["Labels"].clone()));
                answer(201, "", br#"{"Id":"1","Warning":""}"#)
            }
            Call::RemoveNetwork => {
                let before = self.networks.len();
                self.networks.retain(|(name, _)| name != subject);
                if self.networks.len() < before { done() } else { missing() }
            }
            Call::Create => {
                let body: Value = serde_json::from_slice(&asked.body).unwrap();
                let folder = body["HostConfig"]["Mounts"][0]["Source"].as_str().map(PathBuf::from);
                let id = self.add(asked.parameter("name").unwrap(), body["Labels"].clone(), folder);
                self.bodies.push(body);
                answer(201, "", json!({ "Id": id, "Warnings": [] }).to_string().as_bytes())
            }
            Call::Start => match self.find(subject) {
                Some(container) => {
                    container.start();
                    done()
                }
                None => missing(),
            },
            Call::Pause | Call::Unpause => match self.find(subject).and_then(|it| it.guest.as_ref()) {
                Some(guest) => {
                    guest.pause(call == Call::Pause);
                    done()
                }
                None => missing(),
            },
            Call::Kill => match self.find(subject) {
                Some(container) => {
                    container.guest = None;
                    done()
                }
                None => missing(),
            },
            Call::Logs => answer(200, "", b""),
            Call::Inspect => match self.find(subject) {
                Some(container) => {
                    let state = json!({ "Running": container.guest.is_some(), "ExitCode": 1 });
                    let (id, address) = (container.id.clone(), container.address);
                    let name = self.networks.first().map_or("none", |(name, _)| name);
                    let networks = json!({ "Networks": { name: { "IPAddress": address } } });
                    found(json!({ "Id": id, "State": state, "NetworkSettings": networks }))
                }
                None => missing(),
            },
            Call::Remove => {
                let found = self.find(subject).map(|container| container.id.clone());
                self.containers.retain(|_, container| found.as_ref() != Some(&container.id));
                if found.is_some() { done() } else { missing() }
            }
            Call::Other => done(),
        }
    }

    pub(super) fn add(&mut self, name: String, labels: Value, folder: Option<PathBuf>) -> String {
        self.made += 1;
        let id = format!("{:064x}", self.made);
        // Each process and each engine has its own part of this machine's addresses.
        let [part, number] = [self.part, u8::try_from(self.made % 250).unwrap()];
        let process = u8::try_from(std::process::id() % 250).unwrap();
        let address = Ipv4Addr::new(127, 1 + process, part, 1 + number);
        self.containers.insert(name, Container { id: id.clone(), labels, folder, address, guest: None });
        id
    }

    fn find(&mut self, subject: &str) -> Option<&mut Container> {
        self.containers.iter_mut().find(|(name, it)| *name == subject || it.id == subject).map(|(_, it)| it)
    }

    /// The containers with the label that is asked for.
    fn list(&self, asked: &Asked) -> Value {
        let (key, value) = label(asked);
        let has_label = |container: &&Container| container.labels[&key] == value;
        let shown = |it: &Container| json!({ "Id": it.id, "Labels": it.labels });
        self.containers.values().filter(has_label).map(shown).collect()
    }
}

/// The whole name of an image.
pub(super) fn tagged(name: &str) -> String {
    match name.rsplit('/').next() {
        Some(last) if !last.contains(':') => format!("{name}:latest"),
        _ => name.to_owned(),
    }
}

/// The label that is asked for.
fn label(asked: &Asked) -> (String, String) {
    let filters: Value = serde_json::from_str(&asked.parameter("filters").unwrap()).unwrap();
    let (key, value) = filters["label"][0].as_str().unwrap().split_once('=').unwrap();
    (key.to_owned(), value.to_owned())
}
