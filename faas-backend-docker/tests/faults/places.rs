//! Engines elsewhere and of other kinds: what they say of themselves, how their containers are made and reached, and what is refused.

use std::sync::Arc;

use faas_backend_docker::Transport;
use faas_core::{Backend, ErrorKind, Outcome};
use serde_json::{Value, json};

use crate::alone::alone_in_network;
use crate::dockerd::Dockerd;
use crate::outside::Outside;
use crate::puppet;
use crate::puppets::{BOX, played};
use crate::script::{Answer, Call, HELD, Script};
use crate::scripted::{COLD, PATIENCE, scripted};
use crate::site::{ground_on, millis, spec, until};

/// How a container is reached that was asked for so.
fn reached(body: &Value) -> &'static str {
    let host = &body["HostConfig"];
    let network = host["NetworkMode"].as_str().unwrap();
    let bound = host["PortBindings"]["8080/tcp"][0]["HostIp"].as_str();
    match (network, host["Mounts"][0]["Target"].as_str(), bound) {
        ("none", Some("/faas"), None) => "folder",
        (network, None, Some("127.0.0.1")) if network.ends_with("-published") => "port",
        (network, None, None) if network.starts_with("faas-") && network.len() == 21 => "address",
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_an_engine_says_of_itself_tells_how_its_containers_are_reached() {
    let own = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let kernel = own.trim();
    let seccomp = "name=seccomp,profile=default";
    for (name, info, guests, others) in [
        ("usual", json!({ "KernelVersion": kernel, "OperatingSystem": "Debian" }), "folder", "address"),
        (
            "rootless",
            json!({ "KernelVersion": kernel, "SecurityOptions": [seccomp, "name=rootless"] }),
            "folder",
            "port",
        ),
        (
            "podman",
            json!({ "KernelVersion": kernel, "SecurityOptions": ["name=rootless"], "Isolation": "" }),
            "folder",
            "port",
        ),
        ("desktop", json!({ "KernelVersion": kernel, "OperatingSystem": "Docker Desktop" }), "port", "port"),
        (
            "machine",
            json!({ "KernelVersion": "6.6.0-linuxkit", "OperatingSystem": "Alpine" }),
            "port",
            "port",
        ),
        ("silent", json!({}), "folder", "address"),
    ] {
        let engine = Script::start();
        let Some(ground) = ground_on(name, Some(engine.host())).await else { return };
        engine.answer(Call::Info, Answer::Body(info.to_string()));
        let builder = ground.builder().image(BOX, "example.com/box:1").start_timeout(millis(300));
        let backend = Arc::new(builder.build().unwrap());
        for (action, how) in [(COLD, guests), (BOX, others)] {
            let spec = if action == BOX { played(BOX, 5_000) } else { spec(COLD) };
            let deployment = backend.deploy(Arc::new(spec)).await.unwrap();
            // A scripted engine publishes nothing: whether it is reached is no matter here.
            let _ = backend.warm(&deployment, 1).await;
            let bodies = engine.bodies();
            let [body] = &bodies[..] else { panic!("{name}: {bodies:?}") };
            assert_eq!(reached(body), how, "{name}: {action}");
        }
        backend.shutdown().await.unwrap();
        assert_eq!((engine.networks(), engine.containers().len()), (0, 0), "{name}");
        drop(backend);
    }
}

#[test]
fn an_engine_behind_a_loopback_address_publishes_ports() {
    alone_in_network("places::an_engine_behind_a_loopback_address_publishes_ports", async {
        let address = "tcp://127.0.0.1:2375";
        crate::outside::up();
        let Some(engine) = Dockerd::start_listening("tcp", address).await else { return };
        let Some(ground) = ground_on("tcp", Some(engine.host())).await else { return };
        let image = puppet::image(&ground.docker).await;
        let builder = ground.builder().host(address).image(BOX, image);
        let site = ground.site_on(builder, [played(BOX, 20_000)]).await;
        assert_eq!(site.result(BOX, json!({ "n": 1 })).await, json!({ "n": 1 }));
        let found = site.inspected().await;
        assert_eq!(found.len(), 2);
        for container in found {
            let ports = container.network_settings.unwrap().ports.unwrap();
            let bound: Vec<_> = ports.into_values().flatten().flatten().collect();
            assert!(bound.len() == 1 && bound[0].host_ip.as_deref() == Some("127.0.0.1"), "{bound:?}");
            assert!(container.host_config.unwrap().mounts.is_none_or(|mounts| mounts.is_empty()));
        }
        site.end(2).await;
    });
}

#[test]
fn an_engine_on_another_machine_is_refused_until_an_address_is_named() {
    alone_in_network("places::an_engine_on_another_machine_is_refused_until_an_address_is_named", async {
        let _outside = Outside::start();
        let address = "tcp://198.51.100.1:2375";
        let Some(engine) = Dockerd::start_listening("far", address).await else { return };
        let Some(ground) = ground_on("far", Some(engine.host())).await else { return };
        let image = puppet::image(&ground.docker).await;
        let builder = || ground.builder().host(address).image(BOX, image);
        for transport in [Transport::Auto, Transport::Published] {
            let backend = builder().transport(transport).build().unwrap();
            for spec in [spec(COLD), played(BOX, 20_000)] {
                let error = backend.deploy(Arc::new(spec)).await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Unsupported, "{error:?}");
                let text = "the container engine is on another machine, 198.51.100.1, whose loopback address";
                assert!(error.message().starts_with(text), "{error:?}");
                assert!(error.message().contains("`publish_on`"), "{error:?}");
            }
            backend.shutdown().await.unwrap();
        }
        let builder = builder().publish_on([198, 51, 100, 1].into());
        let site = ground.site_on(builder, [played(BOX, 20_000)]).await;
        assert_eq!(site.result(BOX, json!({ "n": 1 })).await, json!({ "n": 1 }));
        for container in site.inspected().await {
            let ports = container.network_settings.unwrap().ports.unwrap();
            let bound: Vec<_> = ports.into_values().flatten().flatten().collect();
            assert!(bound.len() == 1 && bound[0].host_ip.as_deref() == Some("198.51.100.1"), "{bound:?}");
        }
        site.end(2).await;
    });
}

#[tokio::test]
async fn how_a_container_ended_is_asked_again_while_podman_clears_up_after_it() {
    let Some((engine, site)) = scripted("clearing").await else { return };
    let call = site.begin(COLD, serde_json::from_str(HELD).unwrap());
    until(PATIENCE, async || if engine.holds() { Ok(()) } else { Err(()) }).await.unwrap();
    let state = |state: Value| Answer::Body(json!({ "State": state }).to_string());
    engine.answer(Call::Inspect, state(json!({ "Status": "stopped", "Running": false })));
    let before = engine.count(Call::Inspect);
    engine.end_holding();
    until(PATIENCE, async || if engine.count(Call::Inspect) > before + 2 { Ok(()) } else { Err(()) })
        .await
        .unwrap();
    engine.answer(Call::Inspect, state(json!({ "Status": "exited", "Running": false, "OOMKilled": true })));
    let record = call.await.unwrap().unwrap();
    assert_eq!(record.outcome, Outcome::memory_exhausted());
    engine.heal();
    site.end(1).await;
}
