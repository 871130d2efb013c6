//! The URL that names a backend and configures it.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

use crate::error::{Error, ErrorKind};
use crate::units::{MemoryMib, parse_duration};

/// A backend's name with its configuration: `scheme[:rest][?key=value&…]`.
///
/// The scheme says which backend it is, in lower case; the rest, such as a path or an address, and the options
/// are the backend's own. `%` and two hex digits stand for a byte wherever another meaning is in the way: `%3F`
/// for `?` in the rest, `%26` for `&` in an option. All else, also `+`, stands for itself.
///
/// ```
/// use faas_core::backend::BackendUrl;
/// let url: BackendUrl = "local?slots=64&name=batch".parse()?;
/// assert_eq!((url.scheme(), url.rest()), ("local", ""));
/// let options = url.options(&["name", "slots"])?;
/// assert_eq!(options.number("slots", 1..=1_000_u32)?, Some(64));
/// assert_eq!(options.text("name")?, Some("batch"));
/// # Ok::<(), faas_core::Error>(())
/// ```
///
/// # Source
/// RFC 3986 §3.1 for the scheme and §2.1 for percent-encoding. Unlike there, the colon may be left out when
/// nothing comes after it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BackendUrl {
    scheme: String,
    rest: String,
    options: BTreeMap<String, String>,
}

/// What cannot stand for itself in the rest.
const REST: &AsciiSet = &CONTROLS.add(b' ').add(b'#').add(b'%').add(b'?');

/// What cannot stand for itself in the key or value of an option.
const OPTION: &AsciiSet = &REST.add(b'&').add(b'=');

impl BackendUrl {
    /// Which backend it is, such as `local`.
    #[must_use]
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// What comes between the scheme's colon and the options; empty when there is nothing.
    #[must_use]
    pub fn rest(&self) -> &str {
        &self.rest
    }

    /// Checks that nothing comes after the scheme's colon, for backends that take nothing there.
    ///
    /// # Errors
    /// `InvalidArgument`, naming what does.
    pub fn without_rest(&self) -> Result<(), Error> {
        let Self { scheme, rest, .. } = self;
        if rest.is_empty() {
            return Ok(());
        }
        Err(refused(format!("backend '{scheme}' takes nothing after '{scheme}:', but got '{rest}'")))
    }

    /// The options, of which there are none but the `allowed`.
    ///
    /// # Errors
    /// `InvalidArgument` for any other, listing the allowed ones.
    pub fn options(&self, allowed: &[&'static str]) -> Result<UrlOptions<'_>, Error> {
        let Some(unknown) = self.options.keys().find(|key| !allowed.contains(&key.as_str())) else {
            return Ok(UrlOptions(self));
        };
        let scheme = &self.scheme;
        Err(refused(match allowed {
            [] => format!("backend '{scheme}' takes no options, but got '{unknown}'"),
            _ => format!("backend '{scheme}' has no option '{unknown}'; allowed: {}", allowed.join(", ")),
        }))
    }
}

impl FromStr for BackendUrl {
    type Err = Error;

    /// Reads `scheme[:rest][?key=value&…]`. A scheme in upper case is made lower case.
    ///
    /// # Errors
    /// `InvalidArgument` for a bad scheme, an option without `=`, without a key or given twice, and bytes after
    /// `%` that are no hex digits or no UTF-8.
    fn from_str(text: &str) -> Result<Self, Error> {
        let (head, query) = text.split_once('?').unwrap_or((text, ""));
        let (scheme, rest) = head.split_once(':').unwrap_or((head, ""));
        if !is_scheme(scheme) {
            let allowed = "a letter, then letters, digits, '+', '-' and '.'";
            return Err(refused(format!("the scheme of a backend is {allowed}, but got '{scheme}'")));
        }
        let mut options = BTreeMap::new();
        for pair in query.split('&').filter(|_| !query.is_empty()) {
            let (key, value) = match pair.split_once('=') {
                Some((key, value)) if !key.is_empty() => (decode(key)?, decode(value)?),
                _ => return Err(refused(format!("an option is written key=value, but got '{pair}'"))),
            };
            if options.contains_key(&key) {
                return Err(refused(format!("option '{key}' is given twice")));
            }
            options.insert(key, value);
        }
        Ok(Self { scheme: scheme.to_ascii_lowercase(), rest: decode(rest)?, options })
    }
}

impl Display for BackendUrl {
    /// The shortest text that reads as the same URL, with the options sorted.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.scheme)?;
        if !self.rest.is_empty() {
            write!(f, ":{}", utf8_percent_encode(&self.rest, REST))?;
        }
        for (n, (key, value)) in self.options.iter().enumerate() {
            let mark = if n == 0 { '?' } else { '&' };
            write!(f, "{mark}{}={}", utf8_percent_encode(key, OPTION), utf8_percent_encode(value, OPTION))?;
        }
        Ok(())
    }
}

/// The options of a [`BackendUrl`], all of them allowed. Each is `None` when it is not given.
#[derive(Clone, Copy, Debug)]
pub struct UrlOptions<'a>(&'a BackendUrl);

