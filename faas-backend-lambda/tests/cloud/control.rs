//! The control plane: its calls by method and path, and what they do.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};

use super::configuration::{ARN, Configuration, State};
use super::function::{Alias, Fate, Function, Provisioned, not_found};
use super::http::{Request, Response};
use super::script::Call;

/// What is there, and how it behaves.
pub(crate) struct Plane {
    pub(super) functions: BTreeMap<String, Function>,
    /// What lies in buckets, by `bucket/key`.
    pub(crate) objects: BTreeMap<String, Bytes>,
    /// What comes of functions that are made, of changes, of versions, and of environments that are made ahead.
    pub(crate) on_create: Fate,
    pub(crate) on_update: Fate,
    pub(crate) on_publish: Fate,
    pub(crate) on_provision: Fate,
    /// How often roles are not known yet.
    pub(crate) unknown_roles: u32,
    /// The code with which tags are withheld, as from who may not list them.
    pub(crate) withholds_tags: Option<&'static str>,
    /// How many versions a page of a list has.
    pub(crate) page: usize,
    /// The next revision.
    revision: u64,
}

impl Default for Plane {
    fn default() -> Self {
        Self {
            functions: BTreeMap::new(),
            objects: BTreeMap::new(),
            on_create: Fate::default(),
            on_update: Fate::default(),
            on_publish: Fate::default(),
            on_provision: Fate::default(),
            unknown_roles: 0,
            withholds_tags: None,
            page: 50,
            revision: 0,
        }
    }
}

type Answered = Result<Response, Response>;

/// What a request asks for.
pub(super) fn call(request: &Request) -> Call {
    let parts: Vec<&str> = request.path.iter().map(String::as_str).collect();
    let operation = match (request.method.as_str(), parts.as_slice()) {
        ("GET", ["2016-08-19", "account-settings"]) => "GetAccountSettings",
        ("POST", ["2015-03-31", "functions"]) => "CreateFunction",
        ("GET", ["2015-03-31", "functions", _]) => "GetFunction",
        ("DELETE", ["2015-03-31", "functions", _]) => "DeleteFunction",
        ("GET", ["2015-03-31", "functions", _, "configuration"]) => "GetFunctionConfiguration",
        ("PUT", ["2015-03-31", "functions", _, "configuration"]) => "UpdateFunctionConfiguration",
        ("PUT", ["2015-03-31", "functions", _, "code"]) => "UpdateFunctionCode",
        ("POST", ["2015-03-31", "functions", _, "versions"]) => "PublishVersion",
        ("GET", ["2015-03-31", "functions", _, "versions"]) => "ListVersionsByFunction",
        ("POST", ["2015-03-31", "functions", _, "aliases"]) => "CreateAlias",
        ("GET", ["2015-03-31", "functions", _, "aliases", _]) => "GetAlias",
        ("PUT", ["2015-03-31", "functions", _, "aliases", _]) => "UpdateAlias",
        ("DELETE", ["2015-03-31", "functions", _, "aliases", _]) => "DeleteAlias",
        ("POST", ["2015-03-31", "functions", _, "invocations"]) => "Invoke",
        ("PUT", ["2017-10-31", "functions", _, "concurrency"]) => "PutFunctionConcurrency",
        ("DELETE", ["2017-10-31", "functions", _, "concurrency"]) => "DeleteFunctionConcurrency",
        ("GET", ["2019-09-30", "functions", _, "concurrency"]) => "GetFunctionConcurrency",
        ("GET", ["2019-09-30", "functions", _, "provisioned-concurrency"]) => {
            "GetProvisionedConcurrencyConfig"
        }
        ("PUT", ["2019-09-30", "functions", _, "provisioned-concurrency"]) => {
            "PutProvisionedConcurrencyConfig"
        }
        ("DELETE", ["2019-09-30", "functions", _, "provisioned-concurrency"]) => {
            "DeleteProvisionedConcurrencyConfig"
        }
        ("POST", ["2017-03-31", "tags", _]) => "TagResource",
        ("DELETE", ["2017-03-31", "tags", _]) => "UntagResource",
        ("GET", ["2017-03-31", "tags", _]) => "ListTags",
        ("HEAD", _) => "HeadObject",
        ("PUT", _) => "PutObject",
        _ => "Unknown",
    };
    Call {
        operation,
        method: request.method.clone(),
        path: format!("/{}", request.path.join("/")),
        qualifier: qualifier(request).map(str::to_owned),
        signed_by: request.signed_by().unwrap_or_default(),
    }
}

