//! The program of an artifact, in memory: nothing is written to a disk, and nothing is left of it.

use std::fs::File;
use std::io::{self, Cursor, Read, Write};
use std::os::fd::AsRawFd;
use std::path::PathBuf;

use faas_core::{Error, ErrorKind};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

use crate::artifact::Artifact;

/// The name of the program in a zip. Source: Lambda's runtime `provided.al2023`.
const BOOTSTRAP: &str = "bootstrap";

/// The most that a zip may hold, in bytes. Source: Lambda's quota for deployment packages.
const LARGEST: u64 = 250 << 20;

/// A program that can be started, and not changed any more.
pub(super) struct Program(File);

impl Program {
    /// Unpacks the program of an artifact.
    ///
    /// # Errors
    /// As from [`Artifact::bytes`]; `InvalidArgument` for a zip that is none, and for one without a program.
    pub(super) fn unpack(artifact: &Artifact) -> Result<Self, Error> {
        let program = program(artifact.bytes()?).map_err(|problem| {
            let text = format!("{}: {problem}", artifact.path.display());
            Error::new(ErrorKind::InvalidArgument, text)
        })?;
        sealed(&program).map(Self).map_err(|source| {
            let text = format!("the program cannot be kept in memory: {source}");
            Error::new(ErrorKind::Unavailable, text).with_source(source)
        })
    }

    /// The path to start it by, for processes that this one starts.
    pub(super) fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.0.as_raw_fd()))
    }
}

/// The program in a zip, or what is wrong with that.
fn program(zip: Vec<u8>) -> Result<Vec<u8>, String> {
    let mut archive =
        zip::ZipArchive::new(Cursor::new(zip)).map_err(|error| format!("it is no zip: {error}"))?;
    let mut entry = archive
        .by_name(BOOTSTRAP)
        .map_err(|error| format!("it has no file `{BOOTSTRAP}` that can be read: {error}"))?;
    if entry.size() > LARGEST {
        return Err(format!("`{BOOTSTRAP}` has {} bytes, and AWS Lambda allows {LARGEST}", entry.size()));
    }
    let mut program = Vec::new();
    let read = entry.by_ref().take(LARGEST + 1).read_to_end(&mut program);
    read.map_err(|error| format!("`{BOOTSTRAP}` is damaged: {error}"))?;
    Ok(program)
}

fn sealed(program: &[u8]) -> io::Result<File> {
    let mut file = File::from(memfd_create(BOOTSTRAP, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?);
    file.write_all(program)?;
    fcntl_add_seals(&file, SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
    // A file that is open for writing cannot be started.
    File::open(format!("/proc/self/fd/{}", file.as_raw_fd()))
}
