//! A seed decides a whole run: repeated on another thread, it gives the same records, byte for byte.

mod world;

use std::collections::BTreeSet;
use std::time::Duration;

use faas_core::store::ActivationQuery;
use faas_core::{
    Activation, ActivationId, BoxError, Error, ErrorKind, InvokeOptions, Namespace, Platform, StartKind,
    Status,
};
use faas_testkit::arrivals;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

/// What a run left behind.
struct Run {
    records: Vec<Activation>,
    /// What callers saw, in the order in which they saw it, and the statistics when all was over.
    seen: Vec<String>,
    /// What was refused or failed.
    errors: Vec<ErrorKind>,
    /// The ids that callers were given.
    ids: BTreeSet<ActivationId>,
}

impl Run {
    /// Everything, one line for each thing, so that a difference can be shown.
    fn lines(&self) -> Result<Vec<String>, BoxError> {
        let records = self.records.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>()?;
        Ok([&self.seen[..], &records].concat())
    }

    fn count(&self, is_one: impl Fn(&Activation) -> bool) -> usize {
        self.records.iter().filter(|record| is_one(record)).count()
    }
}

/// One request of a caller, chosen by chance.
async fn request(app: Platform, chance: u64) -> Result<ActivationId, Error> {
    let payload = json!({ "number": chance / 8 % 100 });
    let acme = || InvokeOptions { namespace: Namespace::new("acme").ok(), ..InvokeOptions::default() };
    match chance % 8 {
        0 => app.invoke("nap", payload).await.map(|it| it.id),
        1 => app.invoke_with("nap", payload, acme()).await.map(|it| it.id),
        2 => app.invoke("flaky", payload).await.map(|it| it.id),
        3 => app.invoke("deliver", payload).await.map(|it| it.id),
        4 => app.invoke("shaky", payload).await.map(|it| it.id),
        5 => app.fire("order", payload).await,
        6 => {
            let id = app.submit("pack", payload).await?;
            app.activation(id).await.map(|it| it.id)
        }
        // A caller who soon loses patience.
        _ => match timeout(Duration::from_millis(chance / 8 % 100), app.invoke("nap", payload)).await {
            Ok(done) => done.map(|it| it.id),
            Err(_) => Err(Error::new(ErrorKind::DeadlineExceeded, "the caller left")),
        },
    }
}

async fn run(seed: u64) -> Result<Run, BoxError> {
    let app = world::platform(seed).await?;
    let start = Instant::now();
    let mut callers = JoinSet::new();
    for (number, at) in
        arrivals::poisson(6.0, seed).take_while(|at| *at < Duration::from_secs(300)).enumerate()
    {
        sleep_until(start + at).await;
        let (app, chance) = (app.clone(), app.entropy().next_u64());
        callers.spawn(async move { (number, request(app, chance).await, start.elapsed()) });
    }
    let (mut seen, mut errors, mut ids) = (Vec::new(), Vec::new(), BTreeSet::new());
    while let Some(done) = callers.join_next().await {
        let (number, result, at) = done?;
        seen.push(format!("{number} {result:?} {at:?}"));
        match result {
            Ok(id) => ids.extend([id]),
            Err(error) => errors.push(error.kind()),
        }
    }
    app.drain().await;
    seen.push(format!("{:?} {:?}", app.stats(), app.health().await));
    let records = app.activations(&ActivationQuery::default()).await?;
    app.shutdown(Duration::ZERO).await?;
    Ok(Run { records, seen, errors, ids })
}

/// Runs on a thread of its own: nothing may depend on which.
fn run_apart(seed: u64) -> Run {
    let apart = std::thread::spawn(move || {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
        runtime.block_on(run(seed))
    });
    apart.join().expect("the thread ends").expect("the run ends")
}

#[test]
fn a_whole_run_repeats_byte_for_byte() {
    let (once, again) = (run_apart(7), run_apart(7));
    let (lines, repeated) = (once.lines().unwrap(), again.lines().unwrap());
    for (number, (line, other)) in lines.iter().zip(&repeated).enumerate() {
        assert_eq!(line, other, "line {number} of {}", lines.len());
    }
    assert_eq!(lines.len(), repeated.len());

    // It saw enough to mean something.
    let statuses = [Status::Success, Status::ApplicationError, Status::DeveloperError, Status::InternalError];
    for status in statuses {
        assert!(once.count(|it| it.status() == status) > 10, "{status}");
    }
    for start in [StartKind::Cold, StartKind::Prewarmed, StartKind::Warm] {
        assert!(once.count(|it| it.start_kind == Some(start)) > 5, "{start}");
    }
    let has_error = |it: &Activation, text: &str| it.outcome.error().unwrap_or_default().contains(text);
    for text in ["cancelled", "panicked", "no lorry", "three is too many", "time limit"] {
        assert!(once.count(|it| has_error(it, text)) > 2, "{text}");
    }
    for name in ["nap", "flaky", "grind", "pack", "ship", "shaky", "deliver", "nightly", "beat", "napped"] {
        assert!(once.count(|it| it.action().name() == name) > 1, "{name}");
    }
    assert!(once.count(|it| it.attempts > 1) > 10, "retries");
    assert!(once.count(|it| !it.times.wait.is_zero()) > 100, "waiting");
    for kind in [ErrorKind::Throttled, ErrorKind::Overloaded, ErrorKind::DeadlineExceeded] {
        assert!(once.errors.iter().filter(|it| **it == kind).count() > 2, "{kind}");
    }
}

#[test]
fn another_seed_gives_other_ids() {
    let (seven, eight) = (run_apart(7), run_apart(8));
    assert!(seven.ids.len() > 500 && eight.ids.len() > 500);
    assert!(seven.ids.is_disjoint(&eight.ids));
    assert_ne!(seven.seen, eight.seen);
}
