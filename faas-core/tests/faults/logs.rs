//! Floods of logs, lines that pretend, and lines that come too late.

use std::fmt;

use faas_core::log::MAX_LINES;
use faas_core::{Activation, Limits, Status};
use tokio::sync::Notify;
use tracing::instrument::WithSubscriber;

use crate::check::Check;
use crate::probe::{Probe, empty, local, millis, spec};

const NOTICE: &str = "Logs were truncated because the total bytes size exceeds the limit of";

fn is_truncated(record: &Activation) -> bool {
    record.logs.last().is_some_and(|line| line.text.starts_with(NOTICE))
}

/// Prints so many mebibytes, piece by piece, for as long as anybody reads.
struct Flood(usize);

impl fmt::Display for Flood {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let piece = "x".repeat(1 << 20);
        (0..self.0).try_for_each(|_| f.write_str(&piece))
    }
}

/// The same, but deaf to the answer.
struct DeafFlood;

impl fmt::Display for DeafFlood {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let piece = "y".repeat(1 << 20);
        for _ in 0..1024 {
            let _ = f.write_str(&piece);
        }
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_gigabyte_in_one_event_is_cut_at_the_limit() {
    let probe = Probe::new();
    let limits = Limits { logs: 1 << 20, ..Limits::default() };
    let app = local()
        .action(probe.spec(spec("flood").with_limits(limits), |_, _| async {
            tracing::info!("{}", Flood(1024));
            tracing::info!("after");
            Ok(empty())
        }))
        .action(probe.spec(spec("deaf").with_limits(limits), |_, _| async {
            tracing::info!(flood = %DeafFlood);
            Ok(empty())
        }))
        .build()
        .await
        .unwrap();
    for name in ["flood", "deaf"] {
        let record = app.invoke(name, ()).await.unwrap();
        assert!(record.outcome.is_success() && is_truncated(&record), "{name}");
        let bytes: usize = record.logs.iter().map(|line| line.text.len() + 1).sum();
        assert!(((1 << 20) - 100..(1 << 20) + 200).contains(&bytes), "{name}: {bytes}");
    }
    Check::successes(2).probe(&probe).run(&app).await;
}

#[tokio::test(start_paused = true)]
async fn millions_of_lines_are_cut_at_their_number() {
    let probe = Probe::new();
    let empty_lines = probe.action("lines", |_, _| async {
        for _ in 0..1_000_000 {
            tracing::info!("");
        }
        Ok(empty())
    });
    let app = local().action(empty_lines).build().await.unwrap();
    let record = app.invoke("lines", ()).await.unwrap();
    assert_eq!(record.logs.len(), MAX_LINES + 1);
    Check::successes(1).probe(&probe).run(&app).await;
}

#[tokio::test(start_paused = true)]
async fn what_pretends_to_be_more_than_a_line_is_one_line() {
    let probe = Probe::new();
    let texts = [
        "red \x1b[31m and \x1b]0;title\x07",
        "XXX_THE_END_OF_A_WHISK_ACTIVATION_XXX",
        "one\nXXX_THE_END_OF_A_WHISK_ACTIVATION_XXX\ntwo\r\n",
        "2024-01-01T00:00:00.000000000Z stdout: forged\n2024-01-01T00:00:00.000000000Z stderr: more",
        "nul \0 del \u{7f} c1 \u{9b}31m",
    ];
    let pretend = probe.action("pretend", move |_, _| async move {
        texts.iter().for_each(|text| tracing::info!("{text}"));
        tracing::info!(key = texts[0], other = ?texts[2]);
        Ok(empty())
    });
    let app = local().action(pretend).build().await.unwrap();
    let record = app.invoke("pretend", ()).await.unwrap();
    assert_eq!(record.logs.len(), 1 + texts.len() + 1);
    assert!(serde_json::to_string(&*record).is_ok());
    assert!(record.logs[1].text.contains("\\u{1b}[31m"), "{}", record.logs[1].text);
    Check::successes(1).probe(&probe).run(&app).await;
}

#[tokio::test(start_paused = true)]
async fn lines_after_the_reply_and_of_other_tasks_belong_to_nobody() {
    static DONE: Notify = Notify::const_new();
    let probe = Probe::new();
    let app = local()
        .action(probe.action("leaves", |cx, _| async move {
            let own = cx.activation_id();
            let late = async move {
                for _ in 0..20 {
                    tracing::info!("own={own}");
                    tokio::time::sleep(millis(1)).await;
                }
                let _ = cx.emit("event", empty());
                DONE.notify_one();
            };
            tokio::spawn(late.with_current_subscriber());
            tokio::spawn(async move { tracing::info!("own={own}") });
            Ok(empty())
        }))
        .action(probe.sleeper("sleep"))
        .trigger("event")
        .build()
        .await
        .unwrap();
    let mut ids = Vec::new();
    for _ in 0..10 {
        ids.push(app.submit("leaves", ()).await.unwrap());
        ids.push(app.submit("sleep", serde_json::json!({ "ms": 7 })).await.unwrap());
    }
    DONE.notified().await;
    let records = Check::successes(20).accepted(ids).probe(&probe).run(&app).await;
    assert_eq!(records.len(), 20, "what is emitted after the reply fires nothing");
    assert!(records.iter().all(|record| record.logs.len() == 1), "each has the one line of its own");
}

#[tokio::test(start_paused = true)]
async fn logs_of_all_who_run_at_once_stay_apart() {
    let probe = Probe::new();
    let chatty = probe.action("chatty", |cx, _| async move {
        for n in 0..20 {
            tracing::info!("own={}", cx.activation_id());
            cx.sleep(millis(n % 3)).await;
        }
        Ok(empty())
    });
    let app = local().action(chatty).build().await.unwrap();
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let app = app.clone();
        calls.spawn(async move { app.invoke("chatty", ()).await.unwrap() });
    }
    assert!(calls.join_all().await.iter().all(|record| record.logs.len() == 21));
    Check::successes(100).probe(&probe).run(&app).await;
}

struct Panics;

impl fmt::Debug for Panics {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        tracing::info!("an event within an event");
        crate::probe::panic_quietly("while it is logged")
    }
}

#[tokio::test(start_paused = true)]
async fn a_value_that_panics_while_it_is_logged_harms_only_its_activation() {
    let probe = Probe::new();
    let app = local()
        .action(probe.action("panics", |_, _| async {
            tracing::info!(value = ?Panics);
            Ok(empty())
        }))
        .action(probe.echo("echo"))
        .build()
        .await
        .unwrap();
    let failed = app.invoke("panics", ()).await.unwrap();
    assert_eq!(failed.status(), Status::DeveloperError);
    let healed = app.invoke("echo", ()).await.unwrap();
    assert_eq!(healed.logs.len(), 1, "its log works");
    Check::successes(1).probe(&probe).run(&app).await;
}
