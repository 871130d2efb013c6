//! Options of a backend that its URL and its environment set by the same names.

use std::fmt::Display;
use std::time::Duration;

use super::BackendUrl;
use crate::error::{Error, ErrorKind};
use crate::units::{MemoryMib, parse_duration};

/// The names of a backend's options, and what the names of their environment variables begin with.
///
/// A backend sets an option by a function of name and value, which answers what is allowed where the value is not.
///
/// ```
/// use faas_core::backend::settings::{Settings, number};
/// const SETTINGS: Settings = Settings { names: &["slots"], prefix: "APP_" };
/// let mut slots = 1;
/// let mut set = |_: &str, value: &str| number(value).map(|value| slots = value);
/// SETTINGS.read_url(&"mine?slots=8".parse()?, &mut set)?;
/// let refused = SETTINGS.read_variables(|_| Some("many".to_owned()), &mut set).unwrap_err();
/// assert_eq!(refused.message(), "environment variable APP_SLOTS is 'many', not a whole number");
/// assert_eq!(slots, 8);
/// # Ok::<(), faas_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The names of the options.
    pub names: &'static [&'static str],
    /// What comes before a name in upper case in the name of a variable.
    pub prefix: &'static str,
}

impl Settings {
    /// Sets what a URL says.
    ///
    /// # Errors
    /// `InvalidArgument` for unknown options and bad values, telling the allowed ones.
    pub fn read_url(
        &self,
        url: &BackendUrl,
        mut set: impl FnMut(&str, &str) -> Result<(), String>,
    ) -> Result<(), Error> {
        let options = url.options(self.names)?;
        for name in self.names {
            if let Some(value) = options.text(name)? {
                let subject = format!("option '{name}' of backend '{}'", url.scheme());
                set(name, value).map_err(|allowed| refused(&subject, value, &allowed))?;
            }
        }
        Ok(())
    }

    /// Sets what environment variables say, which `read` reads. An empty one is none.
    ///
    /// # Errors
    /// `InvalidArgument` for a value that its option cannot have, naming the variable.
    pub fn read_variables(
        &self,
        read: impl Fn(&str) -> Option<String>,
        mut set: impl FnMut(&str, &str) -> Result<(), String>,
    ) -> Result<(), Error> {
        for name in self.names {
            let variable = format!("{}{}", self.prefix, name.to_ascii_uppercase());
            if let Some(value) = read(&variable).filter(|value| !value.is_empty()) {
                let subject = format!("environment variable {variable}");
                set(name, &value).map_err(|allowed| refused(&subject, &value, &allowed))?;
            }
        }
        Ok(())
    }
}

fn refused(subject: &str, value: &str, allowed: &str) -> Error {
    Error::new(ErrorKind::InvalidArgument, format!("{subject} is '{value}', not {allowed}"))
}

/// Reads a whole number.
///
/// # Errors
/// What is allowed.
pub fn number(value: &str) -> Result<usize, String> {
    value.parse().map_err(|_| "a whole number".to_owned())
}

/// Reads a duration with its unit.
///
/// # Errors
/// What is allowed.
pub fn duration(value: &str) -> Result<Duration, String> {
    parse_duration(value).map_err(|_| "a whole number with the unit ms, s, m or h".to_owned())
}

/// Reads an amount of memory with its unit.
///
/// # Errors
/// What is allowed.
pub fn memory(value: &str) -> Result<MemoryMib, String> {
    value.parse().map_err(|_| "a whole number with the unit MiB or GiB".to_owned())
}

/// Checks that a number is within its range.
///
/// # Errors
/// `InvalidArgument`, naming what it is and the range.
pub fn check_range<T: PartialOrd + Display>(what: &str, value: T, least: T, most: T) -> Result<(), Error> {
    if value >= least && value <= most {
        return Ok(());
    }
    let text = format!("{what} is {value}, out of range: {least} to {most}");
    Err(Error::new(ErrorKind::InvalidArgument, text))
}
