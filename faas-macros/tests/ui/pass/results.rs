#[path = "../support.rs"]
mod support;

use std::{fmt, io};

use faas_core::{ActionError, BoxError, Status, action};
use serde_json::{Value, json};

type OrderResult<T> = Result<T, Refused>;

#[derive(Debug)]
struct Refused;

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the card was refused")
    }
}

impl std::error::Error for Refused {}

#[action]
async fn std_result(input: Value) -> Result<Value, Refused> {
    if input["pay"] == true { Ok(input) } else { Err(Refused) }
}

#[action]
async fn alias() -> OrderResult<Vec<u32>> {
    Err(Refused)
}

#[action]
fn io_result() -> io::Result<()> {
    Err(io::Error::other("the disk is full"))
}

#[action]
async fn full_path() -> ::core::result::Result<Vec<u32>, String> {
    Err("a text".to_owned())
}

#[action]
async fn literal() -> Result<Vec<u32>, &'static str> {
    Err("a literal")
}

#[action]
async fn boxed() -> Result<Vec<u32>, BoxError> {
    Err(Refused.into())
}

#[action]
async fn structured() -> Result<(), ActionError> {
    Err(ActionError::json(json!({"code": 402})))
}

fn main() {
    assert_eq!(support::result(std_result {}, json!({"pay": true})), json!({"pay": true}));
    for (outcome, error) in [
        (support::run(std_result {}, json!({})), "the card was refused"),
        (support::run(alias {}, json!({})), "the card was refused"),
        (support::run(io_result {}, json!({})), "the disk is full"),
        (support::run(full_path {}, json!({})), "a text"),
        (support::run(literal {}, json!({})), "a literal"),
        (support::run(boxed {}, json!({})), "the card was refused"),
        (support::run(structured {}, json!({})), r#"{"code":402}"#),
    ] {
        assert_eq!(outcome.status(), Status::ApplicationError);
        assert_eq!(outcome.error().as_deref(), Some(error));
    }
}
