//! Names of namespaces and entities, by OpenWhisk's rules.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{Error, ErrorKind};

/// The longest segment of a name, in characters. Source: OpenWhisk's `EntityName` pattern.
pub const MAX_SEGMENT: usize = 256;

/// The namespace that stands for the platform's own until an entity is registered. Source: OpenWhisk.
pub const DEFAULT_NAMESPACE: &str = "_";

/// Checks one segment of a name: a namespace, a package, or an entity's own name.
///
/// # Errors
/// `InvalidArgument`, naming the segment and the rule.
///
/// # Source
/// OpenWhisk's pattern `\A([\w]|[\w][\w@ .&-]{0,254}[\w@.&-])\z`.
pub fn check_segment(segment: &str) -> Result<(), Error> {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let inner = |b: u8| word(b) || b"@ .&-".contains(&b);
    let bytes = segment.as_bytes();
    let ok = match bytes {
        [] => false,
        [first] => word(*first),
        [first, middle @ .., last] => {
            word(*first) && middle.iter().all(|b| inner(*b)) && inner(*last) && *last != b' '
        }
    };
    if ok && bytes.len() <= MAX_SEGMENT {
        return Ok(());
    }
    let shown: String = segment.chars().take(60).flat_map(char::escape_debug).collect();
    Err(Error::new(
        ErrorKind::InvalidArgument,
        format!(
            "name '{shown}' is not allowed: 1 to {MAX_SEGMENT} characters, first a letter, digit or '_', \
             then also '@', '.', '&', '-' and spaces, not ending with a space"
        ),
    ))
}

/// A namespace: the unit of quotas, of isolation and of names.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Namespace(Arc<str>);

impl Namespace {
    /// The namespace called `name`.
    ///
    /// # Errors
    /// `InvalidArgument` when the name breaks the rules of [`check_segment`].
    pub fn new(name: &str) -> Result<Self, Error> {
        check_segment(name)?;
        Ok(Self(name.into()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for Namespace {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl Serialize for Namespace {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Namespace {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::new(&text).map_err(serde::de::Error::custom)
    }
}

/// The full name of an entity, `namespace/[package/]name`.
///
/// It is read from `name`, `package/name`, `/namespace/name` and `[/]namespace/package/name`; the first
/// two leave the namespace as `_`, the platform's own.
///
/// ```
/// use faas_core::EntityName;
/// let name: EntityName = "orders/charge".parse()?;
/// assert_eq!((name.namespace(), name.package(), name.name()), ("_", Some("orders"), "charge"));
/// assert_eq!("/acme/charge".parse::<EntityName>()?.as_str(), "acme/charge");
/// # Ok::<(), faas_core::Error>(())
/// ```
#[derive(Clone)]
pub struct EntityName {
    text: Arc<str>,
    /// Where the namespace ends; the path begins one byte later.
    namespace_end: u16,
    /// Where the last segment begins.
    name_start: u16,
}

impl EntityName {
    /// The name made of its parts.
    ///
    /// # Errors
    /// `InvalidArgument` when a part breaks the rules of [`check_segment`].
    pub fn new(namespace: &str, package: Option<&str>, name: &str) -> Result<Self, Error> {
        check_segment(namespace)?;
        check_segment(name)?;
        if let Some(package) = package {
            check_segment(package)?;
        }
        let path = package.map_or(String::new(), |package| format!("{package}/"));
        Ok(Self::assemble(&format!("{namespace}/{path}{name}"), namespace.len(), name.len()))
    }

    fn assemble(text: &str, namespace_len: usize, name_len: usize) -> Self {
        let index = |n: usize| u16::try_from(n).unwrap_or(u16::MAX);
        Self {
            text: text.into(),
            namespace_end: index(namespace_len),
            name_start: index(text.len() - name_len),
        }
    }

    /// The whole name, `namespace/[package/]name`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The namespace; `_` until the entity is registered with a platform.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.text[..usize::from(self.namespace_end)]
    }

    /// The package, if the entity is in one.
    #[must_use]
    pub fn package(&self) -> Option<&str> {
        let (from, to) = (usize::from(self.namespace_end) + 1, usize::from(self.name_start));
        (from < to).then(|| &self.text[from..to - 1])
    }

    /// The last segment: the entity's own name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.text[usize::from(self.name_start)..]
    }

    /// The name without its namespace, `[package/]name`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.text[usize::from(self.namespace_end) + 1..]
    }

    /// The same name with the namespace `_` replaced by `namespace`.
    #[must_use]
    pub fn resolve(&self, namespace: &Namespace) -> Self {
        if self.namespace() != DEFAULT_NAMESPACE {
            return self.clone();
        }
        let text = format!("{namespace}/{}", self.path());
        Self::assemble(&text, namespace.as_str().len(), self.name().len())
    }
}

impl PartialEq for EntityName {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for EntityName {}

impl PartialOrd for EntityName {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for EntityName {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.text.cmp(&other.text)
    }
}

impl std::hash::Hash for EntityName {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl fmt::Display for EntityName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for EntityName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.text, f)
    }
}

impl FromStr for EntityName {
    type Err = Error;

