//! A mixed load whose process is killed again and again, at any moment.

use std::collections::BTreeSet;

use faas_core::store::Store;
use faas_core::trigger::Interval;
use faas_core::{
    ActivationId, ActivationKind, ActivationQuery, ErrorKind, FireOptions, Platform, PlatformBuilder,
    RuleSpec, SubmitOptions, Timestamp,
};
use fastrand::Rng;
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::life::{World, millis, panic_quietly, seconds, spec};
use crate::store::Disk;

fn wire(world: &World) -> PlatformBuilder {
    let naps = |name: &'static str, retries: u32| {
        world.action(spec(name).with_retries(retries), |cx, input| async move {
            cx.sleep(millis(cx.random() % 8)).await;
            if cx.random().is_multiple_of(5) {
                panic_quietly("now and then");
            }
            cx.emit("napped", json!({}))?;
            Ok(input)
        })
    };
    world
        .slots(3)
        .dispatch_window(4)
        .action(naps("once", 0))
        .action(naps("again", 3))
        .action(world.sleeper("listen"))
        .sequence("inner", ["again", "once"])
        .sequence("outer", ["again", "inner", "again"])
        .trigger("event")
        .trigger("napped")
        .feed(Interval::new("beat", millis(50)).unwrap())
        .rule(RuleSpec::new("one", "event", "again").unwrap())
        .rule(RuleSpec::new("two", "event", "outer").unwrap())
        .rule(RuleSpec::new("three", "napped", "listen").unwrap())
        .rule(RuleSpec::new("four", "beat", "listen").unwrap())
}

/// What can fail at any time. Those that are called seldom come seldom, since others wait for them to have failed.
const WRITES: [&str; 17] = [
    "accept",
    "accept",
    "begin",
    "begin",
    "start",
    "start",
    "retry",
    "retry",
    "finish",
    "finish",
    "claim_next",
    "claim_next",
    "append",
    "append",
    "dead_letter",
    "redrive",
    "put_schedule",
];

/// What can fail while an app starts.
const EARLY_WRITES: [&str; 3] = ["put_entity", "take_over", "put_schedule"];

/// Starts an app, again and again where its store fails meanwhile.
async fn start(world: &World, rng: &mut Rng) -> Platform {
    if rng.u64(..4) == 0 {
        world.disk.fail(rng.choice(EARLY_WRITES));
    }
    loop {
        match wire(world).build().await {
            Ok(app) => break app,
            Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}"),
        }
    }
}

/// Redrives some dead letters, and tells what was accepted.
async fn redrive(app: &Platform, rng: &mut Rng) -> BTreeSet<ActivationId> {
    let mut accepted = BTreeSet::new();
    for letter in app.dead_letters(&ActivationQuery::default()).await.unwrap() {
        // A second record of who listens to an event would look like a second run of its rule.
        if letter.record.action().name() == "listen" || rng.bool() {
            continue;
        }
        match app.redrive(letter.job.id).await {
            Ok(id) => drop(accepted.insert(id)),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}"),
        }
    }
    accepted
}

/// One life: it asks for all kinds of work until it is killed, and tells what was accepted.
async fn live(world: &World, rng: &mut Rng) -> BTreeSet<ActivationId> {
    world.disk.heal();
    let app = start(world, rng).await;
    if rng.bool() {
        world.disk.fail((0..rng.u64(1..8)).map(|_| rng.choice(WRITES).unwrap()).collect::<Vec<_>>());
    }
    let mut accepted = redrive(&app, rng).await;
    for _ in 0..rng.u64(1..12) {
        let name = rng.choice(["once", "again", "inner", "outer"]).unwrap();
        let key = rng.u64(..30).to_string();
        let done = match rng.u64(..6) {
            0 => app.submit(name, ()).await,
            1 => app.submit_with(name, (), SubmitOptions::new().with_key(key)).await,
            2 => app.submit_with(name, (), SubmitOptions::new().run_after(millis(rng.u64(..40)))).await,
            3 => app.fire("event", ()).await,
            4 => app.fire_with("event", (), FireOptions::new().with_key(key)).await,
            _ => {
                let app = app.clone();
                tokio::spawn(async move { app.invoke(name, ()).await.map(drop) });
                continue;
            }
        };
        match done {
            Ok(id) => drop(accepted.insert(id)),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}"),
        }
        sleep(millis(rng.u64(..6))).await;
    }
    if rng.u64(..8) == 0 {
        app.shutdown(millis(rng.u64(..10))).await.unwrap();
    }
    accepted
}

