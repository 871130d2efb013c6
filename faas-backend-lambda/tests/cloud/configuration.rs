//! What a version of a function is configured with, and how it becomes ready.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::http::Response;

/// What becomes of a change, after it was looked at for so many times.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fate {
    pub(crate) looks: u32,
    /// Why it fails, if it does.
    pub(crate) failure: Option<&'static str>,
}

/// Whether a version can be invoked, or $LATEST changed.
#[derive(Clone, Debug)]
pub(super) enum State {
    Ready,
    /// It is being made.
    Made(Fate),
    /// It is being changed.
    Changed(Fate),
}

#[derive(Clone, Debug)]
pub(super) struct Configuration {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) zip: Bytes,
    pub(super) sha256: String,
    pub(super) revision: String,
    pub(super) memory: u64,
    pub(super) timeout: u64,
    pub(super) variables: BTreeMap<String, String>,
    pub(super) role: String,
    pub(super) runtime: String,
    pub(super) handler: String,
    pub(super) architecture: String,
    pub(super) state: State,
}

/// The account and the region of everything here.
pub(super) const ARN: &str = "arn:aws:lambda:eu-west-1:123456789012:function:";

impl Configuration {
    /// Is ready at once if nothing has to be waited for.
    pub(super) fn settle(&mut self) {
        if let State::Made(fate) | State::Changed(fate) = &self.state
            && fate.looks == 0
        {
            self.look();
        }
    }

    /// Lets one look at it pass.
    pub(super) fn look(&mut self) {
        if let State::Made(fate) | State::Changed(fate) = &mut self.state {
            if fate.looks > 0 {
                fate.looks -= 1;
            } else if fate.failure.is_none() {
                self.state = State::Ready;
            }
        }
    }

    /// Why it can be neither changed, published nor invoked now, if so.
    pub(super) fn busy(&self) -> Option<Response> {
        let text = match &self.state {
            State::Made(fate) if fate.looks > 0 || fate.failure.is_none() => format!(
                "The operation cannot be performed at this time. The function is currently in the following state: \
                 Pending: {}",
                self.name
            ),
            State::Changed(fate) if fate.looks > 0 || fate.failure.is_none() => format!(
                "The operation cannot be performed at this time. An update is in progress for resource: {ARN}{}",
                self.name
            ),
            _ => return None,
        };
        Some(Response::refusal(409, "ResourceConflictException", &text))
    }

    pub(super) fn set_code(&mut self, zip: Bytes) {
        self.sha256 = STANDARD.encode(Sha256::digest(&zip));
        self.zip = zip;
    }

    /// Takes over what is said of the configuration, if it is within Lambda's ranges.
    pub(super) fn set(&mut self, said: &Value) -> Result<(), Response> {
        if let Some(memory) = said["MemorySize"].as_u64() {
            self.memory = within("memorySize", memory, 128, 10_240)?;
        }
        if let Some(timeout) = said["Timeout"].as_u64() {
            self.timeout = within("timeout", timeout, 1, 900)?;
        }
        if let Some(variables) = said["Environment"]["Variables"].as_object() {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            self.variables = variables.iter().map(|(name, value)| (name.clone(), text(value))).collect();
            let measured = serde_json::to_string(&self.variables).unwrap();
            if measured.len() > 4096 {
                let text = format!(
                    "Lambda was unable to configure your environment variables because the environment variables you \
                     have provided exceeded the 4KB limit. String measured: {measured}"
                );
                return Err(Response::refusal(400, "InvalidParameterValueException", &text));
            }
        }
        let texts =
            [("Role", &mut self.role), ("Runtime", &mut self.runtime), ("Handler", &mut self.handler)];
        for (name, place) in texts {
            if let Some(text) = said[name].as_str() {
                text.clone_into(place);
            }
        }
        if let Some(architecture) = said["Architectures"][0].as_str() {
            architecture.clone_into(&mut self.architecture);
        }
        Ok(())
    }

    /// Whether a version of the one is a version of the other.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let settings = |of: &Self| (of.memory, of.timeout, of.role.clone(), of.architecture.clone());
        self.sha256 == other.sha256 && self.variables == other.variables && settings(self) == settings(other)
    }

    pub(super) fn json(&self) -> Value {
        let qualifier = if self.version == "$LATEST" { String::new() } else { format!(":{}", self.version) };
        let (state, update, reason) = match &self.state {
            State::Ready => ("Active", "Successful", None),
            State::Made(Fate { looks: 0, failure: Some(reason) }) => ("Failed", "Failed", Some(reason)),
            State::Made(_) => ("Pending", "InProgress", None),
            State::Changed(Fate { looks: 0, failure: Some(reason) }) => ("Active", "Failed", Some(reason)),
            State::Changed(_) => ("Active", "InProgress", None),
        };
        let mut json = json!({
            "FunctionName": self.name, "FunctionArn": format!("{ARN}{}{qualifier}", self.name),
            "Version": self.version, "CodeSha256": self.sha256, "CodeSize": self.zip.len(),
            "RevisionId": self.revision, "MemorySize": self.memory, "Timeout": self.timeout,
            "Role": self.role, "Runtime": self.runtime, "Handler": self.handler,
            "Architectures": [self.architecture], "Environment": { "Variables": self.variables },
            "PackageType": "Zip", "LastModified": "2026-01-01T00:00:00.000+0000",
            "State": state, "LastUpdateStatus": update,
        });
        if let Some(reason) = reason {
            json["StateReason"] = json!(reason);
            json["LastUpdateStatusReason"] = json!(reason);
        }
        json
    }
}

fn within(what: &str, value: u64, least: u64, most: u64) -> Result<u64, Response> {
    if (least..=most).contains(&value) {
        return Ok(value);
    }
    let text = format!(
        "1 validation error detected: Value '{value}' at '{what}' failed to satisfy constraint: Member must have value \
         between {least} and {most}"
    );
    Err(Response::refusal(400, "ValidationException", &text))
}
