//! Crates that become images.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use faas_core::artifact::FORMAT;
use serde_json::{Value, json};
use tar::{Archive, EntryType};

use crate::world::{
    DEPENDS, build, cargo_faas, digest, elf, fails, image, manifest, one_action, package, skip, stderr,
    succeeds, world, write,
};

/// `cargo faas build --backend docker` in the folder, where no engine is.
fn build_image(folder: &Path, args: &[&str]) -> Command {
    let mut command = cargo_faas(folder, &[&["build", "--backend", "docker"], args].concat());
    command.env("DOCKER_HOST", "unix:///nowhere/docker.sock");
    command
}

/// The entries of an archive: name, kind, mode and content. Whatever else an entry tells has to be the same anywhere.
fn entries(archive: &[u8]) -> Vec<(String, EntryType, u32, Vec<u8>)> {
    let mut archive = Archive::new(archive);
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let header = entry.header().clone();
        let owner = (header.uid().unwrap(), header.gid().unwrap(), header.mtime().unwrap());
        assert_eq!((owner, header.username(), header.groupname()), ((0, 0, 0), Ok(Some("")), Ok(Some(""))));
        let name = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        (name, header.entry_type(), header.mode().unwrap(), content)
    });
    entries.collect()
}

/// What is in an image: its configuration, its only layer, and the list of both.
fn open(archive: &[u8]) -> (Vec<u8>, Vec<u8>, Value) {
    let [config, layer, list] = &entries(archive)[..] else { panic!("not three files") };
    assert_eq!(config.0, format!("{}.json", digest(&config.3)));
    assert_eq!(layer.0, format!("{}.tar", digest(&layer.3)));
    assert_eq!(list.0, "manifest.json");
    let list: Value = serde_json::from_slice(&list.3).unwrap();
    assert_eq!((&list[0]["Config"], &list[0]["Layers"]), (&json!(config.0), &json!([layer.0])));
    (config.3.clone(), layer.3.clone(), list)
}

/// The program that cargo built of the shim, whose content that is.
fn built(name: &str, content: &[u8]) -> PathBuf {
    let targets = fs::read_dir(world().join("target/faas/build")).unwrap().map(|entry| entry.unwrap().path());
    let mut programs = targets.map(|target| target.join(format!("release/{name}-faas-docker")));
    programs.find(|program| fs::read(program).is_ok_and(|bytes| bytes == content)).unwrap()
}

#[test]
fn a_crate_becomes_an_image_of_its_program_alone() {
    let app = package("imaged", DEPENDS, &one_action("one"));
    let Some(folder) = image("a_crate_becomes_an_image_of_its_program_alone", &app) else { return };
    assert_eq!(folder, world().join("target/faas/imaged/docker"));
    let told = manifest(&folder);
    let archive = fs::read(folder.join("imaged.tar")).unwrap();
    assert_eq!((told.format, &*told.backend, &*told.kind), (FORMAT, "docker", "rust"));
    assert_eq!((&*told.package, &*told.version, &*told.file), ("imaged", "1.2.3", "imaged.tar"));
    assert_eq!((told.size, told.digest), (archive.len() as u64, digest(&archive)));

    let (config, layer, list) = open(&archive);
    let reference = format!("faas/imaged:{}", &digest(&config)[..32]);
    assert_eq!(list[0]["RepoTags"], json!([reference]));
    assert_eq!(told.image, Some(reference));
    let config: Value = serde_json::from_slice(&config).unwrap();
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    assert_eq!((&config["os"], &config["architecture"]), (&json!("linux"), &json!(architecture)));
    assert_eq!(config["created"], "1970-01-01T00:00:00Z");
    let diffs = json!({"type": "layers", "diff_ids": [format!("sha256:{}", digest(&layer))]});
    assert_eq!(config["rootfs"], diffs);
    let abi = told.description.abi.to_string();
    let labels = json!({"io.faas.abi": abi, "io.faas.package": "imaged", "io.faas.version": "1.2.3"});
    let run = json!({
        "Entrypoint": ["/guest"],
        "ExposedPorts": {"8080/tcp": {}},
        "Labels": labels,
        "User": "65534:65534",
        "WorkingDir": "/tmp",
    });
    assert_eq!(config["config"], run);

    let files = entries(&layer);
    let [guest, tmp] = &files[..] else { panic!("{} files", files.len()) };
    assert_eq!((&*guest.0, guest.1, guest.2), ("guest", EntryType::Regular, 0o555));
    assert_eq!((&*tmp.0, tmp.1, tmp.2, tmp.3.len()), ("tmp/", EntryType::Directory, 0o1777, 0));
}