#[test]
fn whatever_was_accepted_has_one_record_however_often_the_process_is_killed() {
    let (mut failed, mut ran, mut ticked) = (Vec::new(), 0, 0);
    for seed in 0..100 {
        let disk = if seed % 2 == 0 { Disk::new() } else { Disk::slow() };
        let (world, mut rng) = (World::on(disk), Rng::with_seed(seed));
        let mut accepted = BTreeSet::new();
        for _ in 0..rng.u64(2..8) {
            accepted.append(&mut world.live(async |world| live(&world, &mut rng).await));
        }
        world.live(async |world| {
            world.disk.heal();
            let app = wire(&world).build().await.unwrap();
            let begun = app.entropy().wall_clock();
            sleep(seconds(1)).await;
            assert!(timeout(seconds(600), app.drain()).await.is_ok(), "seed {seed}: {:?}", app.stats());
            assert_eq!(world.disk.pending().await.unwrap(), 0, "seed {seed}");
            check(&world, &accepted, seed).await;
            ticked += check_ticks(&world, begun, seed).await;
        });
        failed.append(&mut world.disk.failures());
        ran += accepted.len();
    }
    for method in WRITES.iter().chain(&EARLY_WRITES) {
        assert!(failed.contains(method), "{method} never failed");
    }
    assert!(failed.len() > 200, "{} calls failed", failed.len());
    assert!(ran > 1_000 && ticked > 1_000, "{ran} were accepted, {ticked} ticked");
}

/// Counts the ticks: each follows the one before, but for those that it says were missed, up to `since` at least.
async fn check_ticks(world: &World, since: Timestamp, seed: u64) -> usize {
    let mut ticks: Vec<_> = world.records_of("beat").await;
    ticks.sort_unstable_by_key(|tick| tick.id);
    for pair in ticks.windows(2) {
        let missed = pair[1].outcome.result().to_value()["missed"].as_u64().unwrap();
        let distance = pair[1].id.made_at().millis() - pair[0].id.made_at().millis();
        assert_eq!(distance, 50 * (missed + 1), "seed {seed}: {:?} and {:?}", pair[0], pair[1]);
    }
    assert!(ticks.last().is_some_and(|tick| tick.id.made_at() >= since), "seed {seed}: it ticks no more");
    ticks.len()
}

async fn check(world: &World, accepted: &BTreeSet<ActivationId>, seed: u64) {
    let records = world.records().await;
    let ids: BTreeSet<_> = records.iter().map(|record| record.id).collect();
    assert_eq!(ids.len(), records.len(), "seed {seed}: an activation has two records");
    assert!(accepted.is_subset(&ids), "seed {seed}: lost {:?}", accepted.difference(&ids));
    for (id, starts) in world.all_starts() {
        let record = records.iter().find(|record| record.id == id);
        let record = record.unwrap_or_else(|| panic!("seed {seed}: {id} ran and has no record"));
        let most = if record.action().name() == "again" { 4 } else { 1 };
        let starts = u32::try_from(starts).unwrap();
        assert!(
            starts <= record.attempts && record.attempts <= most,
            "seed {seed}: {starts} starts of {record:?}"
        );
    }
    let count = |name: &str, good: bool| {
        let of = records.iter().filter(|it| it.action().name() == name && (!good || it.outcome.is_success()));
        of.count()
    };
    let naps = count("once", true) + count("again", true);
    assert_eq!(count("napped", false), naps, "seed {seed}: an event fires once for each success");
    assert_eq!(
        count("listen", false),
        naps + count("beat", false),
        "seed {seed}: each event runs its rule once"
    );
    let fired = records.iter().filter(|record| record.action().name() == "event");
    for trigger in fired.filter(|record| record.revision.kind == ActivationKind::Trigger) {
        let caused = records.iter().filter(|record| record.cause == Some(trigger.id)).count();
        assert_eq!(caused, 2, "seed {seed}: both rules of {}", trigger.id);
    }
    for record in records.iter().filter(|record| record.revision.kind == ActivationKind::Sequence) {
        let steps = records.iter().filter(|step| step.cause == Some(record.id)).count();
        assert!(steps >= record.logs.len(), "seed {seed}: {record:?}");
    }
}
