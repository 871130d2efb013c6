//! Grants: the hosts that an action may call.

use std::fmt;
use std::net::Ipv6Addr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::message::HttpRequest;
use super::target::{self, Target};
use crate::error::{Error, ErrorKind};

/// The hosts that an action may call; none unless told. Cloning shares the list.
///
/// | pattern | grants |
/// | --- | --- |
/// | `api.example.com` | that host, at port 443 of `https` and 80 of `http` |
/// | `*.example.com` | every host below it, however deep, but not `example.com` itself |
/// | `127.0.0.1:8080`, `[::1]:8080`, `*.example.com:8443` | the hosts at that port alone, with either scheme |
/// | `*` | every host at every port |
///
/// Hosts are compared as they are written, without regard to case; a name is granted wherever it leads to.
///
/// # Source
/// How patterns match: host sources of Content Security Policy Level 3, section 6.7.2.
///
/// ```
/// use faas_core::Egress;
/// let egress = Egress::none().with("*.example.com").with("127.0.0.1:8080");
/// assert!(egress.allows("https://api.example.com/v1"));
/// assert!(!egress.allows("https://api.example.com:8443/v1"));
/// assert!(!egress.allows("https://example.org/?host=api.example.com"));
/// ```
// One pointer wide, since every specification has one and most are empty.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Egress(Option<Arc<Vec<Box<str>>>>);

/// Of how many grants an error tells.
const SHOWN: usize = 8;

impl Egress {
    /// No grant at all.
    #[must_use]
    pub const fn none() -> Self {
        Self(None)
    }

    /// The same grants and the hosts of `pattern`. One that is malformed grants nothing, and is refused when the
    /// action is registered.
    #[must_use]
    pub fn with(mut self, pattern: impl Into<String>) -> Self {
        let patterns = self.0.get_or_insert_default();
        Arc::make_mut(patterns).push(pattern.into().into_boxed_str());
        self
    }

    /// The patterns, in the order in which they were added.
    pub fn patterns(&self) -> impl ExactSizeIterator<Item = &str> {
        self.0.as_deref().map_or(&[][..], Vec::as_slice).iter().map(|pattern| &**pattern)
    }

    /// Whether nothing is granted.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.0.is_none()
    }

    /// Checks that every pattern is one.
    ///
    /// # Errors
    /// `InvalidArgument`, naming the pattern and what is wrong with it.
    pub fn check_patterns(&self) -> Result<(), Error> {
        self.patterns().try_for_each(check_pattern)
    }

    /// Whether the host of a URL is granted.
    #[must_use]
    pub fn allows(&self, url: &str) -> bool {
        Target::of(url).is_ok_and(|target| self.grants(&target))
    }

    /// Checks that a request is well-formed and goes to a host that is granted.
    ///
    /// # Errors
    /// - `InvalidArgument` as of [`HttpRequest::check`].
    /// - `PermissionDenied`, naming the host and what is granted.
    pub fn check(&self, request: &HttpRequest) -> Result<(), Error> {
        let target = request.target()?;
        if self.grants(&target) {
            return Ok(());
        }
        let text = format!("host '{target}' is not granted to the action; granted: {self}");
        Err(Error::new(ErrorKind::PermissionDenied, text))
    }

    fn grants(&self, target: &Target) -> bool {
        self.patterns().any(|pattern| Pattern::parse(pattern).is_ok_and(|pattern| pattern.covers(target)))
    }
}

/// Checks one pattern of [`Egress`].
///
/// # Errors
/// `InvalidArgument`, naming the pattern and what is wrong with it.
pub fn check_pattern(pattern: &str) -> Result<(), Error> {
    Pattern::parse(pattern).map(drop).map_err(|problem| {
        let shown: String = pattern.chars().take(60).flat_map(char::escape_debug).collect();
        let text = format!(
            "egress '{shown}' is not allowed: {problem}; allowed are '*', and a host such as 'api.example.com', \
             '*.example.com' or '127.0.0.1:8080'"
        );
        Error::new(ErrorKind::InvalidArgument, text)
    })
}

/// A pattern that is read.
enum Pattern<'a> {
    Any,
    Host { host: &'a str, below: bool, port: Option<u16> },
}

impl<'a> Pattern<'a> {
    fn parse(text: &'a str) -> Result<Self, &'static str> {
        if text == "*" {
            return Ok(Self::Any);
        }
        if text.contains('/') {
            return Err("it is a host alone, without scheme and path");
        }
        let (below, authority) = match text.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (host, port) = target::split(authority)?;
        let last = host.rsplit('.').next().unwrap_or_default();
        if below && (host.starts_with('[') || last.bytes().all(|b| b.is_ascii_digit())) {
            return Err("'*.' goes before a name, not before an address");
        }
        Ok(Self::Host { host, below, port })
    }

    fn covers(&self, target: &Target) -> bool {
        let Self::Host { host, below, port } = self else { return true };
        let port_fits = port.map_or(target.is_default_port, |port| port == target.port);
        port_fits
            && if *below {
                let name = target.host();
                name.len().checked_sub(host.len()).is_some_and(|start| {
                    let (front, end) = name.as_bytes().split_at(start);
                    front.ends_with(b".") && end.eq_ignore_ascii_case(host.as_bytes())
                })
            } else {
                same_host(host, target.host())
            }
    }
}

/// IPv6 addresses have several spellings.
fn same_host(a: &str, b: &str) -> bool {
    let address = |host: &str| host.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok();
    a.eq_ignore_ascii_case(b) || address(a).is_some_and(|a| address(b) == Some(a))
}

impl<T: Into<String>> FromIterator<T> for Egress {
    fn from_iter<I: IntoIterator<Item = T>>(patterns: I) -> Self {
        patterns.into_iter().fold(Self::none(), Self::with)
    }
}

impl fmt::Display for Egress {
    /// The patterns, at most eight of them, or `none`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_none() {
            return f.write_str("none");
        }
        for (n, pattern) in self.patterns().take(SHOWN).enumerate() {
            write!(f, "{}{pattern}", if n > 0 { ", " } else { "" })?;
        }
        match self.patterns().len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, ", and {more} more"),
        }
    }
}

