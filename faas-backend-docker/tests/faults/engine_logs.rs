//! The output of containers that outlive their engine.

use std::time::Duration;

use faas_core::{Activation, StartKind, Status};
use serde_json::json;

use crate::dockerd::Dockerd;
use crate::puppets::{BOX, KIND, played};
use crate::site::{FINE, Site, ground_on, spec, until};
use crate::watch::{PATIENCE, texts};

/// What stands in the log where something of it may be missing.
const INCOMPLETE: &str = "There was an issue while collecting your logs. Data might be missing.";

/// Runs the action, which prints this, in the container that it had before.
async fn prints(site: &Site, action: &str, text: &str) -> Activation {
    let record = site.app.invoke(action, json!({ "stdout": [text] })).await.unwrap();
    assert_eq!((record.status(), record.start_kind), (Status::Success, Some(StartKind::Warm)), "{text}");
    Activation::clone(&record)
}

#[tokio::test]
async fn the_logs_of_other_images_are_told_to_be_missing_while_the_engine_is_away_and_come_again() {
    let Some(mut engine) = Dockerd::start_outlived("engine-logs").await else { return };
    let Some(ground) = ground_on("engine-logs", Some(engine.host())).await else { return };
    let builder =
        ground.puppets().await.engine_timeout(Duration::from_secs(5)).code("coded", KIND, "{}", "main");
    let actions = [BOX, "coded"];
    let specs = [played(BOX, 10_000), played("coded", 10_000), spec(FINE)];
    let site = ground.site_on(builder, specs).await;
    for action in actions {
        site.result(action, json!({ "a": 1 })).await;
        assert_eq!(texts(&prints(&site, action, "before").await), ["before"], "{action}");
    }
    engine.stop().await;
    for action in actions {
        let record = prints(&site, action, "meanwhile").await;
        assert_eq!(texts(&record).last(), Some(&INCOMPLETE), "{action}");
        assert!(record.times.run < Duration::from_secs(4), "{:?}", record.times);
    }
    engine.up().await;
    let healthy = until(PATIENCE, || async {
        let health = site.app.health().await;
        if health.is_healthy() { Ok(()) } else { Err(health) }
    });
    healthy.await.unwrap();
    for action in actions {
        for text in ["after", "again"] {
            assert_eq!(texts(&prints(&site, action, text).await), [text], "{action}");
        }
    }
    // It comes and goes, and nobody has noticed.
    engine.stop().await;
    engine.up().await;
    for action in actions {
        assert_eq!(texts(&prints(&site, action, "unnoticed").await), ["unnoticed"], "{action}");
    }
    site.end(12).await;
}
