//! Artifacts of the puppet, a bootstrap that does what it is told.

use std::fs;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use faas_core::artifact::{Description, MANIFEST};
use faas_core::guest::lambda::ABI;
use faas_core::{ActionSpec, MemoryMib};
use serde_json::{Value, json};
use sha2::Digest;
use zip::write::SimpleFileOptions;

/// The action that a test plays with, and the one of its neighbour. They are of one program.
pub(crate) const PUPPET: &str = "puppet";
pub(crate) const FINE: &str = "fine";

/// The memory of each.
pub(crate) const MIB: u32 = 16;

/// Lambda's name of this machine's architecture, and that of the other.
pub(crate) const ARCHITECTURES: [&str; 2] = match cfg!(target_arch = "aarch64") {
    true => ["arm64", "x86_64"],
    false => ["x86_64", "arm64"],
};

/// A folder that is gone when this is dropped.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("faas-lambda-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// A folder with a zip and a manifest that fits it.
    pub(crate) fn of(zip: &[u8]) -> Self {
        let folder = Self::new();
        fs::write(folder.zip(), zip).unwrap();
        folder.tell(&manifest(zip));
        folder
    }

    /// The artifact of the puppet.
    pub(crate) fn of_puppet() -> Self {
        static ZIP: OnceLock<Vec<u8>> = OnceLock::new();
        Self::of(ZIP.get_or_init(|| zip("bootstrap", &fs::read(program()).unwrap())))
    }

    pub(crate) fn zip(&self) -> PathBuf {
        self.0.join("bootstrap.zip")
    }

    /// Writes the manifest.
    pub(crate) fn tell(&self, manifest: &Value) {
        fs::write(self.0.join(MANIFEST), manifest.to_string()).unwrap();
    }
}

/// A manifest of the puppet's actions that fits the zip.
pub(crate) fn manifest(zip: &[u8]) -> Value {
    let action = |name| ActionSpec::new(name).unwrap().with_memory(MemoryMib::new(MIB));
    let description = Description { abi: ABI, init: false, actions: vec![action(PUPPET), action(FINE)] };
    let mut manifest = json!({
        "format": 1, "backend": "lambda", "package": "puppet", "version": "1.0.0", "file": "bootstrap.zip",
        "architecture": ARCHITECTURES[0], "digest": digest(zip), "size": zip.len(), "kind": "rust", "toolchain": "",
    });
    let described = serde_json::to_value(description).unwrap();
    manifest.as_object_mut().unwrap().extend(described.as_object().unwrap().clone());
    manifest
}

fn digest(bytes: &[u8]) -> String {
    sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A zip of one file.
pub(crate) fn zip(name: &str, content: &[u8]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    zip.start_file(name, SimpleFileOptions::default().unix_permissions(0o755)).unwrap();
    zip.write_all(content).unwrap();
    zip.finish().unwrap().into_inner()
}

/// The program of the puppet, which is built once, as an app of its own: what this build is told by cargo is not for it.
pub(crate) fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("puppet");
        let mut cargo = Command::new("cargo");
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            if (name.starts_with("CARGO") && name != "CARGO_HOME") || name.starts_with("RUSTFLAGS") {
                cargo.env_remove(name);
            }
        }
        cargo.args(["build", "--quiet", "--release", "--locked", "-p", "faas-lambda-puppet", "--target-dir"]);
        cargo.arg(&folder).current_dir(env!("CARGO_MANIFEST_DIR"));
        assert!(cargo.status().expect("cargo").success(), "the puppet does not build");
        folder.join("release/faas-lambda-puppet")
    })
}
