//! A zip for AWS Lambda: the shim is a static Linux program that asks for the function's events, and the zip has nothing
//! but it.

use faas_core::{Error, ErrorKind};

use super::{Built, Options};
use crate::app::App;
use crate::arch::Arch;
use crate::artifact::{self, Product};
use crate::compiler::linux::{self, Linux, Needs};
use crate::program::{self, PROFILE};
use crate::shim::{APP, Recipe};
use crate::{bootstrap, describe};

/// The name of the backend.
pub(super) const NAME: &str = "lambda";

/// The most bytes that a function may have unpacked. Source: "Lambda quotas", AWS Lambda Developer Guide, as is the next
/// one; a MB there has 2^20 bytes.
const MOST_UNPACKED: usize = 250 << 20;

/// The most bytes of a zip that is uploaded as it is, and not by way of a bucket.
const MOST_UPLOADED: usize = 50 << 20;

/// Builds the crate to a zip.
pub(super) fn build(app: &App, options: &Options) -> Result<Built, Error> {
    // Its client for HTTP has cryptography that is written in C.
    let compiler = linux::find(app, Needs { arch: options.arch, c: true })?;
    let arch = arch(&compiler)?;
    let recipe = Recipe {
        suffix: NAME,
        features: &["guest-lambda"],
        dependencies: &[],
        file: "main.rs",
        code: format!("faas_core::guest_lambda!({APP}::{});\n", app.actions),
        manifest: PROFILE,
    };
    let program = program::compile(app, &recipe, &compiler, options.output)?;
    check(&app.name, program.bytes.len())?;
    let zip = bootstrap::zip(&program.bytes)?;
    let folder = if compiler.is_native() { NAME.to_owned() } else { format!("{NAME}-{arch}") };
    let folder = artifact::folder(app, &folder);
    let product = Product {
        backend: NAME,
        folder: &folder,
        extension: ".zip",
        bytes: &zip,
        toolchain: compiler.version(),
        image: None,
        architecture: Some(arch.name()),
    };
    let describe = |_: &[u8]| describe::program(app, &program.file, compiler.target(), options.output);
    let (manifest, fresh) = artifact::publish(app, &product, describe)?;
    if let Some(note) = note(zip.len()) {
        options.output.status("Note", note);
    }
    Ok(Built { folder, manifest, fresh, sources: program.sources })
}

/// What Lambda calls the architecture that is compiled for.
fn arch(compiler: &Linux) -> Result<Arch, Error> {
    Arch::of(compiler.target()).ok_or_else(|| {
        let text = format!(
            "AWS Lambda has no machines for {}: choose an architecture, {} or {}",
            compiler.target(),
            Arch::X86_64,
            Arch::Arm64
        );
        Error::new(ErrorKind::Unsupported, text)
    })
}

/// Refuses a program that is too large for a function.
fn check(name: &str, size: usize) -> Result<(), Error> {
    if size <= MOST_UNPACKED {
        return Ok(());
    }
    let text = format!(
        "the program of '{name}' takes {} MiB, and AWS Lambda takes functions of at most {} MiB",
        size.div_ceil(1 << 20),
        MOST_UNPACKED >> 20
    );
    Err(Error::new(ErrorKind::InvalidArgument, text))
}

/// What to know of a zip of that size before it is uploaded.
fn note(size: usize) -> Option<String> {
    (size > MOST_UPLOADED).then(|| {
        let (takes, most) = (size.div_ceil(1 << 20), MOST_UPLOADED >> 20);
        format!("the zip takes {takes} MiB, and needs a bucket to be uploaded: without one, {most} MiB are the most")
    })
}

#[cfg(test)]
mod tests {
    use faas_core::ErrorKind;

    use super::{check, note};

    #[test]
    fn a_program_may_have_exactly_what_lambda_takes() {
        assert!(check("shop", 262_144_000).is_ok());
        let error = check("shop", 262_144_001).expect_err("too large");
        let text = "the program of 'shop' takes 251 MiB, and AWS Lambda takes functions of at most 250 MiB";
        assert_eq!((error.kind(), error.message()), (ErrorKind::InvalidArgument, text));
    }

    #[test]
    fn a_large_zip_is_said_to_need_a_bucket() {
        assert_eq!(note(52_428_800), None);
        let text =
            "the zip takes 51 MiB, and needs a bucket to be uploaded: without one, 50 MiB are the most";
        assert_eq!(note(52_428_801).as_deref(), Some(text));
    }
}
