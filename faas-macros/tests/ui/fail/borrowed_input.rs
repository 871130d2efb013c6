use faas_core::action;

use std::borrow::Cow;
use std::collections::HashMap;

#[action]
async fn reference(input: &HashMap<String, u32>) {
    let _ = input;
}

#[action]
async fn within(input: HashMap<String, Cow<'_, str>>) {
    let _ = input;
}

fn main() {}
