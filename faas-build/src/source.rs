//! Where a resolved package comes from, as an entry of `[dependencies]`.
//!
//! The shim has to name `faas-core` in a way that cargo resolves to the same package as the crate's own entry:
//! two copies of core would be two sets of types, and the crate's actions would not fit the shim's exports.

use cargo_metadata::Package;
use faas_core::{Error, ErrorKind};
use toml::{Table, Value};

/// The names of crates.io's index: the one in git, by which lock files call it, and the sparse one.
const CRATES_IO: [&str; 2] =
    ["registry+https://github.com/rust-lang/crates.io-index", "sparse+https://index.crates.io/"];

/// The entry that resolves to this very package.
///
/// A branch or a tag is named as such, and not by the revision that it stands for: to cargo these are different
/// sources. The lock file holds it to the revision.
pub(crate) fn dependency(package: &Package) -> Result<Table, Error> {
    let Some(source) = &package.source else {
        let folder = package.manifest_path.parent().unwrap_or(&package.manifest_path);
        return Ok(table([("path", folder.as_str())]));
    };
    located(&source.repr, &package.version.to_string()).ok_or_else(|| {
        let text = format!("{} comes from a kind of source that is not known here: {source}", package.name);
        Error::new(ErrorKind::Unsupported, text)
    })
}

fn located(source: &str, version: &str) -> Option<Table> {
    let version = format!("={version}");
    if CRATES_IO.contains(&source) {
        return Some(table([("version", version.as_str())]));
    }
    if let Some(index) = source.strip_prefix("registry+") {
        return Some(table([("version", version.as_str()), ("registry-index", index)]));
    }
    if source.starts_with("sparse+") {
        return Some(table([("version", version.as_str()), ("registry-index", source)]));
    }
    let git = source.strip_prefix("git+")?;
    let git = git.split_once('#').map_or(git, |(git, _revision)| git);
    let Some((url, selector)) = git.rsplit_once('?') else { return Some(table([("git", git)])) };
    let (kind, name) = selector.split_once('=')?;
    ["branch", "tag", "rev"].contains(&kind).then(|| table([("git", url), (kind, name)]))
}

fn table<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Table {
    pairs.into_iter().map(|(key, value)| (key.to_owned(), Value::from(value))).collect()
}

#[cfg(test)]
mod tests {
    use super::located;

    fn entry(source: &str) -> String {
        located(source, "0.1.2").expect("a known source").to_string().replace('\n', " ").trim_end().to_owned()
    }

    #[test]
    fn a_registry_gives_the_exact_version() {
        for index in super::CRATES_IO {
            assert_eq!(entry(index), r#"version = "=0.1.2""#);
        }
        assert_eq!(
            entry("registry+https://example.com/index"),
            r#"registry-index = "https://example.com/index" version = "=0.1.2""#
        );
        assert_eq!(
            entry("sparse+https://example.com/index/"),
            r#"registry-index = "sparse+https://example.com/index/" version = "=0.1.2""#
        );
    }

    #[test]
    fn git_keeps_the_selector_and_leaves_the_revision_to_the_lock_file() {
        assert_eq!(entry("git+https://example.com/a#0f0f"), r#"git = "https://example.com/a""#);
        assert_eq!(
            entry("git+https://example.com/a?branch=feature/x#0f0f"),
            r#"branch = "feature/x" git = "https://example.com/a""#
        );
        assert_eq!(entry("git+file:///a?tag=v1#0f0f"), r#"git = "file:///a" tag = "v1""#);
        assert_eq!(entry("git+file:///a?rev=0f0f#0f0f"), r#"git = "file:///a" rev = "0f0f""#);
    }

    #[test]
    fn other_sources_are_refused() {
        assert!(located("directory+file:///vendor", "1.0.0").is_none());
        assert!(located("git+file:///a?depth=1#0f", "1.0.0").is_none());
    }
}
