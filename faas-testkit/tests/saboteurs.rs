//! The suites notice: each saboteur is a backend or a pool that breaks one promise, and behaviours that claim that
//! promise must fail on it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use faas_core::layer::Layer;
use faas_core::log::{LogLine, Stream};
use faas_core::pool::{FixedTtl, PoolConfig, WarmPool};
use faas_core::{
    Backend, Completion, Deployment, Entropy, Error, Invocation, LocalBackend, MemoryMib, Outcome, Payload,
    StartKind, Timestamp,
};
use faas_testkit::backend_suite::{BackendSubject, play};
use faas_testkit::pool_suite::{self, PoolSettings, PoolSubject};

/// A promise broken, and some behaviours that must fail for it.
struct Saboteur {
    breaks: fn(&mut Completion),
    noticed_by: &'static [&'static str],
}

fn logged(text: &str) -> LogLine {
    LogLine { at: Timestamp::default(), stream: Stream::Stdout, text: text.to_owned() }
}

const SABOTEURS: &[Saboteur] = &[
    Saboteur {
        breaks: |done| done.outcome = Outcome::success(Payload::empty()),
        noticed_by: &[
            "an_object_result_is_a_success",
            "a_panic_is_a_developer_error_with_its_message",
            "an_awaiting_action_is_stopped_at_its_timeout",
            "a_failed_init_is_a_developer_error",
            "failures_do_not_touch_their_neighbours",
        ],
    },
    Saboteur {
        breaks: |done| {
            if let Some(error) = done.outcome.error() {
                done.outcome = Outcome::developer_error(error);
            }
        },
        noticed_by: &[
            "an_err_is_an_application_error_with_its_text",
            "an_input_that_does_not_fit_is_an_application_error",
            "a_structured_err_keeps_its_structure",
        ],
    },
    Saboteur {
        breaks: |done| drop(done.logs.pop()),
        noticed_by: &["events_become_lines_in_order", "logs_are_cut_at_their_limit_with_a_notice"],
    },
    Saboteur {
        breaks: |done| done.logs.push(logged("INFO of somebody else")),
        noticed_by: &[
            "a_log_limit_of_zero_keeps_nothing",
            "concurrent_activations_keep_their_logs_apart",
            "verbose_events_are_not_recorded",
            "the_invocation_chooses_the_recorded_level",
        ],
    },
    Saboteur {
        breaks: |done| done.emitted.clear(),
        noticed_by: &["a_success_brings_its_events_in_order", "an_emitted_event_fires_its_trigger"],
    },
    Saboteur {
        breaks: |done| done.start_kind = StartKind::Cold,
        noticed_by: &["the_first_start_is_cold_and_later_ones_are_warm", "a_warmed_action_starts_warm"],
    },
    Saboteur {
        breaks: |done| (done.init, done.run) = (Duration::ZERO, Duration::ZERO),
        noticed_by: &[
            "the_init_time_is_that_of_init_and_is_billed",
            "the_run_time_is_that_of_the_action",
            "a_sleep_takes_at_least_its_time",
            "failed_activations_are_billed",
        ],
    },
    Saboteur {
        breaks: |done| done.run += Duration::from_secs(60),
        noticed_by: &["an_awaiting_action_is_stopped_at_its_timeout", "start_and_end_enclose_the_run"],
    },
];

/// Breaks the promise of each completion.
struct Break(fn(&mut Completion));

#[async_trait]
impl Layer for Break {
    fn attach(&self, _: &Arc<Entropy>) {}

    async fn invoke(
        &self,
        backend: &dyn Backend,
        deployment: &Deployment,
        invocation: Invocation,
    ) -> Result<Completion, Error> {
        let mut done = backend.invoke(deployment, invocation).await?;
        (self.0)(&mut done);
        Ok(done)
    }
}

fn notices(breaks: fn(&mut Completion), name: &str) -> bool {
    let backend = move || async move { Break(breaks).around(Arc::new(LocalBackend::new())) };
    let subject = BackendSubject::new("saboteur", backend);
    catch_unwind(AssertUnwindSafe(|| play(&subject, name))).is_err()
}

#[test]
fn each_broken_promise_is_noticed() {
    for (number, saboteur) in SABOTEURS.iter().enumerate() {
        for name in saboteur.noticed_by {
            assert!(notices(saboteur.breaks, name), "{name} did not notice saboteur {number}");
        }
    }
}

#[test]
fn an_honest_backend_is_not_accused() {
    for name in SABOTEURS.iter().flat_map(|saboteur| saboteur.noticed_by) {
        assert!(!notices(|_| {}, name), "{name} accuses an honest backend");
    }
}

/// A pool whose settings are not what the behaviour asked for, and behaviours that must fail for it.
struct PoolSaboteur {
    breaks: fn(&mut PoolSettings),
    noticed_by: &'static [&'static str],
}

const POOL_SABOTEURS: &[PoolSaboteur] = &[
    PoolSaboteur {
        breaks: |settings| settings.memory = MemoryMib::new(settings.memory.mib() * 2),
        noticed_by: &[
            "an_idle_sandbox_makes_room",
            "a_request_waits_until_its_victim_is_gone",
            "a_request_without_room_is_refused_at_once",
            "memory_stays_within_the_budget_under_any_load",
            "warming_evicts_nobody",
        ],
    },
    PoolSaboteur {
        breaks: |settings| settings.keep_alive = Duration::from_secs(3_600),
        noticed_by: &["an_idle_sandbox_expires", "a_paused_sandbox_expires"],
    },
    PoolSaboteur {
        breaks: |settings| settings.keep_alive = Duration::from_secs(1),
        noticed_by: &["use_keeps_a_sandbox_alive", "a_paused_sandbox_is_resumed_before_it_runs"],
    },
    PoolSaboteur {
        breaks: |settings| settings.pause_after = None,
        noticed_by: &[
            "a_paused_sandbox_is_resumed_before_it_runs",
            "a_sandbox_that_does_not_pause_is_destroyed",
        ],
    },
    PoolSaboteur {
        breaks: |settings| settings.stems.clear(),
        noticed_by: &["a_stem_is_taken_before_a_new_sandbox", "stats_count_starts_by_kind"],
    },
    PoolSaboteur {
        breaks: |settings| settings.cold_starts_per_action = 100,
        noticed_by: &["creations_of_one_action_are_bounded_and_in_order"],
    },
];

#[test]
fn each_pool_that_is_not_as_asked_for_is_noticed() {
    for (number, saboteur) in POOL_SABOTEURS.iter().enumerate() {
        let subject = PoolSubject::new("saboteur", |factory, mut settings| {
            (saboteur.breaks)(&mut settings);
            let config = PoolConfig {
                memory: settings.memory,
                stems: settings.stems,
                cold_starts_per_action: settings.cold_starts_per_action,
                pause_after: settings.pause_after,
                keep_alive: Box::new(FixedTtl(settings.keep_alive)),
                ..PoolConfig::default()
            };
            WarmPool::new(factory, config)
        });
        for name in saboteur.noticed_by {
            let played = catch_unwind(AssertUnwindSafe(|| pool_suite::play(&subject, name)));
            assert!(played.is_err(), "{name} did not notice saboteur {number}");
        }
    }
}