fn qualifier(request: &Request) -> Option<&str> {
    request.asked("Qualifier").or_else(|| name(request).1)
}

/// The name of the function that a request is about, of which its ARN may be told instead, and the qualifier in that.
pub(super) fn name(request: &Request) -> (&str, Option<&str>) {
    let told = request.path.get(2).map_or("", String::as_str);
    let whole = told.rsplit_once(":function:").map_or(told, |(_, name)| name);
    whole.split_once(':').map_or((whole, None), |(name, qualifier)| (name, Some(qualifier)))
}

fn refusal(status: u16, code: &str, message: &str) -> Response {
    Response::refusal(status, code, message)
}

/// Refuses a change that was decided by what was there before.
fn check_revision(said: &Value, revision: &str) -> Result<(), Response> {
    match said["RevisionId"].as_str() {
        Some(told) if told != revision => Err(refusal(
            412,
            "PreconditionFailedException",
            "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to \
             retrieve the latest Revision Id",
        )),
        _ => Ok(()),
    }
}

impl Plane {
    /// Answers a call.
    pub(super) fn answer(&mut self, operation: &str, request: &Request) -> Response {
        let answered = match operation {
            "GetAccountSettings" => Ok(Response::json(
                200,
                &json!({ "AccountLimit": { "ConcurrentExecutions": 1000 }, "AccountUsage": {} }),
            )),
            "CreateFunction" => self.create(request),
            "GetFunction" => self.found(request),
            "GetFunctionConfiguration" => self.configuration(request),
            "DeleteFunction" => self.delete(request),
            "UpdateFunctionCode" => self.update_code(request),
            "UpdateFunctionConfiguration" => self.update_configuration(request),
            "PublishVersion" => self.publish(request),
            "ListVersionsByFunction" => self.versions(request),
            "CreateAlias" | "GetAlias" | "UpdateAlias" | "DeleteAlias" => self.alias(operation, request),
            "PutFunctionConcurrency" | "DeleteFunctionConcurrency" | "GetFunctionConcurrency" => {
                self.concurrency(operation, request)
            }
            "GetProvisionedConcurrencyConfig"
            | "PutProvisionedConcurrencyConfig"
            | "DeleteProvisionedConcurrencyConfig" => self.provisioned(operation, request),
            "TagResource" | "UntagResource" | "ListTags" => self.tags(operation, request),
            "HeadObject" | "PutObject" => Ok(self.object(operation, request)),
            _ => Err(Response::new(404, "<UnknownOperationException/>")),
        };
        answered.unwrap_or_else(|refused| refused)
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.functions.keys().cloned().collect()
    }

    pub(super) fn summary(&self) -> Value {
        let functions = self.functions.iter().map(|(name, function)| (name.clone(), function.summary()));
        Value::Object(functions.collect())
    }

    /// Deletes all functions.
    pub(crate) fn clear(&mut self) {
        self.functions.clear();
    }

    /// Makes all functions somebody else's, who has no tags.
    pub(crate) fn untag(&mut self) {
        self.functions.values_mut().for_each(|function| function.tags.clear());
    }

    /// Has somebody reserve so much for each function by hand.
    pub(crate) fn reserve(&mut self, count: u64) {
        self.functions.values_mut().for_each(|function| function.reserved = Some(count));
    }

