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
    /// As from [`Artifact::bytes`]; `InvalidArgument` for a zip that is none, and for one without a program;
    /// `Unsupported` for a program of another architecture.
    pub(super) fn unpack(artifact: &Artifact) -> Result<Self, Error> {
        let of = |kind, problem| Error::new(kind, format!("{}: {problem}", artifact.path.display()));
        let architecture = artifact.manifest.architecture.as_deref();
        check_architecture(architecture).map_err(|problem| of(ErrorKind::Unsupported, problem))?;
        let program = read(artifact.bytes()?).map_err(|problem| of(ErrorKind::InvalidArgument, problem))?;
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

/// Lambda's name of the architecture that programs run on here, and its number in their headers. Source: ELF's `e_machine`.
const HERE: (&str, u16) = match cfg!(target_arch = "aarch64") {
    true => ("arm64", 183),
    false => ("x86_64", 62),
};

fn check_architecture(architecture: Option<&str>) -> Result<(), String> {
    match architecture {
        Some(other) if other != HERE.0 => Err(format!(
            "it is for {other}, and this machine runs {here}: `cargo faas build --backend lambda --arch {here}` makes one",
            here = HERE.0
        )),
        _ => Ok(()),
    }
}

/// Checks that it is a program that can be started here. Lambda itself would start a script as well.
fn check_elf(program: &[u8]) -> Result<(), String> {
    let Some((header, _)) = program.split_first_chunk::<20>() else {
        return Err(format!("`{BOOTSTRAP}` is no program: it has {} bytes", program.len()));
    };
    if !header.starts_with(b"\x7fELF") {
        return Err(format!("`{BOOTSTRAP}` is no program: it does not begin as an ELF file does"));
    }
    let machine = u16::from_le_bytes([header[18], header[19]]);
    // 64 bits, the lesser byte first.
    if header[4..6] != [2, 1] || machine != HERE.1 {
        let text = format!(
            "`{BOOTSTRAP}` is a program for another machine ({machine} in its header), not for {}",
            HERE.0
        );
        return Err(text);
    }
    Ok(())
}

/// The program in a zip, or what is wrong with either.
pub(crate) fn read(zip: Vec<u8>) -> Result<Vec<u8>, String> {
    let program = unzip(zip)?;
    check_elf(&program).map(|()| program)
}

fn unzip(zip: Vec<u8>) -> Result<Vec<u8>, String> {
    let mut archive =
        zip::ZipArchive::new(Cursor::new(zip)).map_err(|error| format!("it is no zip: {error}"))?;
    let too_large =
        |what: &str| Err(format!("{what} has more than the {LARGEST} bytes that AWS Lambda allows"));
    if archive.decompressed_size().is_some_and(|size| size > u128::from(LARGEST)) {
        return too_large("what is in it");
    }
    let entry = archive
        .by_name(BOOTSTRAP)
        .map_err(|error| format!("it has no file `{BOOTSTRAP}` that can be read: {error}"))?;
    let mut program = Vec::new();
    // Its size is only what the zip says.
    let read = entry.take(LARGEST + 1).read_to_end(&mut program);
    read.map_err(|error| format!("`{BOOTSTRAP}` is damaged: {error}"))?;
    if program.len() as u64 > LARGEST {
        return too_large("`bootstrap`");
    }
    Ok(program)
}

fn sealed(program: &[u8]) -> io::Result<File> {
    let mut file = File::from(memfd_create(BOOTSTRAP, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?);
    file.write_all(program)?;
    // Not `WRITE`, which fails while the kernel happens to move one of the pages. Nothing maps the file
    // yet, so the two say the same.
    let seals = SealFlags::FUTURE_WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
    fcntl_add_seals(&file, seals)?;
    // A file that is open for writing cannot be started.
    File::open(format!("/proc/self/fd/{}", file.as_raw_fd()))
}
