//! What `#[action]` adds beside the function.

use proc_macro2::{Ident, Literal, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Attribute, Error, Expr, ExprLit, Lit, Meta};

use crate::args::Args;
use crate::errors::Errors;
use crate::name;
use crate::signature::{Call, Head, Output};

/// The function as it was written, the action beside it, and an error for each mistake. A mistake in the arguments
/// alone leaves the action in place, so that it is the only error that is shown.
pub(crate) fn expand(args: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let args = Args::parse(args, &mut errors);
    let action = errors.check(syn::parse2(item.clone())).and_then(|head| action(&head, &args, &mut errors));
    let errors = errors.into_compile_errors();
    quote!(#item #action #errors)
}

fn action(head: &Head, args: &Args, errors: &mut Errors) -> Option<TokenStream> {
    let function = &head.sig.ident;
    if let (Some(flag), Some(_)) = (args.blocking, head.sig.asyncness) {
        errors
            .push(Error::new(flag, "`blocking` needs a plain `fn`: an `async fn` does not block its thread"));
    }
    let name = args.name.clone().unwrap_or_else(|| function.unraw().to_string());
    if let (None, Err(problem)) = (&args.name, name::check_segment(&name)) {
        errors.push(Error::new(function.span(), format!("{problem}; name the action with `name = \"…\"`")));
    }
    let call = Call::of(&head.sig, errors)?;

    let handle = handle(head, &name);
    let declaration = declaration(&name, args, &description(&head.attrs));
    let action_impl = action_impl(function, &call, &declaration);
    let full_name = args.package.as_ref().map_or_else(|| name.clone(), |package| format!("{package}/{name}"));
    let cfgs = head.attrs.iter().filter(|attr| attr.path().is_ident("cfg"));
    Some(quote! {
        #handle

        #(#cfgs)*
        #[allow(deprecated, reason = "a deprecated action is still an action")]
        const _: () = {
            #action_impl

            #[automatically_derived]
            impl ::faas_core::NamedAction for #function {
                const NAME: &'static ::core::primitive::str = #full_name;
            }
        };
    })
}

