//! A function with its versions and aliases.

use std::collections::BTreeMap;

use serde_json::{Value, json};

pub(crate) use super::configuration::Fate;
use super::configuration::{ARN, Configuration};
use super::http::Response;

pub(super) struct Function {
    pub(super) latest: Configuration,
    pub(super) versions: BTreeMap<u64, Configuration>,
    /// The number of the version that was published last.
    pub(super) published: u64,
    pub(super) aliases: BTreeMap<String, Alias>,
    pub(super) tags: BTreeMap<String, String>,
    pub(super) reserved: Option<u64>,
    pub(super) provisioned: BTreeMap<String, Provisioned>,
    /// How many invocations run.
    pub(super) running: u64,
}

#[derive(Clone)]
pub(super) struct Alias {
    pub(super) version: String,
    pub(super) revision: String,
}

/// Environments that are made ahead.
#[derive(Clone)]
pub(super) struct Provisioned {
    pub(super) requested: u64,
    pub(super) fate: Fate,
}

pub(super) fn not_found(what: &str) -> Response {
    let text = format!("Function not found: {ARN}{what}");
    Response::refusal(404, "ResourceNotFoundException", &text)
}

impl Function {
    pub(super) fn new(latest: Configuration, tags: BTreeMap<String, String>) -> Self {
        Self {
            latest,
            versions: BTreeMap::new(),
            published: 0,
            aliases: BTreeMap::new(),
            tags,
            reserved: None,
            provisioned: BTreeMap::new(),
            running: 0,
        }
    }

    /// All of it, without revisions.
    pub(super) fn summary(&self) -> Value {
        let plain = |of: &Configuration| {
            let mut json = of.json();
            json["RevisionId"].take();
            json
        };
        let versions: BTreeMap<_, _> = self.versions.iter().map(|(number, of)| (number, plain(of))).collect();
        let aliases: BTreeMap<_, _> =
            self.aliases.iter().map(|(name, alias)| (name, &alias.version)).collect();
        let provisioned: BTreeMap<_, _> =
            self.provisioned.iter().map(|(version, of)| (version, of.requested)).collect();
        json!({
            "latest": plain(&self.latest), "versions": versions, "aliases": aliases, "tags": self.tags,
            "reserved": self.reserved, "provisioned": provisioned,
        })
    }

    /// What a version or an alias leads to; none of both is $LATEST.
    pub(super) fn configuration(&mut self, qualifier: Option<&str>) -> Result<&mut Configuration, Response> {
        let missing = not_found(&format!("{}:{}", self.latest.name, qualifier.unwrap_or_default()));
        let qualifier = match qualifier {
            None | Some("$LATEST") => return Ok(&mut self.latest),
            Some(qualifier) => self.aliases.get(qualifier).map_or(qualifier, |alias| &alias.version),
        };
        let number = qualifier.parse::<u64>().ok();
        number.and_then(|number| self.versions.get_mut(&number)).ok_or(missing)
    }

    /// Publishes $LATEST, unless the last version is the same.
    pub(super) fn publish(&mut self, revision: String, fate: Fate) -> &Configuration {
        let is_published =
            self.versions.get(&self.published).is_some_and(|version| version.is_same(&self.latest));
        if !is_published {
            self.published += 1;
            let mut version = self.latest.clone();
            version.version = self.published.to_string();
            version.revision = revision;
            if fate.looks > 0 || fate.failure.is_some() {
                version.state = super::configuration::State::Made(fate);
            }
            self.versions.insert(self.published, version);
        }
        &self.versions[&self.published]
    }

    /// Takes a version away.
    pub(super) fn delete(&mut self, qualifier: &str) -> Result<(), Response> {
        let name = &self.latest.name;
        let aliases = self.aliases.iter().filter(|(_, alias)| alias.version == qualifier);
        let aliases: Vec<&str> = aliases.map(|(name, _)| name.as_str()).collect();
        if !aliases.is_empty() {
            let text =
                format!("Unable to delete version because the following aliases reference it: {aliases:?}");
            return Err(Response::refusal(409, "ResourceConflictException", &text));
        }
        let number = qualifier.parse::<u64>().ok();
        let gone = number.and_then(|number| self.versions.remove(&number));
        self.provisioned.remove(qualifier);
        gone.map(drop).ok_or_else(|| not_found(&format!("{name}:{qualifier}")))
    }

    pub(super) fn alias_json(&self, name: &str) -> Option<Value> {
        let Alias { version, revision } = self.aliases.get(name)?;
        let arn = format!("{ARN}{}:{name}", self.latest.name);
        Some(
            json!({ "AliasArn": arn, "Name": name, "FunctionVersion": version, "Description": "", "RevisionId": revision }),
        )
    }
}

impl Provisioned {
    /// Lets one look at it pass, and tells what it is.
    pub(super) fn look(&mut self) -> Value {
        let (status, available) = match &self.fate {
            Fate { looks: 0, failure: None } => ("READY", self.requested),
            Fate { looks: 0, failure: Some(_) } => ("FAILED", 0),
            _ => ("IN_PROGRESS", 0),
        };
        self.fate.looks = self.fate.looks.saturating_sub(1);
        let mut json = json!({
            "RequestedProvisionedConcurrentExecutions": self.requested,
            "AvailableProvisionedConcurrentExecutions": available,
            "AllocatedProvisionedConcurrentExecutions": available,
            "Status": status,
            "LastModified": "2026-01-01T00:00:00+0000",
        });
        if let ("FAILED", Some(reason)) = (status, self.fate.failure) {
            json["StatusReason"] = json!(reason);
        }
        json
    }
}
