//! Annotations: `annotations(team = "billing", "web-export" = true)`.

use std::fmt::Write;

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::parse::ParseStream;
use syn::{Error, Ident, Lit, LitFloat, LitInt, LitStr, Token};

/// One annotation: its key, and its value as JSON text.
#[derive(Debug, PartialEq)]
pub(crate) struct Annotation {
    pub(crate) key: String,
    pub(crate) json: String,
}

impl ToTokens for Annotation {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        let Self { key, json } = self;
        tokens.extend(quote!((#key, #json)));
    }
}

/// Reads `key = value`; the span is the key's.
pub(crate) fn parse(input: ParseStream<'_>) -> syn::Result<(Span, Annotation)> {
    let (key, span) = if input.peek(LitStr) {
        let key: LitStr = input.parse()?;
        (key.value(), key.span())
    } else if input.peek(Ident::peek_any) {
        // Keywords too: OpenWhisk gives `final` a meaning.
        let key = input.call(Ident::parse_any)?;
        (key.unraw().to_string(), key.span())
    } else {
        return Err(input.error("an annotation's key is an identifier or a string"));
    };
    if key.is_empty() || key.trim() != key {
        return Err(Error::new(span, "an annotation's key is not empty and has no space around it"));
    }
    if !input.peek(Token![=]) {
        return Err(Error::new(span, format!("annotation `{key}` has no value: write `{key} = \"…\"`")));
    }
    input.parse::<Token![=]>()?;
    let value = input.parse::<Lit>().map_err(|error| Error::new(error.span(), VALUE))?;
    Ok((span, Annotation { key, json: json(&value)? }))
}

const VALUE: &str = "an annotation's value is a string, a bool, an integer or a float";

fn json(value: &Lit) -> syn::Result<String> {
    match value {
        Lit::Str(text) => Ok(json_string(&text.value())),
        Lit::Bool(bool) => Ok(bool.value.to_string()),
        Lit::Int(number) => json_integer(number),
        Lit::Float(number) => json_float(number),
        _ => Err(Error::new_spanned(value, VALUE)),
    }
}

fn json_string(text: &str) -> String {
    let mut json = String::with_capacity(text.len() + 2);
    json.push('"');
    for c in text.chars() {
        match c {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            // Writing to a `String` cannot fail.
            c if c < ' ' => _ = write!(json, "\\u{:04x}", u32::from(c)),
            c => json.push(c),
        }
    }
    json.push('"');
    json
}

/// An integer that a reader of JSON gets back exactly.
fn json_integer(number: &LitInt) -> syn::Result<String> {
    let range = i128::from(i64::MIN)..=i128::from(u64::MAX);
    match number.base10_parse::<i128>() {
        Ok(value) if range.contains(&value) => Ok(value.to_string()),
        _ => Err(Error::new_spanned(
            number,
            format!(
                "`{number}` is out of range: an integer is from {} to {}",
                i64::MIN,
                u64::MAX,
                number = number.token()
            ),
        )),
    }
}

fn json_float(number: &LitFloat) -> syn::Result<String> {
    match number.base10_parse::<f64>() {
        // `Debug` writes a decimal point or an exponent, both of which JSON reads as a float.
        Ok(value) if value.is_finite() => Ok(format!("{value:?}")),
        _ => {
            Err(Error::new_spanned(number, format!("`{}` is out of range of a 64-bit float", number.token())))
        }
    }
}

#[cfg(test)]
mod tests {
    use syn::parse::Parser;

    use super::{Annotation, parse};

    fn read(text: &str) -> Result<Annotation, String> {
        let annotation = (|input: syn::parse::ParseStream<'_>| parse(input)).parse_str(text);
        annotation.map(|(_, annotation)| annotation).map_err(|error| error.to_string())
    }

    fn json(value: &str) -> Result<String, String> {
        read(&format!("key = {value}")).map(|annotation| annotation.json)
    }

    #[test]
    fn writes_each_kind_of_value_as_json() {
        assert_eq!(json(r#""billing""#).as_deref(), Ok(r#""billing""#));
        assert_eq!(json("true").as_deref(), Ok("true"));
        assert_eq!(json("3").as_deref(), Ok("3"));
        assert_eq!(json("-3").as_deref(), Ok("-3"));
        assert_eq!(json("0xff_u8").as_deref(), Ok("255"));
        assert_eq!(json("1_000").as_deref(), Ok("1000"));
        assert_eq!(json("2.50").as_deref(), Ok("2.5"));
        assert_eq!(json("-1.").as_deref(), Ok("-1.0"));
        assert_eq!(json("1e300").as_deref(), Ok("1e300"));
        assert_eq!(json("18446744073709551615").as_deref(), Ok("18446744073709551615"));
        assert_eq!(json("-9223372036854775808").as_deref(), Ok("-9223372036854775808"));
    }

    #[test]
    fn escapes_strings() {
        assert_eq!(json(r#""a\"b\\c\n\u{7}ü""#).as_deref(), Ok(r#""a\"b\\c\u000a\u0007ü""#));
    }

    #[test]
    fn refuses_numbers_that_json_readers_would_change() {
        assert!(json("18446744073709551616").unwrap_err().contains("out of range"));
        assert!(json("-9223372036854775809").unwrap_err().contains("out of range"));
        assert!(json("1e999").unwrap_err().contains("out of range"));
    }

    #[test]
    fn reads_keys_as_identifiers_keywords_or_strings() {
        for (text, key) in
            [("team = 1", "team"), ("final = 1", "final"), ("r#type = 1", "type"), ("\"a-b c\" = 1", "a-b c")]
        {
            assert_eq!(read(text).map(|annotation| annotation.key).as_deref(), Ok(key));
        }
        for text in ["\"\" = 1", "\" a\" = 1", "3 = 1", "team", "team = 'c'", "team = x", "team = b\"x\""] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
