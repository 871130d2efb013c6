//! Names of actions and packages.

/// The most characters that a name has.
const MAX_LEN: usize = 256;

/// Says what is wrong with `name` as the name of an action, or as one segment of a path.
///
/// # Source
/// OpenWhisk's `EntityName`: `\A([\w]|[\w][\w@ .&-]{0,254}[\w@.&-])\z`, where `\w` is an ASCII letter, a digit or
/// an underscore.
pub(crate) fn check_segment(name: &str) -> Result<(), String> {
    let (Some(first), Some(last)) = (name.chars().next(), name.chars().last()) else {
        return Err("a name has at least one character".to_owned());
    };
    let len = name.chars().count();
    if len > MAX_LEN {
        return Err(format!("a name has at most {MAX_LEN} characters, and this one has {len}"));
    }
    if let Some(refused) = name.chars().find(|c| !is_word(*c) && !"@ .&-".contains(*c)) {
        return Err(format!(
            "{refused:?} cannot be in a name: it has letters, digits and underscores (all ASCII), and `@`, `.`, `&`, `-` \
             and spaces after the first character"
        ));
    }
    if !is_word(first) {
        return Err(format!(
            "a name starts with an ASCII letter, a digit or an underscore, not with {first:?}"
        ));
    }
    if last == ' ' {
        return Err("a name does not end with a space".to_owned());
    }
    Ok(())
}

/// Says what is wrong with `name` as the name of a package: as [`check_segment`], and `default` is reserved.
pub(crate) fn check_package(name: &str) -> Result<(), String> {
    check_segment(name)?;
    if name == "default" {
        return Err("the package name `default` is reserved".to_owned());
    }
    Ok(())
}

/// Says what is wrong with `text` as a destination: `action:` or `trigger:`, and then a name, which may have a package
/// and, after a slash, a namespace.
pub(crate) fn check_destination(text: &str) -> Result<(), String> {
    let (name, packaged) = match text.split_once(':') {
        Some(("action", name)) => (name, 1),
        Some(("trigger", name)) => (name, 0),
        _ => return Err(format!("`{text}` is no destination: write `action:NAME` or `trigger:NAME`")),
    };
    let (path, least, most) = match name.strip_prefix('/') {
        Some(path) => (path, 2, 2 + packaged),
        None => (name, 1, 1 + packaged),
    };
    let segments: Vec<&str> = path.split('/').collect();
    if segments.len() < least || segments.len() > most {
        let form = if packaged == 1 { "[/namespace/][package/]name" } else { "[/namespace/]name" };
        return Err(format!("`{name}` is not such a name: write `{form}`"));
    }
    segments.into_iter().try_for_each(check_segment)
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::{check_package, check_segment};

    #[test]
    fn accepts_what_openwhisk_accepts() {
        for name in ["a", "_", "9", "a b", "a@b.c&d-e", "a@", "a.", "a&", "a-", "x_y", &"n".repeat(256)] {
            assert_eq!(check_segment(name), Ok(()), "{name:?}");
        }
    }

    #[test]
    fn refuses_what_openwhisk_refuses() {
        let refused =
            ["", " a", "a ", "-a", "&a", "@a", ".a", "a/b", "a?b", "a#b", "a=b", "a+b", "a(b)", "a{b}"];
        for name in refused.into_iter().chain(["a\tb", "a\nb", "a\n", "größe", &"n".repeat(257)]) {
            assert!(check_segment(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn says_which_character_is_refused() {
        let message = check_segment("orders/charge").unwrap_err();
        assert!(message.starts_with("'/' cannot be in a name"), "{message}");
        let message = check_segment(&"n".repeat(300)).unwrap_err();
        assert!(message.contains("at most 256") && message.contains("300"), "{message}");
    }

    #[test]
    fn reserves_the_default_package() {
        assert_eq!(check_segment("default"), Ok(()));
        assert!(check_package("default").unwrap_err().contains("reserved"));
        assert_eq!(check_package("Default"), Ok(()));
        assert!(check_package("a/b").is_err());
    }

    /// What the macro accepts must be what the platform accepts: it has no way to refuse a name later.
    #[test]
    fn agrees_with_the_core_about_every_short_name() {
        let alphabet = ['a', '9', '_', ' ', '@', '.', '&', '-', '/', '+', '\n', 'ü'];
        let mut names = vec![String::new()];
        let mut checked = 0;
        for _ in 0..4 {
            names = names.iter().flat_map(|name| alphabet.map(|c| format!("{name}{c}"))).collect();
            for name in &names {
                assert_eq!(
                    check_segment(name).is_ok(),
                    faas_core::name::check_segment(name).is_ok(),
                    "{name:?}"
                );
            }
            checked += names.len();
        }
        assert_eq!(checked, 12 + 144 + 1_728 + 20_736);
    }
}
