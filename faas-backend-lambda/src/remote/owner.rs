//! Whose a function is, which its tags tell.

use std::collections::HashMap;

use faas_core::{Error, ErrorKind};

/// The tag by which the functions of this library are told from others.
const MADE_BY: (&str, &str) = ("io.faas.made-by", "faas");

/// The tags that a function is made with, beside those that were asked for.
pub(super) fn tags() -> [(String, String); 1] {
    [(MADE_BY.0.to_owned(), MADE_BY.1.to_owned())]
}

/// Checks that a function with those tags may be changed.
///
/// # Errors
/// `AlreadyExists` for one that is somebody else's.
pub(super) fn check(name: &str, tags: &HashMap<String, String>) -> Result<(), Error> {
    if tags.get(MADE_BY.0).is_some_and(|by| by == MADE_BY.1) {
        return Ok(());
    }
    let text = format!(
        "function '{name}' was not made by this library: it has no tag {}={}. Choose another prefix, or adopt it as an \
         action",
        MADE_BY.0, MADE_BY.1
    );
    Err(Error::new(ErrorKind::AlreadyExists, text))
}
