//! The function that `#[action]` stands on, and how it is called.

use proc_macro2::TokenTree;
use quote::ToTokens;
use syn::parse::{Parse, ParseStream};
use syn::{Attribute, Error, FnArg, ReturnType, Safety, Signature, Type, Visibility, token};

use crate::data_type::{first_type_argument, has_impl_trait, is_borrowed, is_scalar, last_segment, peeled};
use crate::errors::Errors;

/// All of a function but its body, which is neither parsed nor changed: so an editor can complete in a body that
/// does not parse yet.
pub(crate) struct Head {
    pub(crate) attrs: Vec<Attribute>,
    pub(crate) vis: Visibility,
    pub(crate) sig: Signature,
}

impl Parse for Head {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let read = |input: ParseStream<'_>| {
            let head =
                Self { attrs: input.call(Attribute::parse_outer)?, vis: input.parse()?, sig: input.parse()? };
            if !input.peek(token::Brace) {
                return Err(input.error("expected a body"));
            }
            input.parse::<TokenTree>()?;
            Ok(head)
        };
        read(input).map_err(|error| {
            Error::new(error.span(), format!("`#[action]` goes on a function, `async fn` or `fn`: {error}"))
        })
    }
}

/// How an action's function is called.
pub(crate) struct Call {
    pub(crate) is_async: bool,
    pub(crate) takes_context: bool,
    /// The type of the input, where the function takes one.
    pub(crate) input: Option<Type>,
    pub(crate) output: Output,
}

/// What an action's function returns.
pub(crate) enum Output {
    /// `()`, because no type is written.
    Nothing,
    /// The type itself.
    Value(Type),
    /// Some `Result`, by its name.
    Fallible(Type),
}

impl Call {
    /// Reads how the function is called, if it can be an action.
    pub(crate) fn of(sig: &Signature, errors: &mut Errors) -> Option<Self> {
        let before = errors.len();
        check_qualifiers(sig, errors);
        let (takes_context, input) = parameters(sig, errors);
        let output = errors.check(output(&sig.output))?;
        (errors.len() == before).then_some(Self {
            is_async: sig.asyncness.is_some(),
            takes_context,
            input,
            output,
        })
    }
}

fn check_qualifiers(sig: &Signature, errors: &mut Errors) {
    let mut refuse = |tokens: &dyn ToTokens, problem| errors.push(Error::new_spanned(tokens, problem));
    if let Some(constness) = &sig.constness {
        refuse(constness, "an action cannot be `const`: write `async fn` or `fn`");
    }
    if let Safety::Unsafe(unsafety) = &sig.safety {
        refuse(unsafety, "an action cannot be `unsafe`: the platform calls it with any input that decodes");
    }
    if let Some(abi) = &sig.abi {
        refuse(abi, "an action cannot be `extern`: write `async fn` or `fn`");
    }
    if !sig.generics.params.is_empty() {
        refuse(
            &sig.generics,
            "an action cannot have generic parameters or lifetimes: name each type, and own the data",
        );
    }
    if let Some(clause) = &sig.generics.where_clause {
        refuse(clause, "an action cannot have a `where` clause: name each type");
    }
    if let Some(variadic) = &sig.variadic {
        refuse(
            variadic,
            "an action cannot be variadic: it takes `cx: &Context` or nothing, then at most one input",
        );
    }
}

/// Whether the context is taken, and the type of the input.
fn parameters(sig: &Signature, errors: &mut Errors) -> (bool, Option<Type>) {
    let mut takes_context = false;
    let mut input = None;
    for (at, parameter) in sig.inputs.iter().enumerate() {
        let ty = match parameter {
            FnArg::Receiver(receiver) => {
                let problem = "an action cannot take `self`: write a free function, and share state through `cx.state()`";
                errors.push(Error::new_spanned(receiver, problem));
                continue;
            }
            FnArg::Typed(parameter) => &*parameter.ty,
        };
        match parameter_kind(ty) {
            Ok(Parameter::Context) if at == 0 => takes_context = true,
            Ok(Parameter::Context) => {
                errors.push(Error::new_spanned(ty, "the context is the first parameter: `cx: &Context`"));
            }
            Ok(Parameter::Input) if input.is_none() => input = Some(ty.clone()),
            Ok(Parameter::Input) => {
                let problem = "an action takes at most one input: put the values into one struct";
                errors.push(Error::new_spanned(parameter, problem));
            }
            Err(error) => errors.push(error),
        }
    }
    (takes_context, input)
}

enum Parameter {
    Context,
    Input,
}

fn parameter_kind(ty: &Type) -> syn::Result<Parameter> {
    let is_context = |ty: &Type| last_segment(ty).is_some_and(|segment| segment.ident == "Context");
    let refuse = |problem: &str| Err(Error::new_spanned(ty, problem));
    match peeled(ty) {
        Type::Reference(reference) if is_context(&reference.elem) => {
            let named = reference.lifetime.as_ref().is_some_and(|lifetime| lifetime.ident != "_");
            if named || reference.mutability.is_some() {
                return refuse("the context is a plain shared reference: `cx: &Context`");
            }
            Ok(Parameter::Context)
        }
        ty if is_context(ty) => refuse("the context is taken by reference: `cx: &Context`"),
        ty if has_impl_trait(ty) => {
            refuse("an action's input has a named type: `impl Trait` cannot be decoded into")
        }
        ty if is_scalar(ty) && !matches!(ty, Type::Reference(_)) => {
            refuse("an action's input is a JSON object: take a struct, a map, `serde_json::Value` or `()`")
        }
        ty if is_borrowed(ty) => refuse(
            "an action owns its input: take a type without references or lifetimes (only the context, `cx: &Context`, \
             is borrowed)",
        ),
        _ => Ok(Parameter::Input),
    }
}

fn output(output: &ReturnType) -> syn::Result<Output> {
    let ReturnType::Type(_, ty) = output else { return Ok(Output::Nothing) };
    let refuse = |problem: &str| Err(Error::new_spanned(ty, problem));
    let segment = last_segment(ty);
    let ok = segment.filter(|segment| segment.ident == "Result").and_then(first_type_argument).unwrap_or(ty);
    if is_scalar(ok) {
        let problem = "an action returns a JSON object or array, never a scalar: return a struct, a map, a `Vec`, \
                       `serde_json::Value` or `()`";
        return Err(Error::new_spanned(ok, problem));
    }
    if matches!(peeled(ok), Type::Never(_)) {
        return refuse("an action returns to its caller: `!` is not a result");
    }
    if has_impl_trait(ty) {
        return refuse(
            "an action's output has a named type: `impl Trait` is not allowed (for a future write `async fn`)",
        );
    }
    if is_borrowed(ty) {
        return refuse("an action's output owns its data: return a type without references or lifetimes");
    }
    let ty = ty.as_ref().clone();
    Ok(match segment {
        Some(segment) if segment.ident.to_string().ends_with("Result") => Output::Fallible(ty),
        _ => Output::Value(ty),
    })
}