/// The type that stands for the action. Because of its braces the function stays the only value of this name.
fn handle(head: &Head, name: &str) -> TokenStream {
    let Head { attrs, vis, sig } = head;
    let function = &sig.ident;
    let attrs = attrs.iter().filter(|attr| attr.path().is_ident("cfg") || is_doc_hidden(attr));
    let doc = format!("The action `{name}`: the function `{function}` as something that can be registered.");
    // Located at the function's name, where the compiler then says that it is already taken.
    let definition = quote_spanned!(site(function)=> #vis struct #function {});
    quote! {
        #(#attrs)*
        #[doc = #doc]
        #[allow(non_camel_case_types, unreachable_pub, reason = "it has the name and the visibility of its function")]
        #[derive(::core::clone::Clone, ::core::marker::Copy, ::core::fmt::Debug)]
        #definition
    }
}

fn declaration(name: &str, args: &Args, description: &str) -> TokenStream {
    let number = |number: Option<u64>| option(number.map(Literal::u64_unsuffixed));
    let package = option(args.package.as_ref());
    let (memory_mib, timeout_ms) = (number(args.memory_mib), number(args.timeout_ms));
    let (concurrency, retries) = (number(args.concurrency), number(args.retries));
    let max_age_ms = number(args.max_age_ms);
    let (on_success, on_failure) = (option(args.on_success.as_ref()), option(args.on_failure.as_ref()));
    let blocking = args.blocking.is_some();
    let (egress, annotations) = (&args.egress, &args.annotations);
    quote! {
        ::faas_core::__private::declare(::faas_core::__private::Declaration {
            name: #name,
            package: #package,
            memory_mib: #memory_mib,
            timeout_ms: #timeout_ms,
            concurrency: #concurrency,
            retries: #retries,
            max_age_ms: #max_age_ms,
            on_success: #on_success,
            on_failure: #on_failure,
            blocking: #blocking,
            egress: &[#(#egress),*],
            annotations: &[#(#annotations),*],
            description: #description,
        })
    }
}

fn option(value: Option<impl ToTokens>) -> TokenStream {
    match value {
        Some(value) => quote!(::core::option::Option::Some(#value)),
        None => quote!(::core::option::Option::None),
    }
}

/// The implementation of `Action`. Each part that the user's types can break is located at them.
fn action_impl(function: &Ident, call: &Call, declaration: &TokenStream) -> TokenStream {
    let input = match &call.input {
        Some(ty) => quote_spanned!(site(ty)=> type Input = #ty;),
        None => quote!(
            type Input = ();
        ),
    };
    let output = match &call.output {
        Output::Nothing => quote!(
            type Output = ();
        ),
        Output::Value(ty) => quote_spanned!(site(ty)=> type Output = #ty;),
        Output::Fallible(ty) => {
            quote_spanned!(site(ty)=> type Output = <#ty as ::faas_core::__private::Fallible>::Output;)
        }
    };
    let method = call_method(function, call);
    quote! {
        #[automatically_derived]
        impl ::faas_core::Action for #function {
            #input
            #output

            fn spec(&self) -> ::faas_core::ActionSpec {
                #declaration
            }

            #method
        }
    }
}

/// `Action::call`. It is located at the function's name, so that the compiler complains there of a future that is not
/// `Send`; its own names are hygienic, so that the function may be called `cx` or `input`.
fn call_method(function: &Ident, call: &Call) -> TokenStream {
    let site = site(function);
    let cx = Ident::new(if call.takes_context { "cx" } else { "_cx" }, site);
    let input = Ident::new(if call.input.is_some() { "input" } else { "_input" }, site);
    let cx_argument = call.takes_context.then(|| quote!(&#cx,));
    let input_argument = call.input.as_ref().map(|_| &input);
    let awaited = call.is_async.then(|| quote_spanned!(site=> .await));
    let returned = quote_spanned!(site=> #function(#cx_argument #input_argument) #awaited);
    let result = match &call.output {
        Output::Nothing | Output::Value(_) => quote_spanned!(site=> ::core::result::Result::Ok(#returned)),
        Output::Fallible(ty) => {
            let result = quote_spanned!(self::site(ty)=> <#ty as ::faas_core::__private::Fallible>::into_result(#returned));
            quote_spanned!(self::site(ty)=> ::faas_core::__private::boxed(#result))
        }
    };
    quote_spanned! {site=>
        fn call(
            &self,
            #cx: ::faas_core::Context,
            #input: Self::Input,
        ) -> impl ::core::future::Future<
            Output = ::core::result::Result<Self::Output, ::faas_core::BoxError>,
        > + ::core::marker::Send {
            async move { #result }
        }
    }
}

fn site(located_at: &impl Spanned) -> Span {
    Span::mixed_site().located_at(located_at.span())
}

/// The text of the doc comment, its lines trimmed.
fn description(attrs: &[Attribute]) -> String {
    let mut lines = Vec::new();
    for attr in attrs {
        if let Meta::NameValue(doc) = &attr.meta
            && doc.path.is_ident("doc")
            && let Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) = &doc.value
        {
            let text = text.value();
            // A blank line of a doc comment is an attribute without any text.
            lines.extend(text.lines().map(|line| line.trim().to_owned()));
            if text.is_empty() {
                lines.push(String::new());
            }
        }
    }
    lines.join("\n").trim().to_owned()
}

fn is_doc_hidden(attr: &Attribute) -> bool {
    matches!(&attr.meta, Meta::List(list) if list.path.is_ident("doc") && list.tokens.to_string() == "hidden")
}

#[cfg(test)]
mod tests {
    use syn::parse_quote;

    use super::{description, expand};

    #[test]
    fn the_description_is_the_doc_comment() {
        let attrs: Vec<syn::Attribute> = vec![
            parse_quote!(#[doc = " Charges a card. "]),
            parse_quote!(#[doc = ""]),
            parse_quote!(#[must_use]),
            parse_quote!(#[doc(alias = "pay")]),
            parse_quote!(#[doc = " Once.\n   Not twice."]),
            parse_quote!(#[doc = include_str!("x.md")]),
            parse_quote!(#[doc = ""]),
        ];
        assert_eq!(description(&attrs), "Charges a card.\n\nOnce.\nNot twice.");
        assert_eq!(description(&[]), "");
    }

    #[test]
    fn the_function_is_emitted_as_it_was_even_when_there_is_an_error() {
        // The body is no valid Rust: it is not looked at.
        let item = "# [inline] pub (crate) async fn greet (x : Greet) -> Reply { half a . }";
        for args in ["", "memory = \"1 furlong\""] {
            let tokens = expand(args.parse().expect("tokens"), item.parse().expect("tokens")).to_string();
            assert!(tokens.starts_with(item), "{tokens}");
            assert_eq!(tokens.contains("compile_error"), !args.is_empty(), "{tokens}");
            assert!(tokens.contains("impl :: faas_core :: Action for greet"), "{tokens}");
        }
    }

    #[test]
    fn there_is_no_action_beside_a_function_that_cannot_be_one() {
        let item = "fn answer () -> u32 { 42 }";
        let tokens = expand("".parse().expect("tokens"), item.parse().expect("tokens")).to_string();
        assert!(tokens.starts_with(item) && tokens.contains("compile_error"), "{tokens}");
        assert!(!tokens.contains("faas_core"), "{tokens}");
    }
}
