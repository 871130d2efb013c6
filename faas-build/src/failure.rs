//! The errors that several modules make.

use std::io;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use faas_core::{Error, ErrorKind};

use crate::patience;

/// A file or a folder that cannot be used; `verb` says for what.
pub(crate) fn io(verb: &str, path: &Path, error: io::Error) -> Error {
    Error::new(ErrorKind::Internal, format!("cannot {verb} {}", path.display())).with_source(error)
}

/// What a program printed on its standard output, once it ended well.
pub(crate) fn printed(command: &mut Command) -> Result<String, Error> {
    let output = command.stdin(Stdio::null()).output();
    judge(command, output)
}

/// The same of a program that may take only so long.
pub(crate) fn printed_within(command: &mut Command, limit: Duration) -> Result<String, Error> {
    match patience::output(command, limit).transpose() {
        Some(output) => judge(command, output),
        None => {
            let message = format!("{} took longer than {limit:?}", program(command));
            Err(Error::new(ErrorKind::InvalidArgument, message))
        }
    }
}

fn program(command: &Command) -> String {
    command.get_program().to_string_lossy().into_owned()
}

fn judge(command: &Command, output: io::Result<Output>) -> Result<String, Error> {
    let program = program(command);
    let output = output.map_err(|error| {
        Error::new(ErrorKind::NotFound, format!("cannot start {program}")).with_source(error)
    })?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        let message = match first_error(&text) {
            Some(line) => format!("{program} failed: {line}"),
            None => format!("{program} failed: {}", output.status),
        };
        return Err(Error::new(ErrorKind::InvalidArgument, message).with_source(text));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
}

/// What the first line that starts with `error` says.
pub(crate) fn first_error(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.trim().strip_prefix("error")?.split_once(": ").map(|(_, what)| what))
}

#[cfg(test)]
mod tests {
    use super::first_error;

    #[test]
    fn the_first_error_is_told_from_what_leads_to_it() {
        assert_eq!(first_error("info: x\nerror: no such\n  error: later"), Some("no such"));
        assert_eq!(first_error("error[E0425]: cannot find"), Some("cannot find"));
        assert_eq!(first_error("all is well"), None);
    }
}