    pub(super) fn function(&mut self, request: &Request) -> Result<&mut Function, Response> {
        let name = name(request).0;
        self.functions.get_mut(name).ok_or_else(|| not_found(name))
    }

    /// A revision that nothing had before.
    fn revised(&mut self) -> String {
        self.revision += 1;
        format!("00000000-0000-4000-8000-{:012}", self.revision)
    }

    /// The code that a request brings along or that lies in a bucket.
    fn code(&self, said: &Value) -> Result<Bytes, Response> {
        if let Some(zip) = said["ZipFile"].as_str() {
            let zip = STANDARD.decode(zip).unwrap_or_default();
            return match zip.len() {
                0 => Err(refusal(
                    400,
                    "InvalidParameterValueException",
                    "Uploaded file must be a non-empty zip",
                )),
                size if size > 50 << 20 => Err(refusal(
                    413,
                    "RequestEntityTooLargeException",
                    "Request must be smaller than 70167211 bytes",
                )),
                _ => Ok(zip.into()),
            };
        }
        let key = [&said["S3Bucket"], &said["S3Key"]].map(|part| part.as_str().unwrap_or_default()).join("/");
        self.objects.get(&key).cloned().ok_or_else(|| {
            refusal(
                400,
                "InvalidParameterValueException",
                "Error occurred while GetObject. S3 Error Code: NoSuchKey",
            )
        })
    }

    /// Whether Lambda can assume a role.
    fn check_role(&mut self, said: &Value) -> Result<(), Response> {
        if said["Role"].is_null() || self.unknown_roles == 0 {
            return Ok(());
        }
        self.unknown_roles -= 1;
        let text = "The role defined for the function cannot be assumed by Lambda.";
        Err(refusal(400, "InvalidParameterValueException", text))
    }

    fn create(&mut self, request: &Request) -> Answered {
        let said = request.json();
        let name = said["FunctionName"].as_str().unwrap_or_default().to_owned();
        if self.functions.contains_key(&name) {
            return Err(refusal(
                409,
                "ResourceConflictException",
                &format!("Function already exist: {name}"),
            ));
        }
        if !(1..=64).contains(&name.len()) {
            return Err(refusal(400, "ValidationException", "functionName is too long"));
        }
        self.check_role(&said)?;
        let zip = self.code(&said["Code"])?;
        let state = State::Made(self.on_create.clone());
        let mut made = Configuration {
            name: name.clone(),
            version: "$LATEST".to_owned(),
            zip: Bytes::new(),
            sha256: String::new(),
            revision: self.revised(),
            memory: 128,
            timeout: 3,
            variables: BTreeMap::new(),
            role: String::new(),
            runtime: String::new(),
            handler: String::new(),
            architecture: "x86_64".to_owned(),
            state,
        };
        made.set_code(zip);
        made.set(&said)?;
        made.settle();
        let tags = serde_json::from_value(said["Tags"].clone()).unwrap_or_default();
        let answer = Response::json(201, &made.json());
        self.functions.insert(name, Function::new(made, tags));
        Ok(answer)
    }

    fn found(&mut self, request: &Request) -> Answered {
        let withheld = self.withholds_tags;
        let function = self.function(request)?;
        let configuration = function.configuration(qualifier(request))?;
        configuration.look();
        let mut json = json!({ "Configuration": configuration.json(), "Code": { "RepositoryType": "S3" } });
        if let Some(code) = withheld {
            let text = "User is not authorized to perform: lambda:ListTags";
            json["TagsError"] = json!({ "ErrorCode": code, "Message": text });
        } else if !function.tags.is_empty() {
            json["Tags"] = json!(function.tags);
        }
        if let Some(reserved) = function.reserved {
            json["Concurrency"] = json!({ "ReservedConcurrentExecutions": reserved });
        }
        Ok(Response::json(200, &json))
    }

    fn configuration(&mut self, request: &Request) -> Answered {
        let configuration = self.function(request)?.configuration(qualifier(request))?;
        configuration.look();
        Ok(Response::json(200, &configuration.json()))
    }

