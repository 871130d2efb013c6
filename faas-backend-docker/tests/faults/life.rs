//! The life of containers: made ahead, used again, paused, resumed, evicted and removed, as the engine sees it.

use std::sync::Arc;
use std::time::Instant;

use faas_core::{Backend, MemoryMib, StartKind};
use serde_json::json;
use tokio::task::JoinSet;

use crate::site::{Site, ground, millis, spec};

/// The memory of the action that is looked at.
const MIB: i64 = 40;

fn nap() -> faas_core::ActionSpec {
    spec("nap").with_memory(MemoryMib::new(40))
}

fn ms(ms: u64) -> serde_json::Value {
    json!({ "ms": ms })
}

/// Whether the engine says that the container is paused.
async fn is_paused(site: &Site, id: &str) -> bool {
    site.docker.inspect_container(id, None).await.unwrap().state.unwrap().paused.unwrap()
}

#[tokio::test]
async fn stem_cells_are_made_used_and_made_again() {
    let Some(ground) = ground("lifestems").await else { return };
    let builder = ground.builder().stems(1);
    let late = spec("late").with_memory(MemoryMib::new(40));
    let site = ground.site_on(builder, [nap(), late]).await;
    assert_eq!(site.start_kind("nap", ms(1)).await, StartKind::Cold, "its shape was not known before");
    site.until_pool("a stem cell", |pool| pool.stems >= 1).await;
    let stem = site.containers_of(MIB).await;
    // Another action of the same shape takes it, and another one is made.
    assert_eq!(site.start_kind("late", ms(1)).await, StartKind::Prewarmed);
    site.until_pool("a stem cell again", |pool| pool.stems >= 1 && pool.creating == 0).await;
    let containers = site.containers_of(MIB).await;
    assert_eq!(containers.len(), 3, "two that are bound, and one that is not");
    assert!(stem.iter().all(|id| containers.contains(id)), "it is the one that was made before");
    for (name, kind) in [("nap", StartKind::Warm), ("late", StartKind::Warm)] {
        assert_eq!(site.start_kind(name, ms(1)).await, kind);
    }
    assert_eq!(site.containers_of(MIB).await.len(), 3);
    site.end(4).await;
}

#[tokio::test]
async fn a_stem_cell_that_died_costs_nothing_but_a_start() {
    let Some(ground) = ground("lifedead").await else { return };
    let builder = ground.builder().stems(1);
    let late = spec("late").with_memory(MemoryMib::new(40)).with_retries(1);
    let site = ground.site_on(builder, [nap(), late]).await;
    site.start_kind("nap", ms(1)).await;
    site.until_pool("a stem cell", |pool| pool.stems >= 1 && pool.creating == 0).await;
    let containers = site.containers_of(MIB).await;
    assert_eq!(containers.len(), 2, "one is bound, and one is not");
    for id in containers {
        site.docker.kill_container(&id, None).await.unwrap();
    }
    site.result("late", ms(1)).await;
    site.end(2).await;
}

#[tokio::test]
async fn an_idle_container_is_paused_and_resumed_when_it_is_used() {
    let Some(ground) = ground("lifepause").await else { return };
    let builder = ground.builder().pause_after(Some(millis(150)));
    let site = ground.site_on(builder, [nap()]).await;
    site.start_kind("nap", ms(1)).await;
    let id = site.container_of(MIB).await;
    for _ in 0..3 {
        site.until_pool("paused", |pool| pool.paused >= 1 && pool.idle == 0).await;
        assert!(is_paused(&site, &id).await);
        let call = site.begin("nap", json!({ "ms": 400, "text": "resumed" }));
        site.container_that_says(MIB, "napping resumed").await;
        assert!(!is_paused(&site, &id).await);
        let record = call.await.unwrap().unwrap();
        assert!(record.outcome.is_success(), "{:?}", record.outcome);
        assert_eq!(record.start_kind, Some(StartKind::Warm));
    }
    assert_eq!(site.container_of(MIB).await, id, "it was the same all the time");
    site.end(4).await;
}

#[tokio::test]
async fn a_container_that_cannot_be_resumed_is_replaced() {
    let Some(ground) = ground("liferesume").await else { return };
    let builder = ground.builder().pause_after(Some(millis(150)));
    let site = ground.site_on(builder, [nap()]).await;
    site.start_kind("nap", ms(1)).await;
    let id = site.container_of(MIB).await;
    site.until_pool("paused", |pool| pool.paused >= 1 && pool.idle == 0).await;
    let force = bollard::query_parameters::RemoveContainerOptions { force: true, v: true, link: false };
    site.docker.remove_container(&id, Some(force)).await.unwrap();
    assert_eq!(site.start_kind("nap", ms(1)).await, StartKind::Cold);
    assert_ne!(site.container_of(MIB).await, id);
    site.end(2).await;
}

#[tokio::test]
async fn what_nobody_uses_is_removed_when_its_time_is_over() {
    let Some(ground) = ground("lifeexpire").await else { return };
    let builder = ground.builder().keep_alive(millis(600)).pause_after(Some(millis(200)));
    let site = ground.site_on(builder, [nap()]).await;
    site.start_kind("nap", ms(1)).await;
    let used = Instant::now();
    assert_eq!(site.containers_of(MIB).await.len(), 1);
    site.gone(MIB).await;
    assert!(used.elapsed() >= millis(500), "not before: {:?}", used.elapsed());
    site.until_pool("empty", |pool| pool.idle + pool.paused == 0 && pool.memory == 0).await;
    assert_eq!(site.start_kind("nap", ms(1)).await, StartKind::Cold);
    site.end(2).await;
}

