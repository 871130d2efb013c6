//! The arguments of `#[action(..)]`.

use proc_macro2::{Span, TokenStream, TokenTree};
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::{Error, Ident, Lit, LitStr, Token, parenthesized, token};

use crate::annotation::{self, Annotation};
use crate::errors::Errors;
use crate::{egress, name, units};

/// Every argument, with an example.
const KNOWN: &[(&str, &str)] = &[
    ("name", "name = \"greet\""),
    ("package", "package = \"orders\""),
    ("memory", "memory = \"256MiB\""),
    ("timeout", "timeout = \"30s\""),
    ("concurrency", "concurrency = 16"),
    ("retries", "retries = 3"),
    ("max_age", "max_age = \"1h\""),
    ("on_success", "on_success = \"action:thank\""),
    ("on_failure", "on_failure = \"trigger:alerts\""),
    ("blocking", "blocking"),
    ("egress", "egress = \"api.example.com\""),
    ("annotations", "annotations(team = \"billing\")"),
];

/// What `#[action(..)]` says; `None` where it says nothing.
#[derive(Default)]
pub(crate) struct Args {
    pub(crate) name: Option<String>,
    pub(crate) package: Option<String>,
    pub(crate) memory_mib: Option<u64>,
    pub(crate) timeout_ms: Option<u64>,
    pub(crate) concurrency: Option<u64>,
    pub(crate) retries: Option<u64>,
    pub(crate) max_age_ms: Option<u64>,
    pub(crate) on_success: Option<String>,
    pub(crate) on_failure: Option<String>,
    /// Where the flag stands, if it does.
    pub(crate) blocking: Option<Span>,
    pub(crate) egress: Vec<String>,
    pub(crate) annotations: Vec<Annotation>,
}

impl Args {
    /// Reads the arguments; one that is wrong is left out and reported.
    pub(crate) fn parse(tokens: TokenStream, errors: &mut Errors) -> Self {
        let mut args = Self::default();
        let mut found: Vec<Ident> = Vec::new();
        let parser = |input: ParseStream<'_>| {
            each(input, errors, |input, errors| {
                let key = argument_key(input)?;
                if found.contains(&key) {
                    return Err(Error::new(key.span(), format!("`{key}` is given twice")));
                }
                found.push(key.clone());
                args.read(&key, input, errors)
            })
        };
        let parsed = parser.parse2(tokens);
        errors.check(parsed);
        args
    }

    /// Reads what follows `key`.
    fn read(&mut self, key: &Ident, input: ParseStream<'_>, errors: &mut Errors) -> syn::Result<()> {
        match key.to_string().as_str() {
            "name" => self.name = Some(segment(key, input, name::check_segment)?),
            "package" => self.package = Some(segment(key, input, name::check_package)?),
            "memory" => self.memory_mib = Some(read_text(key, input, units::memory_mib)?),
            "timeout" => self.timeout_ms = Some(read_text(key, input, units::timeout_ms)?),
            "concurrency" => self.concurrency = Some(count(key, input, 1, 1000)?),
            "retries" => self.retries = Some(count(key, input, 0, 100)?),
            "max_age" => self.max_age_ms = Some(read_text(key, input, units::max_age_ms)?),
            "on_success" => self.on_success = Some(segment(key, input, name::check_destination)?),
            "on_failure" => self.on_failure = Some(segment(key, input, name::check_destination)?),
            "blocking" if input.peek(Token![=]) || input.peek(token::Paren) => {
                return Err(Error::new(key.span(), "`blocking` is a flag: write it without a value"));
            }
            "blocking" => self.blocking = Some(key.span()),
            "egress" => self.egress = read_text(key, input, egress::patterns)?,
            "annotations" => self.read_annotations(key, input, errors)?,
            _ => return Err(Error::new(key.span(), format!("unknown argument `{key}`: {}", allowed()))),
        }
        Ok(())
    }

    fn read_annotations(
        &mut self,
        key: &Ident,
        input: ParseStream<'_>,
        errors: &mut Errors,
    ) -> syn::Result<()> {
        if !input.peek(token::Paren) {
            return Err(malformed(key.span(), key));
        }
        let list;
        parenthesized!(list in input);
        each(&list, errors, |input, _| {
            let (span, annotation) = annotation::parse(input)?;
            if self.annotations.iter().any(|earlier| earlier.key == annotation.key) {
                return Err(Error::new(span, format!("annotation `{}` is given twice", annotation.key)));
            }
            self.annotations.push(annotation);
            Ok(())
        })
    }
}

