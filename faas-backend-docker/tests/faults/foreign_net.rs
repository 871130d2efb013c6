//! What containers of other images are kept from, looked at from inside, and whom they reach.

use bollard::query_parameters::InspectNetworkOptions;
use faas_backend_docker::Runtime;
use faas_core::{ErrorKind, Expect};
use serde_json::json;

use crate::puppet;
use crate::puppets::{BOX, KIND, MIB, boxed, played};
use crate::site::{Site, ground, networks};

/// The value of a line `Name: value` of `/proc/self/status` within an action's container.
async fn status(site: &Site, action: &str, name: &str) -> String {
    let text = site.result(action, json!({ "read": "/proc/self/status" })).await;
    let text = text["text"].as_str().unwrap_or_else(|| panic!("{text}"));
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).trim().to_owned()
}

async fn writes(site: &Site, action: &str, path: &str) -> bool {
    site.result(action, json!({ "write": path })).await.get("text").is_some()
}

#[tokio::test]
async fn an_image_of_somebody_elses_is_kept_from_what_rust_guests_are_kept_from() {
    let Some(ground) = ground("hard").await else { return };
    let image = puppet::image(&ground.docker).await;
    let as_root = Runtime::new(image).with_user("0:0").writing_root();
    let builder = ground.puppets().await.runtime("root:1", as_root);
    let builder = builder.code("code", KIND, "{}", "main").code("root", "root:1", "{}", "main");
    let site = ground.site_on(builder, [BOX, "code", "root"].map(|name| played(name, 20_000))).await;
    for action in [BOX, "code", "root"] {
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            assert_eq!(status(&site, action, set).await, "0000000000000000", "{action}: {set}");
        }
        assert_eq!(status(&site, action, "NoNewPrivs").await, "1", "{action}");
        assert_eq!(status(&site, action, "Seccomp").await, "2", "{action}");
        let user = if action == "root" { "0\t0\t0\t0" } else { "65534\t65534\t65534\t65534" };
        assert_eq!(status(&site, action, "Uid").await, user, "{action}");
        assert!(writes(&site, action, "/tmp/written").await, "{action}");
        assert_eq!(writes(&site, action, "/written").await, action == "root", "{action}");
        assert!(!writes(&site, action, "/proc/sys/kernel/hostname").await, "{action}");
        let mounts = site.result(action, json!({ "read": "/proc/self/mountinfo" })).await;
        let text = mounts["text"].as_str().unwrap();
        assert!(!text.contains("docker.sock") && !text.contains(" /faas "), "{action}: {text}");
    }
    let mut looked_at = 0;
    for container in site.inspected().await {
        let host = container.host_config.unwrap();
        if host.memory != Some(MIB << 20) {
            continue;
        }
        assert_eq!(host.memory_swap, host.memory);
        assert_eq!((host.pids_limit, host.init, host.privileged), (Some(1024), Some(true), Some(false)));
        assert!(host.port_bindings.is_none_or(|ports| ports.is_empty()), "no published port");
        assert!(
            host.mounts.is_none_or(|mounts| mounts.is_empty()) && host.binds.is_none(),
            "nothing is shared"
        );
        assert_eq!(host.log_config.unwrap().config.unwrap()["max-size"], "16m");
        let names: Vec<_> = container.network_settings.unwrap().networks.unwrap().into_keys().collect();
        assert!(names.len() == 1 && names[0].starts_with("faas-"), "{names:?}");
        looked_at += 1;
    }
    assert_eq!(looked_at, 3);
    site.end(20).await;
}

#[tokio::test]
async fn an_action_that_asks_for_no_network_reaches_nothing_outside() {
    let Some(site) = boxed("netnone", 20_000).await else { return };
    let calls = ["1.1.1.1:53", "8.8.8.8:443"].map(|address| site.begin(BOX, json!({ "connect": address })));
    for call in calls {
        let told = call.await.unwrap().unwrap().outcome.result().to_value();
        assert!(told["refused"].is_string(), "{told}");
    }
    let [network] = &networks(&site.docker, &site.pool).await[..] else { panic!("one network") };
    let found = site.docker.inspect_network(network, None::<InspectNetworkOptions>).await.unwrap();
    assert_eq!(found.internal, Some(true));
    let options = found.options.unwrap();
    assert_eq!(options["com.docker.network.bridge.enable_icc"], "false", "{options:?}");
    // It is there until the backend is shut down, which `end` checks.
    site.end(2).await;
}

#[tokio::test]
async fn of_the_network_an_image_gets_all_or_nothing() {
    let Some(site) = boxed("netpart", 20_000).await else { return };
    for patterns in [&["api.example.com"][..], &["*.example.com"], &["api.example.com", "*"]] {
        let spec = patterns.iter().fold(played(BOX, 20_000), |spec, pattern| spec.with_egress(*pattern));
        let error = site.app.put_action(spec, Expect::Any).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{patterns:?}: {error:?}");
        let text = "a container of another image gets the whole network or none: its egress must be `*`";
        assert_eq!(error.message(), text, "{patterns:?}");
    }
    assert_eq!(site.result(BOX, json!({ "n": 1 })).await, json!({ "n": 1 }));
    site.end(1).await;
}