impl<'a> UrlOptions<'a> {
    /// An option that is any text but an empty one.
    ///
    /// # Errors
    /// `InvalidArgument` when it is empty.
    pub fn text(&self, key: &str) -> Result<Option<&'a str>, Error> {
        match self.value(key) {
            Some("") => Err(self.not(key, "", "a text that is not empty")),
            given => Ok(given),
        }
    }

    /// An option that is a number within `range`.
    ///
    /// # Errors
    /// `InvalidArgument`, naming the range.
    pub fn number<T>(&self, key: &str, range: RangeInclusive<T>) -> Result<Option<T>, Error>
    where
        T: FromStr + PartialOrd + Display,
    {
        self.read(key, |text| {
            let number = text.parse().ok().filter(|number| range.contains(number));
            let allowed = || format!("a number from {} to {}", range.start(), range.end());
            number.ok_or_else(|| self.not(key, text, &allowed()))
        })
    }

    /// An option that is `true` or `false`.
    ///
    /// # Errors
    /// `InvalidArgument` for anything else.
    pub fn flag(&self, key: &str) -> Result<Option<bool>, Error> {
        self.read(key, |text| text.parse().map_err(|_| self.not(key, text, "true or false")))
    }

    /// An option that is a duration with its unit, such as `500ms`.
    ///
    /// # Errors
    /// `InvalidArgument` as from [`parse_duration`].
    pub fn duration(&self, key: &str) -> Result<Option<Duration>, Error> {
        self.read(key, |text| parse_duration(text).map_err(|error| self.bad(key, &error)))
    }

    /// An option that is an amount of memory with its unit, such as `256MiB`.
    ///
    /// # Errors
    /// `InvalidArgument` as from parsing a [`MemoryMib`].
    pub fn memory(&self, key: &str) -> Result<Option<MemoryMib>, Error> {
        self.read(key, |text| text.parse().map_err(|error| self.bad(key, &error)))
    }

    fn value(&self, key: &str) -> Option<&'a str> {
        self.0.options.get(key).map(String::as_str)
    }

    fn read<T>(
        &self,
        key: &str,
        parse: impl FnOnce(&'a str) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        self.value(key).map(parse).transpose()
    }

    fn not(&self, key: &str, text: &str, allowed: &str) -> Error {
        refused(format!("option '{key}' of backend '{}' is '{text}', not {allowed}", self.0.scheme))
    }

    fn bad(&self, key: &str, error: &Error) -> Error {
        refused(format!("option '{key}' of backend '{}': {}", self.0.scheme, error.message()))
    }
}

pub(super) fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
}

fn decode(text: &str) -> Result<String, Error> {
    let mut escapes = text.split('%').skip(1);
    let is_hex =
        |escape: &str| escape.as_bytes().get(..2).is_some_and(|it| it.iter().all(u8::is_ascii_hexdigit));
    if !escapes.all(is_hex) {
        return Err(refused(format!(
            "'%' comes before two hex digits and stands as '%25', but got '{text}'"
        )));
    }
    match percent_decode_str(text).decode_utf8() {
        Ok(decoded) => Ok(decoded.into_owned()),
        Err(error) => Err(refused(format!("'{text}' does not decode to UTF-8")).with_source(error)),
    }
}

