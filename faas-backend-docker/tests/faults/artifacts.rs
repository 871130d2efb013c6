//! Artifacts that somebody has changed, or taken away.

use std::fs;
use std::path::{Path, PathBuf};

use bollard::query_parameters::RemoveImageOptions;
use faas_backend_docker::{DockerBackend, Transport};
use faas_core::{Backend, Error, ErrorKind, Outcome};
use serde_json::{Value, json};

use crate::bare::manifest;
use crate::images::{named, untag};
use crate::puppet;
use crate::site::{ground, spec};

/// An artifact of the guests in a folder of its own, whose image has a name of its own.
struct Copy {
    folder: PathBuf,
    image: String,
}

impl Drop for Copy {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Copy {
    fn of(guests: &Path) -> Self {
        let image = named("guests");
        let folder = std::env::temp_dir().join(image.replace(['/', ':'], "-"));
        fs::create_dir(&folder).unwrap();
        let copy = Self { folder, image };
        let mut told = manifest(guests);
        let source = fs::read(guests.join(told["file"].as_str().unwrap())).unwrap();
        told["image"] = json!(copy.image);
        told["file"] = json!("image.tar");
        copy.tell(&told);
        fs::write(copy.tar(), renamed(&source, &copy.image)).unwrap();
        copy
    }

    fn tar(&self) -> PathBuf {
        self.folder.join("image.tar")
    }

    /// Writes the manifest.
    fn tell(&self, told: &Value) {
        fs::write(self.folder.join("manifest.json"), told.to_string()).unwrap();
    }
}

/// The archive of an image that is called otherwise.
fn renamed(archive: &[u8], name: &str) -> Vec<u8> {
    let mut made = tar::Builder::new(Vec::new());
    for entry in tar::Archive::new(archive).entries().unwrap() {
        let mut entry = entry.unwrap();
        let (path, mut header) = (entry.path().unwrap().into_owned(), entry.header().clone());
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut bytes).unwrap();
        if path == Path::new("manifest.json") {
            let mut parts: Value = serde_json::from_slice(&bytes).unwrap();
            parts[0]["RepoTags"] = json!([name]);
            bytes = parts.to_string().into_bytes();
            header.set_size(bytes.len() as u64);
        }
        made.append_data(&mut header, path, &bytes[..]).unwrap();
    }
    made.into_inner().unwrap()
}

#[tokio::test]
async fn the_image_of_an_artifact_is_loaded_again_when_it_was_removed() {
    let Some(mut ground) = ground("reloaded").await else { return };
    let copy = Copy::of(&ground.guests);
    ground.guests.clone_from(&copy.folder);
    let site = ground.site([spec("nap"), spec("late"), spec("flood")]).await;
    site.result("nap", json!({ "ms": 1 })).await;
    untag(&site.docker, &copy.image).await;
    assert_eq!(site.result("late", json!({ "ms": 1 })).await, json!({ "late": true }));

    untag(&site.docker, &copy.image).await;
    let moved = copy.folder.join("moved");
    fs::rename(copy.tar(), &moved).unwrap();
    let error = site.app.invoke("flood", json!({})).await.unwrap_err();
    let text = "Failed to provision resources to run the action.";
    assert_eq!((error.kind(), error.message()), (ErrorKind::Internal, text), "{error:?}");
    assert!(format!("{error:?}").contains("cannot read the image"), "{error:?}");
    fs::rename(&moved, copy.tar()).unwrap();
    site.result("flood", json!({})).await;
    let docker = site.docker.clone();
    site.end_without(1, 4).await;
    untag(&docker, &copy.image).await;
}

#[tokio::test]
async fn an_artifact_whose_image_is_no_guest_of_ours_is_told_so() {
    const TEXT: &str = "the image is no guest of this library, or one of another version";
    let Some(ground) = ground("noguest").await else { return };
    let copy = Copy::of(&ground.guests);
    let mut told = manifest(&copy.folder);
    // Another program listens where a guest does, and knows nothing of envelopes.
    told["image"] = json!(puppet::image(&ground.docker).await);
    let mut action = told["actions"][0].clone();
    action["name"] = json!("stranger");
    told["actions"] = json!([action]);
    copy.tell(&told);
    let builder = ground.builder().artifact(&copy.folder).transport(Transport::Address);
    let site = ground.site_on(builder, [spec("stranger")]).await;
    for _ in 0..2 {
        let record = site.run("stranger", json!({})).await;
        assert_eq!(record.outcome, Outcome::developer_error(TEXT));
    }
    site.end(2).await;
}

