//! What containers are kept from where that is told, and not left as it is.

use faas_backend_docker::{Hardening, Runtime};
use faas_core::{ErrorKind, MemoryMib};
use serde_json::{Value, json};

use crate::puppet;
use crate::puppets::{BOX, played};
use crate::script::Script;
use crate::scripted::NOT_PROVISIONED;
use crate::site::{Site, ground, ground_on, spec};

/// A profile that lets nobody have a socket of the family `AF_INET`.
const PROFILE: &str = r#"{
    "defaultAction": "SCMP_ACT_ALLOW",
    "syscalls": [{
        "names": ["socket"],
        "action": "SCMP_ACT_ERRNO",
        "args": [{ "index": 0, "value": 2, "op": "SCMP_CMP_EQ" }]
    }]
}"#;

/// Everything told otherwise.
fn told() -> Hardening {
    let mut hardening = Hardening::default();
    hardening.user = "1000:1001".to_owned();
    hardening.pids = 64;
    hardening.open_files = 128;
    hardening.tmp = MemoryMib::new(2);
    hardening.cpus = Some("0".to_owned());
    hardening.runtime = Some("runc".to_owned());
    hardening.seccomp = Some(PROFILE.to_owned());
    hardening.log_driver = ("local".to_owned(), [("max-size".to_owned(), "1m".to_owned())].into());
    hardening
}

/// The actions of a runtime that writes to its root, and of one that writes to folders.
const ROOT: &str = "root";
const SCRATCH: &str = "scratch";

#[tokio::test]
async fn what_is_told_is_what_the_engine_is_asked_for() {
    let engine = Script::start();
    let Some(ground) = ground_on("hardtold", Some(engine.host())).await else { return };
    let mut hardening = told();
    hardening.disk = Some(MemoryMib::new(100));
    let image = "example.com/runtime:1";
    let builder = ground.builder().hardening(hardening);
    let builder = builder.runtime("root:1", Runtime::new(image).with_user("0:0").writing_root());
    let builder =
        builder.runtime("scratch:1", Runtime::new(image).with_scratch("/scratch", MemoryMib::new(4)));
    let builder = builder.code(ROOT, "root:1", "{}", "main").code(SCRATCH, "scratch:1", "{}", "main");
    let site = ground.site_on(builder, [played(ROOT, 20_000), played(SCRATCH, 20_000)]).await;
    site.fine().await;
    for action in [ROOT, SCRATCH] {
        site.result(action, json!({})).await;
    }
    let bodies = engine.bodies();
    assert_eq!(bodies.len(), 3);
    let profile = format!("seccomp={PROFILE}");
    for (body, kind) in bodies.iter().zip(["own", ROOT, SCRATCH]) {
        let host = &body["HostConfig"];
        assert_eq!(host["CapDrop"], json!(["ALL"]));
        assert_eq!(host["SecurityOpt"], json!(["no-new-privileges", profile]));
        assert_eq!(host["PidsLimit"], 64);
        assert_eq!(host["Ulimits"], json!([{ "Name": "nofile", "Soft": 128, "Hard": 128 }]));
        assert_eq!((&host["CpusetCpus"], &host["Runtime"]), (&json!("0"), &json!("runc")));
        assert_eq!(host["LogConfig"], json!({ "Type": "local", "Config": { "max-size": "1m" } }));
        assert_eq!((&host["Memory"], &host["Init"]), (&host["MemorySwap"], &json!(true)));
        assert_eq!(host["ReadonlyRootfs"], kind != ROOT);
        let disk = if kind == ROOT { json!({ "size": "100m" }) } else { Value::Null };
        assert_eq!(host["StorageOpt"], disk, "{kind}: there is nothing to limit where nothing is written");
        let mut tmpfs = json!({ "/tmp": "rw,noexec,nosuid,nodev,size=2m,mode=1777" });
        if kind == SCRATCH {
            tmpfs["/scratch"] = json!("rw,exec,nosuid,nodev,size=4m,mode=1777");
        }
        assert_eq!(host["Tmpfs"], tmpfs, "{kind}");
        assert_eq!(body["User"], if kind == ROOT { "0:0" } else { "1000:1001" });
    }
    site.end(3).await;
}

