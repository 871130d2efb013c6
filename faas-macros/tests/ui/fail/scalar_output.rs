use faas_core::action;

use std::borrow::Cow;

#[action]
async fn number() -> u32 {
    3
}

#[action]
async fn text() -> Result<String, std::io::Error> {
    Ok(String::new())
}

#[action]
async fn literal() -> &'static str {
    ""
}

#[action]
fn flag() -> std::result::Result<bool, String> {
    Ok(true)
}

#[action]
fn cow() -> Cow<'static, str> {
    "".into()
}

#[action]
fn maybe() -> Option<f64> {
    None
}

fn main() {}
