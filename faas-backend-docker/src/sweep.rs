//! Removing what processes that are gone have left: containers, networks, folders. What belongs to others is never
//! touched: to another pool, another machine or folder, or a process that lives.

use std::collections::HashMap;

use faas_core::Error;

use crate::site::{EPOCH, HOME, POOL, Site};

/// Removes what is left, and tells how many containers that were.
pub(crate) async fn run(site: &Site) -> Result<usize, Error> {
    let label = format!("{POOL}={}", site.config.pool);
    let is_ours = |labels: &HashMap<String, String>| {
        labels.get(HOME) == Some(&site.home.identity)
            && labels.get(EPOCH).is_some_and(|epoch| site.home.is_gone(epoch))
    };
    // Listed first: a process that ends meanwhile is left to the next sweep as a whole.
    let gone = site.home.gone();
    let mut removed = 0;
    for container in site.engine.list(&label).await? {
        if container.labels.as_ref().is_some_and(is_ours)
            && let Some(id) = container.id
        {
            site.engine.remove(&id).await?;
            removed += 1;
        }
    }
    for (network, labels) in site.engine.list_networks(&label).await? {
        if is_ours(&labels) {
            site.engine.remove_network(&network).await?;
        }
    }
    for epoch in gone {
        let kept = site.engine.list(&format!("{EPOCH}={epoch}")).await?;
        // Another pool of this home may have made them, whose next process removes them.
        if kept.is_empty() {
            site.home.forget(&epoch);
        }
    }
    Ok(removed)
}
