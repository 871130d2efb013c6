//! What containers are kept from, looked at from inside.

use faas_core::ActionSpec;
use serde_json::{Value, json};

use crate::site::{Site, ground, spec};

/// A site with the actions that look around.
async fn looking(test: &str) -> Option<Site> {
    let mut crowd = spec("crowd");
    // What it has taken, it keeps.
    crowd.annotations.insert(ActionSpec::FRESH_SANDBOX.to_owned(), json!(true));
    Some(ground(test).await?.site([spec("look"), spec("fill"), crowd]).await)
}

/// What these files say within the container: the second version of control groups has other ones than the first.
async fn group(site: &Site, paths: [&str; 2]) -> [Option<String>; 2] {
    let mut texts = [None, None];
    for (path, text) in paths.iter().zip(&mut texts) {
        let record = site.run("look", json!({ "read": format!("/sys/fs/cgroup/{path}") })).await;
        *text = record.outcome.result().to_value()["text"].as_str().map(|text| text.trim().to_owned());
    }
    texts
}

async fn text(site: &Site, path: &str) -> String {
    site.result("look", json!({ "read": path })).await["text"].as_str().unwrap().to_owned()
}

/// The value of a line `Name: value` of `/proc/self/status`.
fn field<'a>(status: &'a str, name: &str) -> &'a str {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {name} in {status}")).trim()
}

#[tokio::test]
async fn it_has_no_capability_gains_no_privilege_and_is_filtered() {
    let Some(site) = looking("privileges").await else { return };
    let status = text(&site, "/proc/self/status").await;
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(field(&status, set), "0000000000000000", "{set}");
    }
    assert_eq!(field(&status, "NoNewPrivs"), "1");
    assert_eq!(field(&status, "Seccomp"), "2", "a filter");
    site.end(1).await;
}

#[tokio::test]
async fn it_is_nobody_and_not_the_first_process() {
    let Some(site) = looking("identity").await else { return };
    let identity = site.result("look", json!({ "identity": {} })).await;
    assert_eq!((&identity["user"], &identity["group"]), (&json!(65534), &json!(65534)));
    assert_ne!(identity["process"], json!(1), "the first process is the init process");
    assert_eq!(identity["parent"], json!(1));
    site.end(1).await;
}

#[tokio::test]
async fn its_root_is_read_only_and_its_tmp_small_and_not_executable() {
    let Some(site) = looking("files").await else { return };
    for path in ["/written", "/guest", "/etc/written", "/proc/sys/kernel/hostname"] {
        let error = site.error("look", json!({ "write": path })).await;
        assert!(error.contains("Read-only file system"), "{path}: {error}");
    }
    // These are mounted so that the engine or the host can write there.
    for path in ["/faas/written", "/dev/written"] {
        let error = site.error("look", json!({ "write": path })).await;
        assert!(error.contains("Permission denied"), "{path}: {error}");
    }
    let mounts = text(&site, "/proc/self/mountinfo").await;
    let root = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>()).find(|mount| mount[4] == "/");
    assert!(root.unwrap()[5].split(',').any(|option| option == "ro"), "{mounts}");
    site.result("look", json!({ "write": "/tmp/written" })).await;
    let error = site.error("look", json!({ "run": "/tmp/program" })).await;
    assert!(error.contains("Permission denied"), "{error}");
    let filled = site.result("fill", json!({ "path": "/tmp/large", "mib": 64 })).await;
    assert!(filled["mib"].as_u64().unwrap() <= 16, "{filled}");
    assert!(filled["stopped"].as_str().unwrap().contains("No space left"), "{filled}");
    site.end(2).await;
}

#[tokio::test]
async fn it_cannot_write_to_the_folder_that_its_host_shares() {
    let Some(site) = looking("shared").await else { return };
    let error = site.error("look", json!({ "open": "/faas" })).await;
    assert!(error.contains("not permitted") || error.contains("Read-only"), "{error}");
    let filled = site.result("fill", json!({ "path": "/faas/large", "mib": 1 })).await;
    assert_eq!(filled["mib"], json!(0), "{filled}");
    let names = site.result("look", json!({ "list": "/faas" })).await;
    assert_eq!(names["names"], json!(["guest"]), "nothing but its own socket");
    site.end(2).await;
}

#[tokio::test]
async fn it_has_no_network() {
    let Some(site) = looking("network").await else { return };
    let interfaces = text(&site, "/proc/net/dev").await;
    let names: Vec<_> = interfaces.lines().skip(2).filter_map(|line| line.split(':').next()).collect();
    assert_eq!(names.iter().map(|name| name.trim()).collect::<Vec<_>>(), ["lo"]);
    let error = site.error("look", json!({ "connect": "1.1.1.1:53" })).await;
    assert!(error.contains("unreachable"), "{error}");
    site.end(1).await;
}

