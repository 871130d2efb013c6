//! Taking functions away again, and what of them this process still uses.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_sdk_lambda::Client;
use faas_core::{Error, ErrorKind};
use tokio::sync::Notify;

use super::error::of_call;
use super::invoke::Target;

/// What this process uses of functions: by name and version.
#[derive(Default)]
pub(super) struct Uses {
    used: Mutex<BTreeMap<(String, String), Use>>,
    /// Told when a run ends.
    ended: Notify,
}

#[derive(Default)]
struct Use {
    deployments: usize,
    running: usize,
    /// Whether provisioned concurrency was ordered.
    provisioned: bool,
}

fn key(target: &Target) -> (String, String) {
    (target.name.clone(), target.qualifier.clone().unwrap_or_default())
}

impl Uses {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<(String, String), Use>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a deployment in.
    pub(super) fn deployed(&self, target: &Target) {
        self.lock().entry(key(target)).or_default().deployments += 1;
    }

    /// Counts a run in, until what is returned is dropped.
    pub(super) fn run(&self, target: &Target) -> Running<'_> {
        let key = key(target);
        self.lock().entry(key.clone()).or_default().running += 1;
        Running { uses: self, key }
    }

    /// Notes that provisioned concurrency was ordered.
    pub(super) fn ordered(&self, target: &Target) {
        self.lock().entry(key(target)).or_default().provisioned = true;
    }

    /// The versions of a function that this process uses.
    pub(super) fn versions(&self, name: &str) -> Vec<String> {
        let used = self.lock();
        let of_name = used.iter().filter(|((of, _), used)| of == name && used.deployments > 0);
        of_name.map(|((_, version), _)| version.clone()).collect()
    }

    /// Waits until nothing of this process runs there.
    pub(super) async fn idle(&self, target: &Target) {
        loop {
            let ended = self.ended.notified();
            if self.lock().get(&key(target)).is_none_or(|used| used.running == 0) {
                return;
            }
            ended.await;
        }
    }

    /// Takes a deployment away: with the last one of a version that version, and with the one that the alias leads to the
    /// whole function.
    ///
    /// # Errors
    /// As AWS tells; what is gone already is no error.
    pub(super) async fn remove(&self, client: &Client, target: &Target, alias: &str) -> Result<(), Error> {
        let is_last = {
            let mut used = self.lock();
            let own = used.entry(key(target)).or_default();
            own.deployments = own.deployments.saturating_sub(1);
            own.deployments == 0
        };
        if !is_last {
            return Ok(());
        }
        let (name, version) = key(target);
        let led = client.get_alias().function_name(&name).name(alias).send().await;
        let led_here = match led {
            Ok(led) => led.function_version() == Some(&version),
            Err(error) => match of_call(&format!("look at alias '{alias}' of function '{name}'"), &error) {
                error if error.kind() == ErrorKind::NotFound => false,
                error => return Err(error),
            },
        };
        let mut delete = client.delete_function().function_name(&name);
        if !led_here {
            delete = delete.qualifier(&version);
        } else if !self.versions(&name).is_empty() {
            // Others of this process are in use: the alias goes, so that its version may.
            let gone = client.delete_alias().function_name(&name).name(alias).send().await;
            gone.map_err(|error| of_call(&format!("delete alias '{alias}' of function '{name}'"), &error))?;
            delete = delete.qualifier(&version);
        }
        match delete.send().await {
            Ok(_) => {}
            Err(error) => match of_call(&format!("delete function '{name}'"), &error) {
                error if error.kind() == ErrorKind::NotFound => {}
                error => return Err(error),
            },
        }
        self.lock().remove(&(name, version));
        Ok(())
    }

    /// Orders no more provisioned concurrency where this process has.
    ///
    /// # Errors
    /// The first one of AWS's; the others are tried all the same.
    pub(super) async fn cool(&self, client: &Client) -> Result<(), Error> {
        let ordered: Vec<_> =
            self.lock().iter().filter(|(_, used)| used.provisioned).map(|(key, _)| key.clone()).collect();
        let mut first = Ok(());
        for (name, version) in ordered {
            let call = client.delete_provisioned_concurrency_config().function_name(&name);
            let deleted = call.qualifier(&version).send().await;
            let deleted = deleted
                .map(drop)
                .map_err(|error| of_call(&format!("end the provisioned concurrency of '{name}'"), &error));
            let deleted = match deleted {
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
                deleted => deleted,
            };
            if deleted.is_ok()
                && let Some(used) = self.lock().get_mut(&(name, version))
            {
                used.provisioned = false;
            }
            first = first.and(deleted);
        }
        first
    }
}

/// A run that is counted in.
pub(super) struct Running<'a> {
    uses: &'a Uses,
    key: (String, String),
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if let Some(used) = self.uses.lock().get_mut(&self.key) {
            used.running = used.running.saturating_sub(1);
        }
        self.uses.ended.notify_waiters();
    }
}
