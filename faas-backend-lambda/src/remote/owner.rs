//! Whose a function is, which its tags tell.

use std::collections::HashMap;

use faas_core::{Error, ErrorKind};

/// The tag by which the functions of this library are told from others.
const MADE_BY: (&str, &str) = ("io.faas.made-by", "faas");

/// The tag that tells the package whose action a function is. Two packages may have actions of one name.
const PACKAGE: &str = "io.faas.package";

/// The tags that a function is made with, beside those that were asked for.
pub(super) fn tags(package: &str) -> [(String, String); 2] {
    [(MADE_BY.0.to_owned(), MADE_BY.1.to_owned()), (PACKAGE.to_owned(), package.to_owned())]
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
