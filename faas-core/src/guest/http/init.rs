//! `POST /init`: binds the program to one of its actions.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

use super::server::{Answer, Server};
use super::wire::{Envelope, Init, InitValue};
use crate::action::ActionSpec;
use crate::context::Host;
use crate::guest::{Guest, Reply};
use crate::outcome::Outcome;

/// The variable by which OpenWhisk tells the whole name of an action: `/namespace/[package/]name`.
const ACTION_NAME: &str = "__OW_ACTION_NAME";

impl Server {
    pub(super) async fn init(&self, body: &Bytes, enveloped: bool) -> Answer {
        let init = match serde_json::from_slice::<Init>(body) {
            Ok(init) => init.value,
            Err(error) => {
                return Answer::error(StatusCode::BAD_REQUEST, format!("the request is malformed: {error}"));
            }
        };
        if self.begun.set(()).is_err() {
            return Answer::error(StatusCode::FORBIDDEN, "Cannot initialize the action more than once.");
        }
        if enveloped {
            self.output.label();
        }
        match self.ready(init).await {
            Ok(guest) => {
                let _ = self.guest.set(guest);
                Answer::json(StatusCode::OK, &json!({ "ok": true }))
            }
            Err(reply) if enveloped => {
                let (header, body) = Envelope::pack(reply);
                Answer { status: StatusCode::BAD_GATEWAY, envelope: Some(header), body }
            }
            Err(reply) => {
                self.seal();
                Answer::error(StatusCode::BAD_GATEWAY, reply.outcome.error().unwrap_or_default())
            }
        }
    }

    /// The action that is asked for, initialised; or the developer error, with what was logged.
    async fn ready(&self, init: InitValue) -> Result<Guest, Reply> {
        let guest = self.bind(init).map_err(|text| Reply::of(Outcome::developer_error(text)))?;
        let init = guest.init();
        let began = init.context().map(|cx| self.output.begin(Arc::clone(&cx.0)));
        let ready = init.await;
        drop(began);
        ready.map(|()| guest)
    }

    /// The action that is asked for, bound to its code.
    fn bind(&self, mut init: InitValue) -> Result<Guest, String> {
        if init.code.as_ref().is_some_and(|code| !code.is_empty()) {
            return Err("this image has its code within it and takes no other".to_owned());
        }
        let own = (self.actions)().into_specs();
        let spec = match init.faas.take() {
            Some(told) => {
                let found = own.iter().find(|spec| spec.name.path() == told.name.path());
                let code = found.ok_or_else(|| unknown(told.name.path(), &own))?.code.clone();
                ActionSpec { code, ..*told }
            }
            None => {
                let mut spec = chosen(&own, &init).ok_or_else(|| unknown(&init.name, &own))?.clone();
                spec.env = init.env.into_iter().map(text).collect::<BTreeMap<_, _>>();
                spec
            }
        };
        let host: Arc<dyn Host> = Arc::clone(&self.host) as _;
        Guest::new(Arc::new(spec), host).map_err(|error| error.message().to_owned())
    }
}

/// The action that a foreign host means: the one called as its `main`, as its name with or without the package, or the
/// only one there is.
fn chosen<'a>(own: &'a [ActionSpec], init: &InitValue) -> Option<&'a ActionSpec> {
    let whole = init.env.get(ACTION_NAME).and_then(Value::as_str).unwrap_or_default();
    let path = whole.strip_prefix('/').and_then(|whole| whole.split_once('/')).map_or("", |(_, path)| path);
    let called = |name: &str| own.iter().find(|spec| !name.is_empty() && spec.name.path() == name);
    let only = || own.first().filter(|_| own.len() == 1);
    called(&init.main).or_else(|| called(path)).or_else(|| called(&init.name)).or_else(only)
}

fn unknown(name: &str, own: &[ActionSpec]) -> String {
    let known: Vec<&str> = own.iter().map(|spec| spec.name.path()).collect();
    format!("this image has no action called '{name}'; it has: {}", known.join(", "))
}

/// A variable of the environment: text as it is, nothing as no text, all else as JSON.
fn text((key, value): (String, Value)) -> (String, String) {
    let value = match value {
        Value::String(text) => text,
        Value::Null => String::new(),
        value => value.to_string(),
    };
    (key, value)
}