    /// # Errors
    /// `InvalidArgument` when a segment breaks the rules or there are none, or more than three.
    fn from_str(text: &str) -> Result<Self, Error> {
        let absolute = text.starts_with('/');
        let mut segments = text.split('/').filter(|segment| !segment.is_empty());
        let parts = [segments.next(), segments.next(), segments.next(), segments.next()];
        match (absolute, parts) {
            (false, [Some(name), None, ..]) => Self::new(DEFAULT_NAMESPACE, None, name),
            (false, [Some(package), Some(name), None, _]) => {
                Self::new(DEFAULT_NAMESPACE, Some(package), name)
            }
            (true, [Some(namespace), Some(name), None, _]) => Self::new(namespace, None, name),
            (_, [Some(namespace), Some(package), Some(name), None]) => {
                Self::new(namespace, Some(package), name)
            }
            _ => Err(Error::new(
                ErrorKind::InvalidArgument,
                format!(
                    "'{text}' is not a name: use name, package/name, /namespace/name or namespace/package/name"
                ),
            )),
        }
    }
}

impl Serialize for EntityName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("/{self}"))
    }
}

impl<'de> Deserialize<'de> for EntityName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_rule_of_a_segment_holds() {
        let longest = "a".repeat(256);
        for good in ["a", "_", "0", "a b", "a@b.c", "a-b&c", "ab&", "a.", "a-", longest.as_str()] {
            assert!(check_segment(good).is_ok(), "{good}");
        }
        let too_long = "a".repeat(257);
        let bad = [
            "", " ", " a", "a ", "-a", "&a", "@a", ".a", "a?", "a#", "a=b", "a+b", "a(b)", "a{b}", "a\tb",
            "a\n", "ä", "@",
        ];
        for bad in bad.into_iter().chain([too_long.as_str()]) {
            let error = check_segment(bad).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{bad}");
            assert!(error.to_string().contains("1 to 256 characters"), "{error}");
            assert!(!error.to_string().contains('\n'), "{error}");
        }
    }

    #[test]
    fn names_are_read_in_every_form() {
        let parts = |text: &str| {
            let name: EntityName = text.parse().unwrap();
            (name.namespace().to_owned(), name.package().map(str::to_owned), name.name().to_owned())
        };
        let of =
            |ns: &str, package: Option<&str>, name: &str| (ns.into(), package.map(Into::into), name.into());
        assert_eq!(parts("greet"), of("_", None, "greet"));
        assert_eq!(parts("pkg/greet"), of("_", Some("pkg"), "greet"));
        assert_eq!(parts("/acme/greet"), of("acme", None, "greet"));
        assert_eq!(parts("/acme/pkg/greet"), of("acme", Some("pkg"), "greet"));
        assert_eq!(parts("acme/pkg/greet"), of("acme", Some("pkg"), "greet"));
        assert_eq!(parts("//acme//pkg/greet/"), of("acme", Some("pkg"), "greet"));
        for bad in ["", "/", "/acme", "a/b/c/d", "a/ b"] {
            assert!(bad.parse::<EntityName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn only_the_placeholder_is_resolved() {
        let acme = Namespace::new("acme").unwrap();
        assert_eq!("pkg/a".parse::<EntityName>().unwrap().resolve(&acme).as_str(), "acme/pkg/a");
        assert_eq!("/other/a".parse::<EntityName>().unwrap().resolve(&acme).as_str(), "other/a");
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_and_a_name_survives_the_round_trip(text in ".{0,40}") {
            if let Ok(name) = text.parse::<EntityName>() {
                let again: EntityName = format!("/{name}").parse().unwrap();
                prop_assert_eq!(&again, &name);
                prop_assert_eq!(again.package(), name.package());
            }
        }
    }
}
