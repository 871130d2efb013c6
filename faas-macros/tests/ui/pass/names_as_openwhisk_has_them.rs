use faas_core::{Action, NamedAction, action};

macro_rules! named {
    ($($name:ident = $text:literal),*) => {
        $(#[action(name = $text, package = $text)] async fn $name() {})*
        fn main() {
            $(
                assert_eq!(<$name as NamedAction>::NAME, concat!($text, "/", $text));
                let spec = Action::spec(&$name {});
                assert_eq!((spec.name.package(), spec.name.name()), (Some($text), $text));
            )*
        }
    };
}

named![a = "a", digit = "9", underscore = "_", spaced = "a b", all = "a@b.c&d-e", at = "a@", dot = "a.", dash = "a-"];
