//! Artifacts that are none, and annotations that ask for what there is not.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use faas_backend_wasm::{WasmBackend, WasmBuilder};
use faas_core::artifact::{FORMAT, MANIFEST};
use faas_core::{ActionSpec, Backend, Error, ErrorKind};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::guests::{self, OK};
use crate::site::{Site, backend, folder, spec};

/// An artifact of one guest, whose manifest is changed before it is written.
fn artifact(test: &str, change: impl FnOnce(&mut Value)) -> PathBuf {
    let folder = folder(test);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("a.wasm"), guests::run(OK)).unwrap();
    write_manifest(&folder, "a.wasm", change);
    folder
}

/// Makes an artifact of a folder with a module in it.
pub(crate) fn artifact_of(folder: &Path, file: &str) -> PathBuf {
    write_manifest(folder, file, |_| ());
    folder.to_owned()
}

fn write_manifest(folder: &Path, file: &str, change: impl FnOnce(&mut Value)) {
    let module = fs::read(folder.join(file)).unwrap();
    let digest: String = Sha256::digest(&module).iter().map(|byte| format!("{byte:02x}")).collect();
    let mut manifest = json!({
        "format": FORMAT, "backend": "wasm", "package": "a", "version": "0.1.0", "file": file, "digest": digest,
        "size": module.len(), "kind": "rust", "toolchain": "none", "abi": 1, "init": false,
        "actions": [serde_json::to_value(spec("a")).unwrap()],
    });
    change(&mut manifest);
    fs::write(folder.join(MANIFEST), manifest.to_string()).unwrap();
}

fn refusal(folder: &Path) -> Error {
    backend().artifact(folder).build().unwrap_err()
}

#[tokio::test]
async fn a_folder_without_an_artifact_says_what_makes_one() {
    let empty = folder("manifest-none");
    for there in [false, true] {
        if there {
            fs::create_dir_all(&empty).unwrap();
        }
        let error = refusal(&empty);
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let text = format!(
            "{} holds no artifact: there is no {MANIFEST}; `cargo faas build --backend wasm` makes one",
            empty.display()
        );
        assert_eq!(error.message(), text);
    }
}

#[tokio::test]
async fn a_manifest_of_something_else_is_refused_by_what_it_says() {
    let cases: [(&str, &str, Value, &str); 8] = [
        ("format", "format", json!(FORMAT + 1), "it has format 2, and this version reads 1"),
        ("backend", "backend", json!("lambda"), "it is an artifact for 'lambda', not for 'wasm'"),
        ("slash", "file", json!("/etc/passwd"), "its file '/etc/passwd' is not within the folder"),
        ("root", "file", json!("/"), "its file '/' is not within the folder"),
        ("parent", "file", json!(".."), "its file '..' is not within the folder"),
        ("below", "file", json!("../a.wasm"), "its file '../a.wasm' is not within the folder"),
        ("none", "file", json!(""), "its file '' is not within the folder"),
        ("itself", "file", json!("."), "its file '.' is not within the folder"),
    ];
    for (test, key, value, text) in cases {
        let folder = artifact(&format!("manifest-{test}"), |manifest| manifest[key] = value);
        let error = refusal(&folder);
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
        assert_eq!(error.message(), format!("{}: {text}", folder.join(MANIFEST).display()));
    }
}

#[tokio::test]
async fn a_manifest_that_is_garbage_is_refused() {
    let folder = artifact("manifest-garbage", |_| ());
    let whole = fs::read(folder.join(MANIFEST)).unwrap();
    for bytes in [&b""[..], b"\xff\xfe", b"[]", b"{}", &whole[..whole.len() / 2]] {
        fs::write(folder.join(MANIFEST), bytes).unwrap();
        let error = refusal(&folder);
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.message().contains(": it is no manifest: "), "{error}");
    }
}

