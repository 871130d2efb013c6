//! Bringing a function to the state that an action asks for.
//!
//! Each step looks at what is there and changes only what differs, under the revision that it looked at. So a deployment
//! that was cut off is taken up where it was, one that changes nothing makes no call that does, and of two that come at
//! once each either finds the other's work or begins anew.

use std::collections::HashMap;

use aws_config::SdkConfig;
use aws_sdk_lambda::Client;
use aws_sdk_lambda::operation::get_alias::GetAliasOutput;
use aws_sdk_lambda::operation::get_function::GetFunctionOutput;
use aws_sdk_lambda::types::{
    Architecture, Environment, FunctionCode, FunctionConfiguration, LastUpdateStatus, Runtime, State,
};
use faas_core::{Error, ErrorKind};
use tokio::time::{Instant, sleep, timeout_at};

use super::code::Code;
use super::config::Config;
use super::error::{of_call, of_tags, present};
use super::owner;
use super::pause::{LOOKS, Pauses};
use super::remove::Uses;
use super::steps::{Steps, Stopped, passing};
use crate::function::Function;

/// The most changes that a deployment makes which nobody disturbs: code and configuration.
const STEPS: u32 = 2;

/// What Lambda says of a role that was just made, and that it does not know yet.
const NEW_ROLE: &str = "cannot be assumed by Lambda";

/// What it says of code that somebody else has changed.
const OTHER_CODE: &str = "CodeSHA256";

/// A function as it has to be.
pub(super) struct Wanted<'a> {
    pub(super) function: &'a Function,
    pub(super) code: &'a Code,
    /// The crate that the action is of.
    pub(super) package: &'a str,
}

/// The control plane, for one deployment.
pub(super) struct Deploying<'a> {
    pub(super) client: &'a Client,
    /// For calls that carry code, and so take longer.
    pub(super) carrier: &'a Client,
    pub(super) config: &'a Config,
    pub(super) uses: &'a Uses,
    /// Where the bucket is.
    pub(super) aws: &'a SdkConfig,
    pub(super) deadline: Instant,
}

/// What a deployment has done so far.
#[derive(Default)]
struct Done {
    /// How often it changed code or configuration.
    changes: u32,
    /// The version that it published.
    published: Option<String>,
}

