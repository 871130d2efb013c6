//! Taking functions away again, and what of them this process still uses.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_sdk_lambda::Client;
use faas_core::{Error, ErrorKind};
use tokio::sync::{Notify, OwnedMutexGuard};
use tokio::time::{Instant, timeout_at};

use super::error::present;
use super::invoke::Target;

/// How long a shutdown waits for whoever changes a function, and is told to end. Arbitrary.
const ENDING: Duration = Duration::from_secs(5);

/// What this process uses of functions: by name and version.
#[derive(Default)]
pub(super) struct Uses {
    used: Mutex<BTreeMap<(String, String), Use>>,
    /// By functions, whose turn it is to deploy, to warm or to remove.
    turns: Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<()>>>>,
    /// Told when a run ends.
    ended: Notify,
}

#[derive(Default)]
struct Use {
    deployments: usize,
    running: usize,
    /// Whether provisioned concurrency was ordered, or found.
    provisioned: bool,
}

fn key(target: &Target) -> (String, String) {
    (target.name.clone(), target.qualifier.clone().unwrap_or_default())
}

impl Uses {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<(String, String), Use>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until nobody else of this process deploys, warms or removes the function, which would pull it from under
    /// whoever has just found it.
    ///
    /// # Errors
    /// `DeadlineExceeded` when that takes too long.
    pub(super) async fn turn(&self, name: &str, deadline: Instant) -> Result<OwnedMutexGuard<()>, Error> {
        let turn = {
            let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(turns.entry(name.to_owned()).or_default())
        };
        timeout_at(deadline, turn.lock_owned()).await.map_err(|_| {
            let text = format!("somebody else of this process changes function '{name}' for too long");
            Error::new(ErrorKind::DeadlineExceeded, text)
        })
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

    /// Notes that provisioned concurrency was ordered, by this process or one before it.
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

    /// Counts a deployment out.
    pub(super) fn undeployed(&self, target: &Target) {
        if let Some(used) = self.lock().get_mut(&key(target)) {
            used.deployments = used.deployments.saturating_sub(1);
        }
    }

    /// Takes away what no deployment of this process uses any more: the version, or the whole function where none is used
    /// and the alias leads to no other version.
    ///
    /// # Errors
    /// As AWS tells; what is gone already is no error.
    pub(super) async fn remove(&self, client: &Client, target: &Target, alias: &str) -> Result<(), Error> {
        let (name, version) = key(target);
        let used = self.versions(&name);
        if used.contains(&version) {
            return Ok(());
        }
        let led = client.get_alias().function_name(&name).name(alias).send().await;
        let led = present(led, &format!("look at alias '{alias}' of function '{name}'"))?;
        let led = led.and_then(|led| led.function_version);
        let is_led_here = led.as_ref() == Some(&version);
        let mut delete = client.delete_function().function_name(&name);
        if !used.is_empty() || led.is_some() && !is_led_here {
            delete = delete.qualifier(&version);
            if is_led_here {
                // The alias goes, so that its version may.
                let gone = client.delete_alias().function_name(&name).name(alias).send().await;
                present(gone, &format!("delete alias '{alias}' of function '{name}'"))?;
            }
        }
        present(delete.send().await, &format!("delete function '{name}'"))?;
        self.lock().remove(&(name, version));
        Ok(())
    }

    /// Ends the provisioned concurrency that is noted.
    ///
    /// # Errors
    /// The first one of AWS's; the others are tried all the same.
    pub(super) async fn cool(&self, client: &Client) -> Result<(), Error> {
        let used: Vec<_> = self.lock().keys().cloned().collect();
        let (mut first, deadline) = (Ok(()), Instant::now() + ENDING);
        for (name, version) in used {
            // After whoever orders now; nobody does later.
            let _turn = self.turn(&name, deadline).await;
            let key = (name, version);
            if !self.lock().get(&key).is_some_and(|used| used.provisioned) {
                continue;
            }
            let (name, version) = &key;
            let call = client.delete_provisioned_concurrency_config().function_name(name);
            let deleted = call.qualifier(version).send().await;
            let deleted = present(deleted, &format!("end the provisioned concurrency of '{name}'")).map(drop);
            if deleted.is_ok()
                && let Some(used) = self.lock().get_mut(&key)
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
