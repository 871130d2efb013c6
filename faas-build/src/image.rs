//! An image of one program: a layer with it and nothing else, in the form that `docker save` writes and that
//! `docker load` and `podman load` read.
//!
//! The same program gives the same bytes on any machine: nothing in it tells of times, users or folders.
//!
//! # Source
//!
//! Docker's image specification 1.2, "Combined Image JSON + Filesystem Changeset Format", and the configuration of
//! the OCI image specification 1.1.

use std::collections::BTreeMap;
use std::io;

use faas_core::{Error, ErrorKind};
use serde::Serialize;
use tar::{Builder, EntryType, Header};

use crate::app::App;
use crate::artifact::digest;

/// The version of the interface between host and guest.
const ABI: &str = "1";

/// Where the program is in the image.
const PROGRAM: &str = "guest";

/// The only folder, and where the program starts: what may be written, however the container is run.
const FOLDER: &str = "tmp";

/// Who the program runs as: nobody, by number, since the image has no list of users.
const USER: &str = "65534:65534";

/// The port that the program listens at.
const PORT: &str = "8080/tcp";

/// When it was made, for those who need a time.
const CREATED: &str = "1970-01-01T00:00:00Z";

/// The longest name within a repository. Arbitrary: a reference may have 255 characters in all.
const LONGEST: usize = 128;

/// An image, and the reference by which an engine knows it.
pub(crate) struct Image {
    /// `faas/<crate>:<digits>`, where the digits are the first half of the image's id.
    pub(crate) reference: String,
    /// The archive.
    pub(crate) archive: Vec<u8>,
}

/// The image's configuration, whose digest is the image's id.
#[derive(Serialize)]
struct Config<'a> {
    architecture: &'a str,
    config: Run<'a>,
    created: &'a str,
    history: [History<'a>; 1],
    os: &'a str,
    rootfs: Layers,
}

/// How a container of the image is run.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Run<'a> {
    entrypoint: [&'a str; 1],
    exposed_ports: BTreeMap<&'a str, Empty>,
    labels: BTreeMap<&'a str, &'a str>,
    user: &'a str,
    working_dir: &'a str,
}

#[derive(Serialize)]
struct Empty {}

/// How a layer came to be.
#[derive(Serialize)]
struct History<'a> {
    created: &'a str,
    created_by: &'a str,
}

#[derive(Serialize)]
struct Layers {
    #[serde(rename = "type")]
    kind: &'static str,
    diff_ids: [String; 1],
}

/// What is in the archive.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Contents<'a> {
    config: &'a str,
    repo_tags: [&'a str; 1],
    layers: [&'a str; 1],
}

/// The image of a program that was compiled of the crate for `target`.
pub(crate) fn of(app: &App, program: &[u8], target: &str) -> Result<Image, Error> {
    let layer = layer(program).map_err(failed)?;
    let layer_digest = digest(&layer);
    let entrypoint = format!("/{PROGRAM}");
    let config = json(&Config {
        architecture: architecture(target),
        config: Run {
            entrypoint: [&entrypoint],
            exposed_ports: BTreeMap::from([(PORT, Empty {})]),
            labels: BTreeMap::from([
                ("io.faas.abi", ABI),
                ("io.faas.package", &app.name),
                ("io.faas.version", &app.version),
            ]),
            user: USER,
            working_dir: &format!("/{FOLDER}"),
        },
        created: CREATED,
        history: [History { created: CREATED, created_by: "cargo faas build" }],
        os: "linux",
        rootfs: Layers { kind: "layers", diff_ids: [format!("sha256:{layer_digest}")] },
    })?;
    let id = digest(&config);
    let reference = format!("{}:{}", repository(&app.name), &id[..32]);
    let (config_file, layer_file) = (format!("{id}.json"), format!("{layer_digest}.tar"));
    let contents = [Contents { config: &config_file, repo_tags: [&reference], layers: [&layer_file] }];
    let files = [(&*config_file, &*config), (&*layer_file, &*layer), ("manifest.json", &*json(&contents)?)];
    Ok(Image { archive: archive(&files).map_err(failed)?, reference: reference.clone() })
}

/// The layer: the program, and a folder that anybody may write to.
fn layer(program: &[u8]) -> io::Result<Vec<u8>> {
    let mut tar = Builder::new(Vec::new());
    entry(&mut tar, PROGRAM, EntryType::Regular, 0o555, program)?;
    entry(&mut tar, &format!("{FOLDER}/"), EntryType::Directory, 0o1777, &[])?;
    tar.into_inner()
}

fn archive(files: &[(&str, &[u8])]) -> io::Result<Vec<u8>> {
    let mut tar = Builder::new(Vec::new());
    for (name, content) in files {
        entry(&mut tar, name, EntryType::Regular, 0o444, content)?;
    }
    tar.into_inner()
}

/// Appends an entry that belongs to root and is as old as time.
fn entry(
    tar: &mut Builder<Vec<u8>>,
    name: &str,
    kind: EntryType,
    mode: u32,
    content: &[u8],
) -> io::Result<()> {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(u64::try_from(content.len()).unwrap_or(u64::MAX));
    tar.append_data(&mut header, name, content)
}

fn json(value: &impl Serialize) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(value)
        .map_err(|error| Error::new(ErrorKind::Internal, "cannot encode the image").with_source(error))
}

fn failed(error: io::Error) -> Error {
    Error::new(ErrorKind::Internal, "cannot write the image").with_source(error)
}

/// What images call the architecture of a target. Source: the values of `GOARCH`, which the specification names.
fn architecture(target: &str) -> &str {
    match target.split('-').next().unwrap_or(target) {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "i586" | "i686" => "386",
        "powerpc64le" => "ppc64le",
        "loongarch64" => "loong64",
        name if name.starts_with("riscv64") => "riscv64",
        name if name.starts_with("arm") => "arm",
        name => name,
    }
}

/// The repository of a crate's images: its name as far as engines allow it. What this makes equal is told apart by
/// the tag.
fn repository(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    let parts = name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| !part.is_empty());
    let mut name = parts.collect::<Vec<_>>().join("-");
    name.truncate(LONGEST);
    let name = name.trim_end_matches('-');
    format!("faas/{}", if name.is_empty() { "actions" } else { name })
}

#[cfg(test)]
mod tests {
    use super::{architecture, repository};

    #[test]
    fn a_repository_is_a_name_that_engines_allow() {
        for (name, expected) in [
            ("greet", "faas/greet"),
            ("My_Shop", "faas/my-shop"),
            ("_a__b-", "faas/a-b"),
            ("größe", "faas/gr-e"),
            ("ß", "faas/actions"),
        ] {
            assert_eq!(repository(name), expected);
        }
        assert_eq!(repository(&format!("{}-b", "a".repeat(127))), format!("faas/{}", "a".repeat(127)));
    }

    #[test]
    fn architectures_have_the_names_of_images() {
        for (target, expected) in [
            ("x86_64-unknown-linux-musl", "amd64"),
            ("aarch64-unknown-linux-gnu", "arm64"),
            ("armv7-unknown-linux-musleabihf", "arm"),
            ("riscv64gc-unknown-linux-gnu", "riscv64"),
            ("s390x-unknown-linux-gnu", "s390x"),
        ] {
            assert_eq!(architecture(target), expected);
        }
    }
}