    fn delete(&mut self, request: &Request) -> Answered {
        let function = self.function(request)?;
        match qualifier(request) {
            Some(version) => function.delete(version)?,
            None => drop(self.functions.remove(name(request).0)),
        }
        Ok(Response::new(204, ""))
    }

    fn update_code(&mut self, request: &Request) -> Answered {
        let said = request.json();
        let (zip, fate, revision) = (self.code(&said), self.on_update.clone(), self.revised());
        let latest = &mut self.function(request)?.latest;
        latest.busy().map_or(Ok(()), Err)?;
        check_revision(&said, &latest.revision)?;
        latest.set_code(zip?);
        latest.set(&json!({ "Architectures": said["Architectures"] }))?;
        latest.revision = revision;
        latest.state = State::Changed(fate);
        let answer = Response::json(200, &latest.json());
        latest.settle();
        Ok(answer)
    }

    fn update_configuration(&mut self, request: &Request) -> Answered {
        let said = request.json();
        let (fate, revision) = (self.on_update.clone(), self.revised());
        let latest = &self.function(request)?.latest;
        latest.busy().map_or(Ok(()), Err)?;
        check_revision(&said, &latest.revision)?;
        self.check_role(&said)?;
        let latest = &mut self.function(request)?.latest;
        latest.set(&said)?;
        latest.revision = revision;
        latest.state = State::Changed(fate);
        let answer = Response::json(200, &latest.json());
        latest.settle();
        Ok(answer)
    }

    fn publish(&mut self, request: &Request) -> Answered {
        let said = request.json();
        let (fate, revision) = (self.on_publish.clone(), self.revised());
        let function = self.function(request)?;
        function.latest.busy().map_or(Ok(()), Err)?;
        if let Some(told) = said["CodeSha256"].as_str().filter(|told| *told != function.latest.sha256) {
            let text = format!(
                "CodeSHA256 ({told}) is different from current CodeSHA256 in $LATEST ({}). Please try again with the \
                 CodeSHA256 in $LATEST.",
                function.latest.sha256
            );
            return Err(refusal(400, "InvalidParameterValueException", &text));
        }
        check_revision(&said, &function.latest.revision)?;
        Ok(Response::json(201, &function.publish(revision, fate).json()))
    }

    fn versions(&mut self, request: &Request) -> Answered {
        let page = self.page;
        let function = self.function(request)?;
        let start: usize = request.asked("Marker").and_then(|marker| marker.parse().ok()).unwrap_or(0);
        let all = std::iter::once(&function.latest).chain(function.versions.values());
        let all: Vec<Value> = all.map(Configuration::json).collect();
        let mut json = json!({ "Versions": all.iter().skip(start).take(page).collect::<Vec<_>>() });
        if start + page < all.len() {
            json["NextMarker"] = json!((start + page).to_string());
        }
        Ok(Response::json(200, &json))
    }

    fn alias(&mut self, operation: &str, request: &Request) -> Answered {
        let said = request.json();
        let revision = self.revised();
        let function = self.function(request)?;
        let named = request.path.get(4).map(String::as_str).or_else(|| said["Name"].as_str());
        let alias = named.unwrap_or_default().to_owned();
        let missing = || {
            let text = format!("Alias not found: {ARN}{}:{alias}", name(request).0);
            refusal(404, "ResourceNotFoundException", &text)
        };
        if operation == "DeleteAlias" {
            function.aliases.remove(&alias);
            return Ok(Response::new(204, ""));
        }
        if operation == "CreateAlias" && function.aliases.contains_key(&alias) {
            let text = format!("Alias already exists: {ARN}{}:{alias}", name(request).0);
            return Err(refusal(409, "ResourceConflictException", &text));
        }
        if operation != "CreateAlias" {
            let found = function.aliases.get(&alias).ok_or_else(missing)?;
            check_revision(&said, &found.revision)?;
        }
        if let Some(version) = said["FunctionVersion"].as_str() {
            function.configuration(Some(version))?;
            function.aliases.insert(alias.clone(), Alias { version: version.to_owned(), revision });
        }
        let status = if operation == "CreateAlias" { 201 } else { 200 };
        function.alias_json(&alias).map(|json| Response::json(status, &json)).ok_or_else(missing)
    }

