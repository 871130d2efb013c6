//! Artifacts that are none, or none for here: each is refused before anything is started, by the name of the cause.

use std::fs;

use faas_backend_lambda::LambdaLocalBackend;
use faas_core::{ActionSpec, Backend, Error, ErrorKind, MemoryMib};
use serde_json::{Value, json};

use crate::artifact::{ARCHITECTURES, FINE, Folder, MIB, PUPPET, manifest, program, zip};
use crate::process::children;
use crate::site::{Site, millis, puppets};

fn spec(name: &str) -> ActionSpec {
    ActionSpec::new(name).unwrap().with_memory(MemoryMib::new(MIB))
}

/// What the backend of a folder refuses an action of it with.
async fn refusal(folder: &Folder) -> Error {
    let backend = match LambdaLocalBackend::builder().artifact(&folder.0).build() {
        Ok(backend) => backend,
        Err(error) => return error,
    };
    let Err(refused) = backend.deploy(spec(FINE).into()).await else { panic!("it is taken") };
    backend.shutdown().await.unwrap();
    refused
}

/// The zip is refused for something that the text names, together with its path.
async fn refuses(zip: &[u8], kind: ErrorKind, text: &str) {
    let folder = Folder::of(zip);
    let error = refusal(&folder).await;
    assert_eq!(error.kind(), kind, "{error:?}");
    assert!(error.message().contains(text), "{text}: {error}");
    assert!(error.message().contains("bootstrap.zip") && !error.message().contains('\n'), "{error}");
    assert!(error.message().len() < 500, "{error}");
}

const BAD: ErrorKind = ErrorKind::InvalidArgument;

#[tokio::test]
async fn a_file_that_is_no_zip_or_a_part_of_one_is_refused() {
    let whole = zip("bootstrap", &fs::read(program()).unwrap());
    refuses(b"", BAD, "it is no zip").await;
    refuses(b"no zip at all", BAD, "it is no zip").await;
    refuses(&whole[..whole.len() / 2], BAD, "it is no zip").await;
    refuses(&whole[..whole.len() - 10], BAD, "it is no zip").await;
    refuses(&zip("other", b"x"), BAD, "it has no file `bootstrap`").await;
    refuses(&zip("bin/bootstrap", b"x"), BAD, "it has no file `bootstrap`").await;
    let mut damaged = whole.clone();
    let middle = damaged.len() / 2;
    damaged[middle..middle + 64].iter_mut().for_each(|byte| *byte ^= 0x55);
    refuses(&damaged, BAD, "`bootstrap` is damaged").await;
}

#[tokio::test]
async fn a_bootstrap_that_is_no_program_for_this_machine_is_refused() {
    refuses(&zip("bootstrap", b""), BAD, "it has 0 bytes").await;
    refuses(&zip("bootstrap", b"#!/bin/sh\nexit 1\n# a script"), BAD, "does not begin as an ELF file").await;
    let mut other = fs::read(program()).unwrap();
    let number: u16 = if ARCHITECTURES[0] == "arm64" { 62 } else { 183 };
    other[18..20].copy_from_slice(&number.to_le_bytes());
    refuses(&zip("bootstrap", &other), BAD, &format!("for another machine ({number} in its header)")).await;
    other[4] = 1;
    refuses(&zip("bootstrap", &other), BAD, "for another machine").await;
}

#[tokio::test]
async fn a_bootstrap_that_cannot_be_started_is_a_developer_error_that_says_why() {
    let own = fs::read(program()).unwrap();
    let mut loader = own.clone();
    let at = own.windows(4).position(|window| window == b"/ld-").expect("it is linked dynamically");
    loader[at + 1] = b'x';
    let mut kind = own.clone();
    // `ET_REL`: something that was not linked.
    kind[16] = 1;
    for (case, program, text) in [
        ("no loader", loader, "cannot be started: No such file or directory"),
        ("not linked", kind, "cannot be started: Exec format error"),
        ("cut", own[..own.len() / 8].to_vec(), "did not initialize and exited unexpectedly"),
    ] {
        let folder = Folder::of(&zip("bootstrap", &program));
        let site =
            Site::new("unstartable", LambdaLocalBackend::builder().artifact(&folder.0), [spec(PUPPET)]).await;
        let record = site.app.invoke(PUPPET, json!({})).await.unwrap();
        let error = record.outcome.error().unwrap();
        assert!(error.contains(text), "{case}: {error}");
        assert_eq!(site.processes(), Vec::<u32>::new());
        site.app.shutdown(millis(1_000)).await.unwrap();
    }
}

