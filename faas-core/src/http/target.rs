//! Where a request goes: the host and the port of its URL.

use std::fmt;
use std::net::Ipv6Addr;

use ::http::Uri;
use ::http::uri::{Authority, Scheme};

/// Host and port of a URL that is allowed.
#[derive(Debug)]
pub(crate) struct Target {
    /// What is connected to is what was checked.
    pub(crate) uri: Uri,
    /// Where the host ends within the authority.
    host_end: usize,
    pub(crate) port: u16,
    /// Whether the port is the scheme's own.
    pub(crate) is_default_port: bool,
}

impl Target {
    /// Reads a URL, or says what is wrong with it. What it says shows no more of the URL than scheme and host, since
    /// the rest may be secret.
    ///
    /// # Source
    /// RFC 9110, section 4.2: of user information in a URL (4.2.4) it says to take it for an error.
    pub(crate) fn of(url: &str) -> Result<Self, String> {
        let uri: Uri = url.parse().map_err(|error| format!("the URL is malformed: {error}"))?;
        let default_port = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => 443,
            Some(scheme) if *scheme == Scheme::HTTP => 80,
            Some(scheme) => {
                return Err(format!("the URL's scheme is '{scheme}', but has to be http or https"));
            }
            None => return Err("the URL is not absolute: it begins with http:// or https://".into()),
        };
        let authority = authority(&uri);
        if authority.contains('@') {
            return Err("the URL has credentials in front of its host: they belong into a header".into());
        }
        let (host, port) =
            split(authority).map_err(|problem| format!("the URL's host '{authority}': {problem}"))?;
        let host_end = host.len();
        let port = port.unwrap_or(default_port);
        Ok(Self { host_end, port, is_default_port: port == default_port, uri })
    }

    pub(crate) fn host(&self) -> &str {
        &authority(&self.uri)[..self.host_end]
    }
}

/// The host, and its port where one is given.
fn authority(uri: &Uri) -> &str {
    uri.authority().map_or("", Authority::as_str)
}

impl fmt::Display for Target {
    /// The host, and the port unless it is the scheme's own.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.host())?;
        if self.is_default_port { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

/// Splits `host[:port]` and checks both, or says what is wrong.
pub(super) fn split(authority: &str) -> Result<(&str, Option<u16>), &'static str> {
    let host_end = match authority.find(']') {
        Some(end) => end + 1,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, port) = authority.split_at(host_end);
    check_host(host)?;
    let Some(digits) = port.strip_prefix(':') else {
        return if port.is_empty() { Ok((host, None)) } else { Err(PORT) };
    };
    let port = digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse::<u16>().ok()).flatten();
    port.filter(|port| *port > 0).map(|port| (host, Some(port))).ok_or(PORT)
}

const PORT: &str = "a port is a number from 1 to 65535 after a colon";

/// Checks a name or an address of a host.
///
/// # Source
/// RFC 1123, section 2.1, and RFC 1035, section 2.3.4, for lengths; '_' is in use beyond them.
fn check_host(host: &str) -> Result<(), &'static str> {
    if let Some(address) = host.strip_prefix('[') {
        let parsed = address.strip_suffix(']').map(str::parse::<Ipv6Addr>);
        return if matches!(parsed, Some(Ok(_))) { Ok(()) } else { Err("it is no IPv6 address in brackets") };
    }
    if host.is_empty() {
        return Err("it is empty");
    }
    if host.len() > 253 {
        return Err("it is longer than 253 characters");
    }
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(word)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if host.split('.').all(is_label) {
        Ok(())
    } else {
        Err("its parts between dots have 1 to 63 ASCII letters, digits, '-' and '_', none '-' at its ends")
    }
}