impl fmt::Debug for Egress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.patterns()).finish()
    }
}

impl Serialize for Egress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.patterns())
    }
}

impl<'de> Deserialize<'de> for Egress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::<String>::deserialize(deserializer).map(Self::from_iter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_grants_its_hosts_and_no_others() {
        let table: &[(&str, &[&str], &[&str])] = &[
            (
                "api.example.com",
                &[
                    "https://api.example.com",
                    "http://api.example.com/x?y=z",
                    "https://API.Example.COM:443/",
                    "http://api.example.com:80#f",
                ],
                &[
                    "https://api.example.com:8443",
                    "http://api.example.com:443",
                    "https://example.com",
                    "https://x.api.example.com",
                    "https://api.example.com.evil.org",
                    "https://evil.org/api.example.com",
                    "https://evil.org?api.example.com",
                    "https://evil.org#@api.example.com",
                    "https://api.example.com@evil.org",
                    "https://evil.org\\@api.example.com",
                    "https://api.example.com.",
                    "ftp://api.example.com",
                    "//api.example.com",
                    "api.example.com",
                ],
            ),
            (
                "*.example.com",
                &["https://a.example.com", "https://a.b.EXAMPLE.com/", "http://a_b.example.com:80"],
                &[
                    "https://example.com",
                    "https://.example.com",
                    "https://aexample.com",
                    "https://a.example.com:81",
                ],
            ),
            (
                "*.example.com:8443",
                &["https://a.example.com:8443", "http://a.example.com:8443"],
                &["https://a.example.com"],
            ),
            (
                "127.0.0.1:8080",
                &["http://127.0.0.1:8080/x"],
                &["http://127.0.0.1", "http://127.0.0.2:8080", "http://127.1:8080"],
            ),
            (
                "[::1]:8080",
                &["http://[::1]:8080", "http://[0:0:0:0:0:0:0:1]:8080"],
                &["http://[::2]:8080", "http://[::1]"],
            ),
            ("Example.com:443", &["https://example.com", "http://example.com:443"], &["http://example.com"]),
            (
                "*",
                &["https://example.com:1", "http://[::1]", "http://localhost:8080/"],
                &["ftp://example.com", "x"],
            ),
        ];
        for (pattern, allowed, refused) in table {
            check_pattern(pattern).unwrap();
            let egress = Egress::none().with(*pattern);
            for url in *allowed {
                assert!(egress.allows(url), "{pattern} does not grant {url}");
            }
            for url in *refused {
                assert!(!egress.allows(url), "{pattern} grants {url}");
            }
        }
        assert!(!Egress::none().allows("https://example.com"));
    }

    #[test]
    fn a_malformed_pattern_is_refused_by_name_and_grants_nothing() {
        let long = "a".repeat(64);
        let refused = [
            "",
            "*.",
            "**",
            "*:443",
            "*.*.com",
            "a.*.com",
            "*a.com",
            "a b",
            "a/b",
            "https://a.com",
            "a.com/",
            "a@b",
            "a.com.",
            ".com",
            "a..b",
            "-a.com",
            "a-.com",
            "a:0",
            "a:65536",
            "a:",
            "a:+80",
            "a:80:80",
            "::1",
            "[::1",
            "[::g]",
            "[::1]80",
            "*.[::1]",
            "*.0.0.1",
            "*.1",
            "größe.de",
            &long,
            "a,b",
        ];
        for pattern in refused {
            let error = Egress::none().with("ok").with(pattern).check_patterns().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
            let shown: String = pattern.chars().take(60).collect();
            assert!(error.message().starts_with(&format!("egress '{shown}' is not allowed: ")), "{error}");
            assert!(!Egress::none().with(pattern).allows("http://a/"), "{pattern:?}");
        }
    }

    #[test]
    fn a_refusal_names_the_host_and_the_grants() {
        let request = HttpRequest::get("https://evil.example:8443/token?secret=1");
        let error = Egress::none().check(&request).unwrap_err();
        assert_eq!(
            error.to_string(),
            "permission denied: host 'evil.example:8443' is not granted to the action; granted: none"
        );
        let granted: Egress = (0..10).map(|n| format!("host{n}")).collect();
        let text = granted.check(&HttpRequest::get("http://evil.example/")).unwrap_err().to_string();
        assert!(text.contains("host 'evil.example' is not granted"), "{text}");
        assert!(
            text.ends_with("granted: host0, host1, host2, host3, host4, host5, host6, host7, and 2 more"),
            "{text}"
        );
        granted.check(&HttpRequest::get("http://host9/")).unwrap();
    }

    #[test]
    fn grants_are_encoded_as_a_list_and_take_one_pointer() {
        let egress = Egress::none().with("a.com").with("*.b.com:1");
        let text = serde_json::to_string(&egress).unwrap();
        assert_eq!(text, r#"["a.com","*.b.com:1"]"#);
        assert_eq!(serde_json::from_str::<Egress>(&text).unwrap(), egress);
        assert!(serde_json::from_str::<Egress>("[]").unwrap().is_none());
        assert_eq!(size_of::<Egress>(), size_of::<usize>());
    }
}