fn refused(text: String) -> Error {
    Error::new(ErrorKind::InvalidArgument, text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> BackendUrl {
        text.parse().unwrap()
    }

    fn refusal(text: &str) -> String {
        let error = text.parse::<BackendUrl>().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        error.message().to_owned()
    }

    #[test]
    fn the_rest_and_the_options_may_be_left_out() {
        for text in ["local", "local:", "local?", "local:?", "LOCAL"] {
            assert_eq!(parse(text).to_string(), "local", "{text}");
        }
        let url = parse("docker:unix:///run/docker.sock?image=a:1&note=x=y?z");
        assert_eq!((url.scheme(), url.rest()), ("docker", "unix:///run/docker.sock"));
        let options = url.options(&["image", "note"]).unwrap();
        assert_eq!(options.text("image").unwrap(), Some("a:1"));
        assert_eq!(options.text("note").unwrap(), Some("x=y?z"));
    }

    #[test]
    fn escapes_stand_for_bytes_and_a_plus_for_itself() {
        let url = parse("wasm:a%3Fb%20c?k%26=%C3%A4+%3d");
        assert_eq!(url.rest(), "a?b c");
        assert_eq!(url.options(&["k&"]).unwrap().text("k&").unwrap(), Some("ä+="));
        assert_eq!(url.to_string(), "wasm:a%3Fb%20c?k%26=%C3%A4+%3D");
    }

    #[test]
    fn what_is_malformed_is_named() {
        for bad in ["", ":x", "?a=1", "1st", "a b", "ä", "-a", "a/b"] {
            assert!(refusal(bad).contains("a letter, then letters"), "{bad}");
        }
        for (bad, pair) in [("l?a", "'a'"), ("l?=1", "'=1'"), ("l?a=1&", "''"), ("l?&a=1", "''")] {
            assert!(refusal(bad).ends_with(&format!("key=value, but got {pair}")), "{bad}");
        }
        assert_eq!(refusal("l?a=1&%61=2"), "option 'a' is given twice");
        for bad in ["l:100%", "l:%4", "l:%zz", "l:%+1", "l?a=%", "l?%=a", "l:%ä"] {
            assert!(refusal(bad).contains("two hex digits"), "{bad}");
        }
        assert_eq!(refusal("l:%ff"), "'%ff' does not decode to UTF-8");
    }

    #[test]
    fn an_unknown_option_lists_the_allowed_ones() {
        let message = |allowed: &[&'static str]| {
            let error = parse("local?slot=1").options(allowed).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
            error.message().to_owned()
        };
        assert_eq!(message(&["name", "slots"]), "backend 'local' has no option 'slot'; allowed: name, slots");
        assert_eq!(message(&[]), "backend 'local' takes no options, but got 'slot'");
        let error = parse("local:there").without_rest().unwrap_err();
        assert_eq!(error.message(), "backend 'local' takes nothing after 'local:', but got 'there'");
    }

    #[test]
    fn options_are_read_with_their_units() {
        const ALL: [&str; 5] = ["n", "f", "d", "m", "t"];
        let url = parse("x?n=4&f=true&d=500ms&m=1GiB&t=text");
        let options = url.options(&ALL).unwrap();
        assert_eq!(options.number("n", 1..=4_u32).unwrap(), Some(4));
        assert_eq!(options.flag("f").unwrap(), Some(true));
        assert_eq!(options.duration("d").unwrap(), Some(Duration::from_millis(500)));
        assert_eq!(options.memory("m").unwrap(), Some(MemoryMib::new(1024)));
        assert_eq!(options.text("t").unwrap(), Some("text"));

        let url = parse("x?n=5&f=yes&d=5&m=5&t=");
        let options = url.options(&ALL).unwrap();
        let told = |error: Option<Error>| error.map(|error| error.message().to_owned()).unwrap_or_default();
        let number = options.number("n", 1..=4_u32).err();
        assert_eq!(told(number), "option 'n' of backend 'x' is '5', not a number from 1 to 4");
        assert_eq!(told(options.flag("f").err()), "option 'f' of backend 'x' is 'yes', not true or false");
        let duration = told(options.duration("d").err());
        assert!(duration.starts_with("option 'd' of backend 'x': duration '5' is not"), "{duration}");
        assert!(told(options.memory("m").err()).contains("MiB or GiB"));
        assert!(told(options.text("t").err()).contains("is '', not a text"));

        let url = parse("x");
        let options = url.options(&ALL).unwrap();
        assert_eq!(options.number::<u32>("n", 1..=4).unwrap(), None);
        assert!(options.flag("f").unwrap().is_none() && options.text("t").unwrap().is_none());
        assert!(options.duration("d").unwrap().is_none() && options.memory("m").unwrap().is_none());
    }

    proptest! {
        /// Any text, with the characters that mean something more often than chance would have them.
        #[test]
        fn any_text_is_read_or_refused(text in "([a-z:?&=%+ ]|%[0-9a-f]{2}|\\PC|[\\x00-\\x1f]){0,40}") {
            match text.parse::<BackendUrl>() {
                Ok(url) => prop_assert_eq!(&parse(&url.to_string()), &url, "prints as {}", url),
                Err(error) => prop_assert_eq!(error.kind(), ErrorKind::InvalidArgument),
            }
        }

        #[test]
        fn what_is_printed_reads_as_the_same(
            scheme in "[a-z][a-z0-9+.-]{0,8}",
            rest in any::<String>(),
            options in prop::collection::btree_map("(?s).{1,8}", any::<String>(), 0..4),
        ) {
            let url = BackendUrl { scheme, rest, options };
            prop_assert_eq!(parse(&url.to_string()), url);
        }
    }
}
