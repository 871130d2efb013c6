//! What processes leave that are killed, and that the next one of their pool removes all of it and nothing else.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use bollard::Docker;
use bollard::models::{ContainerCreateBody, NetworkCreateRequest};
use bollard::query_parameters::{CreateContainerOptions, ListContainersOptions, RemoveContainerOptions};
use faas_core::Backend;
use serde_json::{Value, json};

use crate::child::Process;
use crate::puppet;
use crate::site::{FINE, containers, ground, labels, networks, nothing_left, spec};

/// The names in a folder.
fn names(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().into_string().unwrap()).collect()
}

#[tokio::test]
async fn what_a_killed_process_leaves_is_removed_by_the_next() {
    let Some(ground) = ground("sweep-killed").await else { return };
    puppet::image(&ground.docker).await;
    let (docker, pool, home) = (ground.docker.clone(), ground.pool().to_owned(), ground.home().to_owned());
    for task in ["idle", "run"] {
        let mut process = Process::start(&pool, &home);
        process.does("start");
        process.does("idle");
        process.does(task);
        process.kill();
        let expected = if task == "run" { 4 } else { 2 };
        assert_eq!(containers(&docker, &pool).await.len(), expected, "{task}");
        assert_eq!(networks(&docker, &pool).await.len(), 1, "{task}");
        assert_eq!(names(&home).len(), 2, "{task}: its lock and the folder for sockets");

        let next = ground.builder().build().unwrap();
        next.deploy(Arc::new(spec(FINE))).await.unwrap();
        assert_eq!(containers(&docker, &pool).await.len(), 0, "{task}");
        assert_eq!(networks(&docker, &pool).await, [""; 0], "{task}");
        assert_eq!(names(&home).len(), 1, "{task}: its own lock");
        next.shutdown().await.unwrap();
    }
    let site = ground.site([]).await;
    site.end(0).await;
}

#[tokio::test]
async fn processes_that_sweep_at_once_do_not_disturb_each_other() {
    let Some(ground) = ground("sweep-at-once").await else { return };
    puppet::image(&ground.docker).await;
    let (docker, pool, home) = (ground.docker.clone(), ground.pool().to_owned(), ground.home().to_owned());
    let mut killed = Process::start(&pool, &home);
    for what in ["start", "idle", "run"] {
        killed.does(what);
    }
    killed.kill();
    let left: BTreeSet<_> = containers(&docker, &pool).await.into_iter().filter_map(|it| it.id).collect();
    let lock = names(&home);
    assert_eq!((left.len(), lock.len()), (4, 2));

    let mut both = [Process::start(&pool, &home), Process::start(&pool, &home)];
    for process in &mut both {
        process.tell("start");
    }
    for process in &mut both {
        assert_eq!(process.says(), Some(json!({ "done": "start" })));
    }
    let there = containers(&docker, &pool).await;
    assert_eq!(there.len(), 2, "one of each");
    assert!(there.into_iter().filter_map(|it| it.id).all(|id| !left.contains(&id)));
    assert_eq!(networks(&docker, &pool).await, [""; 0]);
    assert!(names(&home).is_disjoint(&lock), "{:?}", names(&home));
    for mut process in both {
        process.does("idle");
        process.ends();
    }
    nothing_left(&docker, &pool, &home).await;
}

/// Containers and networks that were put there by hand.
struct Planted<'a> {
    docker: &'a Docker,
    image: String,
    names: Vec<String>,
}