#[tokio::test]
async fn a_module_that_its_manifest_does_not_mean_is_refused() {
    let folder = artifact("manifest-digest", |_| ());
    let other = guests::with("(func)", OK);
    fs::write(folder.join("a.wasm"), other).unwrap();
    let deploy = || async {
        let backend = backend().artifact(&folder).build().unwrap();
        backend.deploy(Arc::new(spec("a"))).await.map(|_| ())
    };
    let error = deploy().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.message().starts_with("the module has the digest "), "{error}");
    fs::remove_file(folder.join("a.wasm")).unwrap();
    assert_eq!(deploy().await.unwrap_err().kind(), ErrorKind::NotFound);
    fs::write(folder.join("a.wasm"), guests::run(OK)).unwrap();
    deploy().await.unwrap();
}

#[tokio::test]
async fn a_file_that_is_no_file_is_refused() {
    let deploy = |path: PathBuf| async move {
        let backend = backend().module("a", path).build().unwrap();
        backend.deploy(Arc::new(spec("a"))).await.unwrap_err()
    };
    let folder = folder("manifest-no-file");
    fs::create_dir_all(&folder).unwrap();
    assert!(deploy(folder.clone()).await.message().contains("it is no file"));
    assert_eq!(deploy(folder.join("none")).await.kind(), ErrorKind::NotFound);
    #[cfg(unix)]
    assert!(deploy("/dev/zero".into()).await.message().contains("it is no file"));
}

#[tokio::test]
async fn two_modules_with_one_action_are_refused() {
    let (one, two) = (artifact("manifest-one", |_| ()), artifact("manifest-two", |_| ()));
    let builders: [WasmBuilder; 3] = [
        backend().artifact(&one).artifact(&two),
        backend().artifact(&one).module("a", one.join("a.wasm")),
        backend().module_bytes("a", guests::run(OK)).module_bytes("a", guests::run(OK)),
    ];
    for builder in builders {
        let error = builder.build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        assert_eq!(error.message(), "two modules have an action called 'a'");
    }
    assert!(backend().module_bytes("no name!", guests::run(OK)).build().is_err());
}

async fn annotated(
    backend: &WasmBackend,
    key: &str,
    value: Value,
    change: impl FnOnce(&mut ActionSpec),
) -> Result<(), Error> {
    let mut spec = spec("a");
    spec.annotations.insert(key.to_owned(), value);
    change(&mut spec);
    backend.deploy(Arc::new(spec)).await.map(|_| ())
}

#[tokio::test]
async fn an_annotation_that_asks_for_what_there_is_not_is_refused() {
    let builder = backend().directory("data", "/tmp").directory("more", "/tmp");
    let backend = builder.module_bytes("a", guests::run(OK)).build().unwrap();
    for value in [json!(0), json!(-1), json!(1.5), json!("many"), json!(null), json!([1])] {
        let error = annotated(&backend, "wasm-reuse", value.clone(), |_| ()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        let text = format!("annotation 'wasm-reuse' is {value}, not how often an instance may run, from 1");
        assert_eq!(error.message(), text);
    }
    let several = |spec: &mut ActionSpec| spec.limits.concurrency = 2;
    let error = annotated(&backend, "wasm-reuse", json!(5), several).await.unwrap_err();
    assert_eq!(
        error.message(),
        "an instance runs once at a time: with 'wasm-reuse' the concurrency must be 1"
    );
    for value in [json!("data"), json!(["data", 1]), json!({ "data": true })] {
        let error = annotated(&backend, "wasm-dirs", value.clone(), |_| ()).await.unwrap_err();
        assert_eq!(error.message(), format!("annotation 'wasm-dirs' is {value}, not a list of names"));
    }
    let error = annotated(&backend, "wasm-dirs", json!(["data", "etc"]), |_| ()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert_eq!(error.message(), "no folder is named 'etc'; known: data, more");
    annotated(&backend, "wasm-dirs", json!([]), |_| ()).await.unwrap();
    annotated(&backend, "wasm-reuse", json!(u64::MAX), |_| ()).await.unwrap();
    let site = Site::of([(spec("a"), guests::run(OK))]).await;
    site.end(0).await;
}