/// What is done to an archive.
type Change = fn(Vec<u8>) -> Vec<u8>;

/// What deploying an action of a changed artifact is refused with.
async fn refusal(copy: &Copy) -> Result<Error, ErrorKind> {
    let builder = DockerBackend::builder().artifact(&copy.folder).pool("faas-test-changed");
    let backend = builder.home(copy.folder.join("home")).build().map_err(|error| error.kind())?;
    let Err(refused) = backend.deploy(spec("echo").into()).await else { panic!("it is taken") };
    backend.shutdown().await.unwrap();
    Ok(refused)
}

#[tokio::test]
async fn an_artifact_whose_file_was_changed_is_refused() {
    let Some(ground) = ground("changed").await else { return };
    let changes: [(&str, Change, &str); 5] = [
        ("half of it", |tar| tar[..tar.len() / 2].to_vec(), "the engine fails to load an image"),
        ("nothing", |_| Vec::new(), "the engine fails to load an image"),
        ("no archive", |_| b"no archive at all".repeat(1000), "the engine fails to load an image"),
        ("another image", |tar| renamed(&tar, "faas-test/another:1"), "does not contain the image"),
        (
            "no parts",
            |_| tar::Builder::new(Vec::new()).into_inner().unwrap(),
            "the engine fails to load an image",
        ),
    ];
    for (what, change, text) in changes {
        let copy = Copy::of(&ground.guests);
        fs::write(copy.tar(), change(fs::read(copy.tar()).unwrap())).unwrap();
        let error = refusal(&copy).await.unwrap();
        assert!(error.message().contains(text), "{what}: {error:?}");
        assert!(!error.message().contains('\n') && error.message().len() < 2000, "{what}: {error:?}");
        assert!(format!("{error:?}").contains("image.tar"), "{what}: {error:?}");
        assert!(ground.docker.inspect_image(&copy.image).await.is_err(), "{what}: nothing of it is kept");
    }
    let copy = Copy::of(&ground.guests);
    fs::remove_file(copy.tar()).unwrap();
    let error = refusal(&copy).await.unwrap();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
    assert!(error.message().contains("cannot read the image") && error.message().contains("image.tar"));
    let _ = ground.docker.remove_image("faas-test/another:1", None::<RemoveImageOptions>, None).await;
    assert!(ground.builder().build().unwrap().health().await.problem.is_none());
}

#[tokio::test]
async fn an_artifact_whose_manifest_was_changed_is_refused() {
    let Some(ground) = ground("manifest").await else { return };
    let copy = Copy::of(&ground.guests);
    let told = manifest(&copy.folder);
    for (key, value) in [
        ("format", json!(2)),
        ("backend", json!("wasm")),
        ("abi", json!(7)),
        ("file", json!("../image.tar")),
        ("file", json!("/etc/passwd")),
        ("file", json!("")),
        ("image", json!(null)),
        ("image", json!("a/../b")),
        ("image", json!("x?y")),
        ("actions", json!(7)),
    ] {
        let mut changed = told.clone();
        changed[key] = value.clone();
        copy.tell(&changed);
        assert_eq!(refusal(&copy).await.err(), Some(ErrorKind::InvalidArgument), "{key}: {value}");
    }
    for text in ["", "{", "[]", "{}"] {
        fs::write(copy.folder.join("manifest.json"), text).unwrap();
        assert_eq!(refusal(&copy).await.err(), Some(ErrorKind::InvalidArgument), "{text}");
    }
    // An image that is in nobody's file is not looked for in registries.
    let mut changed = told.clone();
    changed["image"] = json!("busybox:1");
    copy.tell(&changed);
    let error = refusal(&copy).await.unwrap();
    assert!(error.message().ends_with("does not contain the image 'busybox:1'"), "{error:?}");
    untag(&ground.docker, &copy.image).await;
}