#[tokio::test]
async fn a_zip_that_holds_too_much_is_refused_before_it_is_unpacked_and_while_it_is() {
    let bomb = zip("bootstrap", &vec![0; 251 << 20]);
    assert!(bomb.len() < 1 << 20);
    refuses(&bomb, BAD, "has more than the 262144000 bytes that AWS Lambda allows").await;
    // The sizes that a zip tells may be anything.
    let told = u32::try_from(251_u64 << 20).unwrap().to_le_bytes();
    let mut lying = bomb;
    let places: Vec<usize> = (0..lying.len() - 4).filter(|n| lying[*n..*n + 4] == told).collect();
    assert!(!places.is_empty());
    for place in places {
        lying[place..place + 4].copy_from_slice(&1000_u32.to_le_bytes());
    }
    let folder = Folder::of(&lying);
    let error = refusal(&folder).await;
    assert_eq!(error.kind(), BAD, "{error}");
}

#[tokio::test]
async fn a_manifest_that_is_for_something_else_is_refused_by_what_it_says() {
    let zip = zip("bootstrap", &fs::read(program()).unwrap());
    let folder = Folder::of(&zip);
    let other = ARCHITECTURES[1];
    let architecture = format!("it is for {other}, and this machine runs {}", ARCHITECTURES[0]);
    for (key, value, kind, text) in [
        ("digest", json!("0".repeat(64)), BAD, "is not the file that its manifest tells of"),
        ("backend", json!("docker"), BAD, "it is an artifact for 'docker', not for 'lambda'"),
        ("abi", json!(7), BAD, "its function speaks version 7 of the interface, and this backend 1"),
        ("format", json!(2), BAD, "it has format 2"),
        ("file", json!("../bootstrap.zip"), BAD, "is not within the folder"),
        ("file", json!("missing.zip"), ErrorKind::NotFound, "missing.zip"),
        ("architecture", json!(other), ErrorKind::Unsupported, architecture.as_str()),
        ("architecture", json!("vax"), ErrorKind::Unsupported, "it is for vax"),
    ] {
        let mut changed = manifest(&zip);
        changed[key] = value.clone();
        folder.tell(&changed);
        let error = refusal(&folder).await;
        assert_eq!(error.kind(), kind, "{key}: {error:?}");
        assert!(error.message().contains(text), "{key}: {error}");
    }
    for text in ["", "{", "[]", "{}"] {
        fs::write(folder.0.join("manifest.json"), text).unwrap();
        assert_eq!(refusal(&folder).await.kind(), BAD, "{text}");
    }
    folder.tell(&manifest(&zip));
    let site = Site::new("whole", LambdaLocalBackend::builder().artifact(&folder.0), []).await;
    site.end(0).await;
}

#[tokio::test]
async fn an_action_that_lambda_could_not_run_is_refused_when_it_is_deployed() {
    let backend = puppets().memory(MemoryMib::new(256)).build().unwrap();
    let text = "x".repeat(4096);
    for (case, spec, text) in [
        ("unknown", spec("other"), "other"),
        ("environment", spec(PUPPET).with_env("KEY", &text), "AWS Lambda allows 4096 for all variables"),
        ("annotations", annotated(&text), "AWS Lambda allows 4096 for all variables"),
        ("timeout", spec(PUPPET).with_timeout(millis(899_751)), "899"),
        ("memory", spec(PUPPET).with_memory(MemoryMib::new(257)), "over the backend's 256"),
    ] {
        let error = backend.deploy(spec.into()).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::NotFound), "{case}: {error:?}");
        assert!(error.message().contains(text), "{case}: {error}");
    }
    let longest = backend.deploy(spec(PUPPET).with_timeout(millis(899_750)).into()).await;
    longest.unwrap();
    backend.shutdown().await.unwrap();
}

fn annotated(text: &str) -> ActionSpec {
    let mut spec = spec(PUPPET);
    spec.annotations.insert("note".to_owned(), Value::from(text));
    spec
}

#[test]
fn what_is_refused_starts_no_program() {
    crate::alone::alone("artifacts::what_is_refused_starts_no_program", async {
        let before = (crate::process::files(), children());
        for _ in 0..20 {
            refuses(&zip("bootstrap", b"#!/bin/sh\nexit 1\n# a script"), BAD, "ELF").await;
        }
        assert_eq!((crate::process::files(), children()), before);
    });
}