#[tokio::test]
async fn what_is_told_holds_within() {
    let Some(ground) = ground("hardwithin").await else { return };
    let builder = ground.builder().hardening(told());
    let site = ground.site_on(builder, [spec("look"), spec("fill")]).await;
    let identity = site.result("look", json!({ "identity": {} })).await;
    assert_eq!((&identity["user"], &identity["group"]), (&json!(1000), &json!(1001)));
    let read = async |path: &str| {
        let told = site.result("look", json!({ "read": path })).await;
        told["text"].as_str().unwrap().to_owned()
    };
    let limits = read("/proc/self/limits").await;
    let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    assert_eq!(files.split_whitespace().filter(|word| *word == "128").count(), 2, "{files}");
    let status = read("/proc/self/status").await;
    let processors = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    assert_eq!(processors.map(str::trim), Some("0"));
    let error = site.error("look", json!({ "connect": "127.0.0.1:1" })).await;
    assert!(error.contains("not permitted"), "the profile is another: {error}");
    let filled = site.result("fill", json!({ "path": "/tmp/large", "mib": 64 })).await;
    assert!(filled["mib"].as_u64().unwrap() <= 2, "{filled}");
    for container in site.inspected().await {
        let host = container.host_config.unwrap();
        assert_eq!((host.runtime.as_deref(), host.pids_limit), (Some("runc"), Some(64)));
        assert_eq!(host.log_config.unwrap().typ.as_deref(), Some("local"));
    }
    site.end(5).await;
}

#[tokio::test]
async fn a_runtime_that_the_engine_does_not_know_is_named() {
    let Some(ground) = ground("hardruntime").await else { return };
    let mut hardening = Hardening::default();
    hardening.runtime = Some("nonesuch".to_owned());
    let builder = ground.builder().hardening(hardening);
    let backend = builder.build().unwrap();
    let app = faas_core::Platform::builder().backend(backend).spec(spec("look")).build().await.unwrap();
    let error = app.invoke("look", json!({ "identity": {} })).await.unwrap_err();
    assert_eq!((error.kind(), error.message()), (ErrorKind::Internal, NOT_PROVISIONED), "{error:?}");
    assert!(format!("{error:?}").contains("nonesuch"), "{error:?}");
    app.shutdown(crate::watch::PATIENCE).await.unwrap();
    drop(app);
    crate::site::nothing_left(&ground.docker, ground.pool(), ground.home()).await;
}

/// A site of a runtime that runs as root, on this hardening.
async fn site_of(test: &str, runtime: impl Fn(Runtime) -> Runtime, hardening: Hardening) -> Option<Site> {
    let ground = ground(test).await?;
    let image = puppet::image(&ground.docker).await;
    let builder = ground.builder().hardening(hardening).runtime("root:1", runtime(Runtime::new(image)));
    let builder = builder.code(BOX, "root:1", "{}", "main");
    Some(ground.site_on(builder, [played(BOX, 20_000)]).await)
}

#[tokio::test]
async fn a_runtime_fills_the_folders_that_it_writes_to_and_no_disk() {
    let scratch = |runtime: Runtime| runtime.with_user("0:0").with_scratch("/scratch", MemoryMib::new(4));
    let Some(site) = site_of("hardscratch", scratch, Hardening::default()).await else { return };
    for (path, most, why) in [
        ("/scratch/large", 4, "No space left"),
        ("/tmp/large", 16, "No space left"),
        ("/large", 0, "Read-only file system"),
    ] {
        let filled = site.result(BOX, json!({ "fill": path })).await;
        assert!(filled["mib"].as_u64().unwrap() <= most, "{path}: {filled}");
        assert!(filled["refused"].as_str().unwrap().contains(why), "{path}: {filled}");
    }
    site.end(3).await;
}

#[tokio::test]
async fn an_engine_limits_what_is_written_to_a_root_or_says_that_it_cannot() {
    let mut hardening = Hardening::default();
    hardening.disk = Some(MemoryMib::new(16));
    let writes = |runtime: Runtime| runtime.with_user("0:0").writing_root();
    let Some(site) = site_of("harddisk", writes, hardening).await else { return };
    match site.app.invoke(BOX, json!({ "fill": "/large" })).await {
        Ok(record) => {
            let filled = record.outcome.result().to_value();
            assert!(filled["mib"].as_u64().unwrap() <= 16, "{filled}");
            site.end(1).await;
        }
        Err(error) => {
            assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Internal, false), "{error:?}");
            assert!(format!("{error:?}").contains("storage-opt"), "{error:?}");
            site.end_without(1, 0).await;
        }
    }
}
