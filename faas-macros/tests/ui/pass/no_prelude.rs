#[path = "../support.rs"]
mod support;

// Nothing of the standard prelude, and other things by the names of its types.
mod bare {
    #![no_implicit_prelude]
    #![allow(dead_code, reason = "the names alone matter")]

    mod core {}
    mod std {}
    mod serde {}
    struct Option;
    struct Some;
    struct Result;
    struct Context;
    trait Send {}
    trait Action {}

    /// Has a context of its own path.
    #[::faas_core::action(package = "bare", retries = 1, annotations(a = "b"))]
    pub async fn one(cx: &::faas_core::Context, _: ()) -> ::std::vec::Vec<u32> {
        let _ = cx;
        <[u32]>::to_vec(&[1])
    }

    #[::faas_core::action]
    pub fn two() -> ::core::result::Result<[u32; 1], &'static str> {
        ::core::result::Result::Ok([2])
    }
}

fn main() {
    use faas_core::NamedAction;
    use serde_json::json;

    assert_eq!(<bare::one as NamedAction>::NAME, "bare/one");
    assert_eq!(support::result(bare::one {}, json!({})), json!([1]));
    assert_eq!(support::result(bare::two {}, json!({})), json!([2]));
}
