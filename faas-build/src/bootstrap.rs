//! The zip of a Lambda function: its program and nothing else.
//!
//! The same program gives the same bytes on any machine: nothing in it tells of times, users or folders. So an upload
//! that would change nothing is told from one that would by its digest alone.
//!
//! # Source
//!
//! "Building a custom runtime for AWS Lambda", AWS Lambda Developer Guide, for the name and that it has to be executable.

use std::io::{Cursor, Write};

use faas_core::{Error, ErrorKind};
use zip::result::ZipError;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, System, ZipWriter};

/// What Lambda starts.
const PROGRAM: &str = "bootstrap";

/// The hardest that the compressor tries: a function is uploaded and fetched more often than it is built.
const LEVEL: i64 = 9;

/// The zip of the program.
pub(crate) fn zip(program: &[u8]) -> Result<Vec<u8>, Error> {
    write(program).map_err(|error| Error::new(ErrorKind::Internal, "cannot write the zip").with_source(error))
}

fn write(program: &[u8]) -> Result<Vec<u8>, ZipError> {
    let options = SimpleFileOptions::DEFAULT
        .compression_method(CompressionMethod::Deflated)
        .compression_level(Some(LEVEL))
        .last_modified_time(DateTime::DEFAULT)
        .system(System::Unix)
        .unix_permissions(0o755);
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    zip.start_file(PROGRAM, options)?;
    zip.write_all(program)?;
    Ok(zip.finish()?.into_inner())
}

#[cfg(test)]
mod tests {
    use super::zip;

    #[test]
    fn the_same_program_gives_the_same_bytes() {
        let program: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
        let first = zip(&program).expect("a zip");
        assert!(zip(&program).expect("a zip") == first);
        // What could differ elsewhere or tomorrow is fixed: the system, the time, the mode, and that there is nothing
        // more. Source: ".ZIP File Format Specification" 6.3.10, 4.3.12.
        let head = first.len() - 22 - 46 - "bootstrap".len();
        assert_eq!(first[head..][..4], *b"PK\x01\x02");
        assert_eq!((first[head + 5], &first[head + 12..head + 16]), (3, &b"\0\0\x21\0"[..]));
        assert_eq!(first[head + 38..head + 42], (0o100_755_u32 << 16).to_le_bytes());
    }
}