impl Deploying<'_> {
    /// Brings the function to what is wanted, and publishes that. Answers with the version.
    ///
    /// # Errors
    /// `DeadlineExceeded` when it is not ready in time; `AlreadyExists` for a function of that name that is somebody
    /// else's; `InvalidArgument` when there is no role to make one with; `Unavailable` when AWS cannot be reached; else as
    /// AWS tells.
    pub(super) async fn run(&self, wanted: &Wanted<'_>) -> Result<String, Error> {
        let name = &wanted.function.name;
        let mut steps = Steps::new(name, self.config.deploy_timeout, self.deadline);
        let mut done = Done::default();
        loop {
            match steps.take(self.attempt(wanted, &mut done)).await {
                Ok(version) => {
                    if done.published.is_some() {
                        // It is deployed, whether there is time left for this or not.
                        let _ = timeout_at(self.deadline, self.sweep(name, &version)).await;
                    }
                    return Ok(version);
                }
                Err(Stopped::Changed) if done.changes < STEPS => {
                    done.changes += 1;
                    steps.led_on();
                }
                // Of two that undo each other's work, one has to let the other get to its end.
                Err(stopped) => steps.rest(stopped).await?,
            }
        }
    }

    /// Takes the next step.
    async fn attempt(&self, wanted: &Wanted<'_>, done: &mut Done) -> Result<String, Stopped> {
        let name = &wanted.function.name;
        let Some(found) = self.find(name, None).await? else {
            self.create(wanted).await?;
            return Err(Stopped::Changed);
        };
        let GetFunctionOutput { configuration, tags, tags_error, concurrency, .. } = found;
        let configuration = configuration.unwrap_or_else(|| FunctionConfiguration::builder().build());
        if let Some(withheld) = tags_error {
            return Err(of_tags(name, &withheld).into());
        }
        let tags = tags.unwrap_or_default();
        owner::check(name, &tags, wanted.package)?;
        let arn = configuration.function_arn().unwrap_or_default();
        self.tag(arn, wanted.function, &tags).await?;
        let present = concurrency.and_then(|concurrency| concurrency.reserved_concurrent_executions);
        match self.reserved(wanted.function) {
            Some(reserved) if present != Some(reserved) => self.reserve(name, reserved).await?,
            // Whatever somebody else has reserved stays.
            None if tags.contains_key(owner::RESERVED.0) => self.unreserve(name, arn, present).await?,
            _ => {}
        }
        let alias = self.alias(name).await?;
        // What others have begun to change since does not matter then.
        if let Some(version) = alias.as_ref().and_then(|alias| alias.function_version())
            && self.is_version(wanted, version).await?
        {
            return Ok(version.to_owned());
        }
        let version = match &done.published {
            Some(version) if self.is_version(wanted, version).await? => version.clone(),
            _ => self.advance(wanted, &configuration, done).await?,
        };
        self.lead(name, alias, &version).await?;
        Ok(version)
    }

    /// Changes one thing that differs, or publishes if nothing does. Answers with the version.
    async fn advance(
        &self,
        wanted: &Wanted<'_>,
        configuration: &FunctionConfiguration,
        done: &mut Done,
    ) -> Result<String, Stopped> {
        let name = &wanted.function.name;
        check_ready(configuration)?;
        if done.changes > 0 && configuration.last_update_status() == Some(&LastUpdateStatus::Failed) {
            return Err(unfit("its last update failed", configuration.last_update_status_reason()));
        }
        if !has_code(configuration, wanted.code) {
            self.update_code(wanted, configuration).await?;
            return Err(Stopped::Changed);
        }
        if !is_configured(configuration, wanted.function, self.config) {
            self.update_configuration(wanted, configuration).await?;
            return Err(Stopped::Changed);
        }
        let version = self.publish(wanted, configuration).await?;
        done.published = Some(version.clone());
        if !self.is_version(wanted, &version).await? {
            return Err(Stopped::Busy(format!("somebody else changes function '{name}'")));
        }
        Ok(version)
    }

    /// Removes old versions that nobody of this process uses. What cannot be removed stays.
    async fn sweep(&self, name: &str, current: &str) {
        let mut pages =
            self.client.list_versions_by_function().function_name(name).into_paginator().items().send();
        let mut versions: Vec<u64> = Vec::new();
        while let Some(Ok(version)) = pages.next().await {
            versions.extend(version.version().and_then(number_of));
        }
        versions.sort_unstable_by(|a, b| b.cmp(a));
        let used = self.uses.versions(name);
        for version in versions.into_iter().skip(self.config.keep_versions).map(|version| version.to_string())
        {
            if version == current || used.contains(&version) {
                continue;
            }
            let deleted = self.client.delete_function().function_name(name).qualifier(&version).send().await;
            if let Err(error) = deleted {
                let error = of_call(&format!("delete version {version} of function '{name}'"), &error);
                tracing::debug!(%error, "an old version stays");
            }
        }
    }

    /// What is there of that name and, if told, of that version.
    async fn find(&self, name: &str, version: Option<&str>) -> Result<Option<GetFunctionOutput>, Error> {
        let call = self.client.get_function().function_name(name);
        let found = call.set_qualifier(version.map(str::to_owned)).send().await;
        present(found, &format!("look at function '{name}'"))
    }

    async fn create(&self, wanted: &Wanted<'_>) -> Result<(), Stopped> {
        let Wanted { function, code, package } = wanted;
        let name = &function.name;
        let Some(role) = &self.config.role else {
            let text = format!(
                "making function '{name}' needs the ARN of a role that it runs as: set `role` in the URL, \
                 FAAS_LAMBDA_ROLE or LambdaBuilder::role"
            );
            return Err(Error::new(ErrorKind::InvalidArgument, text).into());
        };
        let (blob, bucket, key) = code.parts(self.aws).await?;
        let zip = FunctionCode::builder().set_zip_file(blob).set_s3_bucket(bucket).set_s3_key(key).build();
        let mut tags = self.tags(function);
        tags.extend(owner::tags(package));
        let created = self
            .carrier
            .create_function()
            .function_name(name)
            .runtime(Runtime::Providedal2023)
            .handler("bootstrap")
            .role(role)
            .code(zip)
            .architectures(architecture(code))
            .memory_size(number(function.memory))
            .timeout(number(function.timeout))
            .environment(environment(function))
            .set_tags(Some(tags))
            .send()
            .await;
        created.map(drop).map_err(|error| passing(&format!("make function '{name}'"), &error, NEW_ROLE))
    }

    async fn update_code(&self, wanted: &Wanted<'_>, found: &FunctionConfiguration) -> Result<(), Error> {
        let name = &wanted.function.name;
        let (blob, bucket, key) = wanted.code.parts(self.aws).await?;
        let updated = self
            .carrier
            .update_function_code()
            .function_name(name)
            .set_zip_file(blob)
            .set_s3_bucket(bucket)
            .set_s3_key(key)
            .architectures(architecture(wanted.code))
            .set_revision_id(found.revision_id.clone())
            .send()
            .await;
        updated.map(drop).map_err(|error| of_call(&format!("update the code of function '{name}'"), &error))
    }

    async fn update_configuration(
        &self,
        wanted: &Wanted<'_>,
        found: &FunctionConfiguration,
    ) -> Result<(), Stopped> {
        let function = wanted.function;
        let name = &function.name;
        let updated = self
            .client
            .update_function_configuration()
            .function_name(name)
            .memory_size(number(function.memory))
            .timeout(number(function.timeout))
            .environment(environment(function))
            .set_role(self.config.role.clone())
            .runtime(Runtime::Providedal2023)
            .handler("bootstrap")
            .set_revision_id(found.revision_id.clone())
            .send()
            .await;
        updated.map(drop).map_err(|error| passing(&format!("configure function '{name}'"), &error, NEW_ROLE))
    }

    /// Adds the tags that are not there.
    async fn tag(
        &self,
        arn: &str,
        function: &Function,
        present: &HashMap<String, String>,
    ) -> Result<(), Error> {
        let mut missing = self.tags(function);
        missing.retain(|key, value| present.get(key) != Some(value));
        if missing.is_empty() {
            return Ok(());
        }
        let tagged = self.client.tag_resource().resource(arn).set_tags(Some(missing)).send().await;
        tagged.map(drop).map_err(|error| of_call(&format!("tag '{arn}'"), &error))
    }

    /// The tags that are asked for, and the mark of what is reserved, which is there before that is.
    fn tags(&self, function: &Function) -> HashMap<String, String> {
        let mut tags = HashMap::from_iter(self.config.tags.clone());
        if self.reserved(function).is_some() {
            tags.insert(owner::RESERVED.0.to_owned(), owner::RESERVED.1.to_owned());
        }
        tags
    }

    /// What is to be reserved of the account's concurrency.
    fn reserved(&self, function: &Function) -> Option<i32> {
        function.reserved.or(self.config.reserved).map(|reserved| number(reserved.into()))
    }

    async fn reserve(&self, name: &str, reserved: i32) -> Result<(), Error> {
        let call = self.client.put_function_concurrency().function_name(name);
        let put = call.reserved_concurrent_executions(reserved).send().await;
        put.map(drop).map_err(|error| of_call(&format!("reserve concurrency for function '{name}'"), &error))
    }

    /// Reserves nothing any more, and then takes the mark away.
    async fn unreserve(&self, name: &str, arn: &str, present: Option<i32>) -> Result<(), Error> {
        if present.is_some() {
            let deleted = self.client.delete_function_concurrency().function_name(name).send().await;
            let what = format!("reserve no concurrency for function '{name}'");
            deleted.map_err(|error| of_call(&what, &error))?;
        }
        let untagged = self.client.untag_resource().resource(arn).tag_keys(owner::RESERVED.0).send().await;
        untagged.map(drop).map_err(|error| of_call(&format!("remove a tag of '{arn}'"), &error))
    }

    /// Publishes what is there, if it is not published already. Answers with its version.
    async fn publish(&self, wanted: &Wanted<'_>, found: &FunctionConfiguration) -> Result<String, Stopped> {
        let name = &wanted.function.name;
        let published = self
            .client
            .publish_version()
            .function_name(name)
            .code_sha256(&wanted.code.sha256)
            .set_revision_id(found.revision_id.clone())
            .send()
            .await;
        let what = format!("publish a version of function '{name}'");
        let published = published.map_err(|error| passing(&what, &error, OTHER_CODE))?;
        Ok(published.version.unwrap_or_default())
    }

    /// Whether that version is what is wanted, and can be invoked.
    async fn is_version(&self, wanted: &Wanted<'_>, version: &str) -> Result<bool, Stopped> {
        let found = self.find(&wanted.function.name, Some(version)).await?;
        let Some(configuration) = found.and_then(|found| found.configuration) else { return Ok(false) };
        let is_wanted = has_code(&configuration, wanted.code)
            && is_configured(&configuration, wanted.function, self.config);
        if is_wanted {
            check_ready(&configuration)?;
        }
        Ok(is_wanted)
    }

    /// The alias, if there is one.
    async fn alias(&self, name: &str) -> Result<Option<GetAliasOutput>, Error> {
        let alias = &self.config.alias;
        let found = self.client.get_alias().function_name(name).name(alias).send().await;
        present(found, &format!("look at alias '{alias}' of function '{name}'"))
    }

    /// Has the alias lead to the version, unless somebody else has it lead to a later one by now.
    async fn lead(
        &self,
        name: &str,
        mut found: Option<GetAliasOutput>,
        version: &str,
    ) -> Result<(), Stopped> {
        let mut pauses = Pauses::new(LOOKS);
        loop {
            match self.point(name, found.as_ref(), version).await {
                Err(error) if error.kind() == ErrorKind::Conflict => found = self.alias(name).await?,
                pointed => return Ok(pointed?),
            }
            let led = found.as_ref().and_then(|alias| number_of(alias.function_version()?));
            if led >= number_of(version) {
                return Ok(());
            }
            sleep(pauses.next()).await;
        }
    }

    async fn point(&self, name: &str, found: Option<&GetAliasOutput>, version: &str) -> Result<(), Error> {
        let alias = &self.config.alias;
        let what = format!("move alias '{alias}' of function '{name}'");
        if let Some(found) = found {
            let call = self.client.update_alias().function_name(name).name(alias);
            let moved =
                call.function_version(version).set_revision_id(found.revision_id.clone()).send().await;
            return moved.map(drop).map_err(|error| of_call(&what, &error));
        }
        let call = self.client.create_alias().function_name(name).name(alias);
        let made = call.function_version(version).send().await;
        made.map(drop).map_err(|error| of_call(&what, &error))
    }
}

