//! The toolchain that is active in the crate's folder, and rustup, which can add the target to it.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use faas_core::{Error, ErrorKind};

use super::{Compiler, TARGET};
use crate::app::App;
use crate::output::Output;
use crate::{environment, failure, files, patience};

/// How long rustup may be silent, and how long it may take, before it counts as having no way to its server. The
/// standard library of the target is a download of some 20 MB. Arbitrary.
const SILENCE: &str = "15";
const PATIENCE: Duration = Duration::from_secs(180);

/// How long a failure is remembered, so that a machine without a network does not try at each build. Arbitrary.
const MEMORY: Duration = Duration::from_secs(24 * 60 * 60);

/// The active toolchain's compiler, if it has the target: its version, and the program.
pub(super) fn active(folder: &Path, target: &str) -> Option<(String, PathBuf)> {
    let libraries =
        failure::printed(rustc(folder).args(["--print", "target-libdir", "--target", target])).ok()?;
    let libraries = PathBuf::from(libraries);
    let names = fs::read_dir(&libraries).ok()?.filter_map(Result::ok).map(|entry| entry.file_name());
    let is_std = |name: &str| name.starts_with("libstd-") && name.ends_with(".rlib");
    names.into_iter().find(|name| is_std(&name.to_string_lossy()))?;
    // Within the sysroot the libraries are at `lib/rustlib/<target>/lib`.
    let rustc = libraries.ancestors().nth(4)?.join("bin/rustc");
    Some((version(folder)?, rustc))
}

/// The active toolchain's compiler for Wasm, if it has the target.
pub(super) fn wasm(folder: &Path) -> Option<Compiler> {
    let (version, rustc) = active(folder, TARGET)?;
    Some(Compiler { version, rustc, debian: None })
}

/// The target that the active toolchain itself runs on.
pub(super) fn host(folder: &Path) -> Result<String, Error> {
    let told = failure::printed(rustc(folder).arg("-vV"))?;
    let host = told.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| Error::new(ErrorKind::Internal, "rustc -vV names no host"))
}

fn rustc(folder: &Path) -> Command {
    let mut rustc = Command::new("rustc");
    environment::scrub(&mut rustc);
    rustc.current_dir(folder);
    rustc
}

fn version(folder: &Path) -> Option<String> {
    failure::printed(rustc(folder).arg("--version")).ok()
}

/// The active toolchain's compiler, once rustup has added the target; else why it could not.
pub(super) fn add(app: &App, output: Output) -> Result<Compiler, String> {
    if !environment::finds("rustup") {
        return Err("it is not installed".to_owned());
    }
    let version = version(&app.folder).ok_or("it has no active toolchain")?;
    let note = app.target.join("rustup-failed");
    if let Some(reason) = recall(&note, &version) {
        return Err(format!("{reason} (tried before; remove {} to try again)", note.display()));
    }
    output.status("Adding", format_args!("{TARGET} by rustup"));
    let _slow = output.when_slow(format!("waiting for `rustup target add {TARGET}`"));
    let added = run(&app.folder).and_then(|()| {
        wasm(&app.folder)
            .ok_or_else(|| "it added the target to another toolchain than the active one".to_owned())
    });
    added.inspect_err(|reason| {
        // Without the note it is tried again at the next build, which is slow but right.
        let _ = files::replace(&note, format!("{version}\n{reason}\n").as_bytes());
    })
}

/// Why it failed not long ago for a toolchain of this version.
fn recall(note: &Path, version: &str) -> Option<String> {
    let age = SystemTime::now().duration_since(fs::metadata(note).ok()?.modified().ok()?).ok()?;
    let text = fs::read_to_string(note).ok().filter(|_| age < MEMORY)?;
    let (of, reason) = text.split_once('\n')?;
    (of == version).then(|| reason.trim().to_owned())
}

fn run(folder: &Path) -> Result<(), String> {
    let mut rustup = Command::new("rustup");
    environment::scrub(&mut rustup);
    rustup.args(["target", "add", TARGET]).current_dir(folder);
    rustup.env("RUSTUP_DOWNLOAD_TIMEOUT", SILENCE).env("RUSTUP_MAX_RETRIES", "0");
    rustup.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = rustup.spawn().map_err(|error| format!("it cannot be started: {error}"))?;
    let ended = patience::wait(&mut child, PATIENCE);
    let mut text = Vec::new();
    if let Some(mut stderr) = child.stderr.take() {
        // The reason is only for people, and half of it better than none.
        let _ = stderr.read_to_end(&mut text);
    }
    let text = String::from_utf8_lossy(&text);
    match ended {
        Some(status) if status.success() => Ok(()),
        Some(_) => Err(failure::first_error(&text).unwrap_or("it failed without a reason").to_owned()),
        None => Err(format!("it took longer than {PATIENCE:?}")),
    }
}
