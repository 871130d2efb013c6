//! A week of real earthquakes, through a trigger, rules, actions and a sequence, to a table of what it took.
//!
//! `cargo run --release -p faas-examples --example quickstart -- --help` tells what can be changed.

#![allow(clippy::print_stdout, reason = "a program that talks to its user")]

use std::error::Error;
use std::time::Duration;

use clap::Parser;
use faas_core::{Platform, RuleSpec, Status};
use faas_examples::cli::Args;
use faas_examples::follow::caused_by;
use faas_examples::report::Report;
use faas_examples::{actions, catalogue};
use serde_json::Value;
use tokio::task::JoinSet;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let strong = |quake: &Value| quake["magnitude"].as_f64() >= Some(4.5);
    let app = Platform::builder()
        .shared_backend(args.backend().await?)
        .shared_store(args.store()?)
        .actions(actions())
        .sequence("respond", ["locate", "classify", "alert"])
        .trigger("quake")
        .rule(RuleSpec::new("every", "quake", "aggregate")?)
        .rule(RuleSpec::new("strong", "quake", "respond")?.filter(strong))
        .build()
        .await?;

    let report = run(&app, &args).await?;
    app.shutdown(Duration::from_secs(10)).await?;

    assert_eq!(report.events(), 1_707);
    assert_eq!(report.count("aggregate", Status::Success), 1_679);
    assert_eq!(report.count("aggregate", Status::ApplicationError), 28, "events that are no earthquakes");
    assert_eq!(report.failed(), 28, "and nothing else failed");
    assert_eq!(report.count("alert", Status::Success), 85, "events of magnitude 4.5 and over");
    println!("{}", if args.json { report.to_json()? } else { report.to_text() });
    Ok(())
}

/// Fires the events in their order, at the pace and with as many in flight as was asked for.
async fn run(app: &Platform, args: &Args) -> Result<Report, Box<dyn Error>> {
    let week = catalogue::week()?;
    let progress = args.progress(week.len());
    let mut report = Report::default();
    let mut pace = args.pace();
    let mut in_flight = JoinSet::new();
    let mut add = |(quake, activations): (String, _)| {
        report.add(&quake, activations);
        progress.inc(1);
    };
    for quake in week {
        pace.turn().await;
        if in_flight.len() >= args.concurrency.get()
            && let Some(done) = in_flight.join_next().await
        {
            add(done??);
        }
        while let Some(done) = in_flight.try_join_next() {
            add(done??);
        }
        let event = app.fire_event("quake", catalogue::event(&quake)?).await?;
        let app = app.clone();
        in_flight.spawn(async move { Ok::<_, faas_core::Error>((quake.id, caused_by(&app, event).await?)) });
    }
    while let Some(done) = in_flight.join_next().await {
        add(done??);
    }
    progress.finish();
    Ok(report)
}
