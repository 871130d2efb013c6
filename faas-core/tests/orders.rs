//! The orders of the queue that go by how long actions have been running, through the platform.

use std::time::Duration;

use faas_core::scheduler::{Order, SchedulerConfig};
use faas_core::store::{ActivationQuery, Expect};
use faas_core::{Context, Error, LocalBackend, Namespace, Platform, SubmitOptions, action, actions};

#[action]
async fn short(cx: &Context) {
    cx.sleep(Duration::from_millis(10)).await;
}

#[action]
async fn long(cx: &Context) {
    cx.sleep(Duration::from_millis(100)).await;
}

actions![short, long];

/// A platform that runs one activation at a time, after both actions ran once.
async fn warmed(order: Order) -> Result<Platform, Error> {
    let app = Platform::builder()
        .backend(LocalBackend::new().with_slots(1))
        .scheduler(SchedulerConfig { policy: order, ..SchedulerConfig::default() })
        .actions(actions());
    let app = app.build().await?;
    for name in ["short", "long"] {
        assert!(app.invoke(name, ()).await?.outcome.is_success());
    }
    Ok(app)
}

/// Queues the actions in this order, each for a namespace, and tells in which order they ran.
async fn order_of_runs(app: &Platform, jobs: &[(&str, &str)]) -> Result<Vec<String>, Error> {
    let warmups = app.activations(&ActivationQuery::default()).await?.len();
    // It takes the only slot, so that all others queue.
    app.submit("long", ()).await?;
    for (name, namespace) in jobs {
        let options = SubmitOptions::new().with_namespace(Namespace::new(namespace)?);
        app.submit_with(name, (), options).await?;
    }
    app.drain().await;
    let mut records = app.activations(&ActivationQuery::default()).await?;
    records.sort_by_key(|record| record.start);
    let names = records.iter().skip(warmups + 1);
    Ok(names.map(|record| record.action().name().to_owned()).collect())
}

#[tokio::test(start_paused = true)]
async fn shortest_first_lets_a_short_action_overtake_a_long_one() {
    let jobs = [("long", "guest"), ("short", "guest"), ("long", "guest"), ("short", "guest")];
    let app = warmed(Order::ShortestFirst).await.unwrap();
    assert_eq!(order_of_runs(&app, &jobs).await.unwrap(), ["short", "short", "long", "long"]);
    let app = warmed(Order::Arrival).await.unwrap();
    assert_eq!(
        order_of_runs(&app, &jobs).await.unwrap(),
        ["long", "short", "long", "short"],
        "unlike by arrival"
    );
}

#[tokio::test(start_paused = true)]
async fn an_updated_action_counts_as_one_that_has_not_run() {
    let app = warmed(Order::ShortestFirst).await.unwrap();
    let long = actions().into_specs().into_iter().find(|spec| spec.name.name() == "long").unwrap();
    app.put_action(long, Expect::Any).await.unwrap();
    let runs = order_of_runs(&app, &[("short", "guest"), ("long", "guest")]).await.unwrap();
    assert_eq!(runs, ["long", "short"]);
}

#[tokio::test(start_paused = true)]
async fn fair_share_goes_by_time_and_not_by_number() {
    let app = warmed(Order::FairShare).await.unwrap();
    let mut jobs = vec![("long", "heavy"); 2];
    jobs.extend([("short", "light"); 12]);
    let runs = order_of_runs(&app, &jobs).await.unwrap();
    let (first, rest) = runs.split_at(1);
    assert_eq!(first, ["long"]);
    let before = rest.iter().take_while(|name| *name == "short").count();
    assert!((10..12).contains(&before), "ten short runs take as long as one long run: {runs:?}");
}