#[test]
fn the_program_needs_no_other_file_and_tells_its_actions() {
    let app = package("static", DEPENDS, &one_action("alone"));
    let Some(folder) = image("the_program_needs_no_other_file_and_tells_its_actions", &app) else { return };
    let told = manifest(&folder);
    let (_, layer, _) = open(&fs::read(folder.join(&told.file)).unwrap());
    let guest = entries(&layer).remove(0).3;
    let headers = elf(&guest).program_headers;
    assert!(headers.contains(&1), "nothing is loaded: {headers:?}");
    assert!(!headers.contains(&3), "it asks for a dynamic linker: {headers:?}");

    assert_eq!(told.description.actions[0].name.path(), "alone");
    if cfg!(target_os = "linux") {
        let said = Command::new(built("static", &guest)).arg("--describe").env_clear().output().unwrap();
        assert!(said.status.success(), "{}", stderr(&said));
        let said: Value = serde_json::from_slice(&said.stdout).unwrap();
        assert_eq!(said, serde_json::to_value(&told.description).unwrap());
    }
}

#[test]
fn the_same_sources_give_the_same_image() {
    let app = package("same", DEPENDS, &one_action("one"));
    let Some(folder) = image("the_same_sources_give_the_same_image", &app) else { return };
    let first = fs::read(folder.join("same.tar")).unwrap();
    let said = succeeds(build_image(&app, &[]));
    assert!(said.contains("Fresh same in "), "{said}");

    // Compiled once more, at the same place and in another target folder.
    fs::write(app.join("src/lib.rs"), one_action("one")).unwrap();
    fs::remove_dir_all(&folder).unwrap();
    let said = succeeds(build_image(&app, &[]));
    assert!(said.contains("Finished same in ") && said.contains(": 1 action, "), "{said}");
    assert!(fs::read(folder.join("same.tar")).unwrap() == first);
    let mut other = build_image(&app, &[]);
    other.env("CARGO_TARGET_DIR", world().join("other-target"));
    succeeds(other);
    assert!(fs::read(world().join("other-target/faas/same/docker/same.tar")).unwrap() == first);

    // Another version of the crate is another image.
    let text = fs::read_to_string(app.join("Cargo.toml")).unwrap();
    write(&app.join("Cargo.toml"), &text.replace("1.2.3", "1.2.4"));
    let before = manifest(&folder);
    succeeds(build_image(&app, &[]));
    let after = manifest(&folder);
    assert_ne!(after.image, before.image);
    assert_eq!(after.version, "1.2.4");
}

#[test]
fn an_image_is_written_where_the_user_wants_it() {
    let app = package("written", DEPENDS, &one_action("one"));
    let Some(folder) = image("an_image_is_written_where_the_user_wants_it", &app) else { return };
    let file = app.join("image.tar");
    let said = succeeds(build_image(&app, &["--output", "image.tar"]));
    assert!(said.contains("     Written image.tar\n"), "{said}");
    assert!(fs::read(&file).unwrap() == fs::read(folder.join("written.tar")).unwrap());

    let said = fails(build_image(&app, &["--output", "none/image.tar"]));
    assert!(said.contains("error: cannot write none/image.tar\n"), "{said}");
}

#[test]
fn an_image_is_loaded_where_there_is_an_engine() {
    let test = "an_image_is_loaded_where_there_is_an_engine";
    let app = package("loaded", DEPENDS, &one_action("one"));
    let Some(folder) = image(test, &app) else { return };
    let name = manifest(&folder).image.unwrap();
    let said = succeeds(build_image(&app, &[]));
    let note =
        format!("        Note {name} is not loaded yet: no container engine answers at unix:///nowhere/");
    assert!(said.contains(&note), "{said}");

    let build = || succeeds(cargo_faas(&app, &["build", "--backend", "docker"]));
    let said = build();
    if let Some((_, reason)) = said.split_once(" is not loaded yet: ") {
        // Set by the checks of the repository where they have started an engine for the tests.
        let was_there = std::env::var_os("FAAS_TEST_ENGINE_RUNS").is_some();
        assert!(!was_there, "the engine that was started for the tests is gone: {reason}");
        return skip(test, reason.lines().next().unwrap_or_default());
    }
    let _cleanup = Forget(name.clone());
    assert!(said.contains(&format!("      Loaded {name}\n")), "{said}");
    let said = build();
    assert!(said.contains(&format!("     Present {name} in the engine\n")), "{said}");
}

/// Removes the image from the engine when it is dropped.
struct Forget(String);

impl Drop for Forget {
    fn drop(&mut self) {
        let named = std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty());
        let host = named.unwrap_or_else(|| "unix:///var/run/docker.sock".to_owned());
        // At another place it stays, which harms nobody.
        let Some(Ok(mut engine)) = host.strip_prefix("unix://").map(UnixStream::connect) else { return };
        let request = format!("DELETE /images/{} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", self.0);
        let _ = engine.write_all(request.as_bytes());
        let _ = engine.read_to_end(&mut Vec::new());
    }
}

#[test]
fn an_output_is_refused_where_there_is_no_image() {
    let app = package("no-image", DEPENDS, &one_action("one"));
    let mut command = build(&app);
    command.args(["--output", "image.tar"]);
    let refused = "error: --output is for the image that --backend docker builds; for 'wasm' there is none\n";
    assert_eq!(fails(command), refused);
    assert!(!app.join("image.tar").exists() && !world().join("target/faas/no-image").exists());
}