    fn concurrency(&mut self, operation: &str, request: &Request) -> Answered {
        let wanted = request.json()["ReservedConcurrentExecutions"].as_u64();
        let own = name(request).0;
        let others = self.functions.iter().filter(|(name, _)| *name != own);
        let others: u64 = others.filter_map(|(_, function)| function.reserved).sum();
        let function = self.function(request)?;
        match operation {
            "PutFunctionConcurrency" if wanted.unwrap_or(0) + others > 900 => {
                let text = "Specified ReservedConcurrentExecutions for function decreases account's \
                            UnreservedConcurrentExecution below its minimum value of [100].";
                return Err(refusal(400, "InvalidParameterValueException", text));
            }
            "PutFunctionConcurrency" => function.reserved = wanted,
            "DeleteFunctionConcurrency" => {
                function.reserved = None;
                return Ok(Response::new(204, ""));
            }
            _ => {}
        }
        let json = function.reserved.map(|count| json!({ "ReservedConcurrentExecutions": count }));
        Ok(Response::json(200, &json.unwrap_or_else(|| json!({}))))
    }

    fn provisioned(&mut self, operation: &str, request: &Request) -> Answered {
        let fate = self.on_provision.clone();
        let function = self.function(request)?;
        let version = qualifier(request).unwrap_or_default().to_owned();
        if version.is_empty() || version == "$LATEST" {
            let text = "Provisioned Concurrency Configs cannot be applied to unpublished function versions.";
            return Err(refusal(400, "InvalidParameterValueException", text));
        }
        function.configuration(Some(&version))?;
        match operation {
            "PutProvisionedConcurrencyConfig" => {
                let requested = request.json()["ProvisionedConcurrentExecutions"].as_u64().unwrap_or(0);
                if requested == 0 {
                    return Err(refusal(400, "InvalidParameterValueException", "it has to be at least 1"));
                }
                let mut made = Provisioned { requested, fate };
                let answer = Response::json(202, &made.clone().look());
                made.fate.looks = made.fate.looks.max(1);
                function.provisioned.insert(version, made);
                Ok(answer)
            }
            "DeleteProvisionedConcurrencyConfig" => {
                function.provisioned.remove(&version);
                Ok(Response::new(204, ""))
            }
            _ => {
                let found = function.provisioned.get_mut(&version).map(Provisioned::look);
                found.map(|json| Response::json(200, &json)).ok_or_else(|| {
                    let text = "No Provisioned Concurrency Config found for this function";
                    refusal(404, "ProvisionedConcurrencyConfigNotFoundException", text)
                })
            }
        }
    }

    fn tags(&mut self, operation: &str, request: &Request) -> Answered {
        let said = request.json();
        let function = self.function(request)?;
        if operation == "ListTags" {
            return Ok(Response::json(200, &json!({ "Tags": function.tags })));
        }
        if operation == "UntagResource" {
            function.tags.remove(request.asked("tagKeys").unwrap_or_default());
            return Ok(Response::new(204, ""));
        }
        let tags: BTreeMap<String, String> = serde_json::from_value(said["Tags"].clone()).unwrap_or_default();
        function.tags.extend(tags);
        Ok(Response::new(204, ""))
    }

    fn object(&mut self, operation: &str, request: &Request) -> Response {
        let key = request.path.join("/");
        if operation == "PutObject" {
            self.objects.insert(key, request.body.clone());
            return Response::new(200, "").with_header("ETag", "\"1\"");
        }
        match self.objects.contains_key(&key) {
            true => Response::new(200, ""),
            false => Response::new(404, ""),
        }
    }
}
