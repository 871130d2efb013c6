//! Programs that use `#[action]` right, and run, and programs that use it wrong, and are told so.

#[test]
fn right_uses_compile_and_run() {
    trybuild::TestCases::new().pass("tests/ui/pass/*.rs");
}

#[test]
fn wrong_uses_are_explained() {
    trybuild::TestCases::new().compile_fail("tests/ui/fail/*.rs");
}