#[tokio::test]
async fn it_cannot_reach_the_engine() {
    let Some(site) = looking("engine").await else { return };
    for path in ["/var/run/docker.sock", "/run/docker.sock", "/run/podman/podman.sock"] {
        let error = site.error("look", json!({ "socket": path })).await;
        assert!(error.contains("No such file"), "{path}: {error}");
    }
    let mounts = text(&site, "/proc/self/mountinfo").await;
    assert!(!mounts.contains("docker.sock"), "{mounts}");
    site.end(1).await;
}

#[tokio::test]
async fn its_memory_processes_files_and_shares_are_limited() {
    let Some(site) = looking("limits").await else { return };
    let limits = text(&site, "/proc/self/limits").await;
    let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    assert_eq!(files.split_whitespace().filter(|word| *word == "1024").count(), 2, "{files}");

    // The container of `look` has 32 MiB.
    let bytes = (32 << 20).to_string();
    match group(&site, ["memory/memory.limit_in_bytes", "memory.max"]).await {
        [Some(limit), None] | [None, Some(limit)] => assert_eq!(limit, bytes),
        other => panic!("{other:?}"),
    }
    match group(&site, ["memory/memory.memsw.limit_in_bytes", "memory.swap.max"]).await {
        [Some(with_swap), None] => assert_eq!(with_swap, bytes, "no swap"),
        [None, Some(swap)] => assert_eq!(swap, "0"),
        // The kernel has no swap, or does not count it.
        [None, None] => {}
        other => panic!("{other:?}"),
    }
    match group(&site, ["cpu/cpu.shares", "cpu.weight"]).await {
        [Some(shares), None] => assert_eq!(shares, "32", "shares of the processor as of memory"),
        // Engines differ in how they turn shares into a weight; who has not said anything has 100.
        [None, Some(weight)] => assert!((1..100).contains(&weight.parse::<u32>().unwrap()), "{weight}"),
        other => panic!("{other:?}"),
    }
    match group(&site, ["pids/pids.max", "pids.max"]).await {
        [Some(most), None] | [None, Some(most)] => assert_eq!(most, "1024"),
        other => panic!("{other:?}"),
    }

    let containers = site.containers().await;
    let mut looked_at = 0;
    for container in containers {
        let inspected = site.docker.inspect_container(&container.id.unwrap(), None).await.unwrap();
        let host = inspected.host_config.unwrap();
        let memory = host.memory.unwrap();
        assert_eq!(host.memory_swap, Some(memory), "no swap");
        assert_eq!(host.cpu_shares, Some(memory >> 20), "shares of the processor as of memory");
        assert_eq!((host.pids_limit, host.init), (Some(1024), Some(true)));
        assert_eq!((host.privileged, host.readonly_rootfs), (Some(false), Some(true)));
        assert_eq!(host.network_mode.as_deref(), Some("none"));
        assert!(host.port_bindings.is_none_or(|ports| ports.is_empty()), "no published port");
        let log = host.log_config.unwrap();
        let bound = log.config.unwrap();
        assert_eq!((bound["max-size"].as_str(), bound["max-file"].as_str()), ("16m", "2"));
        let ports = inspected.network_settings.and_then(|settings| settings.ports).unwrap_or_default();
        assert!(ports.values().all(Option::is_none), "{ports:?}");
        looked_at += 1;
    }
    assert!(looked_at >= 2, "the neighbour and the one that looks");
    site.end(1).await;
}

#[tokio::test]
async fn bombs_of_threads_processes_and_files_go_off_inside_alone() {
    let Some(site) = looking("bombs").await else { return };
    for (of, least, most) in
        [("threads", 500, 1024), ("processes", 20, 1024), ("files", 900, 1024), ("sockets", 900, 1024)]
    {
        let took = site.result("crowd", json!({ "of": of })).await;
        assert!((least..most).contains(&took["count"].as_u64().unwrap()), "{of}: {took}");
        let error = took["refused"].as_str().unwrap();
        assert!(
            error.contains("temporarily unavailable") || error.contains("Too many open files"),
            "{of}: {error}"
        );
    }
    site.end(4).await;
}

#[tokio::test]
async fn its_environment_is_its_own() {
    let Some(site) = looking("environment").await else { return };
    let environment = site.result("look", json!({ "environment": {} })).await;
    let names: Vec<&str> =
        environment["names"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    for name in &names {
        let known = ["PATH", "HOSTNAME", "HOME", "FAAS_GUEST_SOCKET", "FAAS_GUEST_EGRESS"];
        assert!(known.contains(name), "{names:?}");
    }
    site.end(1).await;
}
