//! From the engine's errors to the one of this library.

use std::path::Path;

use bollard::errors::Error as Refusal;
use faas_core::{Error, ErrorKind};

use crate::supply::Image;

/// What the engine's answer to a call means. `what` is what was to be done, such as `create a container`.
///
/// An engine that does not answer is `Unavailable`; whether the call may be repeated is for the caller to say, who
/// knows whether user code can have run.
pub(crate) fn of_engine(what: &str, refusal: Refusal) -> Error {
    let (kind, text) = match &refusal {
        Refusal::DockerResponseServerError { status_code, message } => {
            let kind = match status_code {
                404 => ErrorKind::NotFound,
                409 => ErrorKind::Conflict,
                400 => ErrorKind::InvalidArgument,
                403 => ErrorKind::PermissionDenied,
                _ => ErrorKind::Internal,
            };
            (kind, format!("the engine refuses to {what}: {} (status {status_code})", shown(message)))
        }
        Refusal::DockerStreamError { error } => {
            (ErrorKind::Internal, format!("the engine fails to {what}: {}", shown(error)))
        }
        Refusal::RequestTimeoutError => {
            (ErrorKind::Unavailable, format!("the engine does not answer in time to {what}"))
        }
        Refusal::IOError { .. }
        | Refusal::HyperResponseError { .. }
        | Refusal::HyperLegacyError { .. }
        | Refusal::SocketNotFoundError(_) => {
            (ErrorKind::Unavailable, format!("the engine cannot be reached to {what}"))
        }
        _ => (ErrorKind::Internal, format!("the engine's answer to the call to {what} cannot be read")),
    };
    match refusal {
        // All of it that is worth to be read is in the text, and it may be long.
        Refusal::DockerResponseServerError { .. } | Refusal::DockerStreamError { .. } => {
            Error::new(kind, text)
        }
        refusal => Error::new(kind, text).with_source(refusal),
    }
}

/// What the engine, or the way to it, answered to the call that failed with this, where it is no text alone.
pub(crate) fn refusal(error: &Error) -> Option<&Refusal> {
    std::error::Error::source(error)?.downcast_ref()
}

/// The most that is shown of what an engine says, in bytes. Arbitrary.
const SHOWN: usize = 1 << 10;

fn shown(message: &str) -> String {
    let mut end = SHOWN.min(message.len());
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    message[..end].trim().to_owned()
}

/// An error of the operating system with the file that it concerns.
pub(crate) fn file(kind: ErrorKind, what: &str, path: &Path, source: std::io::Error) -> Error {
    Error::new(kind, format!("{what} {}: {source}", path.display())).with_source(source)
}

/// The text of a container that could not be had. Source: OpenWhisk.
const NOT_PROVISIONED: &str = "Failed to provision resources to run the action.";

/// What the engine's refusal to make a container means for the action.
pub(crate) fn not_started(error: Error, image: &str) -> Error {
    match lacks_program(error.message()) {
        true => no_program(image).with_source(error),
        false => unprovided(error),
    }
}

/// Whether the engine says that there is no such program. What comes before `exec: `, or without it, is of files that
/// are none of the image's, such as those of mounts and control groups.
fn lacks_program(text: &str) -> bool {
    let missing = ["executable file not found", "no such file or directory"];
    text.split_once("exec: ").is_some_and(|(_, why)| missing.iter().any(|text| why.contains(text)))
}

/// The error of an image whose program is not in it. Source: OpenWhisk.
pub(crate) fn no_program(image: &str) -> Error {
    Error::new(ErrorKind::InitFailed, format!("executable file not found in image {image}"))
}

/// What it means for the action that its image could not be had again: one that cannot be pulled is the action's own
/// choice, an artifact is the backend's.
pub(crate) fn not_restored(error: Error, image: &Image) -> Error {
    match (error.kind(), image) {
        (ErrorKind::NotFound, Image::Registry(_) | Image::Runtime(_)) => {
            Error::new(ErrorKind::InitFailed, error.message().to_owned()).with_source(error)
        }
        _ => unprovided(error),
    }
}

/// The error of a container that could not be had.
pub(crate) fn unprovided(error: Error) -> Error {
    tracing::warn!(%error, "a container could not be made");
    let (kind, temporary) = match error.kind() {
        ErrorKind::Unavailable => (ErrorKind::Unavailable, true),
        _ => (ErrorKind::Internal, false),
    };
    Error::new(kind, NOT_PROVISIONED).temporary(temporary).with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_blamed_for_its_program_and_for_no_other_file() {
        for program in [
            "OCI runtime create failed: container_linux.go:380: starting container process caused: exec: \"/guest\": \
             stat /guest: no such file or directory: unknown",
            "runc create failed: unable to start container process: exec: \"run\": executable file not found in $PATH: \
             unknown",
        ] {
            let error = not_started(Error::new(ErrorKind::InvalidArgument, program), "x:1");
            let told = (error.kind(), error.message());
            assert_eq!(told, (ErrorKind::InitFailed, "executable file not found in image x:1"), "{program}");
        }
        for other in [
            "error mounting \"/faas/3\" to rootfs at \"/faas\": stat /faas/3: no such file or directory: unknown",
            "runc create failed: unable to apply cgroup configuration: openat2 memory.max: no such file or directory: \
             unknown",
            "exec: \"/guest\": permission denied: unknown",
        ] {
            let error = not_started(Error::new(ErrorKind::Internal, other), "x:1");
            assert_eq!((error.kind(), error.message()), (ErrorKind::Internal, NOT_PROVISIONED), "{other}");
        }
    }
}
