//! Crates to build, and the command that builds them.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Once;

use faas_build::{Build, COMPILER_VARIABLE, CompilerChoice};
use faas_core::ErrorKind;
use faas_core::artifact::{MANIFEST, Manifest};
use sha2::{Digest, Sha256};

/// A folder for the crates of these tests. Its configuration gives them one target folder, so that the standard
/// library and core are built once, and takes the network from them.
pub(crate) fn world() -> &'static Path {
    static MADE: Once = Once::new();
    let world = Path::new(concat!(env!("CARGO_TARGET_TMPDIR"), "/faas-build"));
    MADE.call_once(|| {
        let config = "[build]\ntarget-dir = \"target\"\n\n[net]\noffline = true\n";
        write(&world.join(".cargo/config.toml"), config);
    });
    world
}

/// Writes the file and the folders that it is in, unless it has that content.
pub(crate) fn write(path: &Path, content: &str) {
    if fs::read(path).is_ok_and(|present| present == content.as_bytes()) {
        return;
    }
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// The folder of this package's workspace.
pub(crate) fn workspace() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// What the manifest of a crate of actions has besides its name.
pub(crate) const DEPENDS: &str = "[dependencies]\nfaas-core = { path = CORE, default-features = false, features = \
                                  [\"macros\"] }\nserde_json = \"1\"\n";

/// A library with one action of that name.
pub(crate) fn one_action(name: &str) -> String {
    format!(
        "#[faas_core::action]\nfn {name}() -> Vec<String> {{\n    vec![\"one\".to_owned()]\n}}\n\n\
         faas_core::actions![{name}];\n"
    )
}

/// A crate of that name in a workspace of its own, with the versions that this workspace has locked. `CORE` in the
/// rest of its manifest stands for the path of `faas-core`.
pub(crate) fn package(name: &str, manifest: &str, library: &str) -> PathBuf {
    let folder = world().join(name);
    let core = format!("{:?}", workspace().join("faas-core").canonicalize().unwrap());
    let manifest = manifest.replace("CORE", &core);
    let head =
        format!("[package]\nname = \"{name}\"\nversion = \"1.2.3\"\nedition = \"2024\"\n\n[workspace]\n\n");
    write(&folder.join("Cargo.toml"), &(head + &manifest));
    write(&folder.join("src/lib.rs"), library);
    copy_lock(&folder);
    folder
}

/// Copies the lock file of this workspace, unless cargo has made its own of the same before.
pub(crate) fn copy_lock(folder: &Path) {
    let lock = fs::read_to_string(workspace().join("Cargo.lock")).unwrap();
    let origin = folder.join("Cargo.lock.origin");
    if fs::read_to_string(&origin).ok().as_ref() != Some(&lock) {
        write(&folder.join("Cargo.lock"), &lock);
        write(&origin, &lock);
    }
}

/// The compilers that these tests use: what the environment says, else what is installed. A test changes nobody's
/// toolchain.
pub(crate) fn choice() -> CompilerChoice {
    let named = std::env::var(COMPILER_VARIABLE).is_ok_and(|name| !name.is_empty());
    if named { CompilerChoice::from_env().unwrap() } else { CompilerChoice::Installed }
}

/// Whether there is a compiler for Wasm; if not, says that the test is skipped.
pub(crate) fn has_compiler(test: &str, folder: &Path) -> bool {
    match Build::new(folder).compiler(choice()).wasm_compiler() {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{error:?}");
            skip(test, error.message());
            false
        }
    }
}

/// Says that the test is skipped. It says so past the test harness, which keeps what a test prints to itself.
pub(crate) fn skip(test: &str, reason: &str) {
    let line = format!("SKIP {test}: {reason}\n");
    io::stdout().write_all(line.as_bytes()).unwrap();
}

/// Says the same of a test for what no machine has to have.
pub(crate) fn skip_optional(test: &str, reason: &str) {
    let line = format!("OPTIONAL {test}: {reason}\n");
    io::stdout().write_all(line.as_bytes()).unwrap();
}

/// The manifest in a folder.
pub(crate) fn manifest(folder: &Path) -> Manifest {
    serde_json::from_slice(&fs::read(folder.join(MANIFEST)).unwrap()).unwrap()
}

/// SHA-256 in hex.
pub(crate) fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a 64-bit program for Linux says of itself.
pub(crate) struct Elf {
    /// The number of the architecture.
    pub(crate) machine: usize,
    /// The types of the program headers.
    pub(crate) program_headers: Vec<usize>,
}

/// Reads a program's headers. Source: the System V ABI, "ELF Header" and "Program Header".
pub(crate) fn elf(program: &[u8]) -> Elf {
    assert_eq!(program[..5], *b"\x7fELF\x02", "a program for 64-bit Linux");
    let number = |at: usize, size: usize| {
        program[at..at + size].iter().rev().fold(0, |n, byte| n << 8 | usize::from(*byte))
    };
    let (offset, size, count) = (number(32, 8), number(54, 2), number(56, 2));
    let program_headers = (0..count).map(|index| number(offset + index * size, 4)).collect();
    Elf { machine: number(18, 2), program_headers }
}

/// The folder with the image of the crate; if there is no compiler for it, says that the test is skipped.
pub(crate) fn image(test: &str, folder: &Path) -> Option<PathBuf> {
    match Build::new(folder).compiler(choice()).docker() {
        Err(error) if error.kind() == ErrorKind::Unsupported => {
            skip(test, error.message());
            None
        }
        built => Some(built.unwrap()),
    }
}

/// `cargo faas` in the folder.
pub(crate) fn cargo_faas(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cargo-faas"));
    command.arg("faas").args(args).current_dir(folder).env(COMPILER_VARIABLE, choice().to_string());
    // The configuration of these tests says where they build to.
    command.env_remove("CARGO_TARGET_DIR").env_remove("CARGO_BUILD_TARGET_DIR");
    command
}

/// `cargo faas build --backend wasm` in the folder.
pub(crate) fn build(folder: &Path) -> Command {
    cargo_faas(folder, &["build", "--backend", "wasm"])
}

/// What the command printed on its standard error, once it ended well.
pub(crate) fn succeeds(mut command: Command) -> String {
    let output = command.output().unwrap();
    let said = stderr(&output);
    assert!(output.status.success(), "{}\n{said}", output.status);
    said
}

/// What the command printed on its standard error, once it failed.
pub(crate) fn fails(mut command: Command) -> String {
    let output = command.output().unwrap();
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    said
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
