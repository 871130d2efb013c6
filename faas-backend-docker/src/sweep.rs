//! Removing what processes that are gone have left: containers, networks, folders. What belongs to others is never
//! touched: to another pool, another machine or folder, or a process that lives.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use faas_core::{Error, ErrorKind};
use tokio::time::{Instant, sleep};

use crate::engine::Place;
use crate::site::{EPOCH, POOL, Site};

/// How long others may take who are removing the same, and how often they are looked for. Arbitrary.
const PATIENCE: Duration = Duration::from_secs(5);
const INTERVAL: Duration = Duration::from_millis(50);

/// Removes what is left, and tells how many containers that were. What the engine will not remove is left to the next
/// time.
///
/// # Errors
/// `Unavailable` when the engine does not answer; what it fails to list them with.
pub(crate) async fn run(site: &Site) -> Result<usize, Error> {
    // Listed first: a process that ends meanwhile is left to the next sweep as a whole.
    let gone = site.home.gone();
    site.home.forget_drafts();
    let begun = Instant::now();
    let mut removed = BTreeSet::new();
    while pass(site, &mut removed).await? && begun.elapsed() < PATIENCE {
        sleep(INTERVAL).await;
    }
    for epoch in gone {
        let kept = site.engine.list(&format!("{EPOCH}={epoch}")).await?;
        // Another pool of this home may have made them, whose next process removes them.
        if kept.is_empty() {
            site.home.forget(&epoch);
        }
    }
    Ok(removed.len())
}

/// Has everything removed that is left; whether something may be gone a little later.
async fn pass(site: &Site, removed: &mut BTreeSet<String>) -> Result<bool, Error> {
    let label = format!("{POOL}={}", site.config.pool);
    let is_local = matches!(site.engine.place().await?, Place::Here | Place::Rootless);
    let is_left = |labels: &HashMap<String, String>| site.home.has_left(labels, is_local);
    let mut again = false;
    for container in site.engine.list(&label).await? {
        if container.labels.as_ref().is_some_and(is_left)
            && let Some(id) = container.id
            && tolerated(&id, site.engine.remove(&id).await)?.is_some()
        {
            // Another process may be about it, and has it in the list until it is done.
            again = true;
            removed.insert(id);
        }
    }
    // A container that is being removed is still part of its network.
    if !again {
        for (network, labels) in site.engine.list_networks(&label).await? {
            if is_left(&labels) {
                tolerated(&network, site.engine.remove_network(&network).await)?;
            }
        }
    }
    Ok(again)
}

/// What was done, or `None` where the engine will not do it.
fn tolerated<T>(name: &str, done: Result<T, Error>) -> Result<Option<T>, Error> {
    match done {
        Ok(done) => Ok(Some(done)),
        Err(error) if error.kind() == ErrorKind::Unavailable => Err(error),
        Err(error) => {
            tracing::warn!(name, %error, "something that an earlier process left could not be removed");
            Ok(None)
        }
    }
}
