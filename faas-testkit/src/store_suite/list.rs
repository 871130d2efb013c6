//! The list of all behaviours, from which their table and their tests are made.

/// Calls a macro with all behaviours of the store suite: `theme { name, … }`.
#[doc(hidden)]
#[macro_export]
macro_rules! store_behaviours {
    ([$($then:tt)*] $args:tt) => {
        $($then)* ! { $args
            records {
                a_record_is_found_as_it_was_kept,
                an_unknown_activation_is_none,
                a_record_is_kept_once,
                concurrent_appends_of_one_id_keep_one,
                concurrent_appends_lose_nothing,
                lists_are_newest_first_by_start,
                records_of_one_start_are_listed_by_id,
                since_and_upto_include_their_ends,
                since_and_upto_are_exact,
                skip_comes_before_limit,
                counts_ignore_skip_and_limit,
                a_namespace_finds_its_own_activations,
                a_name_finds_an_action_in_every_namespace,
                conditions_combine,
                append_accepts_follow_up_jobs,
                append_takes_all_follow_up_jobs_or_nothing,
            }
            entities {
                an_entity_is_found_as_it_was_written,
                an_unknown_entity_is_none,
                the_store_gives_the_revision,
                a_name_belongs_to_one_kind,
                packages_and_namespaces_keep_names_apart,
                creating_what_exists_is_refused,
                updating_what_is_missing_is_not_found,
                updating_another_revision_is_a_conflict,
                any_creates_and_updates,
                revisions_increase_across_deletion,
                entities_are_listed_by_kind_and_namespace_in_order,
                a_deleted_entity_is_gone,
                deleting_another_revision_is_a_conflict,
                a_deleted_name_is_free_for_another_kind,
                concurrent_updates_of_one_revision_let_one_win,
            }
            queue {
                an_accepted_job_is_found_as_it_was,
                a_job_is_accepted_once,
                a_job_with_a_record_is_not_accepted,
                accept_takes_all_jobs_or_none,
                a_claim_gives_the_next_attempt,
                only_a_waiting_or_running_job_is_claimed,
                start_makes_a_job_started,
                a_started_job_can_be_claimed_again,
                a_later_claim_fences_the_earlier_one_off,
                a_claim_that_was_never_given_is_a_conflict,
                due_jobs_come_oldest_first,
                a_job_waits_for_its_time,
                a_job_without_delay_runs_whatever_the_clock_says,
                due_jobs_are_given_once,
                claim_next_keeps_to_its_limit,
                a_claim_by_time_can_start_and_finish,
                concurrent_claims_share_no_job,
                retry_puts_a_job_back_until_its_time,
                retry_ends_the_claim,
            }
            ends {
                finish_writes_accepts_and_removes,
                a_claimed_job_can_be_finished,
                the_first_finish_wins,
                concurrent_finishes_let_one_win,
                finish_takes_all_follow_up_jobs_or_nothing,
                finish_refuses_the_record_of_another_id,
                a_finished_job_is_not_accepted_again,
                a_dead_letter_keeps_job_and_record,
                dead_letters_are_listed_oldest_first,
                pending_counts_what_is_not_finished,
                records_and_what_follows_are_seen_together,
            }
            delivery {
                begin_accepts_claims_and_starts,
                a_known_job_is_not_begun,
                a_full_queue_refuses_new_work_and_takes_what_follows,
                take_over_ends_every_claim,
                a_lost_job_is_claimed_with_its_past,
                a_lost_job_that_is_only_claimed_stays_lost,
                a_start_may_be_repeated,
                retry_keeps_what_the_attempts_were,
                the_next_time_is_that_of_the_first_unclaimed_job,
                namespaces_take_turns,
                namespaces_take_turns_with_delayed_jobs,
                a_key_is_taken_until_its_time_is_over,
                keys_are_taken_all_or_none,
                a_job_keeps_its_key_and_rule,
                concurrent_jobs_of_one_key_let_one_win,
                records_that_follow_are_kept_all_or_none,
                a_dead_letter_is_found_and_dropped,
                redrive_puts_a_job_in_place_of_a_dead_letter,
                a_schedule_keeps_its_last_position,
                a_schedule_comes_on_with_its_record,
            }
        }
    };
}