impl Planted<'_> {
    /// Adds a container and a network with these labels.
    async fn add(&mut self, what: &str, labels: &Value) -> String {
        let name = format!("faas-planted-{}-{what}", std::process::id());
        let labels: HashMap<String, String> = serde_json::from_value(labels.clone()).unwrap();
        let options =
            CreateContainerOptions { name: Some(name.clone()), ..CreateContainerOptions::default() };
        let (image, labels) = (Some(self.image.clone()), Some(labels));
        let body = ContainerCreateBody { image, labels: labels.clone(), ..ContainerCreateBody::default() };
        self.docker.create_container(Some(options), body).await.unwrap();
        let network = NetworkCreateRequest {
            name: name.clone(),
            internal: Some(true),
            labels,
            ..NetworkCreateRequest::default()
        };
        self.docker.create_network(network).await.unwrap();
        self.names.push(name.clone());
        name
    }

    /// Removes all of them; those that were still there, as containers and as networks.
    async fn remove(self) -> [BTreeSet<String>; 2] {
        let options = ListContainersOptions { all: true, ..ListContainersOptions::default() };
        let listed = self.docker.list_containers(Some(options)).await.unwrap().into_iter();
        let containers: BTreeSet<String> =
            listed.filter_map(|it| Some(it.names?.first()?.trim_start_matches('/').to_owned())).collect();
        let listed = self.docker.list_networks(None).await.unwrap();
        let networks: BTreeSet<String> = listed.into_iter().filter_map(|it| it.name).collect();
        let planted: BTreeSet<String> = self.names.into_iter().collect();
        let there: [BTreeSet<String>; 2] =
            [containers, networks].map(|names| names.intersection(&planted).cloned().collect());
        for name in &there[0] {
            let options = RemoveContainerOptions { force: true, ..RemoveContainerOptions::default() };
            self.docker.remove_container(name, Some(options)).await.unwrap();
        }
        for name in &there[1] {
            self.docker.remove_network(name).await.unwrap();
        }
        there
    }
}

#[tokio::test]
async fn what_belongs_to_anybody_else_is_never_touched() {
    let Some(ground) = ground("sweep-others").await else { return };
    let (docker, pool, home) = (ground.docker.clone(), ground.pool().to_owned(), ground.home().to_owned());
    // Another process of the pool, which lives.
    let mut living = Process::start(&pool, &home);
    puppet::image(&docker).await;
    living.does("start");
    living.does("idle");
    let theirs: BTreeSet<_> = containers(&docker, &pool).await.into_iter().filter_map(|it| it.id).collect();
    assert_eq!(theirs.len(), 2);

    let gone = "0123456789abcdef";
    let ours = labels(&pool, &home, gone);
    let with = |key: &str, value: &str| {
        let mut labels = ours.clone();
        labels[key] = json!(value);
        labels
    };
    let without = |key: &str| {
        let mut labels = ours.clone();
        labels.as_object_mut().unwrap().remove(key);
        labels
    };
    let image = puppet::IMAGE.to_owned();
    let mut planted = Planted { docker: &docker, image, names: Vec::new() };
    let own = ours["io.faas.home"].as_str().unwrap();
    let elsewhere = format!("{}:another", own.rsplit_once(':').unwrap().0);
    let mut earlier = with("io.faas.home", &elsewhere);
    earlier["io.faas.boot"] = json!("another");
    let swept = BTreeSet::from([planted.add("ours", &ours).await, planted.add("earlier", &earlier).await]);
    let mut kept = BTreeSet::new();
    for (what, labels) in [
        ("other-pool", with("io.faas.pool", &format!("{pool}-2"))),
        ("other-home", labels(&pool, Path::new("/elsewhere"), gone)),
        ("other-folder", with("io.faas.home", &elsewhere)),
        ("other-machine", with("io.faas.home", &format!("another:{}", home.display()))),
        ("no-home", without("io.faas.home")),
        ("no-epoch", without("io.faas.epoch")),
        ("no-pool", without("io.faas.pool")),
        ("no-labels", json!({})),
        ("path-as-epoch", with("io.faas.epoch", "../../../../etc")),
        ("empty-epoch", with("io.faas.epoch", "")),
    ] {
        kept.insert(planted.add(what, &labels).await);
    }

    let site = ground.site([]).await;
    site.fine().await;
    let [left_containers, left_networks] = planted.remove().await;
    assert!(left_containers.is_disjoint(&swept) && left_networks.is_disjoint(&swept));
    assert_eq!((&left_containers, &left_networks), (&kept, &kept));
    let there: BTreeSet<_> = containers(&docker, &pool).await.into_iter().filter_map(|it| it.id).collect();
    assert!(there.is_superset(&theirs), "{there:?} without {theirs:?}");
    living.does("idle");
    living.ends();
    site.end(1).await;
}