fn number_of(version: &str) -> Option<u64> {
    version.parse().ok()
}

/// Whether the function can be invoked and changed. A failed update can: the next one is what repairs it.
fn check_ready(found: &FunctionConfiguration) -> Result<(), Stopped> {
    match (found.state(), found.last_update_status()) {
        (Some(State::Failed), _) => {
            Err(unfit("its state is Failed, and it has to be deleted", found.state_reason()))
        }
        (Some(State::Pending), _) | (_, Some(LastUpdateStatus::InProgress)) => {
            let reason = found.state_reason().or(found.last_update_status_reason());
            Err(Stopped::Busy(format!("AWS is making it ready. {}", reason.unwrap_or_default())))
        }
        _ => Ok(()),
    }
}

fn unfit(what: &str, reason: Option<&str>) -> Stopped {
    let text = format!("AWS cannot make the function ready: {what}: {}", reason.unwrap_or("no reason"));
    Stopped::Failed(Error::new(ErrorKind::Internal, text))
}

/// Whether it has the code that is wanted.
fn has_code(found: &FunctionConfiguration, wanted: &Code) -> bool {
    let architectures = found.architectures();
    let fits = architectures.is_empty() || architectures.contains(&architecture(wanted));
    fits && found.code_sha256() == Some(&wanted.sha256)
}

/// Whether nothing of the configuration has to be changed.
fn is_configured(found: &FunctionConfiguration, wanted: &Function, config: &Config) -> bool {
    let variables = found.environment().and_then(|environment| environment.variables());
    let same_variables = variables.is_some_and(|variables| {
        variables.len() == wanted.variables.len()
            && wanted.variables.iter().all(|(key, value)| variables.get(key) == Some(value))
    });
    let same_role = config.role.as_deref().is_none_or(|role| found.role() == Some(role));
    found.memory_size() == Some(number(wanted.memory))
        && found.timeout() == Some(number(wanted.timeout))
        && found.last_update_status() != Some(&LastUpdateStatus::Failed)
        && same_variables
        && same_role
}

fn environment(function: &Function) -> Environment {
    Environment::builder().set_variables(Some(HashMap::from_iter(function.variables.clone()))).build()
}

fn architecture(code: &Code) -> Architecture {
    if code.is_arm64 { Architecture::Arm64 } else { Architecture::X8664 }
}

/// A number as AWS has it. Those of functions are small.
fn number(value: u64) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}
