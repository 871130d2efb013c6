//! Whose a function is, which its tags tell.
//!
//! # Source
//! "Tag restrictions", AWS Lambda Developer Guide.

use std::collections::{BTreeMap, HashMap};

use faas_core::{Error, ErrorKind};

/// The tag by which the functions of this library are told from others.
const MADE_BY: (&str, &str) = ("io.faas.made-by", "faas");

/// The tag that tells the package whose action a function is. Two packages may have actions of one name.
const PACKAGE: &str = "io.faas.package";

/// The tag of a function whose concurrency this library reserved, and not somebody else.
pub(super) const RESERVED: (&str, &str) = ("io.faas.reserved", "true");

/// What the keys of all of these begin with.
const OWN: &str = "io.faas.";

/// How many of these a function has at most.
const OWN_TAGS: usize = 3;

/// How many tags a function has at most.
const MOST_TAGS: usize = 50;

/// The tags that a function is made with, beside those that were asked for.
pub(super) fn tags(package: &str) -> [(String, String); 2] {
    [(MADE_BY.0.to_owned(), MADE_BY.1.to_owned()), (PACKAGE.to_owned(), package.to_owned())]
}

/// Checks that AWS takes the tags that are asked for.
///
/// # Errors
/// `InvalidArgument` with what is allowed.
pub(super) fn check_asked(tags: &BTreeMap<String, String>) -> Result<(), Error> {
    let refused = |text: String| Err(Error::new(ErrorKind::InvalidArgument, text));
    let most = MOST_TAGS - OWN_TAGS;
    if tags.len() > most {
        return refused(format!("there are {} tags, and a function takes {most} beside its own", tags.len()));
    }
    for (key, value) in tags {
        let shown = key.escape_debug();
        if !(1..=128).contains(&key.chars().count()) {
            return refused(format!("the key of tag '{shown}' is not 1 to 128 characters"));
        }
        if value.chars().count() > 256 {
            return refused(format!("the value of tag '{shown}' has more than 256 characters"));
        }
        if key.to_lowercase().starts_with("aws:") || key.starts_with(OWN) {
            return refused(format!(
                "the key of tag '{shown}' is not allowed: AWS has those with aws:, this library {OWN}"
            ));
        }
    }
    Ok(())
}

/// Checks that a function with those tags may be changed for an action of the package.
///
/// # Errors
/// `AlreadyExists` for one that is somebody else's.
pub(super) fn check(name: &str, tags: &HashMap<String, String>, package: &str) -> Result<(), Error> {
    let told = |key: &str| tags.get(key).map(String::as_str);
    let text = if told(MADE_BY.0) != Some(MADE_BY.1) {
        format!(
            "function '{name}' was not made by this library: it has no tag {}={}. Choose another prefix, or adopt it as \
             an action",
            MADE_BY.0, MADE_BY.1
        )
    } else if told(PACKAGE) != Some(package) {
        let of = told(PACKAGE).map_or("no package".to_owned(), |other| format!("package '{other}'"));
        format!(
            "function '{name}' is of {of}, and the action of package '{package}'. Choose another prefix for one of them, \
             by `prefix` in the URL, FAAS_LAMBDA_PREFIX or LambdaBuilder::prefix; if the action has moved to this \
             package, set the function's tag {PACKAGE}"
        )
    } else {
        return Ok(());
    };
    Err(Error::new(ErrorKind::AlreadyExists, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_what_aws_takes() {
        let check = |pairs: &[(&str, &str)]| {
            let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
            check_asked(&pairs.iter().map(pair).collect())
        };
        let long = "\u{e4}".repeat(257);
        check(&[("team", ""), (&long[..256], &long[..512])]).unwrap();
        let keys: Vec<String> = (0..48).map(|number| number.to_string()).collect();
        let many: Vec<(&str, &str)> = keys.iter().map(|key| (key.as_str(), "x")).collect();
        check(&many[..47]).unwrap();
        for (tags, text) in [
            (&many[..], "there are 48 tags, and a function takes 47 beside its own"),
            (&[("", "x")], "the key of tag '' is not 1 to 128 characters"),
            (&[(&long[..258], "x")], "is not 1 to 128 characters"),
            (&[("team", &long)], "the value of tag 'team' has more than 256 characters"),
            (&[("aws:team", "x")], "the key of tag 'aws:team' is not allowed"),
            (&[("AWS:team", "x")], "is not allowed"),
            (&[("io.faas.made-by", "me")], "is not allowed: AWS has those with aws:, this library io.faas."),
        ] {
            let error = check(tags).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
            assert!(error.message().contains(text), "{error}");
        }
    }
}
