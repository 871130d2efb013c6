//! The hosts that an action may call: `egress = "api.example.com, *.example.org"`.

use std::net::Ipv6Addr;

/// The patterns of a list with commas, or what is wrong with one of them.
pub(crate) fn patterns(text: &str) -> Result<Vec<String>, String> {
    let pattern = |pattern: &str| {
        let pattern = pattern.trim_matches(' ');
        match check_pattern(pattern) {
            Ok(()) => Ok(pattern.to_owned()),
            Err(problem) => Err(format!("`{pattern}` is no host to call: {problem}")),
        }
    };
    text.split(',').map(pattern).collect()
}

/// Says what is wrong with `pattern`, by the rules of `faas_core::Egress`: `*`, or a host, with `*.` before it or a
/// port behind it or both.
fn check_pattern(pattern: &str) -> Result<(), &'static str> {
    if pattern == "*" {
        return Ok(());
    }
    if pattern.contains('/') {
        return Err("it is a host alone, without scheme and path");
    }
    let below = pattern.strip_prefix("*.");
    let authority = below.unwrap_or(pattern);
    let host_end = match authority.find(']') {
        Some(end) => end + 1,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, port) = authority.split_at(host_end);
    check_host(host)?;
    if !port.is_empty() {
        let digits = port.strip_prefix(':').filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()));
        let port = digits.and_then(|digits| digits.parse::<u16>().ok());
        if port.is_none_or(|port| port == 0) {
            return Err("a port is a number from 1 to 65535 after a colon");
        }
    }
    let last = host.rsplit('.').next().unwrap_or_default();
    if below.is_some() && (host.starts_with('[') || last.bytes().all(|b| b.is_ascii_digit())) {
        return Err("`*.` goes before a name, not before an address");
    }
    Ok(())
}

fn check_host(host: &str) -> Result<(), &'static str> {
    if let Some(address) = host.strip_prefix('[') {
        let parsed = address.strip_suffix(']').map(str::parse::<Ipv6Addr>);
        return if matches!(parsed, Some(Ok(_))) { Ok(()) } else { Err("it is no IPv6 address in brackets") };
    }
    if host.is_empty() || host.len() > 253 {
        return Err("a host has 1 to 253 characters");
    }
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if host.split('.').all(is_label) {
        Ok(())
    } else {
        Err("its parts between dots have 1 to 63 ASCII letters, digits, `-` and `_`, none `-` at its ends")
    }
}

#[cfg(test)]
mod tests {
    use super::{check_pattern, patterns};

    #[test]
    fn a_list_is_split_at_its_commas() {
        assert_eq!(patterns("a.com"), Ok(vec!["a.com".to_owned()]));
        assert_eq!(patterns("a.com, *.b.com:1,*"), Ok(vec!["a.com".into(), "*.b.com:1".into(), "*".into()]));
        for text in ["", ",", "a.com,", "a.com b.com"] {
            assert!(patterns(text).is_err(), "{text:?}");
        }
        let message = patterns("a.com, https://b.com").unwrap_err();
        assert_eq!(
            message,
            "`https://b.com` is no host to call: it is a host alone, without scheme and path"
        );
    }

    /// What the macro accepts must be what the platform accepts.
    #[test]
    fn agrees_with_the_core_about_every_short_pattern() {
        let alphabet = ['a', '0', '9', '*', '.', '-', ':', '[', ']', '_', '/', 'ü'];
        let mut short = vec![String::new()];
        let mut checked = 0;
        for _ in 0..5 {
            short = short.iter().flat_map(|text| alphabet.map(|c| format!("{text}{c}"))).collect();
            for pattern in &short {
                agree(pattern);
            }
            checked += short.len();
        }
        assert_eq!(checked, 12 + 144 + 1_728 + 20_736 + 248_832);
        for pattern in
            ["", "a:65535", "a:65536", "a:+80", "*.127.0.0.1", "[::1]:80", "[::ffff:1.2.3.4]", "*.x1:80"]
        {
            agree(pattern);
        }
        for length in 60..260 {
            agree(&"a".repeat(length));
            agree(&"a.".repeat(length / 2));
            agree(&"a.a".repeat(length / 3));
        }
    }

    fn agree(pattern: &str) {
        assert_eq!(
            check_pattern(pattern).is_ok(),
            faas_core::http::check_pattern(pattern).is_ok(),
            "{pattern:?}"
        );
    }
}
