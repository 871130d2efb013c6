//! What can be told from the spelling of a type.

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::{GenericArgument, PathArguments, PathSegment, Type};

const SCALARS: &[&str] = &[
    "bool", "char", "str", "String", "u8", "u16", "u32", "u64", "u128", "usize", "i8", "i16", "i32", "i64",
    "i128", "isize", "f32", "f64",
];
/// Types whose JSON is that of their last parameter (or, for `Option`, `null`).
const TRANSPARENT: &[&str] = &["Arc", "Box", "Cow", "Option", "Rc"];

/// The type inside parentheses, and inside the invisible ones around a macro's `$t:ty`.
pub(crate) fn peeled(ty: &Type) -> &Type {
    match ty {
        Type::Group(group) => peeled(&group.elem),
        Type::Paren(paren) => peeled(&paren.elem),
        _ => ty,
    }
}

/// The last segment of a path; `None` for what is not a path.
pub(crate) fn last_segment(ty: &Type) -> Option<&PathSegment> {
    match peeled(ty) {
        Type::Path(path) => path.path.segments.last(),
        _ => None,
    }
}

/// The first type among the generic arguments of the last segment.
pub(crate) fn first_type_argument(segment: &PathSegment) -> Option<&Type> {
    type_arguments(segment).next()
}

/// Whether the type is known to be neither object nor array in JSON. `false` says nothing: an alias hides what it
/// stands for.
pub(crate) fn is_scalar(ty: &Type) -> bool {
    match peeled(ty) {
        Type::Reference(reference) => is_scalar(&reference.elem),
        Type::Path(path) if path.qself.is_none() => {
            let segments = &path.path.segments;
            let (Some(first), Some(last)) = (segments.first(), segments.last()) else { return false };
            if segments.len() > 1 && !["std", "core", "alloc"].iter().any(|root| first.ident == root) {
                return false;
            }
            if last.arguments.is_none() {
                return SCALARS.iter().any(|scalar| last.ident == scalar);
            }
            let transparent = TRANSPARENT.iter().any(|wrapper| last.ident == wrapper);
            transparent && type_arguments(last).last().is_some_and(is_scalar)
        }
        _ => false,
    }
}

/// Whether the type has a reference or an elided lifetime in it; `&'static` is let through.
pub(crate) fn is_borrowed(ty: &Type) -> bool {
    any_window(ty.to_token_stream(), |first, second, third| match first {
        '&' => !(second == "'" && third == "static"),
        '\'' => second == "_",
        _ => false,
    })
}

/// Whether `impl Trait` is in the type.
pub(crate) fn has_impl_trait(ty: &Type) -> bool {
    flat(ty.to_token_stream()).iter().any(|token| token == "impl")
}

fn any_window(tokens: TokenStream, found: impl Fn(char, &str, &str) -> bool) -> bool {
    let tokens = flat(tokens);
    let text = |at: usize| tokens.get(at).map_or("", String::as_str);
    (0..tokens.len())
        .any(|at| text(at).chars().next().is_some_and(|first| found(first, text(at + 1), text(at + 2))))
}

/// The text of each token, those inside brackets included and the brackets left out.
fn flat(tokens: TokenStream) -> Vec<String> {
    let mut all = Vec::new();
    for token in tokens {
        match token {
            TokenTree::Group(group) => all.extend(flat(group.stream())),
            token => all.push(token.to_string()),
        }
    }
    all
}

fn type_arguments(segment: &PathSegment) -> impl Iterator<Item = &Type> {
    let list = match &segment.arguments {
        PathArguments::AngleBracketed(list) => Some(&list.args),
        _ => None,
    };
    list.into_iter().flatten().filter_map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use syn::parse_str;

    use super::{has_impl_trait, is_borrowed, is_scalar};

    #[test]
    fn knows_scalars_by_their_spelling() {
        for ty in [
            "bool",
            "char",
            "u8",
            "i128",
            "usize",
            "f64",
            "String",
            "std::string::String",
            "::std::string::String",
            "core::primitive::u32",
            "&str",
            "&'static str",
            "&String",
            "Cow<str>",
            "Cow<'static, str>",
            "std::borrow::Cow<'_, str>",
            "Box<str>",
            "Option<u32>",
            "(u32)",
            "Option<Box<String>>",
        ] {
            assert!(is_scalar(&parse_str(ty).expect("a type")), "{ty}");
        }
    }

    #[test]
    fn lets_other_types_through() {
        for ty in [
            "()",
            "Vec<u8>",
            "[u8; 4]",
            "(u8, u8)",
            "Reply",
            "my::String",
            "HashMap<String, u32>",
            "Value",
            "Bytes",
            "Option<Reply>",
            "Cow<'static, [u8]>",
            "String<u8>",
            "<u32 as Trait>::Output",
        ] {
            assert!(!is_scalar(&parse_str(ty).expect("a type")), "{ty}");
        }
    }

    #[test]
    fn sees_what_is_borrowed() {
        for ty in ["&str", "&mut Reply", "Reply<'_>", "Vec<&str>", "(u8, &'a u8)", "[Cow<'_, str>; 2]"] {
            assert!(is_borrowed(&parse_str(ty).expect("a type")), "{ty}");
        }
        for ty in ["Reply", "Vec<&'static str>", "Cow<'static, str>", "Reply<'static>"] {
            assert!(!is_borrowed(&parse_str(ty).expect("a type")), "{ty}");
        }
    }

    #[test]
    fn sees_impl_trait() {
        assert!(has_impl_trait(&parse_str("Result<Vec<impl Serialize>, E>").expect("a type")));
        assert!(!has_impl_trait(&parse_str("Result<Implementation, E>").expect("a type")));
    }
}