/// Reads the elements of a list with commas. After an element that is wrong it goes on with the next one.
fn each(
    input: ParseStream<'_>,
    errors: &mut Errors,
    mut element: impl FnMut(ParseStream<'_>, &mut Errors) -> syn::Result<()>,
) -> syn::Result<()> {
    while !input.is_empty() {
        let result = element(input, errors);
        if errors.check(result).is_some() && !input.is_empty() && !input.peek(Token![,]) {
            errors.push(input.error("expected `,`"));
        }
        while !input.is_empty() && !input.peek(Token![,]) {
            input.parse::<TokenTree>()?;
        }
        input.parse::<Option<Token![,]>>()?;
    }
    Ok(())
}

fn argument_key(input: ParseStream<'_>) -> syn::Result<Ident> {
    input
        .call(Ident::parse_any)
        .map_err(|error| Error::new(error.span(), format!("expected an argument: {}", allowed())))
}

fn allowed() -> String {
    let names: Vec<_> = KNOWN.iter().map(|(name, _)| format!("`{name}`")).collect();
    format!("allowed are {}", names.join(", "))
}

fn malformed(span: Span, key: &Ident) -> Error {
    let example = KNOWN.iter().find(|(name, _)| key == name).map_or("", |(_, example)| example);
    Error::new(span, format!("`{key}` is written as in `{example}`"))
}

/// Reads `= literal`.
fn value(key: &Ident, input: ParseStream<'_>) -> syn::Result<Lit> {
    if !input.peek(Token![=]) {
        return Err(malformed(key.span(), key));
    }
    input.parse::<Token![=]>()?;
    input.parse().map_err(|error: Error| malformed(error.span(), key))
}

fn text(key: &Ident, input: ParseStream<'_>) -> syn::Result<LitStr> {
    match value(key, input)? {
        Lit::Str(text) => Ok(text),
        other => Err(malformed(other.span(), key)),
    }
}

fn segment(
    key: &Ident,
    input: ParseStream<'_>,
    check: fn(&str) -> Result<(), String>,
) -> syn::Result<String> {
    let text = text(key, input)?;
    check(&text.value()).map_err(|problem| Error::new(text.span(), problem))?;
    Ok(text.value())
}

fn read_text<T>(key: &Ident, input: ParseStream<'_>, read: fn(&str) -> Result<T, String>) -> syn::Result<T> {
    let text = text(key, input)?;
    read(&text.value()).map_err(|problem| Error::new(text.span(), problem))
}

fn count(key: &Ident, input: ParseStream<'_>, min: u64, max: u64) -> syn::Result<u64> {
    let number = match value(key, input)? {
        Lit::Int(number) => number,
        other => return Err(malformed(other.span(), key)),
    };
    match number.base10_parse() {
        Ok(count) if (min..=max).contains(&count) => Ok(count),
        _ => {
            let problem = format!("`{}` is out of range: `{key}` is from {min} to {max}", number.token());
            Err(Error::new(number.span(), problem))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Args;
    use crate::annotation::Annotation;
    use crate::errors::Errors;

    fn parse(text: &str) -> (Args, Vec<String>) {
        let mut errors = Errors::default();
        let args = Args::parse(text.parse().expect("tokens"), &mut errors);
        (args, errors.messages())
    }

    fn problems(text: &str) -> Vec<String> {
        parse(text).1
    }

    #[test]
    fn reads_every_argument_in_any_order() {
        let (args, errors) = parse(
            r#"annotations(team = "billing", "web-export" = true,), blocking, retries = 0, concurrency = 1000,
               max_age = "2 h", on_success = "action:orders/thank", on_failure = "trigger:alerts",
               egress = "a.com, *", timeout = "1h", memory = "1GiB", package = "orders", name = "charge it","#,
        );
        assert_eq!(errors, [""; 0]);
        assert_eq!(args.name.as_deref(), Some("charge it"));
        assert_eq!(args.package.as_deref(), Some("orders"));
        assert_eq!(args.memory_mib, Some(1024));
        assert_eq!(args.timeout_ms, Some(3_600_000));
        assert_eq!(args.concurrency, Some(1000));
        assert_eq!((args.retries, args.max_age_ms), (Some(0), Some(7_200_000)));
        assert_eq!(args.on_success.as_deref(), Some("action:orders/thank"));
        assert_eq!(args.on_failure.as_deref(), Some("trigger:alerts"));
        assert!(args.blocking.is_some());
        assert_eq!(args.egress, ["a.com", "*"]);
        let annotation = |key: &str, json: &str| Annotation { key: key.into(), json: json.into() };
        assert_eq!(args.annotations, [annotation("team", "\"billing\""), annotation("web-export", "true")]);
    }

    #[test]
    fn has_nothing_without_arguments() {
        let (args, errors) = parse("");
        assert_eq!(errors, [""; 0]);
        assert!(args.name.is_none() && args.memory_mib.is_none() && args.blocking.is_none());
        assert!(args.annotations.is_empty());
    }

    #[test]
    fn reports_all_errors_and_keeps_the_rest() {
        let (args, errors) = parse(
            r#"memry = "1MiB", timeout = "3d", retries = 101, name = "a/b", annotations(a = 1, a = 2, b), concurrency = 7"#,
        );
        assert_eq!(errors.len(), 6, "{errors:#?}");
        assert_eq!(args.concurrency, Some(7));
        assert_eq!(args.annotations.len(), 1);
        assert!(args.timeout_ms.is_none() && args.retries.is_none() && args.name.is_none());
    }

    #[test]
    fn an_unknown_argument_lists_the_known_ones() {
        assert_eq!(
            problems("memry = 3"),
            [
                "unknown argument `memry`: allowed are `name`, `package`, `memory`, `timeout`, `concurrency`, `retries`, \
              `max_age`, `on_success`, `on_failure`, `blocking`, `egress`, `annotations`"
            ]
        );
        assert!(problems("3 = memory")[0].starts_with("expected an argument: allowed are `name`"));
        assert!(problems("type = 3")[0].starts_with("unknown argument `type`"));
    }

    #[test]
    fn a_malformed_value_is_shown_how_to_write_it() {
        for text in ["memory", "memory = 256", "memory(256)", "memory = MEMORY", "memory ="] {
            assert_eq!(problems(text), ["`memory` is written as in `memory = \"256MiB\"`"], "{text}");
        }
        for text in ["retries = \"3\"", "retries = 1.5", "retries"] {
            assert_eq!(problems(text), ["`retries` is written as in `retries = 3`"], "{text}");
        }
        for text in ["blocking = true", "blocking()"] {
            assert_eq!(problems(text), ["`blocking` is a flag: write it without a value"], "{text}");
        }
        assert_eq!(
            problems("annotations"),
            ["`annotations` is written as in `annotations(team = \"billing\")`"]
        );
    }

    #[test]
    fn a_count_out_of_range_names_the_value_and_the_range() {
        for value in ["0", "1001", "-1", "99999999999999999999"] {
            let expected = format!("`{value}` is out of range: `concurrency` is from 1 to 1000");
            assert_eq!(problems(&format!("concurrency = {value}")), [expected]);
        }
        assert_eq!(problems("retries = 101"), ["`101` is out of range: `retries` is from 0 to 100"]);
    }

    #[test]
    fn a_destination_says_what_it_is_and_has_a_name() {
        let form = "is no destination: write `action:NAME` or `trigger:NAME`";
        for text in ["alerts", "rule:alerts", "trigger", "", "Trigger:alerts"] {
            assert_eq!(problems(&format!("on_failure = {text:?}")), [format!("`{text}` {form}")]);
        }
        assert!(problems("on_success = \"trigger:\"")[0].contains("name"));
        assert!(problems("on_success = \"trigger:a/b\"")[0].contains("name"), "a trigger is in no package");
        assert!(problems("on_success = \"action:a/b/c\"")[0].contains("name"));
    }

    #[test]
    fn each_argument_is_given_once() {
        assert_eq!(problems("memory = \"1MiB\", blocking, memory = \"2MiB\""), ["`memory` is given twice"]);
        assert_eq!(problems("blocking, blocking"), ["`blocking` is given twice"]);
        assert_eq!(problems("annotations(a = 1, \"a\" = 2)"), ["annotation `a` is given twice"]);
    }

    #[test]
    fn a_missing_comma_is_one_error() {
        assert_eq!(problems("blocking retries = 3"), ["expected `,`"]);
    }
}