#[tokio::test]
async fn idle_containers_make_room_and_memory_is_never_exceeded() {
    let Some(ground) = ground("lifeevict").await else { return };
    let builder = ground.builder().memory(MemoryMib::new(80));
    let (nap, late) = (nap(), spec("late").with_memory(MemoryMib::new(50)));
    let site = ground.site_on(builder, [nap, late]).await;
    for _ in 0..2 {
        assert_eq!(site.start_kind("nap", ms(1)).await, StartKind::Cold);
        assert_eq!(site.containers_of(50).await, Vec::<String>::new(), "it made room");
        assert_eq!(site.start_kind("late", ms(1)).await, StartKind::Cold);
        assert_eq!(site.containers_of(MIB).await, Vec::<String>::new(), "it made room");
        // Beside it there is room for the neighbour alone.
        site.fine().await;
        let memory: i64 =
            site.inspected().await.iter().filter_map(|found| found.host_config.as_ref()?.memory).sum();
        assert!(memory <= 80 << 20, "{memory} bytes");
    }
    site.end(4).await;
}

#[tokio::test]
async fn so_many_containers_are_made_at_once_and_no_more() {
    let Some(ground) = ground("lifebounded").await else { return };
    let builder = ground.builder().cold_starts(3, 2);
    let site = ground.site_on(builder, [nap(), spec("late").with_memory(MemoryMib::new(50))]).await;
    // One action alone has as many as an action may have, and both together as many as there may be.
    assert_eq!(most_in_the_making(&site, &["nap"], 6).await, 2);
    for name in ["nap", "late"] {
        let changed = spec(name).with_memory(MemoryMib::new(60));
        site.app.put_action(changed, faas_core::Expect::Any).await.unwrap();
    }
    assert_eq!(most_in_the_making(&site, &["nap", "late"], 12).await, 3);
    site.end(18).await;
}

/// Runs so many at once of the actions in turn; the most containers that were in the making meanwhile.
async fn most_in_the_making(site: &Site, names: &[&'static str], count: usize) -> usize {
    let mut calls = JoinSet::new();
    for name in names.iter().cycle().take(count) {
        let (app, name) = (site.app.clone(), *name);
        calls.spawn(async move { app.invoke(name, ms(300)).await.unwrap() });
    }
    let (mut most, mut done) = (0, 0);
    while done < count {
        tokio::select! {
            Some(record) = calls.join_next() => {
                assert!(record.unwrap().outcome.is_success());
                done += 1;
            }
            () = tokio::time::sleep(millis(1)) => most = most.max(site.stats().await.creating),
        }
    }
    most
}

#[tokio::test]
async fn each_memory_has_containers_of_its_own() {
    let Some(ground) = ground("lifeshapes").await else { return };
    let builder = ground.builder().stems(1);
    let late = spec("late").with_memory(MemoryMib::new(50));
    let site = ground.site_on(builder, [nap(), late]).await;
    site.start_kind("nap", ms(1)).await;
    site.until_pool("a stem cell", |pool| pool.stems >= 1 && pool.creating == 0).await;
    assert_eq!(site.start_kind("late", ms(1)).await, StartKind::Cold, "that of another size is no use");
    site.until_pool("stem cells of both", |pool| pool.stems >= 2 && pool.creating == 0).await;
    assert_eq!((site.containers_of(MIB).await.len(), site.containers_of(50).await.len()), (2, 2));
    site.end(2).await;
}

#[tokio::test]
async fn an_action_is_warmed_ahead_and_removed_with_all_its_containers() {
    let Some(ground) = ground("lifewarm").await else { return };
    let site = ground.site([nap()]).await;
    let deployment = site.backend.deploy(Arc::new(nap())).await.unwrap();
    assert_eq!(site.backend.warm(&deployment, 3).await.unwrap(), 3);
    assert_eq!(site.containers_of(MIB).await.len(), 3);
    assert_eq!(site.backend.warm(&deployment, 2).await.unwrap(), 2, "there are as many already");
    assert_eq!(site.containers_of(MIB).await.len(), 3);
    site.backend.remove(&deployment).await.unwrap();
    assert_eq!(site.containers_of(MIB).await, Vec::<String>::new());
    site.result("nap", ms(1)).await;
    site.end(1).await;
}

#[tokio::test]
async fn an_updated_action_runs_in_a_new_container_and_the_old_one_goes() {
    let Some(ground) = ground("lifeupdate").await else { return };
    let site = ground.site([nap()]).await;
    site.start_kind("nap", ms(1)).await;
    let old = site.container_of(MIB).await;
    let running = site.begin("nap", json!({ "ms": 1_000, "text": "the old one" }));
    site.container_that_says(MIB, "napping the old one").await;
    site.app.put_action(nap().with_memory(MemoryMib::new(50)), faas_core::Expect::Any).await.unwrap();
    assert_eq!(site.start_kind("nap", ms(1)).await, StartKind::Cold);
    assert_ne!(site.container_of(50).await, old);
    let record = running.await.unwrap().unwrap();
    assert!(record.outcome.is_success(), "what ran goes on: {:?}", record.outcome);
    site.gone(MIB).await;
    assert_eq!(site.start_kind("nap", ms(1)).await, StartKind::Warm);
    site.end(4).await;
}
